"""MDSDaemon: a metadata server daemon as the monitors, the managers and `ceph tell` know it.

One object is one instance: one gid, one nonce, one life. Its methods have the names of ceph-mds.
State changes are synchronous; `run` (in `lifecycle`) does the awaiting around them.

Behaviour: ceph/ceph, src/mds/MDSDaemon.cc (Pacific)
"""

from __future__ import annotations

import errno
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from mdsdaemon.daemon import map_actions, map_handling, sessions, status
from mdsdaemon.daemon.beacon import Beacon
from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.daemon.commands.mds_commands import MDSCommands
from mdsdaemon.daemon.commands.table import MDS_COMMANDS, RANK_COMMANDS
from mdsdaemon.daemon.commands.tell import TellQueue, refuse, reply_to
from mdsdaemon.daemon.heartbeat import HeartbeatMap
from mdsdaemon.daemon.outcome import DaemonAbort, End, Outcome
from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.messages.cmdparse import CmdMap
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.messages.mds import MCommand, MMDSMap
from mdsdaemon.messages.mon import MMonCommand, MMonMap
from mdsdaemon.net.dispatcher import DaemonFault, Dispatcher
from mdsdaemon.rank.interface import Rank, RankFactory
from mdsdaemon.types.entity import CLIENT, MDS, MON, OSD, EntityAddrVec, type_name
from mdsdaemon.types.sys_info import collect_sys_info

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mdsdaemon.clients.errors import MonClientError
    from mdsdaemon.clients.log_client import LogChannel
    from mdsdaemon.clients.mgr_client import MgrClient
    from mdsdaemon.clients.mon_client import MonClient
    from mdsdaemon.config import Config
    from mdsdaemon.host import Host
    from mdsdaemon.messages.base import Message
    from mdsdaemon.messages.pool import MRemoveSnaps
    from mdsdaemon.msgr2.auth import ClientAuth, ServerAuth
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.perf import PerfRegistry
    from mdsdaemon.recorder import FlightRecorder

CEPH_MSG_OSD_MAP = 41
MSG_REMOVE_SNAPS = 90

MAX_UNREAD = 256
"""Answers to commands that may wait for a client to read them."""


@contextmanager
def _shared_state(where: str) -> Iterator[None]:
    """A bug in here has left the daemon half-changed: it ends, not only the connection."""
    try:
        yield
    except DaemonFault:
        raise
    except Exception as e:
        raise DaemonAbort(f"{where}: {type(e).__name__}: {e}") from e


_CORE: Final = frozenset(
    (
        MMonMap.TYPE,
        MMDSMap.TYPE,
        MSG_REMOVE_SNAPS,
        MCommand.TYPE,
        CEPH_MSG_OSD_MAP,
        MMonCommand.TYPE,
    )
)
"""What `handle_core_message` handles."""


class MDSDaemon(Dispatcher):
    """The daemon. Everything it works with is handed in; it starts nothing before `run`."""

    def __init__(
        self,
        name: str,
        *,
        config: Config,
        host: Host,
        log: logging.Logger,
        clog: LogChannel,
        recorder: FlightRecorder,
        perf: PerfRegistry,
        messenger: Messenger,
        monc: MonClient,
        make_mgrc: Callable[[], MgrClient],
        executor: CommandExecutor,
        heartbeat: HeartbeatMap,
        rank_factory: RankFactory,
    ) -> None:
        self.name = name
        self.config = config
        self.host = host
        self.log = log
        self.clog = clog
        self.recorder = recorder
        self.perf = perf
        self.messenger = messenger
        self.monc = monc
        self._make_mgrc = make_mgrc
        self.executor = executor
        self.heartbeat = heartbeat
        self.rank_factory = rank_factory
        self.starttime = trio.current_time()
        self.beacon = Beacon(
            name,
            config=config,
            monc=monc,
            heartbeat=heartbeat,
            log=log,
            recorder=recorder,
            sys_info=lambda: collect_sys_info(str(messenger.my_addrs)),
        )
        self.tell = TellQueue(executor, log)
        self.mdsmap = MDSMap()
        self.mds_rank: Rank | None = None
        self.stopping = False
        self.mgrc_started = False
        self.outcome: Outcome | None = None
        """How this instance ends; set once, then it leaves."""
        self.leaving = trio.Event()
        self.state_changed = trio.lowlevel.ParkingLot()
        """Unparked after every new MDS map."""
        self.rank_created = trio.Event()
        self.tick_at: float | None = None
        self.nursery: trio.Nursery | None = None
        self.init_scope: trio.CancelScope | None = None
        self._commands: MDSCommands | None = None

    # -- identity ---------------------------------------------------------------------------

    @property
    def gid(self) -> int:
        """Our global id; 0 before the monitors gave one."""
        return self.monc.global_id

    @property
    def state(self) -> int:
        """Our state in the newest map; `State.NULL` when it does not have us."""
        return self.mdsmap.get_state_gid(self.gid)

    def get_uptime(self) -> float:
        """Seconds since this instance began."""
        return trio.current_time() - self.starttime

    @cached_property
    def mgrc(self) -> MgrClient:
        """The manager client: made, and its modules loaded, when the map has us."""
        return self._make_mgrc()

    def nursery_or_fail(self) -> trio.Nursery:
        """The nursery of this instance's services."""
        if self.nursery is None:
            raise RuntimeError("the daemon is not running")
        return self.nursery

    # -- commands ---------------------------------------------------------------------------

    def set_up_admin_socket(self) -> None:
        """Make the daemon's own commands known to tell and admin socket."""
        assert self._commands is None, "set_up_admin_socket twice"
        self._commands = MDSCommands(self)
        self.executor.register_commands(MDS_COMMANDS, self.asok_command)

    def clean_up_admin_socket(self) -> None:
        """Take the daemon's own commands away; the generic ones stay."""
        self.executor.unregister_commands(MDS_COMMANDS)
        self.executor.unregister_commands(RANK_COMMANDS)
        if self._commands is not None:
            self._commands.close()
        self._commands = None

    def asok_command(self, prefix: str, cmdmap: CmdMap, inbl: bytes) -> Reply | Awaitable[Reply]:
        """Serve one of the daemon's own commands, or hand it to the rank."""
        self.log.info("asok_command: %s (starting...)", prefix)
        assert self._commands is not None
        return self._commands.call(prefix, cmdmap, inbl)

    def dump_status(self) -> dict[str, Any]:
        """What `status` answers."""
        return status.dump_status(
            fsid=self.monc.fsid,
            gid=self.gid,
            want_state=self.beacon.want_state,
            mdsmap=self.mdsmap,
            rank=self.mds_rank,
            uptime=self.get_uptime(),
        )

    def handle_command(self, msg: MCommand) -> bool:
        """A `tell` command; False when it came by a connection that is not a client's."""
        con = msg.connection
        session = sessions.session_of(con)
        if session is None:
            return False
        live = (
            session.state_seq > 0
            and self.mds_rank is not None
            and self.mds_rank.get_session(session.name) is not None
        )
        if not live:
            # The session is there for commands only, the answer is the last thing it says.
            con.mark_disposable()
            if con.queued > MAX_UNREAD:
                self.log.warning(
                    "%s sends commands and takes no answers; connection closed",
                    sessions.describe(con),
                )
                con.mark_down()
                return True
        refusal = refuse(msg, session.auth_caps)
        if refusal is None:
            self.tell.queue_tell_command(msg)
            return True
        if refusal.r == -errno.EACCES:
            self.log.warning(
                "handle_command: received command from client without `tell` capability: %s",
                sessions.describe(con),
            )
        reply_to(msg, refusal)
        return True

    # -- maps -------------------------------------------------------------------------------

    def handle_mds_map(self, msg: MMDSMap) -> None:
        """Take a new MDS map: decide by list 1a of the reference, then do it."""
        if msg.epoch <= self.mdsmap.epoch:
            self.log.debug(
                "handle_mds_map old map epoch %d <= %d, discarding", msg.epoch, self.mdsmap.epoch
            )
            return
        self.log.info("Updating MDS map to version %d from %s", msg.epoch, msg.source)
        try:
            newmap = decode(MDSMap, msg.encoded, partial=True)
        except DecodeError as e:
            # Without a map we cannot know what we are; the next one may be readable.
            self.log.error("cannot decode MDS map %d from %s: %s", msg.epoch, msg.source, e)
            return
        oldmap = self.mdsmap
        decisions = map_handling.decide(
            oldmap,
            newmap,
            gid=self.gid,
            want_state=self.beacon.want_state,
            held_rank=None if self.mds_rank is None else self.mds_rank.whoami,
        )
        self.recorder.record(
            "mdsmap",
            epoch=newmap.epoch,
            old=state_name(oldmap.get_state_gid(self.gid)),
            new=state_name(newmap.get_state_gid(self.gid)),
            rank=newmap.get_rank_gid(self.gid),
        )
        if not isinstance(decisions[0], map_handling.Discard):
            self.mdsmap = newmap
        for decision in decisions:
            with _shared_state("handle_mds_map"):
                map_actions.carry_out(self, decision, oldmap, msg)
            if self.outcome is not None:
                return
        self.state_changed.unpark_all()

    # -- tick -------------------------------------------------------------------------------

    def reset_tick(self) -> None:
        """The next tick is mds_tick_interval seconds from now."""
        self.tick_at = trio.current_time() + max(self.config.get_float("mds_tick_interval"), 0.05)

    def tick(self) -> None:
        """Periodic work of the rank."""
        self.reset_tick()
        if self.mds_rank is not None:
            self.mds_rank.tick()

    # -- the end ----------------------------------------------------------------------------

    def handle_refusal(self, error: MonClientError) -> None:
        """Every monitor that answers refuses us, though we had a session.

        Our key is gone, or the ticket to our gid ran out while we were cut off. ceph-mds hunts on
        for ever; once the grace is over the monitors have dropped this gid anyway, so a new life
        loses nothing: it joins with a new gid, or ends and says why it cannot.
        """
        if self.beacon.is_laggy() and self.state != State.NULL:
            self.respawn(f"the monitors refuse us: {error.text}")

    def suicide(self, reason: str = "") -> None:
        """Leave the cluster: nothing is dispatched from here on, `run` says goodbye and ends.

        Returns at once; the caller must do nothing more. Never twice.
        """
        if self.outcome is not None:
            return
        self.stopping = True
        self.log.info(
            "suicide! Wanted state %s%s",
            state_name(self.beacon.want_state),
            f" ({reason})" if reason else "",
        )
        self.recorder.record("suicide", reason=reason)
        self.tick_at = None
        self.clean_up_admin_socket()
        self.beacon.set_want_state(self.mdsmap, State.DNE)
        self._end(End.EXIT, reason)

    def respawn(self, reason: str = "") -> None:
        """Start anew, with a new gid: `run` ends at once, without a goodbye.

        Returns at once; the caller must do nothing more.
        """
        if self.outcome is not None:
            return
        self.stopping = True
        self.log.info("respawn! %s", reason)
        self.recorder.record("respawn", reason=reason)
        self._end(End.RESPAWN, reason)

    def _end(self, end: End, reason: str) -> None:
        self.outcome = Outcome(end, reason, clean=self.is_clean_shutdown())
        self.leaving.set()
        self.state_changed.unpark_all()
        if self.init_scope is not None:
            self.init_scope.cancel()

    def handle_signal(self, signum: int) -> None:
        """SIGINT and SIGTERM: leave, unless we are leaving already."""
        name = signal.Signals(signum).name
        self.log.error("*** got signal %s ***", name)
        if not self.stopping:
            self.suicide(f"got signal {name}")

    def is_clean_shutdown(self) -> bool:
        """Whether nothing was cut off: no rank, or one that went through stopping."""
        return self.mds_rank is None or self.mds_rank.is_stopped()

    # -- dispatch ---------------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        """A message that neither the monitor client nor the beacon wanted."""
        if self.stopping:
            if isinstance(msg, MMDSMap):
                self._look_for_goodbye(msg)
            return False
        if self.beacon.want_state == State.DNE:
            self.log.debug(" stopping, discarding %s", type(msg).__name__)
            return True
        if msg.TYPE in _CORE and self.handle_core_message(msg):
            return True
        if self.mds_rank is None:
            return False
        try:  # as _shared_state, which costs more than finding the handler
            return self.mds_rank.ms_dispatch(msg)
        except DaemonFault:
            raise
        except Exception as e:
            raise DaemonAbort(f"ms_dispatch: {type(e).__name__}: {e}") from e

    def _look_for_goodbye(self, msg: MMDSMap) -> None:
        """While we leave: a map without us says that the monitors have heard it."""
        with suppress(DecodeError):
            newmap = decode(MDSMap, msg.encoded, partial=True)
            if newmap.epoch > self.mdsmap.epoch and newmap.is_dne_gid(self.gid):
                self.beacon.notify_removed()

    def handle_core_message(self, msg: Message) -> bool:
        """High-priority messages that are always processed, each from its senders only."""
        if isinstance(msg, MMonMap):
            self._allowed(msg, MON)
        elif isinstance(msg, MMDSMap):
            if self._allowed(msg, MON | MDS):
                self.handle_mds_map(msg)
        elif msg.TYPE == MSG_REMOVE_SNAPS:
            # ceph-mds without a rank would crash here.
            if self._allowed(msg, MON) and self.mds_rank is not None:
                self.mds_rank.handle_remove_snaps(cast("MRemoveSnaps", msg))
        elif isinstance(msg, MCommand):
            return self.handle_command(msg)
        elif msg.TYPE == CEPH_MSG_OSD_MAP:
            if self._allowed(msg, MON | OSD) and self.mds_rank is not None:
                self.mds_rank.handle_osd_map()
        elif isinstance(msg, MMonCommand):
            if self._allowed(msg, MON):
                self.clog.warn("dropping `mds tell` command from legacy monitor")
        else:
            return False
        return True

    def _allowed(self, msg: Message, peers: int) -> bool:
        con = msg.connection
        if con is None or con.peer_type & peers:
            return True
        self.log.warning(
            "filtered out %s from %s.%d at %s: such a peer may not send it",
            type(msg).__name__,
            type_name(con.peer_type),
            con.peer_global_id,
            con.peer_addrs,
        )
        return False

    # -- connections ------------------------------------------------------------------------

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        """The messenger's question of `get_authorizer`."""
        return self.get_authorizer(peer_type, peer_addrs)

    def server_session(self, peer_type: int, now: float) -> ServerAuth:
        """The messenger's question of `verify_authorizer`."""
        return self.verify_authorizer(peer_type, now)

    def get_authorizer(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        """What a connection of ours shows to its peer. Raises AuthError without a ticket."""
        return self.monc.client_session(peer_type, peer_addrs)

    def verify_authorizer(self, peer_type: int, now: float) -> ServerAuth:
        """The check of a peer that connects; it runs in that connection's own task."""
        return self.monc.server_session(peer_type, now)

    def ms_handle_authentication(self, con: Connection) -> bool:
        """A peer proved who it is. Caps that cannot be read are no reason to refuse it.

        They allow nothing, and `ms_handle_accept` logs them.
        """
        return True

    def ms_handle_accept(self, con: Connection) -> None:
        """A peer's connection is ready: it gets its session."""
        if not self.stopping:
            sessions.accept(con, self.mds_rank, self.log)

    def ms_handle_rest(self, con: Connection) -> bool:
        """A client without a session has nothing to come back to.

        ceph-mds keeps such connections, which anybody with a key could make without number.
        """
        return self._is_client(con) and sessions.is_idle(con)

    def ms_handle_reset(self, con: Connection) -> bool:
        """A connection is gone; only those of clients concern us."""
        if self._is_client(con):
            sessions.reset(con, self.log, remote=False)
        return False

    def ms_handle_remote_reset(self, con: Connection) -> None:
        """A client has forgotten its session on this connection."""
        if self._is_client(con):
            sessions.reset(con, self.log, remote=True)

    def _is_client(self, con: Connection) -> bool:
        return con.peer_type == CLIENT and not self.stopping and self.beacon.want_state != State.DNE
