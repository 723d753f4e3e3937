"""Random requests with snapshots among them: each snapshot keeps seeing what was there when it was
made, also after a replay of the journal, and after everything was stored and read anew."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.server_kit import in_trio
from tests.unit.server_trees import check_links, check_sums
from tests.unit.snap_kit import SnapKit
from tests.unit.test_server_random import Monkey

View = dict[str, tuple[Any, ...]]


class SnapMonkey(Monkey):
    """Makes and removes snapshots, too.

    Attributes:
        seen: by directory and name, what a snapshot has to see.
    """

    def __init__(self, kit: SnapKit, seed: int) -> None:
        super().__init__(kit, seed)
        self.snap_kit = kit
        self.seen: dict[tuple[int, str], View] = {}
        self.count = 0

    def some_directory(self) -> int:
        above, _, _ = self.path().rpartition("/")
        return int(self.kit.find(above).ino)

    def make(self) -> None:
        ino = self.some_directory()
        self.count += 1
        name = f"s{self.count}"
        kit = self.snap_kit
        if kit.mksnap(kit.rank.cache.path_of(kit.rank.cache.inodes[ino]), name).result == 0:
            self.seen[ino, name] = kit.view(ino, "")

    def remove(self) -> None:
        if not self.seen:
            return
        ino, name = self.random.choice(list(self.seen))
        kit = self.snap_kit
        inode = kit.rank.cache.inodes[ino]
        if not inode.is_stray and kit.rmsnap(kit.rank.cache.path_of(inode), name).result == 0:
            del self.seen[ino, name]

    def check(self, kit: SnapKit) -> None:
        for (ino, name), view in self.seen.items():
            now = kit.view(ino, name)
            assert now.keys() == view.keys(), (ino, name)
            for path in view:
                assert now[path] == view[path], (hex(ino), name, path)


def store_all(kit: SnapKit) -> None:
    """Everything that is dirty goes to RADOS."""

    async def store() -> None:
        rank = kit.rank
        for segment in list(rank.mdlog.segments.values()):
            for directory in list(segment.dirty_dirs):
                await rank.store.commit_dir(directory)
            for inode in list(segment.dirty_bases):
                await rank.store.commit_base(inode)
            for inode in list(segment.dirty_backtraces):
                await rank.store.write_backtrace(inode)

    kit.kit.trio(store)


def monkey_after(seed: int, steps: int) -> SnapMonkey:
    kit = SnapKit()
    monkey = SnapMonkey(kit, seed)
    for step in range(steps):
        if step % 9 == 4:
            monkey.make()
        elif step % 31 == 30:
            monkey.remove()
        else:
            monkey.step()
        if step % 25 == 24:
            monkey.check(kit)
    monkey.check(kit)
    return monkey


@pytest.mark.parametrize("seed", range(8))
@in_trio
def test_snapshots_see_what_was_there(seed: int) -> None:
    monkey = monkey_after(seed, 200)
    kit = monkey.snap_kit
    assert len(monkey.seen) > 5
    check_links(kit)
    check_sums(kit)
    monkey.check(kit)
    monkey.check(kit.replayed())


@pytest.mark.parametrize("seed", range(100, 106))
def test_snapshots_are_stored_and_read_anew(seed: int) -> None:
    monkeys: list[SnapMonkey] = []
    others: list[SnapKit] = []

    @in_trio
    def live() -> None:
        monkeys.append(monkey_after(seed, 160))
        others.append(SnapKit(objects=monkeys[0].kit.rank.objecter, root=False))

    live()
    (monkey,), (other,) = monkeys, others
    store_all(monkey.snap_kit)
    other.kit.trio(other.rank.store.load_base)
    other.rank.snaps.table.decode_state(monkey.kit.rank.snaps.table.encode_state())

    @in_trio
    def again() -> None:
        monkey.check(other)

    again()
