"""The objects of a pool: heads with their clones, their order for listings, versions, counts.

Behaviour: ceph/ceph, src/osd/osd_types.h (object_info_t, SnapSet), src/common/hobject.h (order)
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import attrs

from mdsdaemon.types.interval_set import size as interval_size

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.content import Content
    from mdsdaemon.types.entity import PeerName
    from mdsdaemon.types.interval_set import Intervals
    from mdsdaemon.types.watch import WatchInfo

ObjectKey = tuple[str, str, str]
"""(namespace, locator key, name); the key is "" where it equals the name."""
SortKey = tuple[int, bytes, bytes, bytes]
"""(hash with its bits reversed, namespace, key or name, name): the order of hobject_t."""

_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def reverse_bits(value: int) -> int:
    """The bits of a 32-bit number in the opposite order."""
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")


def raw_name(name: str) -> bytes:
    """The bytes of a name as it came from the wire."""
    return name.encode("utf-8", "surrogateescape")


class ObjectInfo:
    """object_info_t: what is known of an object beside its content. Replaced, never changed.

    `version` counts within the placement group, `epoch` is the map's at that time; `user_version`
    is what clients see. Times in nanoseconds.
    """

    __slots__ = (
        "alloc_hint",
        "epoch",
        "mtime",
        "omap",
        "size",
        "truncate_seq",
        "truncate_size",
        "user_version",
        "version",
        "watchers",
        "whiteout",
    )

    def __init__(self) -> None:
        self.size = 0
        self.mtime = 0
        self.epoch = 0
        self.version = 0
        self.user_version = 0
        self.truncate_seq = 0
        self.truncate_size = 0
        self.whiteout = False
        self.omap = False
        self.alloc_hint: tuple[int, int, int] = (0, 0, 0)
        self.watchers: dict[tuple[int, PeerName], WatchInfo] = {}

    def copy(self) -> ObjectInfo:
        """The same, to be changed until it is put in place; watchers are still shared."""
        made = ObjectInfo.__new__(ObjectInfo)
        made.size = self.size
        made.mtime = self.mtime
        made.epoch = self.epoch
        made.version = self.version
        made.user_version = self.user_version
        made.truncate_seq = self.truncate_seq
        made.truncate_size = self.truncate_size
        made.whiteout = self.whiteout
        made.omap = self.omap
        made.alloc_hint = self.alloc_hint
        made.watchers = self.watchers
        return made


@attrs.frozen
class SnapSet:
    """SnapSet: the clones of an object, oldest first. Replaced, never changed.

    `snaps` of a clone are descending; `overlap` is what a clone shares with the next newer one.
    """

    seq: int = 0
    clones: tuple[int, ...] = ()
    snaps: dict[int, tuple[int, ...]] = attrs.Factory(dict)
    size: dict[int, int] = attrs.Factory(dict)
    overlap: dict[int, Intervals] = attrs.Factory(dict)

    def clone_bytes(self, clone: int) -> int:
        """The bytes that a clone has for itself."""
        return self.size[clone] - interval_size(self.overlap[clone])


NO_SNAPS: Final = SnapSet()


@attrs.define
class Clone:
    """The object as it was when a snapshot was taken."""

    info: ObjectInfo
    content: Content


class ObjectState:
    """An object: its head, which may be a whiteout, and its clones.

    Attributes:
        owner: the generation of the store that may change this.
        number: by which its record is known.
    """

    __slots__ = ("clones", "content", "hash", "info", "key", "number", "owner", "snapset")

    def __init__(
        self, key: ObjectKey, hash_: int, info: ObjectInfo, content: Content, owner: int
    ) -> None:
        self.key = key
        self.hash = hash_
        self.info = info
        self.content = content
        self.snapset = NO_SNAPS
        self.clones: dict[int, Clone] = {}
        self.owner = owner
        self.number = 0

    def copy(self, owner: int) -> ObjectState:
        """The same for another generation; contents are shared until they are changed."""
        made = ObjectState(self.key, self.hash, self.info, self.content, owner)
        made.snapset = self.snapset
        made.clones = self.clones.copy()
        made.number = self.number
        return made

    def contents(self) -> list[Content]:
        """Those of the head and of the clones, each once."""
        found = {id(clone.content): clone.content for clone in self.clones.values()}
        found[id(self.content)] = self.content
        return list(found.values())

    def sort_key(self) -> SortKey:
        """Its place in a listing."""
        nspace, key, name = self.key
        return (reverse_bits(self.hash), raw_name(nspace), raw_name(key or name), raw_name(name))


Space = tuple[int, int, int, int, int]
"""(heads, clones, bytes, heads with omap, whiteouts)."""


def space(state: ObjectState) -> Space:
    """What an object adds to its pool's counts."""
    info, clones = state.info, len(state.clones)
    size = info.size
    if clones:
        size += sum(map(state.snapset.clone_bytes, state.snapset.clones))
    return 1, clones, size, info.omap, info.whiteout


@attrs.define
class PoolStats:
    """What a pool holds and what was done with it; sizes in bytes, `*_kb` in KiB.

    `objects` are heads, whiteouts among them; clones are counted apart.
    """

    objects: int = 0
    clones: int = 0
    bytes: int = 0
    omap_objects: int = 0
    whiteouts: int = 0
    reads: int = 0
    read_kb: int = 0
    writes: int = 0
    write_kb: int = 0

    def add(self, more: Space, sign: int = 1) -> None:
        """Count an object in."""
        objects, clones, size, omap, whiteouts = more
        self.objects += sign * objects
        self.clones += sign * clones
        self.bytes += sign * size
        self.omap_objects += sign * omap
        self.whiteouts += sign * whiteouts

    def subtract(self, less: Space) -> None:
        """Count an object out."""
        self.add(less, -1)


@attrs.define
class PGVersions:
    """The last versions given in a placement group."""

    version: int = 0
    user_version: int = 0


@attrs.define
class PoolStore:
    """The objects of one pool.

    Attributes:
        pgs: by the seed of the placement group.
        snaps: the objects with a clone of each snapshot.
        pg_num, full: as the last OSDMap had them; 0 before the first.
    """

    pool: int
    pg_num: int = 0
    full: bool = False
    objects: dict[ObjectKey, ObjectState] = attrs.Factory(dict)
    pgs: dict[int, PGVersions] = attrs.Factory(dict)
    snaps: dict[int, set[ObjectKey]] = attrs.Factory(dict)
    stats: PoolStats = attrs.Factory(PoolStats)
    _order: list[tuple[SortKey, ObjectKey]] | None = None
    _stale: int = 0

    def copy(self) -> PoolStore:
        """A copy that shares the objects' states."""
        return PoolStore(
            self.pool,
            self.pg_num,
            self.full,
            self.objects.copy(),
            {seed: PGVersions(v.version, v.user_version) for seed, v in self.pgs.items()},
            {snap: keys.copy() for snap, keys in self.snaps.items()},
            attrs.evolve(self.stats),
        )

    def versions(self, seed: int) -> PGVersions:
        """Those of a placement group."""
        found = self.pgs.get(seed)
        if found is None:
            found = self.pgs[seed] = PGVersions()
        return found

    def saw(self, seed: int, version: int, user_version: int) -> None:
        """These versions were given in a placement group."""
        known = self.versions(seed)
        known.version = max(known.version, version)
        known.user_version = max(known.user_version, user_version)

    def split(self, old: int, new: int) -> None:
        """The number of placement groups changes: new ones go on from where they come from."""
        mask = (1 << (old - 1).bit_length()) - 1
        for seed in range(old, new):
            parent = self.pgs.get(seed & mask if seed & mask < old else seed & mask >> 1)
            if parent is not None:
                self.saw(seed, parent.version, parent.user_version)
        for seed in [seed for seed in self.pgs if seed >= new]:
            gone = self.pgs.pop(seed)
            mask = (1 << (new - 1).bit_length()) - 1
            target = seed & mask if seed & mask < new else seed & mask >> 1
            self.saw(target, gone.version, gone.user_version)

    def add(self, state: ObjectState) -> None:
        """A new object."""
        self.objects[state.key] = state
        if self._order is not None:
            self._stale += 1
            if self._stale > 4096 + len(self.objects) // 8:
                self._order = None  # nobody lists while so much changes
            else:
                entry = (state.sort_key(), state.key)
                at = bisect_left(self._order, entry)
                if at == len(self._order) or self._order[at] != entry:
                    self._order.insert(at, entry)

    def remove(self, key: ObjectKey) -> None:
        """An object is gone; listings pass over its entry until the order is made anew."""
        del self.objects[key]
        self._stale += 1

    def order(self) -> list[tuple[SortKey, ObjectKey]]:
        """All objects in the order of listings; some of them may not be there any more."""
        if self._order is None or self._stale > 64 + len(self.objects):
            self._order = sorted((state.sort_key(), key) for key, state in self.objects.items())
        self._stale = 0
        return self._order

    def index_snaps(self, key: ObjectKey, snaps: tuple[int, ...]) -> None:
        """An object got a clone of these snapshots."""
        for snap in snaps:
            self.snaps.setdefault(snap, set()).add(key)
