"""CacheStore: bringing the tree in and out of RADOS. Its parts are in the files beside this one.

What is not in the cache is fetched: the methods without `async` raise `MustWait` until it is there.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.rank.cache.backtraces import Backtraces
from mdsdaemon.rank.cache.base import BaseInodes
from mdsdaemon.rank.cache.commit import Committer
from mdsdaemon.rank.cache.fetch import Fetcher
from mdsdaemon.rank.cache.fragment import Fragmenter
from mdsdaemon.rank.cache.fragtree import get_leaf, get_leaves
from mdsdaemon.rank.cache.open_ino import InoOpener
from mdsdaemon.rank.cache.refragment import force_dirfrag, force_dirfrags
from mdsdaemon.rank.cache.trim import Trimmer
from mdsdaemon.rank.errors import FsError
from mdsdaemon.types.name_hash import dentry_hash
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.log.segment import LogSegment
    from mdsdaemon.types.frag import Frag
    from mdsdaemon.types.journal import EFragment


class CacheStore:
    """See the module.

    Attributes:
        fetcher, committer, backtraces, base, opener, fragmenter, trimmer: its parts.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.fetcher = Fetcher(rank)
        self.committer = Committer(rank)
        self.backtraces = Backtraces(rank)
        self.base = BaseInodes(rank)
        self.opener = InoOpener(rank)
        self.fragmenter = Fragmenter(rank)
        self.trimmer = Trimmer(rank)

    # -- names -------------------------------------------------------------------------------

    def dir_for(self, diri: CInode, name: str) -> CDir:
        """The fragment of a directory that a name belongs to, opened (perhaps not fetched).

        Raises:
            FsError: ENOTDIR, or EIO when the directory's hash function is unknown.
        """
        if not diri.is_dir:
            raise FsError(errno.ENOTDIR)
        tree = diri.dirfragtree
        if not tree.splits:
            return self.rank.cache.add_dir(diri)
        return self.rank.cache.add_dir(diri, get_leaf(tree, self.hash_of(diri, name)))

    def hash_of(self, diri: CInode, name: str) -> int:
        """The hash of a name in a directory."""
        try:
            return dentry_hash(diri.inode.dir_layout.dir_hash, name)
        except ValueError as error:
            raise FsError(errno.EIO, f"{diri}: {error}") from error

    def all_dirs(self, diri: CInode) -> list[CDir]:
        """All fragments of a directory, in the order of hash values, everything fetched.

        Raises:
            MustWait: until they are.
            FsError: ENOTDIR; EIO: one of them is damaged.
        """
        if not diri.is_dir:
            raise FsError(errno.ENOTDIR)
        leaves = get_leaves(diri.dirfragtree)
        dirs = [self.rank.cache.add_dir(diri, leaf) for leaf in leaves]
        for directory in dirs:
            self.need_complete(directory)
        return dirs

    def need_complete(self, directory: CDir) -> None:
        """All dentries of a fragment are in the cache.

        Raises:
            MustWait: until they are.
            FsError: EIO: the fragment is damaged.
        """
        self.fetcher.need_complete(directory)

    def lookup(self, diri: CInode, name: str, snapid: int = NOSNAP) -> CDentry | None:
        """The dentry of this name, as `snapid` sees it; None or a null one: it does not exist.

        Raises:
            MustWait: until it is known.
            FsError: EIO: it, or its fragment, is damaged; ENOTDIR.
        """
        return self.fetcher.lookup(self.dir_for(diri, name), name, snapid)

    def touch(self, dn: CDentry) -> None:
        """Somebody has looked at it: it is trimmed later than what nobody looks at."""
        dn.touched = True

    # -- inodes ------------------------------------------------------------------------------

    def need_inode(self, ino: int, pool_hint: int = -1) -> CInode:
        """An inode by its number, from wherever it is.

        Args:
            pool_hint: a pool that may have its backtrace.

        Raises:
            MustWait: until it is there.
            FsError: ESTALE: there is none; EIO: something on the way to it is damaged.
        """
        return self.opener.need_inode(ino, pool_hint)

    def need_remote(self, dn: CDentry) -> CInode:
        """The inode of a hard link.

        Raises:
            MustWait: until it is there.
            FsError: EIO: it cannot be found.
        """
        return self.opener.need_remote(dn)

    # -- storing -----------------------------------------------------------------------------

    async def commit_dir(self, directory: CDir) -> None:
        """Store what is dirty of a fragment, as it is when the journal has it.

        Comes back when it is stored, or when the rank was told of the error.
        """
        await self.committer.commit(directory)

    async def commit_base(self, inode: CInode) -> None:
        """Store root or mdsdir in the object of its own."""
        await self.base.commit(inode)

    async def write_backtrace(self, inode: CInode) -> None:
        """Store where the inode lies with its first object."""
        await self.backtraces.write(inode)

    # -- base --------------------------------------------------------------------------------

    async def load_base(self) -> None:
        """Bring root and mdsdir into the cache; the rank is damaged if that cannot be done."""
        await self.base.load()

    def create_root_and_mydir(self) -> None:
        """An empty file system, in the cache: everything new and dirty."""
        self.base.create()

    async def load_strays(self) -> None:
        """Bring the directories of strays into the cache, making those that are missing."""
        await self.base.load_strays()

    # -- size --------------------------------------------------------------------------------

    def trim(self, limit_bytes: int) -> int:
        """Take out of the cache what nobody needs until it fits.

        Does a part now (the return value: how many dentries went), and the rest little by little.
        """
        return self.trimmer.trim(limit_bytes)

    async def trim_to(self, limit_bytes: int) -> int:
        """As `trim`, to the end; how many dentries went."""
        return await self.trimmer.trim_to(limit_bytes)

    def trim_to_goal(self) -> None:
        """As `trim`, to mds_cache_memory_limit without mds_cache_reservation."""
        self.trimmer.trim(self.trimmer.goal())

    def is_full(self) -> bool:
        """Whether less than mds_cache_reservation of the limit is free."""
        return self.trimmer.is_full()

    def is_hampered(self) -> bool:
        """Whether it is full and hardly can be trimmed: clients hold what is in it, or it is
        dirty.
        """
        return self.trimmer.is_hampered()

    def most_unstored(self) -> int | None:
        """How many changes may wait to be stored: they stay in the cache until then.

        None: as many as there are, for the cache is not full.
        """
        return self.trimmer.most_unstored()

    def memory_used(self) -> int:
        """Bytes that the cache takes, by the measured cost of what is in it."""
        return self.trimmer.memory_used()

    def maybe_fragment(self, directory: CDir) -> None:
        """A fragment has grown or shrunk: split or merge it if it is time."""
        self.fragmenter.maybe_fragment(directory)

    def split_dir(self, directory: CDir, bits: int) -> None:
        """Split a fragment into 2**bits, soon, if that can be done."""
        self.fragmenter.start_split(directory, bits)

    def merge_dir(self, inode: CInode, frag: Frag) -> None:
        """Make all fragments that lie in `frag` one, soon, if that can be done."""
        self.fragmenter.start_merge(inode, frag)

    def replay_fragment(self, event: EFragment, segment: LogSegment) -> None:
        """What a split or merge in the journal means for the cache."""
        self.fragmenter.replay(event, segment)

    async def finish_uncommitted_fragments(self) -> None:
        """After a replay, when the journal can be written: undo or end what was begun.

        Raises:
            RadosError: an object that nothing leads to cannot be removed.
        """
        await self.fragmenter.finish_uncommitted()

    # -- replay ------------------------------------------------------------------------------

    def force_dirfrag(self, inode: CInode, frag: Frag) -> CDir:
        """A fragment that the journal speaks of, whatever is in the cache of its directory."""
        return force_dirfrag(self.rank.cache, inode, frag)

    def force_dirfrags(self, inode: CInode) -> None:
        """A directory's tree was replaced: its fragments in the cache become leaves of it."""
        force_dirfrags(self.rank.cache, inode)

    def drop_dir(self, directory: CDir) -> None:
        """An empty fragment leaves the cache, and nothing of it is to be stored."""
        for segment in (directory.segment, directory.committing_segment):
            if segment is not None:
                segment.dirty_dirs.discard(directory)
                segment.done()
        directory.segment = None
        directory.dirty_items.clear()
        if directory.inode.dirs.get(directory.frag) is directory:
            del directory.inode.dirs[directory.frag]
            self.rank.cache.num_dirs -= 1

    def drop_inode(self, inode: CInode) -> None:
        """An inode that is no more leaves the cache, with its fragments."""
        for directory in list(inode.dirs.values()):
            self.drop_dir(directory)
        if inode.base_segment is not None:
            inode.base_segment.dirty_bases.discard(inode)
        if inode.backtrace_segment is not None:
            inode.backtrace_segment.dirty_backtraces.discard(inode)
        if inode.nest_segment is not None:
            inode.nest_segment.dirty_nests.discard(inode)
        for segment in self.rank.mdlog.segments.values():
            if segment.open_files:
                segment.open_files.discard(inode)
            if segment.truncating:
                segment.truncating.discard(inode)
        inode.base_segment = inode.backtrace_segment = inode.nest_segment = None
        for dn in list(inode.remote_parents or ()):
            dn.remote_inode = None
        self.rank.cache.remove_inode(inode)
