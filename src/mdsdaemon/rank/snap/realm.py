"""Snapshot realms: a directory whose snapshots hold for all that is below it.

Root and mdsdir always are realms; any other directory is one once it had a snapshot, a quota or was
moved away from under one. A file with hard links is one, too: snapshots may see it by any of its
names, so that all snapshots of the file system count for it (its parent is the global realm).

What follows from a realm and those around it is kept until one of them changes.

Behaviour: ceph/ceph, src/mds/SnapRealm.cc, src/mds/CInode.cc (open_snaprealm) (Pacific)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from mdsdaemon.encoding import decode
from mdsdaemon.messages.client_reply import encode_snap_trace
from mdsdaemon.rank.cache.inode import GLOBAL_SNAPREALM
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.snap import SnapContext, SnapInfo, SnapRealm, SnapRealmInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.snap.snaps import Snaps

FIRST_SEQ = 1
"""The seq of a base realm that never had a snapshot."""


def long_name(info: SnapInfo) -> str:
    """The name of a directory's snapshot in `.snap` of the directories below it."""
    return f"_{info.name}_{info.ino}"


def split_long_name(name: str) -> tuple[str, int]:
    """Name and directory of `long_name`; ("", 0) if it is none."""
    at = name.rfind("_")
    if not name.startswith("_") or at <= 1:
        return "", 0
    digits = name[at + 1 :]
    if not (digits.isascii() and digits.isdigit()):
        return "", 0
    return name[1:at], int(digits)


class GlobalRealm:
    """What stands around the realms of files with hard links: all snapshots that there are."""

    ino = GLOBAL_SNAPREALM

    def __init__(self, snaps: Snaps) -> None:
        self.snaps = snaps
        self.is_subvolume = False
        self.parent = None

    def stamp(self) -> int:
        """Changes whenever what follows from the realm may have changed."""
        return -1 - self.snaps.generation

    def newest_seq(self) -> int:
        """The number of the newest change of snapshots."""
        return self.snaps.newest

    def get_snaps(self) -> list[int]:
        """All snapshots, in order."""
        return self.snaps.all_snaps()

    def infos(self) -> list[SnapRealmInfo]:
        """As clients are told of it."""
        mine = self.get_snaps()[::-1]
        return [SnapRealmInfo(ino=self.ino, seq=self.newest_seq(), my_snaps=mine)]

    def trace(self) -> bytes:
        """`infos` as it is sent."""
        return encode_snap_trace(self.infos())

    def snap_infos(self, first: int, last: int) -> dict[int, SnapInfo]:
        """ceph-mds keeps none with this realm: names are looked for elsewhere."""
        return {}

    def resolve(self, name: str, ino: int, first: int, last: int) -> int:
        """See `Realm.resolve`."""
        return 0


class Realm:
    """A realm that is open.

    Attributes:
        inode: where it begins. node: what is stored of it.
        blob: of the inode, from which `node` was read.
    """

    __slots__ = ("_key", "_seq", "_snaps", "_stamp", "_trace", "blob", "inode", "node", "snaps")

    def __init__(self, snaps: Snaps, inode: CInode) -> None:
        self.snaps = snaps
        self.inode = inode
        self.blob = inode.snaprealm_blob
        self.node = (
            decode(SnapRealm, self.blob, partial=True) if self.blob else SnapRealm(seq=FIRST_SEQ)
        )
        self._key = (-1, 0)
        self._stamp = 0
        self._seq = 0
        self._snaps: list[int] = []
        self._trace: bytes | None = None

    @property
    def ino(self) -> int:
        return self.inode.ino

    @property
    def parent(self) -> Realm | GlobalRealm | None:
        """The realm around it."""
        if self.is_parent_global:
            return self.snaps.global_realm
        dn = self.inode.parent
        return None if dn is None else self.snaps.realm_of(dn.dir.inode)

    @property
    def is_parent_global(self) -> bool:
        """A hard link has made all snapshots of the file system hold for it."""
        return bool(self.node.flags & SnapRealm.PARENT_GLOBAL)

    @property
    def is_subvolume(self) -> bool:
        return bool(self.node.flags & SnapRealm.SUBVOLUME)

    def stamp(self) -> int:
        """Changes whenever what follows from the realm may have changed."""
        parent = self.parent
        key = (self.snaps.generation, 0 if parent is None else parent.stamp())
        if key != self._key:
            self._gather(parent)
            self._key = key
            self._trace = None
            self._stamp = self.snaps.next_stamp()
        return self._stamp

    def newest_seq(self) -> int:
        """The number of the newest change of snapshots that concerns it."""
        self.stamp()
        return self._seq

    def get_snaps(self) -> list[int]:
        """The snapshots that hold for it, in order. Not to be changed."""
        self.stamp()
        return self._snaps

    def has_snaps_in(self, first: int, last: int) -> bool:
        """Whether there is a snapshot that holds for it from `first` to `last`."""
        snaps = self.get_snaps()
        at = bisect_left(snaps, first)
        return at < len(snaps) and snaps[at] <= last

    def snap_following(self, follows: int) -> int:
        """The first snapshot after `follows`; NOSNAP: there is none."""
        snaps = self.get_snaps()
        at = bisect_right(snaps, follows)
        return snaps[at] if at < len(snaps) else NOSNAP

    def snap_context(self) -> SnapContext:
        """For writes of files in it."""
        snaps = self.get_snaps()
        return SnapContext(self._seq, snaps[::-1])

    def exists(self, name: str) -> bool:
        """Whether the directory itself has a snapshot of this name."""
        return any(info.name == name for info in self.node.snaps.values())

    def _gather(self, parent: Realm | GlobalRealm | None) -> None:
        node = self.node
        seq = self.snaps.newest if self.is_parent_global else node.seq
        snaps = set(node.snaps)
        if node.past_parent_snaps:
            past = self.snaps.existing(node.past_parent_snaps)
            if past:
                seq = max(seq, past[-1])
                snaps.update(past)
        if parent is not None:
            parent_seq = parent.newest_seq()
            if parent_seq >= node.current_parent_since:
                above = parent.get_snaps()
                snaps.update(above[bisect_left(above, node.current_parent_since) :])
                seq = max(seq, parent_seq)
        self._seq, self._snaps = seq, sorted(snaps)

    # -- clients -----------------------------------------------------------------------------

    def infos(self) -> list[SnapRealmInfo]:
        """As clients are told of it: the realm, and those around it."""
        node = self.node
        info = SnapRealmInfo(
            ino=self.ino,
            created=node.created,
            seq=node.seq,
            parent_since=node.current_parent_since,
            my_snaps=sorted(node.snaps, reverse=True),
        )
        parent = self.parent
        if parent is None:
            return [info]
        info.parent = parent.ino
        past = self.snaps.existing(node.past_parent_snaps)
        if self.is_parent_global:
            past = past[: bisect_left(past, node.current_parent_since)]
        info.prior_parent_snaps = past[::-1]
        return [info, *parent.infos()]

    def trace(self) -> bytes:
        """`infos` as it is sent."""
        self.stamp()
        if self._trace is None:
            self._trace = encode_snap_trace(self.infos())
        return self._trace

    # -- names -------------------------------------------------------------------------------

    def snap_infos(self, first: int = 0, last: int = NOSNAP) -> dict[int, SnapInfo]:
        """The snapshots that hold for it from `first` to `last`, as they were made."""
        node = self.node
        found = {snap: info for snap, info in node.snaps.items() if first <= snap <= last}
        for snap in self.snaps.existing(node.past_parent_snaps):
            if first <= snap <= last:
                found.setdefault(snap, self.snaps.table.state.snaps[snap])
        parent = self.parent
        if parent is not None and node.current_parent_since <= last:
            above = parent.snap_infos(max(first, node.current_parent_since), last)
            found = above | found
        return found

    def resolve(self, name: str, ino: int, first: int = 0, last: int = NOSNAP) -> int:
        """The snapshot that `name` stands for in `.snap` of directory `ino`; 0: there is none."""
        node = self.node
        short, maker = split_long_name(name)
        for snap in sorted(node.snaps):
            if first <= snap <= last and _is_called(node.snaps[snap], name, ino, short, maker):
                return snap
        for snap in self.snaps.existing(node.past_parent_snaps):
            info = self.snaps.table.state.snaps[snap]
            if first <= snap <= last and _is_called(info, name, ino, short, maker):
                return snap
        parent = self.parent
        if parent is not None and node.current_parent_since <= last:
            return parent.resolve(name, ino, max(first, node.current_parent_since), last)
        return 0


def _is_called(info: SnapInfo, name: str, ino: int, short: str, maker: int) -> bool:
    if info.ino == ino:
        return info.name == name
    return bool(short) and info.name == short and info.ino == maker
