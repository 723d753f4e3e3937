"""The monitor: one messenger as mon.a, sessions, subscriptions, commands, and its services.

    committer = Committer(storage)
    monitor = Monitor(config=…, host=…, transport=…, committer=committer, fsid=…, keyring=…)
    await nursery.start(committer.run)
    addrs = await nursery.start(monitor.run)

Everything that a message or command changes is decided synchronously inside one transaction; see
`transaction` for what durability means for the answers. The services are attributes: `mon_map`,
`auth`, `config_db`, `kv`, `log`, `osd`, `mds`, `mgr`, `health`, `command_handler`.

Behaviour: ceph/ceph, src/mon/Monitor.cc (Pacific)
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any, Final

import trio

from mdsdaemon.embedded.key_server_auth import GlobalId, MonPeerIdentity
from mdsdaemon.embedded.monitor.commands import CommandTable
from mdsdaemon.embedded.monitor.mon_caps import MonCaps
from mdsdaemon.embedded.monitor.service import Service
from mdsdaemon.embedded.monitor.services import Services
from mdsdaemon.embedded.monitor.session import MonSession, Subscription
from mdsdaemon.embedded.monitor.transaction import Transactions
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.messages.auth import MAuth
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.mds import MCommand
from mdsdaemon.messages.mon import MMonGetMap
from mdsdaemon.messages.ping import MPing
from mdsdaemon.net.dispatcher import DaemonFault, Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.throttle import Throttle
from mdsdaemon.records import evolve
from mdsdaemon.types.entity import (
    CLIENT,
    MDS,
    MGR,
    MON,
    OSD,
    EntityAddr,
    EntityAddrVec,
    EntityName,
    PeerName,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.cephx.keyring import KeyRing
    from mdsdaemon.config import Config
    from mdsdaemon.embedded.storage import Committer
    from mdsdaemon.host import Host
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.net.options import SupportsRecord
    from mdsdaemon.net.stream import Transport

TICK_INTERVAL: Final = 1.0
"""Seconds between the services' ticks. (A real monitor's are 5 s apart: mon_tick_interval.)"""

CORE_TABLE: Final = "mon_core"
FORMAT: Final = b"1"

DEFAULTS: Final = {
    "auth_allow_insecure_global_id_reclaim": False,
    "mon_allow_pool_size_one": True,
    "mon_warn_on_pool_no_redundancy": False,
    "osd_pool_default_size": 1,
}
"""Options for which a cluster of one process has better defaults than Ceph."""

_BEFORE_RECONNECT: Final = (MAuth, MCommand, MMonGetMap, MPing)
"""What a client may send on a session that it cannot prove to be its own later."""


class Monitor(Services, Dispatcher):
    """See the module.

    Attributes:
        name: the monitor's id, ``a`` of mon.a.
        config: its own configuration (options that it reads; `ceph config set mon …` reaches it).
        host: clock and randomness.
        fsid: of the cluster; of the stored one, if there is one.
        keyring: keys that a new cluster begins with.
        sessions: the open ones.
        commands, tell_commands: what clients may ask of the cluster, and of this daemon.
        logger: Python's, for people who run this; `log` is the cluster's log.
    """

    def __init__(
        self,
        *,
        config: Config,
        host: Host,
        transport: Transport,
        committer: Committer,
        fsid: uuid.UUID,
        keyring: KeyRing,
        name: str = "a",
        bind: EntityAddr | None = None,
        log: logging.Logger | None = None,
        recorder: SupportsRecord | None = None,
    ) -> None:
        self.name = name
        self.config = config
        for option, value in DEFAULTS.items():
            config.set_default(option, value)
        self.host = host
        self.fsid = fsid
        self.keyring = keyring
        self.committer = committer
        self.logger = log or logging.getLogger("mdsdaemon.mon")
        self.transactions = Transactions(committer, self._push)
        self.sessions: set[MonSession] = set()
        self.commands = CommandTable()
        self.tell_commands = CommandTable()
        self.start_time = 0.0
        self._bind = bind or EntityAddr.parse("v2:127.0.0.1:0")
        self._published: set[str] = set()
        self._handlers: dict[type[Message], Callable[[MonSession, Any], None]] = {}
        self._subscriptions: dict[str, Service] = {}
        self._new = True
        self._ready = False
        self.messenger = Messenger(
            PeerName(MON, 0),
            nonce=0,
            host=host,
            transport=transport,
            options=evolve(MessengerOptions(), ms_bind_port_max=0),
            log=self.logger,
            recorder=recorder,
        )
        self.messenger.set_default_policy(Policy.stateless_server())
        daemon_bytes = Throttle("mon_daemon_bytes", config.get_int("mon_daemon_bytes"))
        client_bytes = Throttle("mon_client_bytes", config.get_int("mon_client_bytes"))
        for peer_type in (OSD, MDS, MGR):
            self.messenger.set_policy(peer_type, Policy.stateless_server(), daemon_bytes)
        self.messenger.set_policy(CLIENT, Policy.stateless_server(), client_bytes)
        self.messenger.add_dispatcher_tail(self)
        self.make_services(self)
        for service in self.services:
            self._register(service)

    # -- running ----------------------------------------------------------------------------

    async def run(
        self, *, task_status: trio.TaskStatus[EntityAddrVec] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Load or make the cluster's state, then serve until cancelled; `committer` runs.

        Raises BindError; FatalError: the records cannot be read, or are not ours.
        """
        self.load()
        self.messenger.set_authenticator(self.auth.authenticator)
        async with trio.open_nursery() as nursery:
            addrs: EntityAddrVec = await nursery.start(self.messenger.run, [self._bind])
            self.begin()
            task_status.started(addrs)
            while True:
                await trio.sleep(TICK_INTERVAL)
                self.tick()

    def load(self) -> None:
        """Take up the stored state, if there is one."""
        self.start_time = self.host.wall()
        self._new = self._load()

    def begin(self) -> None:
        """The addresses are known: make the state of a new cluster, and let peers in."""
        with self.transactions.transaction():
            if self._new:
                self._create_initial()
            for service in self.services:
                service.started()
            self._ready = True

    @property
    def addrs(self) -> EntityAddrVec:
        """Where the monitor listens."""
        return self.messenger.my_addrs

    @property
    def is_ready(self) -> bool:
        """The state is there; peers may come in."""
        return self._ready

    def tick(self) -> None:
        """The services' regular work."""
        now = self.host.wall()
        for service in self.services:
            with self.transactions.transaction():
                service.tick(now)

    # -- state ------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """The state of all services; nothing that happens later changes it."""
        return {service.name: service.snapshot() for service in self.services}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `snapshot` of this monitor. Sessions stay open and are told what is new."""
        with self.transactions.transaction():
            for service in self.services:
                service.restore(state[service.name])

    def _load(self) -> bool:
        storage = self.committer.storage
        fsid = storage.get(CORE_TABLE, b"fsid")
        if fsid is None:
            return True
        written = storage.get(CORE_TABLE, b"format")
        if written != FORMAT:
            raise FatalError(
                f"the monitor's records are of format {written!r}, this program knows {FORMAT!r}",
                ExitStatus.DATA,
                "use the version of mdsdaemon that made them, or another folder",
            )
        self.fsid = uuid.UUID(bytes=fsid)
        for service in self.services:
            service.load(dict(self.transactions.records(service.table)))
        return False

    def _create_initial(self) -> None:
        self.transactions.put(CORE_TABLE, b"fsid", self.fsid.bytes)
        self.transactions.put(CORE_TABLE, b"format", FORMAT)
        for service in self.services:
            service.create_initial()

    def _register(self, service: Service) -> None:
        for room in service.command_rooms():
            self.commands.add(room)
        for what in service.subscriptions:
            self._subscriptions[what] = service
        for name in dir(type(service)):
            method = getattr(type(service), name, None)
            types: tuple[type[Message], ...] = getattr(method, "__dict__", {}).get(
                "monitor_messages", ()
            )
            for kind in types:
                self._handlers[kind] = getattr(service, name)

    # -- subscriptions ----------------------------------------------------------------------

    def publish(self, what: str) -> None:
        """Something new for subscriptions named `what`; sent at the end of the transaction."""
        with self.transactions.transaction():
            self._published.add(what)

    def _push(self) -> None:
        while self._published:
            published, self._published = self._published, set()
            for session in list(self.sessions):
                for sub in list(session.subs.values()):
                    if sub.what in published:
                        self.check_sub(session, sub)

    def service_of_sub(self, what: str) -> Service | None:
        """Who serves subscriptions of this name."""
        service = self._subscriptions.get(what)
        if service is None:
            for mark in ":", "-", ".":
                head, found, _ = what.partition(mark)
                if found and head + found in self._subscriptions:
                    return self._subscriptions[head + found]
        return service

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        """Send what the subscription wants and has not got."""
        service = self.service_of_sub(sub.what)
        if service is not None:
            service.check_sub(session, sub)

    # -- the Dispatcher ---------------------------------------------------------------------

    def ms_handle_authentication(self, con: Connection) -> bool:
        identity = con.peer_identity
        if identity is None or not self._ready:
            return False
        session = MonSession(
            self,
            identity.entity_name,
            identity.global_id,
            self.auth.mon_caps(identity.entity_name, identity.caps),
            con,
            identity.handler if isinstance(identity, MonPeerIdentity) else None,
            opened=self.host.wall(),
        )
        con.session = session
        self.sessions.add(session)
        return True

    def ms_handle_reset(self, con: Connection) -> bool:
        session = con.session
        if isinstance(session, MonSession) and not session.closed:
            self.close_session(session)
        return True

    def close_session(self, session: MonSession) -> None:
        """The peer is gone, or is told to go."""
        session.closed = True
        self.sessions.discard(session)
        with self.transactions.transaction():
            for service in self.services:
                service.session_closed(session)
        if session.con is not None:
            session.con.mark_down()

    def ms_dispatch(self, msg: Message) -> bool:
        session = msg.connection.session
        if not isinstance(session, MonSession) or session.closed:
            return True
        handler = self._handlers.get(type(msg))
        if handler is None:
            return False
        if self._must_reconnect(session, msg):
            self.close_session(session)
            return True
        self.dispatch(handler, session, msg)
        return True

    def _must_reconnect(self, session: MonSession, msg: Message) -> bool:
        """Whether a client that may not prove its global_id later has to show that it can."""
        return (
            session.auth is not None
            and session.auth.status == GlobalId.NEW_NOT_EXPOSED
            and not isinstance(msg, _BEFORE_RECONNECT)
            and self.config.get_bool("auth_expose_insecure_global_id_reclaim")
        )

    def dispatch(
        self, handler: Callable[[MonSession, Any], None], session: MonSession, msg: Message
    ) -> None:
        """Handle a message as one transaction."""
        with self.transactions.transaction():
            try:
                handler(session, msg)
            except Exception as exc:
                if self.transactions.has_changes:
                    # memory and records may disagree: going on could lose what was acknowledged
                    raise DaemonFault(f"a bug in handling {type(msg).__name__}") from exc
                raise

    def internal_session(self, name: str = "client.admin") -> MonSession:
        """A session without a connection that may do everything: for the program itself."""
        return MonSession(self, EntityName.parse(name), 0, MonCaps.allow_all())
