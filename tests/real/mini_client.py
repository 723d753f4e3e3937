"""A CephFS client at the level of messages: it sends what it is told to, and decodes all replies.

    async with mini_client(cluster) as client:
        answer = await client.request(MdsOp.MKDIR, path="dir", args=MkdirArgs(0o755))
        assert answer.result == 0 and answer.target.mode == 0o40755
        listing = (await client.readdir(answer.target.ino)).listing

It believes nothing and caches nothing: capabilities are kept as they come (`caps`), and given up as
soon as they are asked back (`auto_ack`), so that it never stands in another client's way.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field
from tests.real.cluster import RealCluster

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import Config
from mdsdaemon.encoding import decode
from mdsdaemon.host import Host
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.client_caps import CapItem, MClientCapRelease, MClientCaps, MClientLease
from mdsdaemon.messages.client_misc import MClientQuota, MClientSnap
from mdsdaemon.messages.client_reply import (
    CreatedInode,
    Listing,
    MClientReply,
    OpencResponse,
    Trace,
    VxattrValue,
    decode_listing,
    decode_snap_trace,
    decode_trace,
)
from mdsdaemon.messages.client_request import MClientRequest, MClientRequestForward
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.messages.mds import MMDSMap
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.client_args import GetattrArgs, ReaddirArgs
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL
from mdsdaemon.types.client_locks import FileLock
from mdsdaemon.types.client_ops import (
    READDIR_REPLY_BITFLAGS,
    CapOp,
    MdsOp,
    SessionOp,
    mds_op_name,
)
from mdsdaemon.types.client_stat import InodeStat, ReplyCap, ReplyEncoding, reply_encoding
from mdsdaemon.types.entity import CLIENT, MDS, EntityName, PeerName
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.snap import SnapRealmInfo

ROOT = 1
_EXTRA_IS_A_LISTING = {MdsOp.READDIR, MdsOp.LSSNAP}
_RENEW_EVERY = 15.0


@define(eq=False)
class Answer:
    """A reply, decoded whole.

    Attributes:
        reply: the latest one; `told` is the one with the trace, which a safe reply after an unsafe
            one has not.
        extra: what the operation gives beside the trace.
    """

    reply: MClientReply
    told: MClientReply
    trace: Trace
    extra: Any
    realms: list[SnapRealmInfo]

    @property
    def result(self) -> int:
        """0 or -errno."""
        return self.reply.result

    @property
    def target(self) -> InodeStat:
        """The inode of the trace, which must be there."""
        assert self.trace.target is not None, self.reply
        return self.trace.target

    @property
    def listing(self) -> Listing:
        """The extra of a readdir or lssnap."""
        assert isinstance(self.extra, Listing), self.reply
        return self.extra

    @property
    def names(self) -> list[str]:
        """The names of the listing, in its order."""
        return [entry.dname for entry in self.listing.entries]


@define(eq=False)
class _Waiting:
    """A request under way."""

    op: int
    answered: bool = False
    replies: list[MClientReply | MClientRequestForward] = field(factory=list)


class MiniClient(Dispatcher):
    """See the module; made by `mini_client`.

    Attributes:
        session: the server's SESSION messages, newest last.
        messages: everything that came from the server, newest last.
        caps: by inode number, the capability as last told by replies and caps messages.
        auto_ack: answer a revocation at once, by giving up what is asked back.
    """

    def __init__(
        self,
        monc: MonClient,
        messenger: Messenger,
        features: FeatureBitset,
        metadata: dict[str, str],
        host: Host,
    ) -> None:
        self.monc, self.messenger, self.host = monc, messenger, host
        self.features, self.metadata = features, metadata
        self.mdsmap = MDSMap()
        self.con: Connection | None = None
        self.session: list[MClientSession] = []
        self.messages: list[Message] = []
        self.caps: dict[int, ReplyCap] = {}
        self.auto_ack = True
        self.encoding: ReplyEncoding | None = None
        self.peer_features = FeatureBitset()
        self.is_open = False
        self.resets = 0
        self._tid = 0
        self._pushes = 0
        self._closing = False
        self._waiting: dict[int, _Waiting] = {}
        self._news = trio.lowlevel.ParkingLot()

    # -- what comes in ----------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        if isinstance(msg, MMDSMap):
            if msg.epoch > self.mdsmap.epoch:
                self.mdsmap = decode(MDSMap, msg.encoded)
            if msg.source is not None and msg.source.type != MDS:
                self.monc.sub_got("mdsmap", msg.epoch)
        elif msg.source is None or msg.source.type != MDS:
            return False
        else:
            self.messages.append(msg)
            self._from_server(msg)
        self._news.unpark_all()
        return True

    def _from_server(self, msg: Message) -> None:
        if isinstance(msg, MClientCaps | MClientLease | MClientSnap | MClientQuota):
            self._pushes += 1
            if self._closing:  # the server has said more than we had heard of
                self.send(MClientSession(SessionOp.REQUEST_CLOSE, seq=self._pushes))
        if isinstance(msg, MClientSession):
            self.session.append(msg)
            if msg.op == SessionOp.OPEN:
                self.is_open = True
                if msg.supported_features.blocks:
                    self.peer_features = msg.supported_features
            elif msg.op in (SessionOp.CLOSE, SessionOp.REJECT):
                self.is_open = False
            elif msg.op == SessionOp.FLUSHMSG:
                self.send(MClientSession(SessionOp.FLUSHMSG_ACK, seq=msg.seq))
        elif isinstance(msg, MClientReply | MClientRequestForward):
            waiting = self._waiting.get(msg.tid)
            if waiting is not None:
                waiting.replies.append(msg)
                if waiting.answered and isinstance(msg, MClientReply) and msg.safe:
                    del self._waiting[msg.tid]
        elif isinstance(msg, MClientCaps):
            self._handle_caps(msg)

    def _handle_caps(self, msg: MClientCaps) -> None:
        cap = self.caps.setdefault(msg.ino, ReplyCap())
        if msg.op == CapOp.EXPORT:
            self.caps.pop(msg.ino)
            return
        if msg.op not in (CapOp.GRANT, CapOp.REVOKE, CapOp.IMPORT):
            return
        cap.caps, cap.wanted, cap.cap_id = msg.caps, msg.wanted, msg.cap_id
        cap.seq, cap.mseq, cap.realm = msg.seq, msg.migrate_seq, msg.realm
        if msg.op == CapOp.REVOKE and self.auto_ack:
            self.send(
                MClientCaps(
                    CapOp.UPDATE,
                    ino=msg.ino,
                    realm=msg.realm,
                    cap_id=msg.cap_id,
                    seq=msg.seq,
                    issue_seq=msg.seq,
                    caps=msg.caps,
                    migrate_seq=msg.migrate_seq,
                    inline_version=0,
                )
            )

    def ms_handle_reset(self, con: Connection) -> bool:
        return self._gone(con)

    def ms_handle_remote_reset(self, con: Connection) -> None:
        self._gone(con)

    def _gone(self, con: Connection) -> bool:
        if con is not self.con:
            return False
        self.resets += 1
        self.is_open = False
        self._news.unpark_all()
        return True

    async def wait_for(self, there: Callable[[], Any], seconds: float = 20) -> Any:
        """The first true value of `there`, asked again after every message."""
        with trio.fail_after(seconds):
            while not (value := there()):
                await self._news.park()
        return value

    async def wait_until(
        self, ask: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], seconds: float = 20
    ) -> Any:
        """Ask again and again until the answer is good; that answer."""
        with trio.fail_after(seconds):
            while not good(answer := await ask()):  # noqa: ASYNC110 -- the server has no event
                await trio.sleep(0.05)
        return answer

    # -- the session ------------------------------------------------------------------------

    async def connect(self, rank: int = 0) -> Connection:
        """The connection to an active rank."""
        self.monc.sub_want("mdsmap", 0)
        self.monc.renew_subs()

        def active() -> Any:
            gid = self.mdsmap.up.get(rank)
            info = self.mdsmap.mds_info.get(gid or 0)
            return info if info is not None and info.state == State.ACTIVE else None

        info = await self.wait_for(active)
        self.con = self.messenger.connect_to(MDS, info.addrs)
        return self.con

    def send(self, msg: Message) -> None:
        """Send a message of any kind to the server."""
        assert self.con is not None
        self.con.send_message(msg)

    async def open(self, rank: int = 0) -> MClientSession:
        """Connect and open the session; the server's answer (OPEN, or REJECT)."""
        await self.connect(rank)
        self.send(
            MClientSession(
                SessionOp.REQUEST_OPEN, metadata=self.metadata, supported_features=self.features
            )
        )
        ops = (SessionOp.OPEN, SessionOp.REJECT)
        answer: MClientSession = await self.wait_for(
            lambda: next((m for m in self.session if m.op in ops), None)
        )
        assert self.con is not None
        self.encoding = reply_encoding(self.features, self.con.features)
        return answer

    async def close(self) -> None:
        """Close the session, if it is open."""
        if self.is_open:
            self._closing = True
            self.send(MClientSession(SessionOp.REQUEST_CLOSE, seq=self._pushes))
            await self.wait_for(lambda: not self.is_open)

    async def keep_session(self) -> None:
        """Renew the capabilities from time to time, until cancelled."""
        seq = 0
        while True:
            await trio.sleep(_RENEW_EVERY)
            if self.is_open:
                seq += 1
                self.send(MClientSession(SessionOp.REQUEST_RENEWCAPS, seq=seq))

    # -- requests ---------------------------------------------------------------------------

    def start(
        self,
        op: int,
        path: str = "",
        *,
        ino: int = ROOT,
        path2: str = "",
        ino2: int = 0,
        args: Any = None,
        tid: int = 0,
        **fields: Any,
    ) -> int:
        """Send a request and return its tid; `fields` are those of an MClientRequest."""
        if not tid:
            self._tid += 1
            tid = self._tid
        fields.setdefault("oldest_client_tid", min(self._waiting, default=tid))
        fields.setdefault("stamp", int(self.host.wall() * 1e9))
        msg = MClientRequest(
            op,
            path=FilePath(ino, path),
            path2=FilePath(ino2, path2),
            mdsmap_epoch=self.mdsmap.epoch,
            tid=tid,
            **fields,
        )
        if args is not None:
            msg.args = args
        self._waiting[tid] = _Waiting(op)
        self.send(msg)
        return tid

    async def reply(self, tid: int, *, safe: bool = False, seconds: float = 20) -> Answer:
        """The first reply to a request, or with `safe` the one that says that it is journaled.

        Until that has come too, the request counts for `oldest_client_tid`.
        """
        waiting = self._waiting[tid]
        flushing = False

        def there() -> Any:
            for msg in waiting.replies:
                if isinstance(msg, MClientRequestForward):
                    raise AssertionError(f"request {tid} was forwarded to rank {msg.dest_mds}")
                if msg.safe or not safe:
                    return msg
            nonlocal flushing
            if waiting.replies and not flushing:
                flushing = True
                self.send(MClientSession(SessionOp.REQUEST_FLUSH_MDLOG))
            return None

        msg: MClientReply = await self.wait_for(there, seconds)
        first = waiting.replies[0]
        assert isinstance(first, MClientReply)
        waiting.answered = True
        if any(isinstance(m, MClientReply) and m.safe for m in waiting.replies):
            del self._waiting[tid]
        answer = self.decode(waiting.op, msg if msg.trace or msg is first else first)
        answer.reply = msg
        for stat in (answer.trace.dir, answer.trace.target):
            if stat is not None and stat.cap.cap_id:
                self.caps[stat.ino] = stat.cap
        return answer

    async def request(
        self, op: int, path: str = "", *, safe: bool = False, seconds: float = 20, **fields: Any
    ) -> Answer:
        """Send a request and wait for its reply; see `start` and `reply`."""
        return await self.reply(self.start(op, path, **fields), safe=safe, seconds=seconds)

    def decode(self, op: int, reply: MClientReply) -> Answer:
        """All of a reply: DecodeError if any byte of it is left over or missing."""
        assert self.encoding is not None
        extra: Any = None
        if reply.extra:
            if op in _EXTRA_IS_A_LISTING:
                extra = decode_listing(self.encoding, reply.extra)
            elif op in (MdsOp.CREATE, MdsOp.OPEN):
                deleg = self.features.test(13)
                extra = decode(OpencResponse if deleg else CreatedInode, reply.extra)
            elif op in (MdsOp.GETFILELOCK, MdsOp.SETFILELOCK):
                extra = decode(FileLock, reply.extra)
            elif op == MdsOp.GETVXATTR:
                extra = decode(VxattrValue, reply.extra)
            else:
                raise AssertionError(f"a reply to {mds_op_name(op)} has an extra: {reply.extra!r}")
        return Answer(
            reply,
            reply,
            decode_trace(self.encoding, reply),
            extra,
            decode_snap_trace(reply.snapbl),
        )

    # -- the usual ones ---------------------------------------------------------------------

    async def getattr(self, path: str = "", *, ino: int = ROOT, mask: int = -1) -> Answer:
        """getattr of a path below an inode."""
        mask = STAT_CAP_INODE_ALL if mask < 0 else mask
        return await self.request(MdsOp.GETATTR, path, ino=ino, args=GetattrArgs(mask))

    async def lookup(self, path: str, *, ino: int = ROOT) -> Answer:
        """lookup of a name in a directory."""
        return await self.request(MdsOp.LOOKUP, path, ino=ino, args=GetattrArgs(STAT_CAP_INODE_ALL))

    async def readdir(
        self, ino: int, frag: int = 0, *, after: str = "", max_entries: int = 0, max_bytes: int = 0
    ) -> Answer:
        """One readdir of a fragment, going on after a name."""
        args = ReaddirArgs(frag, max_entries, max_bytes, READDIR_REPLY_BITFLAGS)
        return await self.request(MdsOp.READDIR, ino=ino, path2=after, args=args)

    def release(self, inos: Iterable[int]) -> None:
        """Give capabilities back."""
        items = []
        for ino in inos:
            cap = self.caps.pop(ino, None)
            if cap is not None:
                items.append(CapItem(ino, cap.cap_id, cap.mseq, cap.seq))
        self.send(MClientCapRelease(items))

    def received(self, kind: type[Message]) -> list[Any]:
        """The server's messages of a class so far: `MClientCaps`, `MClientSnap`, …"""
        return [m for m in self.messages if isinstance(m, kind)]

    def quotas(self) -> list[MClientQuota]:
        """The quotas told so far."""
        return self.received(MClientQuota)

    def snaps(self) -> list[MClientSnap]:
        """The changes of snapshots told so far."""
        return self.received(MClientSnap)


@asynccontextmanager
async def mini_client(
    cluster: RealCluster | dict[str, str],
    name: str = "client.admin",
    *,
    features: FeatureBitset = CEPHFS_FEATURES_SUPPORTED,
    metadata: dict[str, str] | None = None,
    open_session: bool = True,
    policy: Policy | None = None,
    **options: str,
) -> AsyncIterator[MiniClient]:
    """A client with an open session at rank 0.

    Args:
        cluster: a real cluster, or the options `mon_host`, `fsid`, `keyring` of any other.
        features: CephFS features that it claims.
        metadata: what it says of itself.
        open_session: False: connected to the monitors only.
        policy: of the connection to the server; its `features_supported` are claimed.
        options: changes of the configuration.
    """
    if isinstance(cluster, RealCluster):
        settings = {
            "mon_host": ",".join(cluster.mon_addrs.values()),
            "fsid": cluster.fsid,
            "keyring": str(cluster.keyring),
        }
    else:
        settings = dict(cluster)
    config = Config(name, settings | options)
    entity, host = EntityName.parse(name), Host.system()
    messenger = Messenger(
        PeerName(CLIENT, -1),
        nonce=host.random_u32(),
        host=host,
        transport=SocketTransport(),
        log=logging.getLogger("test.ms"),
    )
    messenger.set_default_policy(Policy.lossy_client())
    messenger.set_policy(MDS, policy or Policy.lossless_client())
    monc = MonClient(
        name=entity,
        config=config,
        messenger=messenger,
        host=host,
        monmap=await build_initial_monmap(config),
        log=logging.getLogger("test.monc"),
    )
    monc.init()
    said = {"entity_id": entity.id, "hostname": "mini", "root": "/"} | (metadata or {})
    client = MiniClient(monc, messenger, features, said, host)
    messenger.add_dispatcher_tail(client)
    async with trio.open_nursery() as nursery:
        await nursery.start(messenger.run)
        await nursery.start(monc.run)
        with trio.fail_after(20):
            await monc.authenticate()
            messenger.set_myname(PeerName(CLIENT, monc.global_id))
            if open_session:
                answer = await client.open()
                assert answer.op == SessionOp.OPEN, answer
        nursery.start_soon(client.keep_session)
        yield client
        with trio.move_on_after(5):
            await client.close()
        nursery.cancel_scope.cancel()
