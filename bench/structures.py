"""What one of many costs, within one process: the cache, the journal's replay, the session table.

A directory of N files is put into the objects as a rank would have stored it, then loaded, looked
up in, changed, stored and trimmed by the rank of the unit tests. The collector of cycles is set as
in the daemon.
"""

from __future__ import annotations

import gc
import random
import struct
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from attrs import frozen
from bench.figures import LOOP, OURS, Sheet
from bench.machine import pass_seconds
from bench.plan import Plan
from bench.timing import processor_seconds
from tests.unit.rank_kit import METADATA_POOL, Kit, make_rank
from tests.unit.tables_kit import tables_kit
from tests.unit.tree_kit import Tree

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.collector import MIDDLE, OLD, YOUNG
from mdsdaemon.rank.cache.dentry_codec import encode_dentry
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.log.events import decode_event, encode_event
from mdsdaemon.rank.log.replay_events import EventReplay
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.tables.sessionmap import SessionMapStore
from mdsdaemon.types.entity import CLIENT, PeerName

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
REPLAYED = (10, 100, 1_000, 10_000, 100_000)
SESSIONS = (10, 100, 1_000, 10_000, 100_000)
CHANGES = 200
"""Files that are made, looked up and removed in a directory of each size."""
FIRST_INO = 1 << 41
CHUNK = 10_000
MANY = 100_000
"""From here on once: it takes long, and small disturbances are lost in it."""


@frozen
class Cost:
    """Seconds of processor time in all, for so many."""

    name: str
    size: int
    seconds: float
    count: int


def name_of(number: int) -> str:
    return f"file{number:07d}"


# -- a directory -------------------------------------------------------------------------------


def seeded(size: int) -> Kit:
    """A rank whose objects have a directory /d with so many files."""
    tree = Tree(make_rank())
    tree.mkdir("/d")
    tree.create("/d/model")
    tree.carry_up()
    tree.commit()
    directory = whole(tree.find("/d"))
    model = directory.items["model"]
    inode = model.inode
    assert inode is not None
    for start in range(0, size, CHUNK):
        values = {}
        for number in range(start, min(start + CHUNK, size)):
            inode.ino = inode.inode.ino = FIRST_INO + number
            values[f"{name_of(number)}_head"] = bytes(encode_dentry(model))
        operation = ObjectOperation().omap_set(values)
        tree.kit.objecter.do(METADATA_POOL, directory.object_name, operation)
    return tree.kit


def whole(inode: CInode) -> CDir:
    """The only fragment of a directory."""
    (directory,) = inode.dirs.values()
    return directory


def of_directory(size: int) -> Iterator[Cost]:
    """Load, look up, create, unlink, store, trim, in this order."""
    kit = make_rank(objects=seeded(size).objecter, root=False)
    kit.trio(kit.rank.store.load_base)
    tree = Tree(kit, next_ino=FIRST_INO + 2 * SIZES[-1])
    inode, store = tree.find("/d"), kit.rank.store

    def timed(name: str, work: Callable[[], Any], count: int) -> Cost:
        return Cost(name, size, processor_seconds(work), count)

    yield timed("load, each entry", lambda: kit.run(lambda: store.all_dirs(inode)), size)
    assert len(whole(inode).items) > size
    rng = random.Random(size)
    names = [name_of(rng.randrange(size)) for _ in range(10 * CHANGES)]
    yield timed("look up a name", lambda: [store.lookup(inode, n) for n in names], len(names))
    made = [f"/d/new{n}" for n in range(CHANGES)]
    yield timed("create", lambda: list(map(tree.create, made)), CHANGES)
    yield timed("unlink", lambda: deque(map(tree.unlink, made), 0), CHANGES)
    tree.carry_up()
    tree.commit()
    directory, segment = whole(inode), kit.mdlog.segment
    for dentry in directory.items.values():
        directory.mark_dirty(segment, dentry)
    directory.fnode.version += 1
    commit = partial(kit.trio, partial(store.commit_dir, directory))
    yield timed("store a fragment, each entry", commit, size)
    kit.objecter.requests.clear()
    kit.mdlog.events.clear()
    before = kit.rank.cache.num_dentries
    seconds = processor_seconds(lambda: kit.trio(lambda: store.trim_to(0)))
    gone = before - kit.rank.cache.num_dentries
    assert gone > size
    yield Cost("trim, each entry", size, seconds, gone)


# -- a journal ---------------------------------------------------------------------------------


def payloads(size: int) -> Iterator[bytes]:
    """Events as the journal has them: files made in a directory, one after another."""
    tree = Tree(make_rank(), next_ino=FIRST_INO)
    tree.mkdir("/d")
    model_ino = tree.next_ino
    events: list[Any] = []
    tree.kit.mdlog.on_submit.append(events.append)
    tree.create(f"/d/{name_of(0)}")
    yield encode_event(tree.kit.mdlog.events[0][1])
    model = encode_event(events[-1])
    old_ino, old_name = struct.pack("<Q", model_ino), name_of(0).encode()
    for number in range(size):
        made = model.replace(old_name, name_of(number).encode())
        yield made.replace(old_ino, struct.pack("<Q", model_ino + number))


def of_journal(size: int) -> Iterator[Cost]:
    """Decode and replay events of files that are made in one directory."""
    journal = list(payloads(size))
    kit = make_rank()
    tables_kit(kit)
    replay, segment = EventReplay(kit.rank), kit.mdlog.segment

    def work() -> None:
        for payload in journal:
            replay.replay(decode_event(payload), segment)

    yield Cost("replay, each event", size, processor_seconds(work), size)
    assert len(whole(Tree(kit).find("/d")).items) == size


# -- sessions ----------------------------------------------------------------------------------


def of_sessions(size: int) -> Iterator[Cost]:
    """Store and load a table; store one that has changed."""
    kit = make_rank()
    table = SessionMapStore(kit.rank)
    sessions = [Session(PeerName(CLIENT, 1000 + n), None) for n in range(size)]

    async def opened() -> None:
        table.create()
        for session in sessions:
            table.add_session(session)
            table.set_state(session, SessionState.OPEN)
            table.mark_dirty(session, may_save=False)

    async def changed() -> None:
        for session in sessions[:: max(size // CHANGES, 1)]:
            table.mark_dirty(session, may_save=False)
            await table.save()

    again = SessionMapStore(make_rank(objects=kit.objecter).rank)
    few = len(sessions[:: max(size // CHANGES, 1)])
    for name, work, count in (
        ("open a session", opened, size),
        ("store, each session", table.save, size),
        ("change and store one", changed, few),
        ("load, each session", again.load, size),
    ):
        yield Cost(name, size, processor_seconds(partial(kit.trio, work)), count)
    assert len(again) == size


WORK: tuple[tuple[str, tuple[int, ...], Callable[[int], Iterator[Cost]]], ...] = (
    ("a directory of", SIZES, of_directory),
    ("a journal of", REPLAYED, of_journal),
    ("sessions", SESSIONS, of_sessions),
)


def measure(sheet: Sheet, plan: Plan) -> None:
    """Each size some times, large ones once."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    for table, sizes, work in WORK:
        for size in sizes:
            if size > plan.pick(SIZES[-1], 1_000):
                continue
            for _ in range(1 if size >= MANY else plan.pick(3, 2)):
                loop = 1e6 * pass_seconds()
                for cost in work(size):
                    each = 1e6 * cost.seconds / cost.count
                    sheet.add(cost.name, LOOP, loop, "µs", table=table, size=size)
                    sheet.add(cost.name, OURS, each, "µs", table=table, size=size)
                gc.collect()
    gc.set_threshold(*before)
