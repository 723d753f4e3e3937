"""Paths of requests: from the inode where they begin to what is at their end.

A path begins at an inode and goes down by names; nothing in it leads up, `.` and `..` are names
like others (which no directory has), symbolic links are the client's. An empty first name stands
for `.snap`, the name after it for a snapshot.

Behaviour: ceph/ceph, src/mds/MDCache.cc (path_traverse), src/include/filepath.h, src/mds/Server.cc
(rdlock_path_pin_ref, rdlock_path_xlock_dentry) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.request import Found
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.types.osd import NOSNAP, SNAPDIR

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.server.request import MDRequest
    from mdsdaemon.types.mds import FilePath

NAME_MAX = 255
"""Bytes of a name."""


def names_of(path: FilePath) -> list[str]:
    """The names in a path; empty ones count, but for one that only a last slash makes."""
    text = path.path
    if not text:
        return []
    if "/" not in text:
        return [text]
    names = text.split("/")
    if not names[-1]:
        names.pop()
    return names


def check_name(name: str) -> None:
    """Refuse a name that is too long to be in a directory.

    Raises:
        FsError: ENAMETOOLONG.
    """
    if len(name) > NAME_MAX or (
        len(name) * 4 > NAME_MAX and len(name.encode("utf-8", "surrogateescape")) > NAME_MAX
    ):
        raise FsError(errno.ENAMETOOLONG)


def base_inode(rank: RankCore, ino: int) -> CInode:
    """The inode that a path begins at.

    Raises:
        MustWait: until it is there.
        FsError: ESTALE: there is none of this number.
    """
    inode = rank.cache.inodes.get(ino)
    if inode is None:
        inode = rank.store.need_inode(ino)
    if inode.inode.nlink <= 0 and rank.strays.is_purging(inode):
        raise FsError(errno.ESTALE, f"{inode} is being purged")
    return inode


def inode_of(rank: RankCore, dn: CDentry) -> CInode:
    """What a dentry that is not null leads to.

    Raises:
        MustWait: until it is there.
        FsError: EIO: it cannot be found.
    """
    inode = dn.inode
    if inode is not None:
        return inode
    if dn.remote_inode is not None:
        return dn.remote_inode
    return rank.store.need_remote(dn)


def traverse(req: MDRequest, path: FilePath, *, want_dentry: bool = False) -> Found:
    """Follow a path; notes in `req.snapid` the snapshot that it leads to.

    Args:
        want_dentry: the last name itself is meant: it may be missing, and what it leads to is not
            looked for.

    Raises:
        MustWait: until it is known.
        FsError: ENOENT, ENOTDIR, ESTALE, EIO, ENAMETOOLONG; EINVAL for `.snap` inside.
    """
    rank = req.rank
    rank.counters.traverse.inc()
    at = base_inode(rank, path.ino)
    req.snapid = NOSNAP
    names = names_of(path)
    if not names:
        return Found(at)
    lookup = rank.store.lookup
    snapid = NOSNAP
    last = len(names) - 1
    found = Found(at)
    for depth, name in enumerate(names):
        if not at.is_dir:
            raise FsError(errno.ENOTDIR)
        if not name:
            if depth:
                raise FsError(errno.EINVAL)
            snapid = req.snapid = SNAPDIR
            continue
        if snapid == SNAPDIR:
            snapid = req.snapid = _snapshot(rank, at, name)
            continue
        try:
            dn = lookup(at, name, snapid)
        except MustWait:
            rank.counters.mds.inc("traverse_dir_fetch")
            raise
        if dn is None or (dn.inode is None and not dn.remote_ino):
            if len(name) > 63:
                check_name(name)
            if depth == last:
                found = Found(None, dn, at, name)
                if want_dentry:
                    return found
                raise NotFound(found)
            raise FsError(errno.ENOENT)
        dn.touched = True
        if depth == last and want_dentry:
            return Found(dn.inode or dn.remote_inode, dn, at, name)
        try:
            parent, at = at, dn.inode or inode_of(rank, dn)
        except MustWait:
            rank.counters.mds.inc("traverse_remote_ino")
            raise
        if depth == last:
            found = Found(at, dn, parent, name)
    if found.inode is None or snapid == SNAPDIR:
        found = Found(at)
    rank.counters.traverse_hit.inc()
    return found


class NotFound(FsError):
    """ENOENT for the last name of a path: the reply can tell of the directory and the name."""

    def __init__(self, found: Found) -> None:
        super().__init__(errno.ENOENT)
        self.found = found


def _snapshot(rank: RankCore, at: CInode, name: str) -> int:
    snapid = rank.snaps.resolve_name(at, name)
    if not snapid:
        raise FsError(errno.ENOENT)
    return snapid


def existing(req: MDRequest) -> CInode:
    """What the request's path leads to."""
    found = traverse(req, req.msg.path)
    assert found.inode is not None
    return found.inode


def existing_live(req: MDRequest) -> CInode:
    """What the request's path leads to, to be changed.

    Raises:
        FsError: EROFS: it is a snapshot's.
    """
    inode = existing(req)
    if req.snapid != NOSNAP:
        raise FsError(errno.EROFS, "a snapshot")
    return inode


def base_dir(req: MDRequest) -> CInode:
    """The directory where the request's path begins.

    Raises:
        FsError: ENOTDIR: it is none.
    """
    diri = base_inode(req.rank, req.msg.path.ino)
    if not diri.is_dir:
        raise FsError(errno.ENOTDIR)
    return diri


def plain_inode(req: MDRequest) -> CInode:
    """The inode where the request's path begins, its names left aside, if it is in the cache.

    Raises:
        FsError: ESTALE.
    """
    inode = req.rank.cache.inodes.get(req.msg.path.ino)
    if inode is None:
        raise FsError(errno.ESTALE)
    return inode


class Place:
    """A name in a directory, to be changed.

    Attributes:
        diri: the directory; directory: its fragment.
        dentry: None: there is none in the cache, and surely none that leads anywhere.
    """

    __slots__ = ("dentry", "directory", "diri", "name")

    def __init__(self, diri: CInode, directory: CDir, name: str, dentry: CDentry | None) -> None:
        self.diri = diri
        self.directory = directory
        self.name = name
        self.dentry = dentry

    @property
    def is_free(self) -> bool:
        """Whether the name leads nowhere."""
        dn = self.dentry
        return dn is None or (dn.inode is None and not dn.remote_ino)

    def null_dentry(self, rank: RankCore) -> CDentry:
        """The dentry to be linked, made if there is none; changes the cache."""
        dn = self.dentry
        if dn is None:
            dn = self.dentry = rank.cache.add_dentry(self.directory, self.name)
        if rank.snaps.any_snapshots:
            dn.first = max(dn.first, rank.snaps.newest + 1)
        return dn


def place_for(req: MDRequest, path: FilePath, *, create: bool, may_exist: bool) -> Place:
    """The directory and name that a request is to change.

    Args:
        create: the name shall come to lead somewhere.
        may_exist: it may lead somewhere already; without `create`: it must.

    Raises:
        MustWait: until it is known.
        FsError: EINVAL, EROFS, EEXIST, ENOTEMPTY, ENOENT, …
    """
    names = names_of(path)
    if not names:
        raise FsError(errno.EINVAL, "a path without a name")
    if not names[0]:
        raise FsError(errno.EROFS, "in .snap")
    if names[-1] in {".", ".."}:
        raise FsError(errno.EEXIST if create else errno.ENOTEMPTY)
    place = _place(req, path)
    check_changeable(place.diri)
    if place.is_free:
        if not create and may_exist:
            raise FsError(errno.ENOENT)
    elif not may_exist:
        raise FsError(errno.EEXIST)
    return place


def _place(req: MDRequest, path: FilePath) -> Place:
    found = traverse(req, path, want_dentry=True)
    diri = found.parent
    assert diri is not None
    if found.dentry is not None:
        directory = found.dentry.dir
    else:
        if found.name:
            check_name(found.name)
        directory = req.rank.store.dir_for(diri, found.name)
    return Place(diri, directory, found.name, found.dentry)


def two_places(req: MDRequest) -> tuple[Place, Place]:
    """Destination and source of a rename or link: of each path just one name.

    Raises:
        MustWait: until both are known.
        FsError: EINVAL, EROFS; ENOENT: the source is not there; …
    """
    destination, source = names_of(req.msg.path), names_of(req.msg.path2)
    if len(destination) != 1 or len(source) != 1:
        raise FsError(errno.EINVAL)
    if not destination[0] or not source[0]:
        raise FsError(errno.EROFS, "in .snap")
    dest = _place(req, req.msg.path)
    src = _place(req, req.msg.path2)
    for diri in (src.diri, dest.diri):
        if diri.is_system and not diri.is_root:
            raise FsError(errno.EROFS)
    if dest.diri.is_stray:
        raise FsError(errno.ENOENT, "the directory is unlinked")
    return dest, src


def check_changeable(diri: CInode) -> None:
    """Whether clients may change what is in a directory.

    Raises:
        FsError: EROFS: it is the servers' own; ENOENT: it is unlinked.
    """
    if diri.is_system and not diri.is_root:
        raise FsError(errno.EROFS)
    if diri.is_stray:
        raise FsError(errno.ENOENT, "the directory is unlinked")
