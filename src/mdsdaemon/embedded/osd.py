"""The one OSD of the one-process cluster: the object engine behind a messenger.

It has no monitor client: the monitor's object calls `handle_osd_map`, and the authenticator that
it is given accepts the tickets that the monitor made. Every request is worked out at once; what it
changed is committed, then it is answered. Requests of one client are answered in the order of
their arrival.

Behaviour: ceph/ceph, src/osd/OSD.cc, src/osd/PrimaryLogPG.cc (do_request, do_op)
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from mdsdaemon.embedded.osd_commands import OSDCommands
from mdsdaemon.embedded.osd_maps import OSDMaps
from mdsdaemon.embedded.osd_session import CapsRefused, OSDSession, open_session
from mdsdaemon.embedded.storage import StorageError
from mdsdaemon.embedded.store import upkeep
from mdsdaemon.embedded.store.limits import Limits
from mdsdaemon.embedded.store.op_info import op_info
from mdsdaemon.embedded.store.requests import OpOutcome, OpRequest
from mdsdaemon.messages.mds import MCommand, MCommandReply
from mdsdaemon.messages.osd import NO_REQID, MOSDBackoff, MOSDOp, MOSDOpReply, OpResults
from mdsdaemon.messages.ping import MPing
from mdsdaemon.net.dispatcher import DaemonFault, Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.throttle import Throttle
from mdsdaemon.types.entity import (
    CLIENT,
    OSD,
    EntityAddr,
    EntityAddrVec,
    PeerName,
)
from mdsdaemon.types.osd_op import Flag, join_outdata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mdsdaemon.config import Config
    from mdsdaemon.embedded.storage import Change, Committer
    from mdsdaemon.embedded.store.engine import ObjectEngine
    from mdsdaemon.embedded.store.op_info import OpInfo
    from mdsdaemon.embedded.store.store import StoreSnapshot
    from mdsdaemon.embedded.store.watch import Sending
    from mdsdaemon.host import Host
    from mdsdaemon.maps.osd_map import OSDMap
    from mdsdaemon.messages.base import Message
    from mdsdaemon.msgr2.auth import Authenticator
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.net.options import SupportsRecord
    from mdsdaemon.net.stream import Transport
    from mdsdaemon.types.interval_set import Intervals

_OLDEST_REQUEST: Final = 8
"""MOSDOp of before Luminous has another layout and is not read."""
_ACKS: Final = int(Flag.ACK | Flag.ONDISK)
_NOT_NVRAM: Final = ~int(Flag.ONNVRAM)
_TRIM_PAUSE: Final = 0.01


class StoreFault(StorageError, DaemonFault):
    """The store is damaged or the disk refuses: the cluster cannot go on."""


class EmbeddedOSD(Dispatcher):
    """See the module.

    Attributes:
        on_purged: called with pool and snapshots of which nothing is left; the monitor takes them
            out of the map's queue.
        addrs: where it listens, once `run` has started.
    """

    def __init__(
        self,
        *,
        config: Config,
        host: Host,
        transport: Transport,
        engine: ObjectEngine,
        committer: Committer,
        authenticator: Authenticator,
        whoami: int = 0,
        log: logging.Logger | None = None,
        recorder: SupportsRecord | None = None,
        on_purged: Callable[[int, Intervals], None] | None = None,
    ) -> None:
        self.log = log or logging.getLogger("mdsdaemon.osd")
        self.engine = engine
        self.committer = committer
        self.whoami = whoami
        self.on_purged = on_purged
        self.addrs = EntityAddrVec()
        self.maps = OSDMaps(whoami, Limits.from_config(config))
        self.commands = OSDCommands(config, engine)
        self.messenger = Messenger(
            PeerName(OSD, whoami),
            nonce=host.random_u32(),
            host=host,
            transport=transport,
            options=MessengerOptions.from_config(config),
            log=self.log,
            recorder=recorder,
        )
        self.messenger.set_authenticator(authenticator)
        self.messenger.add_dispatcher_tail(self)
        self.messenger.set_default_policy(Policy.stateless_registered_server())
        self.messenger.set_policy(
            CLIENT,
            Policy.stateless_registered_server(),
            Throttle("osd_client_bytes", config.get_int("osd_client_message_size_cap")),
            Throttle("osd_client_messages", config.get_int("osd_client_message_cap")),
        )
        self._wake = trio.Event()
        self._trim = trio.Event()
        self._sessions: set[OSDSession] = set()

    # -- running -------------------------------------------------------------------------

    async def run(
        self,
        binds: Sequence[EntityAddr],
        *,
        task_status: trio.TaskStatus[EntityAddrVec] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen on `binds` and serve until cancelled; started with the addresses.

        Raises BindError; StorageError (in a group): the store is damaged, the disk refuses.
        """
        async with trio.open_nursery() as nursery:
            self.addrs = await nursery.start(self.messenger.run, binds)
            nursery.start_soon(self._end_overdue, name="osd watches")
            nursery.start_soon(self._trim_snapshots, name="osd snapshots")
            task_status.started(self.addrs)

    async def _end_overdue(self) -> None:
        while True:
            self._wake = trio.Event()
            deadline = self.engine.watches.next_deadline()
            with trio.move_on_at(float("inf") if deadline is None else deadline):
                await self._wake.wait()
                continue
            self._apply(upkeep.tick(self.engine, trio.current_time()))

    async def _trim_snapshots(self) -> None:
        while True:
            await self._trim.wait()
            self._trim = trio.Event()
            work = upkeep.trim(self.engine)
            self._apply(work)
            if work.more:
                self._trim.set()
                await trio.sleep(_TRIM_PAUSE)
            for pool, snaps in work.purged.items():
                if self.on_purged is not None:
                    self.on_purged(pool, snaps)

    # -- called by the monitor -----------------------------------------------------------

    def handle_osd_map(self, osd_map: OSDMap, incremental: bytes | None = None) -> None:
        """A newer OSDMap, and the encoded step to it: older clients are sent it."""
        if osd_map.epoch <= self.maps.epoch:
            return
        self.maps.advance(osd_map, incremental)
        self._apply(upkeep.set_map(self.engine, osd_map, trio.current_time()))
        if any(osd_map.osd.removed_snaps_queue.values()):
            self._trim.set()
        for session in [session for session in self._sessions if session.waiting]:
            waiting, session.waiting = session.waiting, type(session.waiting)()
            for msg in waiting:
                self._receive_op(msg.connection, session, msg, live=False)

    # -- snapshot of the whole store -----------------------------------------------------

    def snapshot(self) -> StoreSnapshot:
        """All objects as they are now."""
        return self.engine.store.snapshot()

    def restore(self, snapshot: StoreSnapshot) -> None:
        """Make the objects what they were."""
        self._apply(upkeep.restore(self.engine, snapshot, trio.current_time()))

    def clear(self) -> None:
        """Forget all objects; the pools stay."""
        self._apply(upkeep.clear(self.engine))

    # -- the messenger's callbacks -------------------------------------------------------

    def ms_handle_authentication(self, con: Connection) -> bool:
        """Read the peer's caps; who has none may connect, and do nothing."""
        try:
            con.session = open_session(con)
        except CapsRefused as exc:
            self.log.info("refusing %s: %s", con.peer, exc)
            return False
        return True

    def ms_handle_reset(self, con: Connection) -> bool:
        """The peer is gone: its watches go on without it for a time."""
        if isinstance(con.session, OSDSession):
            self._sessions.discard(con.session)
        self.engine.watches.reset(con, trio.current_time())
        self._wake.set()
        return True

    def ms_dispatch(self, msg: Message) -> bool:
        """Requests, commands and pings; nothing else is said to an OSD by its clients."""
        if isinstance(msg, MOSDOp):
            con = msg.connection
            session = self._session(con)
            if session is not None:
                self._receive_op(con, session, msg)
            return True
        if isinstance(msg, MCommand):
            self._handle_command(msg)
            return True
        return isinstance(msg, MPing | MOSDBackoff)

    def _session(self, con: Connection) -> OSDSession | None:
        session = con.session
        if isinstance(session, OSDSession) and session.identity is con.peer_identity:
            return session
        # the connection went on over another socket, perhaps with another ticket
        try:
            session = con.session = open_session(con)
        except CapsRefused as exc:
            self.log.info("closing the connection to %s: %s", con.peer, exc)
            con.mark_down()
            return None
        return session

    def _handle_command(self, msg: MCommand) -> None:
        con = msg.connection
        session = self._session(con)
        if session is None:
            return
        if session.caps.allow_all:
            r, text, data = self.commands.run(msg.cmd)
        else:
            r, text, data = -errno.EACCES, "access denied: it takes the OSD caps 'allow *'", b""
        reply = MCommandReply(r=r, rs=text)
        reply.tid, reply.data = msg.tid, data
        con.send_message(reply)

    # -- requests ------------------------------------------------------------------------

    def _receive_op(
        self, con: Connection, session: OSDSession, msg: MOSDOp, *, live: bool = True
    ) -> None:
        """`live`: inside `ms_dispatch`, so that the message's share of throttles can be kept."""
        if msg.header_version < _OLDEST_REQUEST:
            self.log.warning("closing the connection to %s: it is older than Luminous", con.peer)
            con.mark_down()
            return
        if session.waiting or msg.osdmap_epoch > self.maps.epoch:
            self._sessions.add(session)
            session.waiting.append(msg)
            return
        self._handle_op(con, session, msg, live)

    def _handle_op(self, con: Connection, session: OSDSession, msg: MOSDOp, live: bool) -> None:
        """Check who asks and for what, do it, and see that it is answered."""
        maps = self.maps
        if session.last_sent_epoch < msg.osdmap_epoch:
            session.last_sent_epoch = msg.osdmap_epoch
        if session.last_sent_epoch < maps.epoch:
            self._share_map(con, session)
        pool_id = msg.pgid.pgid.pool
        if pool_id not in maps.current.pools or maps.is_stale(pool_id, msg.osdmap_epoch):
            return  # the client learns of it by the map and sends again, or gives up
        seed = maps.seed_of(pool_id, msg.hash)
        if seed != maps.seed_of(pool_id, msg.pgid.pgid.seed) or not maps.serves(pool_id, seed):
            self.log.info("dropping a misdirected %s tid %d of %s", msg.oid, msg.tid, session.name)
            return
        try:
            ops = msg.split_ops()
        except ValueError as exc:
            self.log.warning("closing the connection to %s: %s", con.peer, exc)
            con.mark_down()
            return
        info = op_info(ops, msg.flags)
        if isinstance(info, int):
            self._send_reply(con, msg, self._refusal(info))
            return
        if not self._is_allowed(session, con, msg, info):
            self._send_reply(con, msg, self._refusal(-errno.EPERM))
            return
        if self._is_fenced(session, con):
            self._send_reply(con, msg, self._refusal(-errno.ESHUTDOWN))
            return
        try:
            outcome = self.engine.execute(_request(con, session, msg, info), trio.current_time())
        except StorageError as exc:
            raise StoreFault(exc.message, exc.status, exc.remedy) from exc
        if outcome is not None:
            self._finish(con, session, msg, outcome, live)

    def _share_map(self, con: Connection, session: OSDSession) -> None:
        msg = self.maps.message(session.last_sent_epoch)
        session.last_sent_epoch = self.maps.epoch
        con.send_message(msg)

    def _refusal(self, result: int) -> OpOutcome:
        return OpOutcome(result, with_data=False, error=True, after=self.engine.store.sequence)

    def _is_allowed(self, session: OSDSession, con: Connection, msg: MOSDOp, info: OpInfo) -> bool:
        if session.unlimited:
            return True
        current, pool_id, oloc = self.maps.current, msg.pgid.pgid.pool, msg.oloc
        addrs = con.peer_addrs.addrs
        return session.caps.is_capable(
            current.client.pool_name.get(pool_id, ""),
            oloc.nspace,
            current.pools[pool_id].application_metadata,
            oloc.key or msg.oid,
            read=info.read,
            write=info.write,
            classes=info.classes,
            host=addrs[0].host if addrs else "",
        )

    def _is_fenced(self, session: OSDSession, con: Connection) -> bool:
        current = self.maps.current
        if not current.osd.blocklist and not current.osd.range_blocklist:
            return False
        if session.fenced[0] != current.epoch:
            session.fenced = (current.epoch, current.is_blocklisted(con.peer_addrs))
        return session.fenced[1]

    def _finish(
        self, con: Connection, session: OSDSession, msg: MOSDOp, outcome: OpOutcome, live: bool
    ) -> None:
        """Answer when the changes, and all before them, are committed."""
        if outcome.changes is None and (outcome.after == 0 or self.committer.idle):
            self._answer(con, session, msg, outcome)
            return
        release = con.retain() if live else None

        def committed() -> None:
            self.engine.store.committed(outcome.after)
            if release is not None:
                release()
            self._answer(con, session, msg, outcome)

        self.committer.submit(outcome.changes or (), committed)

    def _answer(
        self, con: Connection, session: OSDSession, msg: MOSDOp, outcome: OpOutcome
    ) -> None:
        self._send_reply(con, msg, outcome)
        if outcome.effects is not None:
            now = trio.current_time()
            self._send(self.engine.watches.apply(outcome.effects, con, session.name, now))

    def _send_reply(self, con: Connection, msg: MOSDOp, outcome: OpOutcome) -> None:
        flags = msg.flags & _NOT_NVRAM if outcome.error else msg.flags & _NOT_NVRAM | _ACKS
        if not outcome.with_data:
            for op in msg.ops:
                op.outdata = b""
        reply = MOSDOpReply(
            oid=msg.oid,
            pgid=msg.pgid.pgid,
            flags=flags,
            result=outcome.result,
            bad_replay_version=outcome.bad_replay_version,
            osdmap_epoch=self.maps.epoch,
            results=OpResults(msg.ops, msg.retry_attempt),
            replay_version=outcome.replay_version,
            user_version=outcome.user_version,
        )
        reply.tid = msg.tid
        reply.priority = msg.priority
        reply.data = join_outdata(msg.ops) if msg.ops else b""
        con.send_message(reply)

    def _apply(self, work: upkeep.Upkeep) -> None:
        """Commit what the engine did by itself, then tell whom it concerns."""

        def committed() -> None:
            self.engine.store.committed(work.sequence)
            self._send(work.sendings)

        changes: Sequence[Change] = work.changes or ()
        if changes or not self.committer.idle:
            self.committer.submit(changes, committed)
        else:
            committed()

    def _send(self, sendings: list[Sending]) -> None:
        for con, msg in sendings:
            con.send_message(msg)  # type: ignore[attr-defined]
        self._wake.set()


def _request(con: Connection, session: OSDSession, msg: MOSDOp, info: OpInfo) -> OpRequest:
    oloc, reqid, addrs = msg.oloc, msg.reqid, con.peer_addrs.addrs
    if reqid.tid or reqid.name != NO_REQID.name:
        name, key = reqid.name, (reqid.name.type, reqid.name.num, reqid.inc, reqid.tid)
    else:
        name = session.name
        key = (name.type, name.num, reqid.inc, msg.tid)
    request = OpRequest(
        pool=msg.pgid.pgid.pool,
        key=(oloc.nspace, oloc.key if oloc.key != msg.oid else "", msg.oid),
        seed=msg.pgid.pgid.seed,
        hash=msg.hash,
        ops=msg.ops,
        reqid=key,
        entity=name,
        snapid=msg.snapid,
        snap_seq=msg.snap_seq,
        snaps=msg.snaps,
        flags=msg.flags,
        epoch=msg.osdmap_epoch,
        mtime=msg.mtime,
        features=con.features,
        connection=con,
        info=info,
    )
    if addrs:
        request.addr = addrs[0]
    return request
