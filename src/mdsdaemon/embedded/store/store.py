"""All objects of the store, who may change which of their parts, and the records of changes.

Object states and contents are copied when they are changed and somebody else has them: a snapshot
of the whole store (`snapshot`), which costs no more than a copy of each pool's dictionary, or a
clone of an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from mdsdaemon.embedded.storage import StorageError
from mdsdaemon.embedded.store.backing import DEFAULT_BUDGET, StorageBacking
from mdsdaemon.embedded.store.content import FROZEN, Content
from mdsdaemon.embedded.store.records import (
    CHUNK_KEY,
    DATA,
    NUMBER,
    OBJECT,
    REQLOG,
    BadRecord,
    ObjectReader,
    content_changes,
    content_removals,
    object_change,
    read_request,
)
from mdsdaemon.embedded.store.state import ObjectInfo, ObjectState, PoolStore, space
from mdsdaemon.errors import ExitStatus

if TYPE_CHECKING:
    from mdsdaemon.embedded.storage import Change, Storage
    from mdsdaemon.embedded.store.context import Step
    from mdsdaemon.embedded.store.dups import Done, ReqId
    from mdsdaemon.embedded.store.state import ObjectKey


@attrs.frozen
class StoreSnapshot:
    """Everything that was in the store at one time."""

    pools: dict[int, PoolStore] = attrs.field(repr=False)


class ObjectStore:
    """See the module.

    Attributes:
        generation: what was made in an earlier one is shared with a snapshot.
        sequence: number of the latest commit; 0 for a store without storage.
    """

    def __init__(self, storage: Storage | None = None, budget: int = DEFAULT_BUDGET) -> None:
        self.pools: dict[int, PoolStore] = {}
        self.generation = 0
        self.sequence = 0
        self.backing = (
            StorageBacking(storage, budget) if storage is not None and storage.durable else None
        )
        self._number = 0
        self._changes: list[Change] = []
        if self.backing is not None:
            try:
                self._load(self.backing)
            except BadRecord as exc:
                raise _damaged(exc) from exc

    # -- owning --------------------------------------------------------------------------

    def new_content(self) -> Content:
        """An empty content."""
        return Content(self.generation, self.backing, self._next_number())

    def copy_content(self, content: Content) -> Content:
        """A content of its own that holds what another one does."""
        if self.backing is None:
            return content.copy(self.generation, 0)
        content.load_all()
        made = content.copy(self.generation, self._next_number())
        assert made.touched is not None
        made.touched.everything = True
        return made

    def own(self, pool: PoolStore, state: ObjectState) -> ObjectState:
        """The object, to be changed."""
        if state.owner == self.generation:
            return state
        mine = pool.objects[state.key] = state.copy(self.generation)
        return mine

    def writable(self, state: ObjectState) -> Content:
        """The content of an owned object's head, to be changed."""
        content = state.content
        if content.owner == self.generation:
            return content
        if content.owner == FROZEN:
            state.content = self.copy_content(content)
        else:
            if self.backing is not None:
                content.load_all()  # a snapshot's from now on
            state.content = content.copy(self.generation, content.number)
            if self.backing is not None:
                self.backing.moved(content, state.content)
        return state.content

    def _next_number(self) -> int:
        if self.backing is None:
            return 0
        self._number += 1
        return self._number

    # -- changing ------------------------------------------------------------------------

    def create(self, pool: PoolStore, key: ObjectKey, hash_: int) -> ObjectState:
        """A new object without data."""
        state = ObjectState(key, hash_, ObjectInfo(), self.new_content(), self.generation)
        state.number = self._next_number()
        pool.add(state)
        return state

    def change(self, state: ObjectState, steps: list[Step]) -> None:
        """Do what a request wants with the content of an owned object."""
        content: Content | None = None
        replaced: list[Content] = []
        for step, args in steps:
            if step is None:
                replaced.append(state.content)
                state.content, content = args[0], None
                continue
            if content is None:
                content = self.writable(state)
            step(content, *args)
        if replaced and self.backing is not None:
            self.drop(state, replaced)

    def drop(self, state: ObjectState | None, contents: list[Content]) -> None:
        """Contents left an object: take them out of the storage unless it still has them."""
        if self.backing is None:
            return
        kept = set() if state is None else {content.number for content in state.contents()}
        for content in contents:
            if content.number not in kept:
                if self.generation and content.owner != self.generation:
                    content.load_all()  # a snapshot may come back with it
                self._changes += content_removals(content)
                self.backing.dropped(content)

    def delete(self, pool: PoolStore, state: ObjectState) -> None:
        """Take an object out."""
        pool.remove(state.key)
        if self.backing is not None:
            self.drop(None, state.contents())
            self._changes.append((OBJECT, NUMBER.pack(state.number), None))

    def save(self, pool: PoolStore, state: ObjectState) -> None:
        """An object was changed: note its records."""
        if self.backing is None:
            return
        sequence = self.sequence + 1
        for content in state.contents():
            touched = content.touched
            assert touched is not None
            if touched.chunks or touched.omap or touched.everything:
                indexes = list(content.chunks if touched.everything else touched.chunks)
                self._changes += content_changes(content)
                for index in indexes:
                    self.backing.written(content, index, sequence)
        self._changes.append(object_change(pool.pool, state))

    def note(self, change: Change) -> None:
        """Another record for the next commit."""
        if self.backing is not None:
            self._changes.append(change)

    def take_changes(self) -> list[Change] | None:
        """What has to be committed, as one commit with the number `sequence`; None: nothing."""
        if not self._changes:
            return None
        changes, self._changes = self._changes, []
        self.sequence += 1
        return changes

    def committed(self, sequence: int) -> None:
        """All commits up to this number are over."""
        if self.backing is not None:
            self.backing.committed = sequence
            self.backing.shrink()

    # -- the whole -----------------------------------------------------------------------

    def snapshot(self) -> StoreSnapshot:
        """The store as it is now."""
        made = StoreSnapshot({number: pool.copy() for number, pool in self.pools.items()})
        self.generation += 1
        return made

    def restore(self, snapshot: StoreSnapshot) -> None:
        """Make the store what it was; the snapshot stays good."""
        old, generation = self.pools, self.generation
        self.pools = {number: pool.copy() for number, pool in snapshot.pools.items()}
        self.generation += 1
        if self.backing is None:
            return
        for number in old.keys() | self.pools.keys():
            before = old[number].objects if number in old else {}
            after = self.pools[number].objects if number in self.pools else {}
            for key, state in before.items():
                if after.get(key) is not state:
                    self._changes.append((OBJECT, NUMBER.pack(state.number), None))
                    for content in state.contents():
                        if content.owner != generation:
                            content.load_all()  # another snapshot may come back with it
                        self._changes += content_removals(content)
                        self.backing.dropped(content)
            for key, state in after.items():
                if before.get(key) is not state:
                    self._rewrite(number, state)

    def _rewrite(self, pool: int, state: ObjectState) -> None:
        for content in state.contents():
            content.load_all()
            assert content.touched is not None
            content.touched.everything = True
            self._changes += content_changes(content)
        self._changes.append(object_change(pool, state))

    def clear(self) -> None:
        """Make the store empty."""
        self.restore(StoreSnapshot({}))

    def load_requests(self) -> list[tuple[int, ReqId, Done]]:
        """The stored answers to requests; their versions count in their placement groups."""
        found: list[tuple[int, ReqId, Done]] = []
        if self.backing is None:
            return found
        try:
            for key, value in self.backing.storage.items(REQLOG):
                serial, pool, seed, reqid, done = read_request(key, value)
                found.append((serial, reqid, done))
                self.pool(pool).saw(seed, done.version.version, done.user_version)
        except BadRecord as exc:
            raise _damaged(exc) from exc
        return found

    def pool(self, number: int) -> PoolStore:
        """The pool of that number, made if it is new."""
        found = self.pools.get(number)
        if found is None:
            found = self.pools[number] = PoolStore(number)
        return found

    def _load(self, backing: StorageBacking) -> None:
        storage = backing.storage
        reader = ObjectReader(
            self.generation, FROZEN, lambda number: Content(self.generation, backing, number)
        )
        for key, value in storage.items(OBJECT):
            number, state = reader.read(key, value)
            pool = self.pool(number)
            pool.objects[state.key] = state
            pool.stats.add(space(state))
            for clone in state.snapset.clones:
                pool.index_snaps(state.key, state.snapset.snaps[clone])
            self._number = max(self._number, state.number)
        for key in storage.keys(DATA):
            content_number, index = CHUNK_KEY.unpack(key)
            content = reader.contents.get(content_number)
            if content is not None:
                content.chunks[index] = None
        self._number = max([self._number, *reader.contents])


def _damaged(exc: BadRecord) -> StorageError:
    return StorageError(
        f"the store is damaged: {exc}",
        ExitStatus.DATA,
        "restore the folder from a copy, or start with another one",
    )
