"""The FSMap's service in a monitor of paper: records in a dict, an OSDMap with named pools."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.unit.embedded_fs_kit import FSID, START, addrs_of, check_sanity

from mdsdaemon.config import Config
from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandError,
    CommandResult,
    CommandTable,
)
from mdsdaemon.embedded.monitor.mds_monitor import MDSMonitor
from mdsdaemon.embedded.monitor.mon_caps import MonCaps
from mdsdaemon.embedded.monitor.osd_usage import PoolUsage, StoreUsage
from mdsdaemon.embedded.monitor.session import MonSession, Subscription
from mdsdaemon.host import Host
from mdsdaemon.maps.compat_set import get_compat_set_all
from mdsdaemon.maps.mds_states import State
from mdsdaemon.maps.osd_map import OSDMap
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.mds import MMDSBeacon, MMDSMap
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec, EntityName
from mdsdaemon.types.health import MDSHealth
from mdsdaemon.types.pool import PGPool


class FakeTransactions:
    """Everything is durable at once."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, bytes]] = {}

    def put(self, table: str, key: bytes, value: bytes | None) -> None:
        records = self.tables.setdefault(table, {})
        if value is None:
            records.pop(key.decode(), None)
        else:
            records[key.decode()] = value

    def records(self, table: str) -> Iterator[tuple[str, bytes]]:
        yield from sorted(self.tables.get(table, {}).items())

    def after(self, callback: Any) -> None:
        callback()


class FakeOSD:
    """Pools ``m1 d1 m2 d2 …`` with ids from 1, and an epoch that counts changes."""

    def __init__(self) -> None:
        self.map = OSDMap()
        self.map.client.epoch = 10
        self.map.osd.full_ratio = 0.95
        self.fenced: list[int] = []
        self.objects: dict[int, int] = {}
        for name in ("m1", "d1", "m2", "d2", "m3", "d3"):
            self.add_pool(name)

    def add_pool(self, name: str) -> int:
        number = len(self.map.client.pools) + 1
        self.map.client.pools[number] = PGPool(size=1)
        self.map.client.pool_name[number] = name
        return number

    def pool(self, number: int) -> PGPool:
        return self.map.pools[number]

    def pool_id(self, name: str) -> int | None:
        number = self.map.lookup_pool(name)
        return None if number < 0 else number

    def pool_name(self, number: int) -> str:
        return self.map.client.pool_name.get(number, "")

    @property
    def usage(self) -> StoreUsage:
        pools = {pool: PoolUsage(objects=n, bytes=n) for pool, n in self.objects.items()}
        return StoreUsage(pools, 1 << 30, 0)

    @contextmanager
    def change(self) -> Iterator[FakeOSD]:
        yield self
        self.map.client.epoch += 1

    def enable_application(
        self, pool: int, app: str, key: str = "", value: str = "", *, force: bool = False
    ) -> None:
        self.pool(pool).application_metadata.setdefault(app, {})[key] = value

    def blocklist(self, addrs: EntityAddrVec, until: float) -> int:
        self.fenced.append(addrs.addrs[0].nonce)
        self.map.client.epoch += 1
        return self.map.epoch


class FakeLog:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def cluster(self, level: str, text: str) -> None:
        self.lines.append(text)


class FakeConnection:
    """Keeps what is sent."""

    def __init__(self, addrs: EntityAddrVec) -> None:
        self.peer_addrs = addrs
        self.features = -1
        self.sent: list[Message] = []

    def send_message(self, msg: Message) -> None:
        self.sent.append(msg)

    def take(self) -> list[Message]:
        sent, self.sent = self.sent, []
        return sent


class FakeMon:
    """What the service needs of a monitor."""

    def __init__(self, tables: dict[str, dict[str, bytes]] | None = None) -> None:
        self.now = START
        self.host = Host.seeded(1, lambda: self.now)
        self.config = Config("mon.a", {})
        self.fsid = FSID
        self.logger = logging.getLogger("test.mon")
        self.sessions: set[MonSession] = set()
        self.transactions = FakeTransactions()
        self.osd = FakeOSD()
        self.log = FakeLog()
        self.commands = CommandTable()
        self.mds = MDSMonitor(self)  # type: ignore[arg-type]
        for room in self.mds.command_rooms():
            self.commands.add(room)
        if tables is None:
            self.mds.create_initial()
        else:
            self.transactions.tables = tables
            self.mds.load(dict(self.transactions.records(self.mds.table)))
        self.mds.started()

    # -- peers ------------------------------------------------------------------------------

    def session(
        self, name: str = "client.admin", gid: int = 4000, caps: str = "allow *"
    ) -> MonSession:
        """A peer with a connection that keeps what it is sent."""
        con = FakeConnection(
            addrs_of(gid)
            if name.startswith("mds.")
            else EntityAddrVec((EntityAddr(EntityAddr.TYPE_MSGR2, gid, "127.0.0.1", 0),))
        )
        made = MonSession(
            self,  # type: ignore[arg-type]
            EntityName.parse(name),
            gid,
            MonCaps.parse(caps),
            con,  # type: ignore[arg-type]
        )
        self.sessions.add(made)
        return made

    def daemon(self, gid: int, name: str = "") -> Daemon:
        """A daemon that has booted and subscribed."""
        made = Daemon(self, gid, name or f"m{gid}")
        made.say(State.BOOT, version=0)
        return made

    def subscribe(
        self, session: MonSession, what: str, start: int = 0, *, onetime: bool = False
    ) -> None:
        sub = session.subs[what] = Subscription(what, start, onetime)
        self.mds.check_sub(session, sub)

    # -- commands ---------------------------------------------------------------------------

    def ask(
        self,
        prefix: str,
        *,
        session: MonSession | None = None,
        fmt: str = "plain",
        **args: Any,
    ) -> CommandResult:
        """What a command answers, without the checks before its handler."""
        found = self.commands.find(prefix)
        assert found is not None, prefix
        assert found.handler is not None
        ctx = CommandContext(session, prefix, b"", fmt, self.now)
        epoch = self.mds.fsmap.epoch
        try:
            result = found.handler(ctx, Args(args))
        except CommandError as error:
            assert not self.mds.state.edit.dirty, "a refused command changed something"
            assert self.mds.fsmap.epoch == epoch
            return CommandResult(-error.errno, error.text)
        assert not self.mds.state.edit.dirty
        check_sanity(self.mds.fsmap)
        return result

    def json(self, prefix: str, **args: Any) -> Any:
        """A command's output, parsed."""
        result = self.ask(prefix, fmt="json", **args)
        assert result.r == 0, result.outs
        return json.loads(result.outb)

    def text(self, prefix: str, **args: Any) -> str:
        """A command's output for people."""
        result = self.ask(prefix, **args)
        assert result.r == 0, result.outs
        return result.outb.decode()


class Daemon:
    """A metadata server's beacons through the service."""

    def __init__(self, mon: FakeMon, gid: int, name: str) -> None:
        self.mon, self.gid, self.name = mon, gid, name
        self.session = mon.session(f"mds.{name}", gid, "allow profile mds")
        mon.subscribe(self.session, "mdsmap")
        self.seq = 0

    @property
    def sent(self) -> list[Message]:
        """What came since this was last asked."""
        con: Any = self.session.con
        return list(con.take())

    @property
    def maps(self) -> list[MMDSMap]:
        return [msg for msg in self.sent if isinstance(msg, MMDSMap)]

    def say(
        self,
        state: int,
        *,
        version: int | None = None,
        health: MDSHealth | None = None,
        fs: str = "",
    ) -> None:
        self.seq += 1
        if version is None:
            version = self.mon.mds.state.edit.effective_epoch(self.gid)
        beacon = MMDSBeacon(
            version=version,
            fsid=FSID,
            global_id=self.gid,
            state=state,
            seq=self.seq,
            name=self.name,
            compat=get_compat_set_all(),
            health=health or MDSHealth(),
            sys_info={"hostname": "here", "ceph_version": "ceph version 1", "addr": "x"}
            if state == State.BOOT
            else {},
            mds_features=1,
            fs=fs,
        )
        self.mon.mds.handle_beacon(self.session, beacon)

    def up(self) -> None:
        """Up to active, whatever the rank needs for it."""
        info = self.mon.mds.state.edit.info(self.gid)
        steps: tuple[State, ...] = (State.ACTIVE,)
        if info.state == State.REPLAY:
            steps = (State.RECONNECT, State.REJOIN, State.ACTIVE)
        for state in steps:
            self.say(state)


def with_fs(*daemons: int, name: str = "cephfs") -> FakeMon:
    """A monitor with a file system on m1 and d1, and these daemons; the last one serves it."""
    mon = FakeMon()
    made = [mon.daemon(gid) for gid in daemons]
    assert mon.ask("fs new", fs_name=name, metadata="m1", data="d1").r == 0
    if made:
        made[-1].up()
    return mon
