"""A rank without a cluster: an object engine, a journal that is a list, the real cache and store.

    kit = make_rank()
    mut = Mutation(kit.rank, "mkdir", stamp=kit.rank.now())
    …
    kit.run(lambda: kit.rank.store.lookup(kit.root, "a"))       # tries again as its gates open
    kit.rank.mdlog.make_safe()

Requests to RADOS are executed when they are made, on `kit.objecter.engine` (what embedded
clusters use); their outcomes come at the next `settle`, or when `objecter.release` lets them.
Another rank on the same objects is `make_rank(objects=kit.objecter)`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import attrs
import trio
import trio.testing
from tests.unit.rank_objects import DATA_POOL, METADATA_POOL, OTHER_POOL, FakeObjecter

from mdsdaemon.config import Config
from mdsdaemon.encoding import decode, encode
from mdsdaemon.host import Host
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.perf import PerfRegistry
from mdsdaemon.rank.cache.cache import MDCache
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.cache.store import CacheStore
from mdsdaemon.rank.core import RankCore
from mdsdaemon.rank.damage import DamageTable
from mdsdaemon.rank.log.events import decode_event, encode_event
from mdsdaemon.rank.log.replay_events import EventReplay
from mdsdaemon.rank.log.segment import LogSegment
from mdsdaemon.rank.log.superseded import leave_out
from mdsdaemon.rank.recovery import RecoveryQueue
from mdsdaemon.rank.tables.openfiles import OpenFileTable
from mdsdaemon.rank.truncate import Truncator
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.recorder import FlightRecorder
from mdsdaemon.types.features import FEATURES_PACIFIC

START = 1_700_000_000.0

__all__ = [
    "DATA_POOL",
    "METADATA_POOL",
    "OTHER_POOL",
    "FakeMDLog",
    "FakeObjecter",
    "Kit",
    "make_rank",
]

T = TypeVar("T")


class Clock:
    """The wall clock of a test: seconds since the epoch."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class FakeMDLog:
    """A journal that is a list.

    Attributes:
        events: what was submitted: (end, the event decoded from its bytes).
        on_submit: called with each event as it came.
        auto: whether `flush` makes all safe at once.
    """

    FIRST = 4 << 20

    def __init__(self) -> None:
        self.write_pos = self.safe_pos = self.FIRST
        self.event_seq = 1
        self.segment = LogSegment(1, self.FIRST)
        self.segments = {1: self.segment}
        self.events: list[tuple[int, Any]] = []
        self.on_submit: list[Callable[[Any], None]] = []
        self.auto = True
        self._waiters: list[tuple[int, Callable[[], None]]] = []

    def submit(self, event: Any) -> int:
        data = encode(type(event), event, FEATURES_PACIFIC)
        self.event_seq += 1
        self.write_pos += len(data) + 30
        self.segment.num_events += 1
        self.segment.end = self.write_pos
        self.events.append((self.write_pos, decode(type(event), data)))
        for seen in self.on_submit:
            seen(event)
        return self.write_pos

    def start_new_segment(self) -> LogSegment:
        self.event_seq += 1
        self.segment = LogSegment(self.event_seq, self.write_pos)
        self.segments[self.event_seq] = self.segment
        return self.segment

    def flush(self) -> None:
        if self.auto:
            self.make_safe()

    def make_safe(self, pos: int | None = None) -> None:
        """All up to here (everything) is on disk."""
        self.safe_pos = max(self.safe_pos, self.write_pos if pos is None else pos)
        due = [callback for at, callback in self._waiters if at <= self.safe_pos]
        self._waiters = [one for one in self._waiters if one[0] > self.safe_pos]
        for callback in due:
            callback()

    def end_of_dispatch(self) -> None:
        self.flush()

    def hurry(self) -> None:
        pass

    def when_safe(self, pos: int, callback: Callable[[], None], *, patient: bool = False) -> None:
        if pos <= self.safe_pos:
            callback()
        else:
            self._waiters.append((pos, callback))

    async def wait_safe(self, pos: int | None = None) -> None:
        self.flush()
        done = trio.Event()
        self.when_safe(self.write_pos if pos is None else pos, done.set)
        await done.wait()


class TestRank(RankCore):
    """A RankCore that notes what an MDSRank would do.

    Attributes:
        requested, damages, write_errors, readonly: what was said.
        map_waiters: (epoch, callback) of those that wait for a map.
        spawned: tasks, as long as there is no nursery.
        nursery: set by a Trio test that wants tasks to run.
    """

    __test__ = False

    def __init__(self, services: Any) -> None:
        super().__init__(0, services)
        self.state = State.ACTIVE
        self.requested: list[int] = []
        self.map_waiters: list[tuple[int, Callable[[], None]]] = []
        self.damages: list[str] = []
        self.write_errors: list[OSError] = []
        self.readonly: list[str] = []
        self.spawned: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self.nursery: trio.Nursery | None = None

    def spawn(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        if self.nursery is None:
            self.spawned.append((name, work))
        else:
            self.nursery.start_soon(work, name=name)

    def request_state(self, state: int) -> None:
        self.requested.append(state)

    def when_mdsmap(self, epoch: int, callback: Callable[[], None]) -> None:
        self.map_waiters.append((epoch, callback))

    def damaged(self, what: str) -> None:
        self.damages.append(what)

    def handle_write_error(self, error: OSError) -> None:
        self.write_errors.append(error)

    def force_readonly(self, why: str) -> None:
        self.read_only = True
        self.readonly.append(why)


class ClusterLog:
    """What the rank said to the cluster log: (level, text)."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[[str], None]:
        return lambda text: self.said.append((level, text))


class NoSnaps:
    """`snaps`, while there are no snapshots."""

    any_snapshots = False

    def before_change(self, mut: Any, inode: CInode) -> None:
        raise AssertionError

    before_relink = before_change


@attrs.define
class Kit:
    """What `make_rank` made."""

    rank: TestRank
    objecter: FakeObjecter
    mdlog: FakeMDLog
    clock: Clock
    config: Config

    @property
    def root(self) -> CInode:
        root = self.rank.cache.root
        assert root is not None, "there is no root: make_rank(root=True), or load it"
        return root

    @property
    def said(self) -> list[tuple[str, str]]:
        """What went to the cluster log: (level, text)."""
        return cast("ClusterLog", self.rank.services.clog).said

    def settle(self) -> None:
        """Run all that is due, outcomes of requests too, until nothing is left (if not held)."""
        while True:
            self.rank.queue.drain()
            self.rank.leisure.turn()
            told = 0 if self.objecter.hold else self.objecter.release()
            if not told and not len(self.rank.queue) and not len(self.rank.leisure):
                return

    def run(self, work: Callable[[], T]) -> T:
        """Try `work` until it does not have to wait."""
        for _ in range(1000):
            try:
                return work()
            except MustWait as wait:
                opened: list[bool] = []
                wait.gate.add(lambda opened=opened: opened.append(True))  # type: ignore[misc]
                self.settle()
                assert opened, "it waits for a gate that nothing opens"
        raise AssertionError("it never ends")

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[None]:
        """The rank's queue and tasks run, in a Trio test; outcomes come at their turn."""
        async with trio.open_nursery() as nursery:
            self.rank.nursery = nursery
            for _, task in self.rank.spawned:
                nursery.start_soon(task)
            self.rank.spawned.clear()
            wake = trio.Event()

            async def tell() -> None:
                nonlocal wake
                while True:
                    await wake.wait()
                    wake = trio.Event()
                    self.objecter.release()

            self.objecter.wake = lambda: wake.set()
            nursery.start_soon(tell)
            nursery.start_soon(self.rank.queue.run)
            nursery.start_soon(self.rank.leisure.run)
            try:
                yield
            finally:
                self.objecter.wake = lambda: None
                self.rank.nursery = None
                nursery.cancel_scope.cancel()

    def trio(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine to its end with the rank's queue and tasks, on virtual time."""
        outcomes: list[T] = []
        errors: list[Exception] = []

        async def main() -> None:
            async with self.tasks():
                try:
                    with trio.fail_after(600):
                        outcomes.append(await work())
                except Exception as exc:
                    errors.append(exc)

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        if errors:
            raise errors[0]
        return outcomes[0]


def replay_into(rank: RankCore, segment: LogSegment, events: Sequence[Any]) -> None:
    """Replay events as one batch of a journal."""
    batch = [decode_event(encode_event(event)) for event in events]
    leave_out(batch)
    replay = EventReplay(rank)
    for event in batch:
        replay.replay(event, segment)
    replay.end_of_batch()


def make_rank(
    *,
    objects: FakeObjecter | None = None,
    real: Any = None,
    pools: tuple[int, ...] = (METADATA_POOL, DATA_POOL, OTHER_POOL),
    root: bool = True,
    **options: Any,
) -> Kit:
    """A rank.

    Args:
        objects: of another rank, to go on with (its engine is shared).
        real: an Objecter of a cluster, whose metadata pool and data pools are `pools`.
        root: an empty tree is made, in the cache only; False: there is nothing in the cache.
        options: of the configuration.
    """
    clock = Clock()
    config = Config("mds.a", options, hostname="box")
    mdsmap = MDSMap(epoch=1, metadata_pool=pools[0], data_pools=list(pools[1:]))
    host = Host.seeded(1, clock)
    log = logging.getLogger("test.mds.a")
    services = SimpleNamespace(
        name="a",
        gid=4100,
        config=config,
        host=host,
        log=log,
        clog=ClusterLog(),
        perf=PerfRegistry(),
        recorder=FlightRecorder(wall=clock),
        mdsmap=lambda: mdsmap,
    )
    rank = TestRank(services)
    objecter = FakeObjecter(objects.engine if objects is not None else None)
    mdlog = FakeMDLog()
    rank.objecter = cast("Any", real if real is not None else objecter)
    rank.mdlog = cast("Any", mdlog)
    rank.snaps = cast("Any", NoSnaps())
    rank.openfiles = OpenFileTable(rank)
    rank.cache = MDCache(rank)
    rank.damage = DamageTable(rank)
    rank.store = CacheStore(rank)
    rank.truncator = Truncator(rank)
    rank.recovery = RecoveryQueue(rank)
    if root:
        rank.store.create_root_and_mydir()
    return Kit(rank, objecter, mdlog, clock, config)
