"""A tree that changes: what a server does for clients, on a rank without clients.

`Tree` makes each change as one Mutation and remembers in `paths` what there has to be.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.unit.rank_kit import DATA_POOL, Kit

from mdsdaemon.encoding import to_plain
from mdsdaemon.rank.cache.base import NO_TRUNCATE, default_layout
from mdsdaemon.rank.cache.dentry import CDentry
from mdsdaemon.rank.cache.dentry_codec import store_of
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.cache.nests import carry_up_all
from mdsdaemon.rank.cache.stats import copy_nest
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.types.inode import S_IFDIR, S_IFLNK, Inode
from mdsdaemon.types.stats import NestInfo

S_IFREG = 0o100000
FIRST_INO = 1 << 40


def _plain(inode: CInode) -> Any:
    """What is stored of an inode; the splits, which lie in any order in memory, by fragment."""
    plain = to_plain(store_of(inode))
    plain["dirfragtree"]["splits"].sort(key=str)
    return plain


class Tree:
    """See the module.

    Attributes:
        next_ino: of the next inode.
        pool: that files have their data in.
    """

    def __init__(self, kit: Kit, next_ino: int = FIRST_INO, pool: int = DATA_POOL) -> None:
        self.kit = kit
        self.pool = pool
        self.rank = kit.rank
        self.next_ino = next_ino

    # -- finding -----------------------------------------------------------------------------

    def lookup(self, parent: CInode, name: str) -> CDentry:
        """The dentry, null if there is none of the name."""
        store = self.rank.store
        dn = self.kit.run(lambda: store.lookup(parent, name))
        if dn is not None:
            return dn
        return self.rank.cache.add_dentry(store.dir_for(parent, name), name)

    def find(self, path: str) -> CInode:
        """The inode at a path; KeyError: nothing is there."""
        inode = self.kit.root
        for name in path.strip("/").split("/") if path.strip("/") else []:
            dn = self.kit.run(partial(self.rank.store.lookup, inode, name))
            if dn is None or dn.is_null:
                raise KeyError(path)
            if dn.inode is None:
                inode = self.kit.run(partial(self.rank.store.need_remote, dn))
            else:
                inode = dn.inode
        return inode

    def split(self, path: str) -> tuple[CInode, str]:
        above, _, name = path.rpartition("/")
        return self.find(above), name

    # -- changing ----------------------------------------------------------------------------

    def begin(self, kind: str) -> Mutation:
        self.kit.clock.now += 0.25
        return Mutation(self.rank, kind, stamp=self.rank.now())

    def make(self, path: str, mode: int, size: int = 0, symlink: str = "") -> CInode:
        parent, name = self.split(path)
        dn = self.lookup(parent, name)
        assert dn.is_null
        mut = self.begin("mkdir" if mode & S_IFDIR else "create")
        now, ino = mut.stamp, self.next_ino
        self.next_ino += 1
        stored = Inode(
            ino=ino, mode=mode, nlink=1, ctime=now, mtime=now, btime=now, size=size,
            truncate_size=NO_TRUNCATE, xattr_version=1,
        )  # fmt: skip
        is_dir = mode & 0o170000 == S_IFDIR
        if is_dir:
            stored.dir_layout.dir_hash = 2
            stored.rstat.rsubdirs = 1
        else:
            stored.layout = default_layout(self.pool)
            stored.rstat.rfiles, stored.rstat.rbytes = 1, size
        stored.rstat.rctime = now
        copy_nest(stored.accounted_rstat, stored.rstat)
        inode = self.rank.cache.add_inode(CInode(ino, stored))
        inode.symlink = symlink
        mut.link_primary(dn, inode)
        mut.backtrace(inode)
        if is_dir:
            mut.new_dir(self.rank.cache.add_dir(inode))
        mut.submit()
        return inode

    def mkdir(self, path: str) -> CInode:
        return self.make(path, S_IFDIR | 0o755)

    def create(self, path: str, size: int = 0) -> CInode:
        return self.make(path, S_IFREG | 0o644, size)

    def symlink(self, path: str, target: str) -> CInode:
        return self.make(path, S_IFLNK | 0o777, len(target), target)

    def resize(self, path: str, size: int) -> None:
        inode = self.find(path)
        mut = self.begin("setattr")
        stored = mut.inode(inode)
        stored.size = stored.rstat.rbytes = size
        stored.ctime = stored.rstat.rctime = mut.stamp
        mut.submit()

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        inode = self.find(path)
        mut = self.begin("setxattr")
        mut.inode(inode).xattr_version += 1
        inode.xattrs = {**inode.xattrs, name: value}
        mut.submit()

    def link(self, path: str, new: str) -> None:
        inode = self.find(path)
        parent, name = self.split(new)
        dn = self.lookup(parent, name)
        mut = self.begin("link")
        mut.inode(inode).nlink += 1
        mut.link_remote(dn, inode.ino, inode.d_type, inode)
        mut.submit()

    def unlink(self, path: str) -> None:
        """As a server does: an inode that lost its own dentry goes to a stray directory."""
        parent, name = self.split(path)
        dn = self.lookup(parent, name)
        target = dn.inode or self.find(path)
        mydir = self.rank.cache.mydir
        assert mydir is not None
        mut = self.begin("unlink")
        stored = mut.inode(target)
        stored.nlink -= 1
        was_primary = dn.inode is not None
        mut.unlink(dn)
        if was_primary:
            self.kit.run(lambda: self.rank.store.all_dirs(mydir))
            stray = self.rank.cache.inodes[0x600 + target.ino % 10]
            self.kit.run(lambda: self.rank.store.all_dirs(stray))
            mut.link_primary(self.lookup(stray, f"{target.ino:x}"), target)
            mut.backtrace(target)
        mut.submit()

    def rename(self, old: str, new: str) -> None:
        dn = self.lookup(*self.split(old))
        to = self.lookup(*self.split(new))
        assert to.is_null
        mut = self.begin("rename")
        if dn.inode is None:
            ino, kind, target = dn.remote_ino, dn.remote_d_type, dn.remote_inode
            mut.unlink(dn)
            mut.link_remote(to, ino, kind, target)
        else:
            inode = mut.unlink(dn)
            assert inode is not None
            mut.link_primary(to, inode)
            mut.backtrace(inode)
        mut.submit()

    # -- storing -----------------------------------------------------------------------------

    def carry_up(self) -> None:
        carry_up_all(self.rank)

    def commit(self) -> None:
        """Everything that is dirty is stored."""

        async def all_of_it() -> None:
            store = self.rank.store
            for segment in list(self.kit.mdlog.segments.values()):
                for directory in list(segment.dirty_dirs):
                    await store.commit_dir(directory)
                for inode in list(segment.dirty_bases):
                    await store.commit_base(inode)
                for inode in list(segment.dirty_backtraces):
                    await store.write_backtrace(inode)
                assert not (segment.dirty_dirs | segment.dirty_bases | segment.dirty_backtraces)

        self.kit.trio(all_of_it)

    def load_all(self) -> None:
        """Everything below root and mdsdir comes into the cache."""
        if self.rank.cache.root is None:
            self.kit.trio(self.rank.store.load_base)
        waiting = [one for one in (self.rank.cache.root, self.rank.cache.mydir) if one is not None]
        while waiting:
            inode = waiting.pop()
            for directory in self.kit.run(partial(self.rank.store.all_dirs, inode)):
                inodes = [dn.inode for dn in directory.items.values()]
                waiting += [one for one in inodes if one is not None and one.is_dir]

    # -- looking -----------------------------------------------------------------------------

    def image(self) -> dict[str, Any]:
        """The whole tree as plain values: what is stored of it, by path and fragment."""
        found: dict[str, Any] = {}
        for base in (self.rank.cache.root, self.rank.cache.mydir):
            assert base is not None
            found[f"#{base.ino:x}"] = _plain(base)
            self._image(base, f"#{base.ino:x}", found)
        return found

    def _image(self, inode: CInode, path: str, found: dict[str, Any]) -> None:
        for directory in sorted(inode.dirs.values(), key=lambda one: one.frag):
            found[f"{path}[{directory.frag}]"] = to_plain(directory.fnode)
            for dn in directory.all_items():
                at = f"{path}/{dn.name}" + ("" if dn.is_head else f"@{dn.last:x}")
                if dn.inode is not None:
                    found[at] = (dn.first, dn.alternate_name, _plain(dn.inode))
                    if dn.inode.is_dir:
                        self._image(dn.inode, at, found)
                elif not dn.is_null:
                    found[at] = (dn.first, dn.alternate_name, dn.remote_ino, dn.remote_d_type)

    def check_sums(self) -> None:
        """Every fragment and directory counts exactly what is below it."""
        for base in (self.rank.cache.root, self.rank.cache.mydir):
            assert base is not None
            self._sums_of(base)

    def _sums_of(self, inode: CInode) -> tuple[int, int, int]:
        total = [0, 0, 0]
        entries = [0, 0]
        for directory in inode.dirs.values():
            below, here = self._fragment_sums(directory)
            fnode = directory.fnode
            assert sums(fnode.rstat) == below, f"{directory}: {fnode.rstat}"
            assert sums(fnode.accounted_rstat) == below, f"{directory}: not carried up"
            assert (fnode.fragstat.nfiles, fnode.fragstat.nsubdirs) == here, str(directory)
            assert fnode.fragstat == fnode.accounted_fragstat, str(directory)
            total = [a + b for a, b in zip(total, below, strict=True)]
            entries = [a + b for a, b in zip(entries, here, strict=True)]
        stored = inode.inode
        total[2] += 1
        assert [*sums(stored.rstat)] == total, f"{inode}: {stored.rstat}"
        if inode.parent is not None:
            assert [*sums(stored.accounted_rstat)] == total, f"{inode}: not carried up"
        assert [stored.dirstat.nfiles, stored.dirstat.nsubdirs] == entries, str(inode)
        return total[0], total[1], total[2]

    def _fragment_sums(self, directory: CDir) -> tuple[tuple[int, int, int], tuple[int, int]]:
        below, files, subdirs = [0, 0, 0], 0, 0
        for dn in directory.items.values():
            if dn.is_null:
                continue
            is_dir = dn.inode.is_dir if dn.inode is not None else dn.remote_d_type == 4
            files, subdirs = files + (not is_dir), subdirs + is_dir
            if dn.inode is None:
                continue
            own = self._sums_of(dn.inode) if is_dir else (dn.inode.inode.size, 1, 0)
            below = [a + b for a, b in zip(below, own, strict=True)]
        return (below[0], below[1], below[2]), (files, subdirs)


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What of two images is not the same."""
    keys = [key for key in one | other if one.get(key) != other.get(key)]
    return {key: (one.get(key), other.get(key)) for key in keys}


def sums(nest: NestInfo) -> tuple[int, int, int]:
    return nest.rbytes, nest.rfiles, nest.rsubdirs
