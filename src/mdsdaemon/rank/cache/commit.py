"""Committing: what is dirty of a fragment is stored in its object.

What is to be stored is encoded at once, then the journal has to have it, then it is written: a
fragment that changes all the time can still be committed. What changes meanwhile stays dirty, in
the segment of that change. The header goes last: with it the stored version is known to be whole.

Behaviour: ceph/ceph, src/mds/CDir.cc (commit, _omap_commit, _omap_commit_ops, _committed) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation, Result
from mdsdaemon.encoding import encode
from mdsdaemon.rank.cache.dentry_codec import encode_dentry
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.stats import FNode

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.core import RankCore


@define
class _Image:
    """What is written of a fragment."""

    header: bytes
    changes: dict[str, bytes | None] = field(factory=dict)
    """By key: the value, or None to remove it."""


class Committer:
    """See the module."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank

    async def commit(self, directory: CDir) -> None:
        """Store the fragment as it is now, or newer.

        Raises:
            RadosError: it could not be written: everything is dirty as before.
        """
        wanted = directory.fnode.version
        while directory.is_dirty and directory.committed_version < wanted:
            if directory.committed is not None:
                await directory.committed.wait()
            else:
                await self._commit(directory)

    async def _commit(self, directory: CDir) -> None:
        if directory.damaged:
            raise RadosError(
                errno.EIO, directory.object_name, "", "what is there could not be read"
            )
        rank = self.rank
        rank.counters.mds.inc("dir_commit")
        version, image, new = directory.fnode.version, self._take(directory), directory.new
        directory.committed = rank.queue.gate()
        done = False
        try:
            await rank.mdlog.wait_safe()
            await self._write(directory, image, new)
            done = True
        except RadosError as error:
            # a directory that is being purged may be half gone when a rank takes it up again
            half_gone = directory.inode.is_stray and not directory.committed_version
            dropped = directory.inode.dirs.get(directory.frag) is not directory
            if error.errno != errno.ENOENT or not (half_gone or dropped):
                raise
            done = True
        finally:
            gate, directory.committed = directory.committed, None
            if done:
                self._stored(directory, version)
            else:
                self._not_stored(directory)
            gate.open()

    # -- before ------------------------------------------------------------------------------

    def _take(self, directory: CDir) -> _Image:
        """Encode what is dirty; it is under way from now on."""
        snaps, live = self.rank.snaps, None
        if snaps.any_snapshots:
            live = snaps.purger.live_snaps(directory)
            snaps.purger.cleaned(directory, live)
        image = _Image(encode(FNode, directory.fnode, FEATURES_PACIFIC))
        if directory.stale_keys:
            image.changes.update(dict.fromkeys(directory.stale_keys))
            directory.stale_keys = None
        if snaps.any_snapshots:
            for key, dn in directory.dirty_items.items():
                stays = not dn.is_null and snaps.purger.tidy(directory, dn, live)
                image.changes[key] = encode_dentry(dn) if stays else None
        else:
            for key, dn in directory.dirty_items.items():
                image.changes[key] = None if dn.is_null else encode_dentry(dn)
        directory.committing_version = directory.fnode.version
        directory.committing_items, directory.dirty_items = directory.dirty_items, {}
        directory.committing_segment, directory.segment = directory.segment, None
        return image

    # -- writing -----------------------------------------------------------------------------

    async def _write(self, directory: CDir, image: _Image, new: bool) -> None:
        """One operation after another on the same object: the OSD keeps their order."""
        gather = _Gather()
        for op in self._operations(image, new):
            await self.rank.objecter.room()
            gather.expect()
            self.rank.objecter.submit(
                self.rank.metadata_pool, directory.object_name, op, gather.finish
            )
        await gather.wait()

    def _operations(self, image: _Image, new: bool) -> Iterator[ObjectOperation]:
        limit = self._max_size()
        size, values, removed = 0, dict[str, bytes](), list[str]()
        for key, value in image.changes.items():
            more = 4 + len(key) if value is None else 8 + len(key) + len(value)
            if size + more > limit and size:
                yield _operation(new, None, values, removed)
                size, values, removed = 0, {}, []
            size += more
            if value is None:
                removed.append(key)
            else:
                values[key] = value
        yield _operation(new, image.header, values, removed)

    def _max_size(self) -> int:
        config = self.rank.config
        size = config.get_int("mds_dir_max_commit_size")
        return size << 20 if size else config.get_int("osd_max_write_size") * 943718

    # -- afterwards --------------------------------------------------------------------------

    def _stored(self, directory: CDir, version: int) -> None:
        directory.committed_version = version
        directory.committing_version = 0
        directory.new = False
        items, directory.committing_items = directory.committing_items, {}
        segment, directory.committing_segment = directory.committing_segment, None
        if segment is not None and directory.segment is not segment:
            segment.dirty_dirs.discard(directory)
        if directory.complete or directory.inode.is_stray_dir:
            for key, dn in items.items():
                if dn.is_null and key not in directory.dirty_items:
                    self.drop_null(dn)

    def drop_null(self, dn: CDentry) -> bool:
        """Take a clean null dentry out of the cache, unless somebody needs it; whether it went."""
        directory = dn.dir
        if dn.pins or dn.leases or dn.lock is not None or directory.loads:
            return False
        if directory.lookup_exact(dn.name, dn.last) is not dn:
            return False
        self.rank.cache.remove_dentry(dn)
        return True

    def _not_stored(self, directory: CDir) -> None:
        """Everything is as dirty as before."""
        items, directory.committing_items = directory.committing_items, {}
        directory.committing_version = 0
        directory.dirty_items = items | directory.dirty_items
        segment, directory.committing_segment = directory.committing_segment, None
        if segment is None or directory.segment is segment:
            return
        if directory.segment is not None:
            directory.segment.dirty_dirs.discard(directory)
        directory.segment = segment


def _operation(
    new: bool, header: bytes | None, values: dict[str, bytes], removed: list[str]
) -> ObjectOperation:
    op = ObjectOperation()
    if not new:
        op.assert_exists()  # what somebody has removed is not made again
    if header is not None:
        op.omap_set_header(header)
    if values:
        op.omap_set(values)
    if removed:
        op.omap_rm_keys(removed)
    return op


class _Gather:
    """Waits for some requests; the first error counts."""

    def __init__(self) -> None:
        self._left = 0
        self._error: RadosError | None = None
        self._done = trio.Event()

    def expect(self) -> None:
        self._left += 1

    def finish(self, outcome: Result | RadosError) -> None:
        self._left -= 1
        if isinstance(outcome, RadosError) and self._error is None:
            self._error = outcome
        if not self._left:
            self._done.set()

    async def wait(self) -> None:
        """Wait for all; raises RadosError."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
