"""A monitor that does not run: its OSDMap service, sessions that keep what is sent, a clock."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, cast

import attrs

from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.config import Config
from mdsdaemon.embedded.monitor.commands import CommandResult
from mdsdaemon.embedded.monitor.core import Monitor
from mdsdaemon.embedded.monitor.mon_caps import MonCaps
from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor
from mdsdaemon.embedded.monitor.osd_usage import PoolUsage, StoreUsage
from mdsdaemon.embedded.monitor.session import MonSession, Subscription
from mdsdaemon.embedded.storage import Committer, MemoryStorage, Storage
from mdsdaemon.host import Host
from mdsdaemon.messages.base import Message
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.entity import EntityAddrVec, EntityName

START = 1_700_000_000.0
FSID = uuid.UUID(int=7)
OSD_UUID = uuid.UUID(int=42)
ADDRS = EntityAddrVec.parse("[v2:127.0.0.1:6800/1]")
GIB = 1 << 30

OPTIONS = {
    "osd_pool_default_size": "1",
    "osd_pool_default_pg_num": "8",
    "osd_pool_default_pg_autoscale_mode": "off",
    "osd_crush_chooseleaf_type": "0",
    "mon_warn_on_pool_no_redundancy": "false",
    "mon_allow_pool_size_one": "true",
    "mon_allow_pool_delete": "true",
}


class Clock:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Store:
    """An object store that says what it is told to."""

    def __init__(self) -> None:
        self.pools: dict[int, PoolUsage] = {}
        self.total, self.used = 4 * GIB, 0

    def usage(self) -> StoreUsage:
        return StoreUsage(self.pools, self.total, self.used)

    def pg_usage(self, pool: int) -> Mapping[int, PoolUsage]:
        return {0: self.pools[pool]} if pool in self.pools else {}


@attrs.define(eq=False)
class RecordingSession(MonSession):
    """A session whose messages are kept."""

    messages: list[Message] = attrs.field(factory=list)

    def send(self, msg: Message) -> None:
        self.mon.transactions.after(lambda: self.messages.append(msg))

    def take(self) -> list[Any]:
        """What was sent since the last call."""
        sent, self.messages = self.messages, []
        return cast("list[Any]", sent)


class Kit:
    """A monitor, with osd.0 up unless ``osd=False``. `storage` is that of a former one."""

    def __init__(
        self,
        *,
        osd: bool = True,
        storage: Storage | None = None,
        clock: Clock | None = None,
        **options: str,
    ) -> None:
        self.clock, self.store = clock or Clock(), Store()
        self.storage = storage or MemoryStorage()
        self.mon = Monitor(
            config=Config("mon.a", {**OPTIONS, **options}, hostname="box"),
            host=Host.seeded(1, self.clock),
            transport=SocketTransport(),
            committer=Committer(self.storage),
            fsid=FSID,
            keyring=KeyRing(),
        )
        with self.mon.transactions.transaction():
            if self.mon._load():
                self.mon._create_initial()
            self.osd.started()
        self.osd.usage_source = self.store
        if osd:
            self.boot()

    @property
    def osd(self) -> OSDMonitor:
        return self.mon.osd

    def boot(self, addrs: EntityAddrVec = ADDRS) -> int:
        return self.osd.boot_osd(
            addrs, capacity=4 * GIB, identity=OSD_UUID, metadata={}, device_class="hdd"
        )

    def run(self, prefix: str, /, **args: Any) -> CommandResult:
        """One command of the administrator."""
        session = self.mon.internal_session()
        with self.mon.transactions.transaction():
            return self.mon.command_handler.run(session, [json.dumps({"prefix": prefix, **args})])

    def ok(self, prefix: str, /, **args: Any) -> str:
        """A command that succeeds; its status text."""
        result = self.run(prefix, **args)
        assert result.r == 0, result.outs
        return result.outs

    def json(self, prefix: str, /, **args: Any) -> Any:
        """A command's output as JSON."""
        result = self.run(prefix, format="json", **args)
        assert result.r == 0, result.outs
        return json.loads(result.outb)

    def text(self, prefix: str, /, **args: Any) -> str:
        """A command's plain output."""
        result = self.run(prefix, **args)
        assert result.r == 0, result.outs
        return result.outb.decode()

    def pool(self, name: str, **args: Any) -> int:
        """A new pool's id."""
        self.ok("osd pool create", pool=name, **args)
        found = self.osd.pool_id(name)
        assert found is not None
        return found

    def session(self, name: str = "client.x", caps: str | None = None) -> RecordingSession:
        """An open session."""
        allowed = MonCaps.allow_all() if caps is None else MonCaps.parse(caps)
        session = RecordingSession(self.mon, EntityName.parse(name), 4100, allowed)
        self.mon.sessions.add(session)
        return session

    def subscribe(self, session: MonSession, start: int, *, onetime: bool = False) -> None:
        """Subscribe the session to the OSDMap."""
        sub = session.subs["osdmap"] = Subscription("osdmap", start, onetime)
        with self.mon.transactions.transaction():
            self.mon.check_sub(session, sub)

    def tick(self, seconds: float = 1.0) -> None:
        self.clock.now += seconds
        with self.mon.transactions.transaction():
            self.osd.tick(self.clock.now)

    def health(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """The OSDMap's checks: code → (severity, text, details)."""
        return {c.code: (c.severity, c.summary, c.detail) for c in self.osd.health()}
