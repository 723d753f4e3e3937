"""One session with one of the monitors, whichever lives.

It hunts for a monitor, authenticates, keeps the subscriptions, tickets and rotating secrets fresh,
and carries messages. Decisions are synchronous, in callbacks of the messenger and in `_tick`;
`run` only waits for the next deadline. `MonClient` is what the rest of a daemon uses of it.

Source of the behaviour: ceph/ceph, src/mon/MonClient.cc (Pacific)
"""

from __future__ import annotations

import errno
import logging
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import trio

from mdsdaemon.cephx.client import AuthClient
from mdsdaemon.cephx.plug import AuthError
from mdsdaemon.cephx.tickets import RotatingKeyRing
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.hunt import Hunt
from mdsdaemon.clients.identity import Identity
from mdsdaemon.clients.log_client import LogCarrier, LogClient
from mdsdaemon.clients.mon_auth import WatchedAuth
from mdsdaemon.clients.mon_commands import RequestTable
from mdsdaemon.clients.mon_hunter import MonConnection, MonHunter
from mdsdaemon.clients.subscriptions import Subscriptions
from mdsdaemon.encoding import decode
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.messages.auth import MAuthReply
from mdsdaemon.messages.base import payload_summary
from mdsdaemon.messages.config import MConfig
from mdsdaemon.messages.log import MLogAck
from mdsdaemon.messages.mds import MCommandReply
from mdsdaemon.messages.mon import (
    MMonCommandAck,
    MMonGetVersionReply,
    MMonMap,
    MMonSubscribe,
    MMonSubscribeAck,
    SubscribeItem,
)
from mdsdaemon.messages.ping import MPing
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.types.entity import MDS, MGR, MON, OSD, EntityAddrVec, EntityName
from mdsdaemon.types.features import MON_STATEFUL_SUB

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.host import Host
    from mdsdaemon.messages.base import Message
    from mdsdaemon.msgr2.auth import ClientAuth, ServerAuth
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.net.options import SupportsRecord

MAX_WAITING = 1000
"""Messages kept for the next session; the oldest give way."""

MIN_TICK = 0.05
"""Seconds between ticks at the least, whatever intervals are configured."""

NO_FSID = uuid.UUID(int=0)

_MINE = (
    MMonMap
    | MAuthReply
    | MMonSubscribeAck
    | MMonGetVersionReply
    | MMonCommandAck
    | MLogAck
    | MConfig
)


class MonSession(Dispatcher):
    """See the module. It is also the messenger's Authenticator.

    Args:
        name: the entity, such as mds.a; its type decides whether rotating secrets are kept.
        monmap: where to begin (`build_initial_monmap`).
        want_keys: mask of the entity types whose tickets are wanted.
        hostname: the short host name, by which the monitors choose options for this host.

    Attributes:
        monmap: the newest known.
        config_handler: called with the options that the monitors set for us, all of them each
            time; by default they are applied to the configuration.
        auth_error: why the last hunt failed, None once a session is open.
        refused_handler: called when every monitor that answers refuses us, though there were
            sessions before: the key is gone, or the ticket by which our global_id could be taken
            up again has expired. Only a new life with a new global_id can help then.
    """

    def __init__(
        self,
        *,
        name: EntityName,
        config: Config,
        messenger: Messenger,
        host: Host,
        monmap: MonMap,
        want_keys: int = MON | OSD | MDS | MGR,
        log: logging.Logger | None = None,
        recorder: SupportsRecord | None = None,
        hostname: str | None = None,
    ) -> None:
        self.name = name
        self.monmap = monmap
        self.log = log or logging.getLogger("mdsdaemon.monc")
        self.auth_error: MonClientError | None = None
        self.config_handler: Callable[[Mapping[str, str]], None] = self._apply_config
        self.refused_handler: Callable[[MonClientError], None] | None = None
        self._config = config
        self._messenger = messenger
        self._host = host
        self._recorder = recorder
        self._hostname = hostname or config.identity.hostname.partition(".")[0]
        self._identity = Identity(name, config, host, want_keys, self.log)
        self._renewal = self._identity.renewal
        self._hunter = MonHunter(messenger, Hunt(config, host.rng), self, self.log)
        self._sub = Subscriptions()
        self._requests = RequestTable(self, self.log)
        self._log_carrier = LogCarrier(config, self.send_in_session)
        self._waiting: deque[Message] = deque(maxlen=MAX_WAITING)
        self._last_keepalive = 0.0
        self._monmap_known = False
        self._auth_changed = trio.lowlevel.ParkingLot()
        self._rescheduled = trio.lowlevel.ParkingLot()
        self._stopped = False

    # -- what it knows -------------------------------------------------------------------

    @property
    def fsid(self) -> uuid.UUID:
        """The cluster's, as the monitors say."""
        return self.monmap.fsid

    @property
    def global_id(self) -> int:
        """Ours, given by the monitors; 0 before the first session."""
        client = self._renewal.client
        return 0 if client is None else client.global_id

    @property
    def is_connected(self) -> bool:
        """A session is open."""
        return self._hunter.active is not None

    @property
    def is_authenticated(self) -> bool:
        """A session is open, and its monitor has said who the monitors are."""
        return self.is_connected and self._monmap_known

    @property
    def auth(self) -> AuthClient | None:
        """Our tickets, once there was a session."""
        return self._renewal.client

    @property
    def rotating(self) -> RotatingKeyRing | None:
        """The secrets that our clients' tickets are made with."""
        return self._renewal.rotating

    @property
    def session_mon(self) -> str:
        """The monitor that the session is with, for people; "" without a session."""
        active = self._hunter.active
        return "" if active is None else str(active)

    # -- start and end -------------------------------------------------------------------

    def init(self) -> None:
        """Read the key, and become the messenger's first dispatcher and its authenticator.

        Raises:
            KeyringError: cephx is to be used and there is no key for `name`.
            MonClientError: the configuration allows no authentication method.
        """
        self._identity.init()
        self._messenger.set_authenticator(self)
        self._messenger.add_dispatcher_head(self)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tick until cancelled; then every caller that waits gets ESHUTDOWN."""
        unfollow = self._identity.follow_options()
        ticked = float("-inf")
        try:
            task_status.started()
            while True:
                with trio.move_on_at(max(self._deadline(), ticked + MIN_TICK)):
                    await self._rescheduled.park()
                    continue
                ticked = trio.current_time()
                self._tick()
        finally:
            unfollow()
            self.shutdown()

    def shutdown(self) -> None:
        """Close the session and forget everything queued; idempotent."""
        if self._stopped:
            return
        self._stopped = True
        self._hunter.stop()
        self._waiting.clear()
        self._requests.close(MonClientError(errno.ESHUTDOWN, "the monitor client is stopped"))
        self._auth_changed.unpark_all()

    def renew_subs(self) -> None:
        """Send what was subscribed to and not sent yet."""
        if not self._sub.have_new():
            return
        if not self._opened():
            self.reopen_session()
            return
        what = {name: SubscribeItem(i.start, i.flags) for name, i in self._sub.get_subs().items()}
        self.send_mon_message(MMonSubscribe(what=what, hostname=self._hostname))
        self._sub.renewed(trio.current_time())

    # -- messages and requests -----------------------------------------------------------

    def send_mon_message(self, msg: Message) -> None:
        """Send in the session, or as soon as the hunt that is on has brought one.

        What still waits when another round of the hunt begins is dropped: the senders repeat
        themselves.
        """
        if not self.send_in_session(msg):
            self._waiting.append(msg)

    def send_in_session(self, msg: Message) -> bool:
        """Send in the session; False when there is none."""
        active = self._hunter.active
        return active is not None and active.con.send_message(msg)

    def set_log_client(self, log_client: LogClient) -> None:
        """Carry the cluster log of `log_client`."""
        self._log_carrier.client = log_client
        log_client.on_queue = self._rescheduled.unpark_all

    def flush_log(self) -> None:
        """Send what the cluster log has queued, now."""
        if self.is_connected:
            self._log_carrier.send(self.fsid, trio.current_time())

    # -- the Authenticator ---------------------------------------------------------------

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> ClientAuth:
        """For a connection that we open: to a monitor with our key, to others with a ticket."""
        if peer_type != MON:
            return self._identity.service_auth(peer_type)
        mc = self._hunter.pending_at(peer_addrs)
        if mc is not None:
            tried = mc
            return WatchedAuth(
                self._identity.mon_auth(),
                lambda client: self._hunter.authenticated(tried, client),
                lambda error: self._hunter.refused(tried, error),
            )
        if self._requests.in_session:
            return self._identity.tell_auth()
        raise AuthError(errno.ENOENT, f"no session with the monitor at {peer_addrs} is wanted")

    def server_session(self, peer_type: int, now: float) -> ServerAuth:
        """For a connection that a peer opens to us: it has to show a ticket for our service."""
        return self._identity.server_auth(peer_type, now)

    # -- the hunt ------------------------------------------------------------------------

    def _opened(self) -> bool:
        return self._hunter.active is not None or self._hunter.hunting

    def reopen_session(self) -> None:
        """Give up the session, if any, and hunt for a monitor."""
        if self._stopped:
            return
        self._requests.session_lost()
        self._waiting.clear()
        self._hunter.start_round(self.monmap)
        if self._sub.reload():
            self.renew_subs()
        self._record("mon.hunt", round=self._hunter.rounds)
        self._rescheduled.unpark_all()

    def session_opened(self, mc: MonConnection, client: AuthClient) -> None:
        """The hunter has authenticated with a monitor."""
        if self.global_id and self.global_id != client.global_id:
            self.log.error("global_id changed from %d to %d", self.global_id, client.global_id)
        self._renewal.start(client)
        now = self._last_keepalive = trio.current_time()
        self.log.info("found %s, global_id %d", mc, client.global_id)
        self._record("mon.session", mon=str(mc), global_id=client.global_id)
        while self._waiting:
            mc.con.send_message(self._waiting.popleft())
        self._requests.session_opened()
        self._log_carrier.send(self.fsid, now, flush=True)
        if self.monmap.epoch:
            self._monmap_known = True
        if self._monmap_known:
            self._authenticated()

    def _authenticated(self) -> None:
        self.auth_error = None
        self._renew()
        self._auth_changed.unpark_all()
        self._rescheduled.unpark_all()

    def hunt_failed(self, error: MonClientError) -> None:
        """Every monitor of this round that answered refused us; the next round will come."""
        self.auth_error = error
        # At the start this ends the program, which then says it itself.
        self.log.log(logging.ERROR if self._monmap_known else logging.WARNING, "%s", error)
        self._record("mon.refused", error=error.text)
        if self.global_id and self.refused_handler is not None:
            self.refused_handler(error)
        self._auth_changed.unpark_all()

    def open_tell(self, addrs: EntityAddrVec) -> Connection | None:
        """For a tell command (see RequestTable)."""
        active = self._hunter.active
        if active is not None and set(active.con.peer_addrs.addrs) & set(addrs.addrs):
            return None
        return self._messenger.connect_to(MON, addrs, anon=True)

    def directed_retries(self) -> int:
        return self._config.get_int("mon_client_directed_command_retry")

    def hunt_interval(self) -> float:
        return self._config.get_float("mon_client_hunt_interval")

    # -- time ----------------------------------------------------------------------------

    def _deadline(self) -> float:
        """Monotonic time of the next thing to do."""
        active = self._hunter.active
        if active is None:
            return self._hunter.round_end
        now = trio.current_time()
        times = [
            self._last_keepalive + self._config.get_float("mon_client_ping_interval"),
            now + self._renewal.due_in(now, self._host.wall()),
            self._requests.next_check(),
            self._log_carrier.due(),
        ]
        timeout = self._config.get_float("mon_client_ping_timeout")
        if timeout > 0:
            times.append(active.last_sign + timeout)
        return min(times)

    def _tick(self) -> None:
        active = self._hunter.active
        if active is None:
            self.reopen_session()
            return
        now = trio.current_time()
        timeout = self._config.get_float("mon_client_ping_timeout")
        if timeout > 0 and now >= active.last_sign + timeout:
            self.log.warning("no sign of life from %s for %g s, hunting", active, timeout)
            self.reopen_session()
            return
        self._renew()
        self._requests.check_tells(now)
        if now >= self._last_keepalive + self._config.get_float("mon_client_ping_interval"):
            self._last_keepalive = now
            active.con.send_keepalive()
            self._hunter.session_lasts()
            stateful = active.con.features & MON_STATEFUL_SUB == MON_STATEFUL_SUB
            if not stateful and self._sub.need_renew(now) and self._sub.reload():
                self.renew_subs()
        if now >= self._log_carrier.due():
            self._log_carrier.send(self.fsid, now)

    def _renew(self) -> None:
        for msg in self._renewal.requests(trio.current_time(), self._host.wall()):
            self.send_in_session(msg)

    # -- the Dispatcher ------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        if isinstance(msg, MPing):
            return True
        if isinstance(msg, MCommandReply):
            return self._requests.handle_ack(msg) if msg.connection.peer_type == MON else False
        if not isinstance(msg, _MINE):
            return False
        if self._hunter.find(msg.connection) is None:
            self.log.debug("dropping %s: not of our session", payload_summary(msg))
            return True
        match msg:
            case MMonMap():
                self._handle_monmap(msg)
            case MAuthReply():
                self._handle_auth(msg)
            case MMonSubscribeAck():
                self._sub.acked(msg.interval)
            case MMonGetVersionReply():
                self._requests.handle_version(msg)
            case MMonCommandAck():
                self._requests.handle_ack(msg)
            case MLogAck():
                self._log_carrier.handle_ack(msg.last, self.fsid, trio.current_time())
            case MConfig():
                self.config_handler(msg.config)
                self._rescheduled.unpark_all()
        return True

    def _handle_monmap(self, msg: MMonMap) -> None:
        monmap = decode(MonMap, msg.monmapbl, partial=True)
        con: Connection = msg.connection
        old = self.monmap
        if old.fsid not in (NO_FSID, monmap.fsid):
            self._wrong_cluster(monmap)
            return
        if monmap.epoch < old.epoch:
            self.log.warning("ignoring monmap e%d, e%d is known", monmap.epoch, old.epoch)
            return
        self.monmap = monmap
        if old.epoch != monmap.epoch:
            self.log.debug("got monmap %s", monmap)
            self._hunter.hunt.forget_tried()
        self._sub.got("monmap", monmap.epoch)
        first, self._monmap_known = not self._monmap_known, True
        was, now_is = old.get_name_of(con.peer_addrs), monmap.get_name_of(con.peer_addrs)
        mc = self._hunter.find(con)
        if mc is not None and now_is is not None:
            mc.name = now_is
        if was is None or now_is is None:
            self.log.info("mon.%s at %s is not in the monmap, hunting", was, con.peer_addrs)
            self.reopen_session()
        elif first and self.is_connected:
            self._authenticated()

    def _wrong_cluster(self, monmap: MonMap) -> None:
        """The monitors are those of another cluster than the one configured, or known so far."""
        self.hunt_failed(
            MonClientError(
                errno.EINVAL,
                f"the monitors ({self.monmap}) are those of cluster {monmap.fsid}, and fsid is"
                f" {self.fsid}",
                "correct fsid or mon_host in ceph.conf",
            )
        )
        self._monmap_known = False
        self.reopen_session()

    def _handle_auth(self, msg: MAuthReply) -> None:
        for request in self._renewal.handle_reply(msg):
            self.send_in_session(request)
        self._renew()
        self._auth_changed.unpark_all()
        self._rescheduled.unpark_all()

    def _apply_config(self, values: Mapping[str, str]) -> None:
        for problem in self._config.set_mon_vals(values):
            self.log.info("from the monitors: %s", problem)

    def ms_handle_reset(self, con: Connection) -> bool:
        if con.peer_type != MON:
            return False
        active = self._hunter.active
        if active is not None and active.con is con:
            self.log.info("the connection to %s broke, hunting", active)
            self.reopen_session()
            return False
        mc = self._hunter.find(con)
        if mc is not None:
            self._hunter.lost(mc, "the connection broke")
        else:
            self._requests.reset(con)
        return True

    def ms_handle_refused(self, con: Connection) -> bool:
        mc = self._hunter.find(con)
        if mc is not None:
            mc.trouble = "connection refused"
        return mc is not None

    def _record(self, kind: str, **fields: object) -> None:
        if self._recorder is not None:
            self._recorder.record(kind, **fields)
