"""The base inodes, which have no dentry but an object of their own: root, and the rank's mdsdir.

Format and behaviour: ceph/ceph, src/mds/CInode.cc (store, fetch), src/mds/MDCache.cc
(create_empty_hierarchy, create_mydir_hierarchy, populate_mydir) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import Cursor, DecodeError, Str, encode
from mdsdaemon.rank.cache.dentry_codec import fill_inode, read_store, store_of
from mdsdaemon.rank.cache.fetch import MISSING
from mdsdaemon.rank.cache.inode import MDSDIR, NUM_STRAY, ROOT, STRAY, CInode
from mdsdaemon.rank.cache.stats import add_nest, copy_frag, copy_nest
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.log.opening import MAGIC
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.waiting import until_done
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.inode import S_IFDIR, InlineData, Inode, InodeStore
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.snap import SnapRealm

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore

NO_TRUNCATE = 2**64 - 1


def base_object(ino: int) -> str:
    """The object that a base inode lies in."""
    return f"{ino:x}.00000000.inode"


class BaseInodes:
    """See the module."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank

    # -- reading -----------------------------------------------------------------------------

    async def load(self) -> None:
        """Root and mdsdir, unless they are there; else the rank is damaged."""
        for ino in (ROOT, MDSDIR + self.rank.whoami):
            if self.rank.cache.get_inode(ino) is None:
                await self._load(ino)

    async def _load(self, ino: int) -> None:
        rank = self.rank
        try:
            data = await self._read(ino)
        except RadosError as error:
            rank.handle_write_error(error)
            return
        if not data:
            rank.damaged(f"base inode 0x{ino:x} is missing: there is no {base_object(ino)}")
            return
        inode = CInode(ino, Inode(ino=ino))
        try:
            fill_inode(inode, _decode(data))
        except DecodeError as error:
            rank.damaged(f"{base_object(ino)} cannot be read: {error}")
            return
        if inode.old_inodes:
            inode.first = max(inode.first, max(inode.old_inodes) + 1)
        if inode.inode.ino != ino or not inode.is_dir:
            rank.damaged(f"{base_object(ino)} holds another inode")
            return
        rank.cache.add_inode(inode)

    async def _read(self, ino: int) -> bytes:
        """The object's bytes; those of an xattr, as it was long ago; nothing if there are none."""
        rank, op = self.rank, ObjectOperation()
        data = op.read(0, 0)
        try:
            done = await rank.objecter.operate(rank.metadata_pool, base_object(ino), op)
            if done[data]:
                return done[data]
        except RadosError as error:
            if error.errno not in MISSING:
                raise
        op = ObjectOperation()
        data = op.getxattr("inode")
        try:
            return (await rank.objecter.operate(rank.metadata_pool, f"{ino:x}.00000000", op))[data]
        except RadosError as error:
            if error.errno not in MISSING:
                raise
        return b""

    async def read_stored(self, ino: int) -> Inode:
        """What is stored of a base inode, past the cache.

        Raises:
            RadosError: ENOENT: nothing; or it cannot be read.
            DecodeError: it is corrupt.
        """
        data = await self._read(ino)
        if not data:
            raise RadosError(errno.ENOENT, base_object(ino))
        stored = CInode(ino, Inode(ino=ino))
        fill_inode(stored, _decode(data))
        return stored.inode

    # -- writing -----------------------------------------------------------------------------

    async def commit(self, inode: CInode) -> None:
        """Store a base inode as it is now.

        Raises:
            RadosError: it could not be written, and is still to be.
        """
        if inode.base_segment is None:
            return
        version = inode.inode.version
        if inode.old_inodes:
            self.rank.snaps.purger.tidy_base(inode)
        data = encode(Str, MAGIC) + encode(InodeStore, store_of(inode), FEATURES_PACIFIC)
        await self.rank.mdlog.wait_safe()
        op = ObjectOperation().write_full(data)
        await self.rank.objecter.operate(self.rank.metadata_pool, base_object(inode.ino), op)
        if inode.inode.version == version and inode.base_segment is not None:
            inode.base_segment.dirty_bases.discard(inode)
            inode.base_segment = None

    # -- making ------------------------------------------------------------------------------

    def create(self) -> None:
        """An empty file system: everything is in the cache, new, and dirty in this segment."""
        rank, cache = self.rank, self.rank.cache
        segment = rank.mdlog.segment
        root = self._make(ROOT, S_IFDIR | 0o755)
        root.inode.uid = rank.config.get_int("mds_root_ino_uid")
        root.inode.gid = rank.config.get_int("mds_root_ino_gid")
        root.inode.layout = default_layout(rank.default_data_pool)
        self._fresh_dir(root)
        mydir = self._make(MDSDIR + rank.whoami, S_IFDIR)
        mine = cache.add_dir(mydir)
        for number in range(NUM_STRAY):
            stray = self._make(STRAY + NUM_STRAY * rank.whoami + number, S_IFDIR)
            dn = cache.add_dentry(mine, f"stray{number}")
            cache.link_primary(dn, stray)
            mine.mark_dirty(segment, dn)
            add_nest(mine.fnode.rstat, stray.inode.rstat)
            mine.fnode.fragstat.nsubdirs += 1
            self._fresh_dir(stray)
        copy_frag(mine.fnode.accounted_fragstat, mine.fnode.fragstat)
        copy_nest(mine.fnode.accounted_rstat, mine.fnode.rstat)
        copy_frag(mydir.inode.dirstat, mine.fnode.fragstat)
        copy_nest(mydir.inode.rstat, mine.fnode.rstat)
        mydir.inode.rstat.rsubdirs += 1
        copy_nest(mydir.inode.accounted_rstat, mydir.inode.rstat)
        self._fresh_dir(mydir)
        for inode in (root, mydir):
            inode.base_segment = segment
            segment.dirty_bases.add(inode)

    def _make(self, ino: int, mode: int) -> CInode:
        now, config = self.rank.now(), self.rank.config
        stored = Inode(
            ino=ino,
            version=1,
            xattr_version=1,
            mode=0o500 | mode,
            ctime=now,
            mtime=now,
            btime=now,
            nlink=1,
            truncate_size=NO_TRUNCATE,
            inline_data=InlineData(),
        )
        stored.dir_layout.dir_hash = config.get_int("mds_default_dir_hash")
        stored.rstat.rsubdirs = 1
        stored.rstat.rctime = now
        copy_nest(stored.accounted_rstat, stored.rstat)
        inode = CInode(ino, stored)
        if inode.is_base:
            inode.snaprealm_blob = encode(SnapRealm, SnapRealm(seq=1), FEATURES_PACIFIC)
        return self.rank.cache.add_inode(inode)

    def _fresh_dir(self, inode: CInode) -> None:
        segment = self.rank.mdlog.segment
        directory = self.rank.cache.add_dir(inode)
        directory.complete = directory.new = True
        directory.fnode.version = 1
        directory.mark_dirty(segment)
        if not inode.is_mdsdir:
            inode.backtrace_segment = segment
            segment.dirty_backtraces.add(inode)

    # -- strays ------------------------------------------------------------------------------

    async def load_strays(self) -> None:
        """Fetch mdsdir and the fragments of all stray directories; make those that are missing."""
        try:
            await self._load_strays()
        except FsError as error:
            self.rank.damaged(f"the stray directories cannot be read: {error}")

    async def _load_strays(self) -> None:
        store, cache = self.rank.store, self.rank.cache
        mydir = cache.mydir
        assert mydir is not None, "load_base comes first"
        await until_done(lambda: store.all_dirs(mydir))
        for number in range(NUM_STRAY):
            name = f"stray{number}"
            dn = await until_done(lambda name=name: store.lookup(mydir, name))  # type: ignore[misc]
            if dn is None or dn.is_null:
                self._add_stray(mydir, name, STRAY + NUM_STRAY * self.rank.whoami + number)
                continue
            assert dn.inode is not None
            await until_done(lambda dn=dn: store.all_dirs(dn.inode))  # type: ignore[misc]

    def _add_stray(self, mydir: CInode, name: str, ino: int) -> None:
        mut = Mutation(self.rank, "create system file", stamp=self.rank.now())
        directory = self.rank.store.dir_for(mydir, name)
        dn = directory.items.get(name) or self.rank.cache.add_dentry(directory, name)
        stray = self.rank.cache.get_inode(ino) or self._make(ino, S_IFDIR)
        mut.link_primary(dn, stray)
        mut.new_dir(self.rank.cache.add_dir(stray))
        mut.backtrace(stray)
        mut.submit(deep=True)
        self.rank.mdlog.flush()


def default_layout(pool: int) -> FileLayout:
    """Whole objects of 4 MiB, one after another."""
    return FileLayout(4 << 20, 1, 4 << 20, pool)


def _decode(data: bytes) -> InodeStore:
    cursor = Cursor(data, 0, len(data), FEATURES_PACIFIC, ("CInode", "magic"))
    magic = cursor.str_()
    if magic != MAGIC:
        raise DecodeError("CInode", "magic", 0, f"{magic!r} is not {MAGIC!r}")
    return read_store(data, cursor.offset)
