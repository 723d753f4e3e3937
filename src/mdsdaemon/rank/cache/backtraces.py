"""Backtraces: where an inode lies in the tree, stored with its first object.

Files have theirs in their data pool, and in the pools that their data was in before, where readers
learn of the new one; directories have theirs in the metadata pool.

Format and behaviour: ceph/ceph, src/mds/CInode.cc (build_backtrace, store_backtrace,
_stored_backtrace) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import encode
from mdsdaemon.types.backtrace import BackPointer, Backtrace
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.layout import FileLayout

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore


def backtrace_object(ino: int) -> str:
    """The object that has an inode's backtrace: its first."""
    return f"{ino:x}.00000000"


class Backtraces:
    """See the module."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank

    def pool_of(self, inode: CInode) -> int:
        """The pool that has an inode's backtrace."""
        return self.rank.metadata_pool if inode.is_dir else inode.inode.layout.pool_id

    def build(self, inode: CInode) -> Backtrace:
        """The steps from an inode up to its base."""
        pool = self.pool_of(inode)
        steps: list[BackPointer] = []
        at = inode
        while (dn := at.parent) is not None:
            above = dn.dir.inode
            steps.append(BackPointer(above.ino, dn.name, at.inode.version))
            at = above
        # a pool that the file has come back to is no old one: readers would go in circles
        old = [one for one in inode.inode.old_pools if one != pool]
        return Backtrace(inode.ino, steps, pool, old)

    async def write(self, inode: CInode) -> None:
        """Store the backtrace as it is now.

        Raises:
            RadosError: it could not be written, and is still to be.
        """
        if inode.backtrace_segment is None:
            return
        version, pools = inode.inode.backtrace_version, inode.backtrace_pools
        trace = self.build(inode)
        parent = encode(Backtrace, trace, FEATURES_PACIFIC)
        layout = encode(FileLayout, inode.inode.layout, FEATURES_PACIFIC)
        inode.pins += 1  # were it purged meanwhile, this would make its object anew
        try:
            await self.rank.mdlog.wait_safe()
            await self._put(inode.ino, trace.pool, parent, layout)
            for pool in trace.old_pools if pools else ():
                await self._put(inode.ino, pool, parent, None)
        finally:
            inode.pins -= 1
        if version == inode.inode.backtrace_version and inode.backtrace_segment is not None:
            inode.backtrace_segment.dirty_backtraces.discard(inode)
            inode.backtrace_segment, inode.backtrace_pools = None, False

    async def _put(self, ino: int, pool: int, parent: bytes, layout: bytes | None) -> None:
        op = ObjectOperation().create().setxattr("parent", parent)
        if layout is not None:
            op.setxattr("layout", layout)
        try:
            await self.rank.objecter.operate(pool, backtrace_object(ino), op)
        except RadosError as error:
            # the pool was deleted: there is no data to which the backtrace could belong
            if error.errno != errno.ENOENT:
                raise
