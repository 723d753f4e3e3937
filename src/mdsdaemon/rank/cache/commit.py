"""Committing: what is dirty of a fragment is stored in its object.

What is to be stored is noted at once and encoded part by part, so that others are served meanwhile
and not all of a large fragment is in memory twice; of each part the journal has to have what it
holds before it is written. So a fragment that changes all the time can still be committed. What
changes meanwhile stays dirty, in the segment of that change. The header is that of the beginning
and goes last: with it the stored version is known to be whole.

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


SLICE = 256
"""Dentries that are encoded before others have their turn: a few milliseconds."""
PART = 2 << 20
"""Bytes of one operation on the object at most (and mds_dir_max_commit_size)."""


@define
class _Image:
    """What is to be written of a fragment.

    Attributes:
        header: as it is at the beginning.
        changes: by key, encoded, or None where it goes.
        waiting: by key, the dentries that are yet to be encoded, as they will be then.
    """

    header: bytes
    changes: dict[str, bytes | None] = field(factory=dict)
    waiting: dict[str, CDentry] = field(factory=dict)


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
        """What is dirty; it is under way from now on."""
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
            image.waiting = directory.dirty_items
        directory.committing_version = directory.fnode.version
        directory.committing_items, directory.dirty_items = directory.dirty_items, {}
        directory.committing_segment, directory.segment = directory.segment, None
        return image

    # -- writing -----------------------------------------------------------------------------

    async def _write(self, directory: CDir, image: _Image, new: bool) -> None:
        """One operation after another on the same object: the OSD keeps their order."""
        rank, gather, part = self.rank, _Gather(), _Part(new)
        limit = self._max_size()

        async def write(part: _Part, header: bytes | None = None) -> None:
            await rank.mdlog.wait_safe()
            await rank.objecter.room()
            gather.expect()
            name, op = directory.object_name, part.operation(header)
            rank.objecter.submit(rank.metadata_pool, name, op, gather.finish)

        for number, (key, value) in enumerate(self._encoded(image), 1):
            if part.size and part.size + room_for(key, value) > limit:
                await write(part)
                part = _Part(new)
            part.add(key, value)
            if not number % SLICE:
                await trio.lowlevel.checkpoint()
        await write(part, image.header)
        await gather.wait()

    def _encoded(self, image: _Image) -> Iterator[tuple[str, bytes | None]]:
        yield from image.changes.items()
        for key, dn in image.waiting.items():
            yield key, None if dn.is_null else encode_dentry(dn)

    def _max_size(self) -> int:
        config = self.rank.config
        size = config.get_int("mds_dir_max_commit_size")
        return min(size << 20 if size else config.get_int("osd_max_write_size") * 943718, PART)

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


def room_for(key: str, value: bytes | None) -> int:
    """Bytes of a change in an operation."""
    return 4 + len(key) if value is None else 8 + len(key) + len(value)


class _Part:
    """One operation in the making."""

    def __init__(self, new: bool) -> None:
        self.size = 0
        self._new = new
        self._values: dict[str, bytes] = {}
        self._removed: list[str] = []

    def add(self, key: str, value: bytes | None) -> None:
        self.size += room_for(key, value)
        if value is None:
            self._removed.append(key)
        else:
            self._values[key] = value

    def operation(self, header: bytes | None) -> ObjectOperation:
        op = ObjectOperation()
        if not self._new:
            op.assert_exists()  # what somebody has removed is not made again
        if header is not None:
            op.omap_set_header(header)
        if self._values:
            op.omap_set(self._values)
        if self._removed:
            op.omap_rm_keys(self._removed)
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
        """Wait for all that is expected by now; raises RadosError."""
        if self._left:
            self._done = trio.Event()  # it may have been set between two requests
            await self._done.wait()
        if self._error is not None:
            raise self._error
