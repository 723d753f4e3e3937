"""A rank with its real tables, sessions and strays on `rank_kit`, and clients that are one message.

@in_trio
async def test_open():
    async with tables_rank() as kit:
        client = kit.client()
        await client.open()
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import trio
import trio.testing
from attrs import define, field
from tests.unit.rank_kit import Kit, make_rank

from mdsdaemon.cephx.caps import MDSAuthCaps
from mdsdaemon.cephx.plug import AuthCapsInfo, PeerIdentity
from mdsdaemon.clients.mon_commands import CommandReply
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.session import Session
from mdsdaemon.rank.sessions.sessions import Sessions
from mdsdaemon.rank.snap.snaps import Snaps
from mdsdaemon.rank.strays import StrayManager
from mdsdaemon.rank.tables.inotable import InoTable
from mdsdaemon.rank.tables.openfiles import OpenFileTable
from mdsdaemon.rank.tables.purge_queue import PurgeQueue
from mdsdaemon.rank.tables.sessionmap import SessionMapStore
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.entity import CLIENT, EntityAddrVec, EntityName, PeerName
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.features import FEATURES_PACIFIC


def in_trio(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on virtual time."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            with trio.fail_after(36000):
                await test(*args, **kwargs)

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    return wrapper


class FakeCon:
    """A client's connection: what it is sent is kept."""

    def __init__(self, number: int, name: str = "admin") -> None:
        self.features = FEATURES_PACIFIC
        self.session: Any = None
        self.peer_type = CLIENT
        self.peer_global_id = number
        self.peer_addrs = EntityAddrVec.parse(f"v1:127.0.0.1:0/{number}")
        self.peer_identity = PeerIdentity(EntityName(CLIENT, name), number, AuthCapsInfo(), 2)
        self.sent: list[Any] = []
        self.down = self.disposable = False

    def send_message(self, msg: Any) -> bool:
        self.sent.append(msg)
        return True

    def mark_down(self) -> None:
        self.down = True

    def mark_disposable(self) -> None:
        self.disposable = True


class FakeMonc:
    """Fences whom it is told to fence."""

    def __init__(self, kit: TablesKit) -> None:
        self.kit = kit
        self.commands: list[Any] = []
        self.sent: list[Any] = []
        self.delay = 0.0

    async def mon_command(self, cmd: Any, inbl: bytes = b"", **_: Any) -> CommandReply:
        self.commands.append(cmd)
        await trio.sleep(self.delay)
        return CommandReply(0)

    def send_mon_message(self, msg: Any) -> None:
        self.sent.append(msg)


async def _latest_map() -> int:
    await trio.lowlevel.checkpoint()
    return 1


class FakeBeacon:
    last_laggy: float | None = None
    want_state = 0

    def is_laggy(self) -> bool:
        return False


class FakeLocker:
    """Notes what sessions ask of it; `stale_ok`: whether stale sessions are put up with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.claims: list[tuple[int, int]] = []
        self.stale_ok = True
        self.late: set[int] = set()

    def mark_stale(self, session: Session) -> bool:
        self.calls.append(("stale", session.client))
        return self.stale_ok

    def resume_stale(self, session: Session) -> None:
        self.calls.append(("resume", session.client))

    def remove_client(self, session: Session, *, kill: bool = True) -> None:
        self.calls.append(("remove", session.client))
        session.caps.clear()
        session.revoking.clear()

    def import_reconnect(self, session: Session, ino: int, claim: Any) -> bool:
        self.claims.append((session.client, ino))
        return True

    def get_late_revoking_clients(self, timeout: float) -> set[int]:
        return self.late


class FakeServer:
    def __init__(self) -> None:
        self.killed: list[int] = []

    def kill_requests(self, session: Session) -> None:
        self.killed.append(session.client)


@define(eq=False)
class Client:
    """One client: `con.sent` is what it got."""

    kit: TablesKit
    number: int
    con: FakeCon
    metadata: dict[str, str] = field(factory=dict)
    features: FeatureBitset = CEPHFS_FEATURES_SUPPORTED

    @property
    def session(self) -> Session:
        session: Session = self.con.session
        return session

    def say(self, op: int, seq: int = 0) -> None:
        msg = MClientSession(op=op, seq=seq)
        if op == SessionOp.REQUEST_OPEN:
            msg.metadata = dict(self.metadata)
            msg.supported_features = self.features
        self.tell(msg, self.kit.rank.sessions.handle_client_session)

    def tell(self, msg: Any, handler: Callable[[Any], None]) -> None:
        msg.connection = self.con
        msg.source = self.session.name
        self.session.last_seen = trio.current_time()
        handler(msg)
        self.kit.rank.end_of_dispatch()

    def got(self, op: int) -> list[MClientSession]:
        return [m for m in self.con.sent if isinstance(m, MClientSession) and m.op == op]

    def open(self) -> None:
        """Ask for a session, and get it."""
        self.say(SessionOp.REQUEST_OPEN)
        assert self.got(SessionOp.OPEN), self.con.sent


@define
class TablesKit:
    """What `tables_rank` makes."""

    kit: Kit
    locker: FakeLocker
    server: FakeServer
    beacon: FakeBeacon
    monc: Any = None
    number: int = 4100

    @property
    def rank(self) -> Any:
        return self.kit.rank

    @property
    def objecter(self) -> Any:
        return self.kit.objecter

    @property
    def mdlog(self) -> Any:
        return self.kit.mdlog

    @property
    def clog(self) -> list[tuple[str, str]]:
        lines: list[tuple[str, str]] = self.rank.services.clog.said
        return lines

    def client(self, caps: str = "allow *", *, name: str = "admin", **metadata: str) -> Client:
        """A client that has connected."""
        self.number += 1
        con = FakeCon(self.number, name)
        session = Session(PeerName(CLIENT, self.number), cast("Any", con))
        session.auth_caps = MDSAuthCaps.parse(caps)
        con.session = session
        return Client(self, self.number, con, {"hostname": "box"} | metadata)

    async def settle(self) -> None:
        """Let all that is due happen, without time passing."""
        for _ in range(20):
            self.rank.end_of_dispatch()
            await trio.testing.wait_all_tasks_blocked()


def tables_kit(kit: Kit | None = None, **options: Any) -> TablesKit:
    """A rank with its tables; nothing runs."""
    kit = kit or make_rank(**options)
    made = TablesKit(kit, FakeLocker(), FakeServer(), FakeBeacon())
    made.monc = FakeMonc(made)
    rank: Any = kit.rank
    rank.services.monc = made.monc
    rank.services.beacon = made.beacon
    if hasattr(rank.objecter, "engine"):  # the kit's own
        rank.objecter.osd_map = rank.objecter.engine.osd_map
        rank.objecter.epoch = 1
        rank.objecter.wait_for_latest_map = _latest_map
        rank.objecter.cancel = lambda pending: None
    rank.state = State.ACTIVE
    rank.snaps = Snaps(rank)
    rank.inotable = InoTable(rank)
    rank.sessionmap = SessionMapStore(rank)
    rank.openfiles = OpenFileTable(rank)
    rank.purge_queue = PurgeQueue(rank)
    rank.strays = StrayManager(rank)
    rank.sessions = Sessions(rank)
    rank.locker = made.locker
    rank.server = made.server
    rank.tables = {
        "inotable": rank.inotable,
        "sessionmap": rank.sessionmap,
        "snaptable": rank.snaps.table,
    }
    for table in rank.tables.values():
        table.create()
    return made


@asynccontextmanager
async def tables_rank(kit: Kit | None = None, **options: str) -> AsyncIterator[TablesKit]:
    """A rank with its tables whose tasks run, in a Trio test."""
    made = tables_kit(kit, **options)
    async with made.kit.tasks():
        yield made
