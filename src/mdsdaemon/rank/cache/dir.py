"""A directory fragment in the cache: its dentries, as far as they are known, and what is dirty.

Behaviour: ceph/ceph, src/mds/CDir.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from mdsdaemon.rank.cache.dentry import CDentry
from mdsdaemon.rank.cache.name_filter import NameFilter
from mdsdaemon.types.frag import DirFrag, Frag
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.stats import FNode

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.rank.waiting import Gate


def _last(dn: CDentry) -> int:
    return dn.last


@define(eq=False, slots=True)
class CDir:
    """A fragment. `fnode.version` counts its changes.

    Attributes:
        items: dentries of the head by name, null ones too.
        snap_items: dentries of snapshots by name, in the order of `last`.
        complete: all names that are stored are in `items`: what is not there does not exist.
        trimmed_names: what was in `items` when they were complete and is not any more.
        committed_version, committing_version: of the last store, and of the one under way (or 0).
        dirty_items: by key, the dentries that the object in RADOS lacks.
        committing_items: those of the store under way.
        stale_keys: what the object has and nobody sees any more, to be removed; None: nothing.
        listing: the dentries of the head in the order of readdir, for as long as names neither
            come nor go. Kept by the server.
        segment: that of the first change not stored; None: clean.
        committing_segment: that of the first change that the store under way has.
        new: it has no object in RADOS yet.
        fetching: opens when the fetch of all that is stored is over; None: none is under way.
        loads: how many reads of the object are under way: until they are over, nothing that they
            might bring back may leave the cache.
        keyed: how many names were asked for one by one.
        committed: opens when the store under way is over; None: none is.
        damaged: it could not be read; operations on it are EIO.
        summed: when its sums were last counted in its directory; nanoseconds since the epoch.
        pos, pos_client: see `CInode`.
        pins: reasons to keep it in the cache, and in one piece, beyond those that can be seen.
    """

    inode: CInode
    frag: Frag
    fnode: FNode = field(factory=FNode)
    first: int = 2
    items: dict[str, CDentry] = field(factory=dict)
    snap_items: dict[str, list[CDentry]] = field(factory=dict)
    complete: bool = False
    trimmed_names: NameFilter | None = None
    committed_version: int = 0
    committing_version: int = 0
    dirty_items: dict[str, CDentry] = field(factory=dict)
    committing_items: dict[str, CDentry] = field(factory=dict)
    stale_keys: set[str] | None = None
    listing: Any = None
    segment: LogSegment | None = None
    committing_segment: LogSegment | None = None
    new: bool = False
    fetching: Gate | None = None
    loads: int = 0
    keyed: int = 0
    committed: Gate | None = None
    damaged: bool = False
    summed: int = 0
    pos: int = 0
    pos_client: int = 0
    pins: int = 0

    @property
    def dirfrag(self) -> DirFrag:
        return DirFrag(self.inode.ino, self.frag)

    @property
    def object_name(self) -> str:
        """Its object in the metadata pool."""
        return f"{self.inode.ino:x}.{self.frag.enc:08x}"

    @property
    def is_dirty(self) -> bool:
        return self.segment is not None or self.committing_segment is not None

    def lookup(self, name: str, snapid: int = NOSNAP) -> CDentry | None:
        """The dentry of this name that `snapid` sees, if it is in the cache (it may be null)."""
        dn = self.items.get(name)
        if snapid == NOSNAP:
            return dn
        for old in self.snap_items.get(name, ()):
            if old.last >= snapid:
                if old.first <= snapid:
                    return old
                break
        if dn is None or dn.first > snapid:
            return None
        # that the head leads nowhere tells nothing of snapshots, unless all of those are known
        return dn if self.complete or not dn.is_null else None

    def lookup_exact(self, name: str, last: int) -> CDentry | None:
        """The dentry that is stored with this last snapshot, if it is in the cache."""
        if last == NOSNAP:
            return self.items.get(name)
        for old in self.snap_items.get(name, ()):
            if old.last == last:
                return old
        return None

    def all_items(self) -> list[CDentry]:
        """All dentries in the cache, those of snapshots too."""
        found = list(self.items.values())
        for olds in self.snap_items.values():
            found += olds
        return found

    def add(self, dn: CDentry) -> CDentry:
        """Put a new dentry in."""
        if dn.last == NOSNAP:
            self.items[dn.name] = dn
            self.listing = None
        else:
            olds = self.snap_items.setdefault(dn.name, [])
            olds.append(dn)
            olds.sort(key=_last)
        return dn

    def remove(self, dn: CDentry) -> None:
        """Take a dentry out of the cache."""
        if dn.last == NOSNAP:
            del self.items[dn.name]
            self.listing = None
            return
        olds = self.snap_items[dn.name]
        olds.remove(dn)
        if not olds:
            del self.snap_items[dn.name]

    def mark_dirty(self, segment: LogSegment, dn: CDentry | None = None) -> None:
        """The fragment (and this dentry) has a change of this segment that is not stored."""
        if self.segment is None:
            self.segment = segment
            segment.dirty_dirs.add(self)
        if dn is not None:
            self.dirty_items[dn.key] = dn

    def __str__(self) -> str:
        return f"[dir {self.dirfrag} v{self.fnode.version}]"
