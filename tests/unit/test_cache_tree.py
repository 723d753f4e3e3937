"""Trees that change at random: sums, versions, stored and read again, replayed from the journal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.rank_kit import Kit, make_rank
from tests.unit.tree_kit import Tree, differences

from mdsdaemon.rank.log.replay_blob import BlobReplay


def a_tree() -> Tree:
    tree = Tree(make_rank())
    tree.commit()
    return tree


def replayed(kit: Kit) -> Tree:
    """A rank that finds the objects and the journal of another, which has died."""
    made = make_rank(objects=kit.objecter, root=False)
    made.trio(made.rank.store.load_base)
    segment = made.mdlog.segment
    for _, event in kit.mdlog.events:
        BlobReplay(made.rank).run(event.metablob, segment)
    return Tree(made)


def test_a_tree_is_stored_and_read_again() -> None:
    tree = a_tree()
    tree.mkdir("/a")
    tree.mkdir("/a/b")
    tree.create("/a/b/file", 4096)
    tree.symlink("/a/link", "b/file")
    tree.setxattr("/a", "user.x", b"\0\xff")
    tree.link("/a/b/file", "/hard")
    tree.create("/gone")
    tree.unlink("/gone")
    tree.rename("/a/b", "/c")
    tree.carry_up()
    tree.check_sums()
    tree.commit()
    image = tree.image()
    again = Tree(make_rank(objects=tree.kit.objecter, root=False))
    again.load_all()
    assert differences(again.image(), image) == {}
    again.check_sums()
    assert again.find("/hard").ino == again.find("/c/file").ino


def test_a_crash_before_anything_is_stored() -> None:
    tree = a_tree()
    tree.mkdir("/a")
    tree.create("/a/one", 10)
    tree.rename("/a/one", "/two")
    tree.unlink("/two")
    tree.carry_up()
    image = tree.image()
    again = replayed(tree.kit)
    again.load_all()
    assert differences(again.image(), image) == {}
    again.check_sums()


@pytest.mark.parametrize("lost", ["everything", "the last commit's answers"])
def test_commits_that_the_rank_did_not_live_to_see(lost: str) -> None:
    """Objects that are newer than the journal's events, and dirty ones that are clean."""
    tree = a_tree()
    tree.mkdir("/a")
    tree.create("/a/one", 10)
    if lost != "everything":
        tree.commit()
    tree.create("/a/two", 20)
    tree.unlink("/a/one")
    tree.carry_up()
    image = tree.image()
    again = replayed(tree.kit)
    again.load_all()
    assert differences(again.image(), image) == {}
    again.commit()
    third = Tree(make_rank(objects=tree.kit.objecter, root=False))
    third.load_all()
    assert differences(third.image(), image) == {}


NAMES = st.sampled_from(["a", "b", "c", "dd", "e_head", "f", "\udcff"])


class Changes(RuleBasedStateMachine):
    """A server's changes; now and then all is stored, the rank dies, or the cache is trimmed."""

    @initialize()
    def start(self) -> None:
        self.tree = a_tree()
        self.dirs = [""]
        self.files: list[str] = []

    def child(self, data: Any, name: str) -> str | None:
        path = f"{data.draw(st.sampled_from(self.dirs))}/{name}"
        return None if path in self.dirs or path in self.files else path

    @rule(data=st.data(), name=NAMES)
    def mkdir(self, data: Any, name: str) -> None:
        path = self.child(data, name)
        if path is not None and path.count("/") < 5:
            self.tree.mkdir(path)
            self.dirs.append(path)

    @rule(data=st.data(), name=NAMES, size=st.integers(0, 1 << 40))
    def create(self, data: Any, name: str, size: int) -> None:
        path = self.child(data, name)
        if path is not None:
            self.tree.create(path, size)
            self.files.append(path)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), name=NAMES)
    def link(self, data: Any, name: str) -> None:
        path = self.child(data, name)
        old = data.draw(st.sampled_from(self.files))
        if path is not None and self.tree.find(old).inode.nlink < 4:
            self.tree.link(old, path)
            self.files.append(path)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def unlink(self, data: Any) -> None:
        path = data.draw(st.sampled_from(self.files))
        inode = self.tree.find(path)
        if inode.is_stray:
            return  # links to strays stay: reintegration is another's work
        self.tree.unlink(path)
        self.files.remove(path)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), name=NAMES)
    def rename(self, data: Any, name: str) -> None:
        path = self.child(data, name)
        old = data.draw(st.sampled_from(self.files))
        if path is not None:
            self.tree.rename(old, path)
            self.files[self.files.index(old)] = path

    @precondition(lambda self: len(self.dirs) > 1)
    @rule(data=st.data(), name=NAMES)
    def move_directory(self, data: Any, name: str) -> None:
        path = self.child(data, name)
        old = data.draw(st.sampled_from(self.dirs[1:]))
        if path is None or path.startswith(f"{old}/") or path.count("/") > 4:
            return
        self.tree.rename(old, path)

        def moved(at: str) -> str:
            return path + at[len(old) :] if at == old or at.startswith(f"{old}/") else at

        self.dirs, self.files = [*map(moved, self.dirs)], [*map(moved, self.files)]

    @precondition(lambda self: self.files)
    @rule(data=st.data(), size=st.integers(0, 1 << 40))
    def resize(self, data: Any, size: int) -> None:
        self.tree.resize(data.draw(st.sampled_from(self.files)), size)

    @rule()
    def new_segment(self) -> None:
        self.tree.kit.mdlog.start_new_segment()

    @rule()
    def commit_all(self) -> None:
        self.tree.carry_up()
        self.tree.commit()
        mdlog = self.tree.kit.mdlog
        mdlog.segments.clear()
        mdlog.start_new_segment()
        mdlog.events.clear()

    @rule(data=st.data())
    def commit_some(self, data: Any) -> None:
        """A fragment is stored while the journal still has all."""
        dirty = [one for s in self.tree.kit.mdlog.segments.values() for one in s.dirty_dirs]
        if dirty:
            one = data.draw(st.sampled_from(sorted(dirty, key=lambda d: d.object_name)))
            self.tree.kit.trio(lambda: self.tree.rank.store.commit_dir(one))

    @rule()
    def trim(self) -> None:
        self.tree.rank.store.trim(0)
        self.tree.rank.store.trim(0)

    @rule()
    def die(self) -> None:
        self.tree.carry_up()
        self.tree.load_all()
        image = self.tree.image()
        events, ino = self.tree.kit.mdlog.events, self.tree.next_ino
        self.tree = replayed(self.tree.kit)
        self.tree.next_ino = ino
        self.tree.kit.mdlog.events = events
        self.tree.load_all()
        assert differences(self.tree.image(), image) == {}

    @invariant()
    def nothing_is_damaged(self) -> None:
        if hasattr(self, "tree"):
            kit = self.tree.kit
            assert kit.rank.damage.dump() == []
            assert kit.said == []

    def teardown(self) -> None:
        if not hasattr(self, "tree"):
            return
        self.tree.carry_up()
        self.tree.load_all()
        self.tree.check_sums()
        for path in self.dirs + self.files:
            self.tree.find(path)
        self.tree.commit()
        self.tree.load_all()  # trimming may have gone on
        image = self.tree.image()
        again = Tree(make_rank(objects=self.tree.kit.objecter, root=False))
        again.load_all()
        assert differences(again.image(), image) == {}


Changes.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a shorter example costs minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestChanges = Changes.TestCase
