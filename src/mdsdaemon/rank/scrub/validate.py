"""Checking one inode: its backtrace, its number, for directories also their sums.

Behaviour: ceph/ceph, src/mds/CInode.cc, validate_disk_state; src/mds/inode_backtrace.cc, compare
(Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError, Str, decode, encode
from mdsdaemon.rank.cache.backtraces import backtrace_object
from mdsdaemon.rank.scrub.header import Check, ScrubHeader, Validation
from mdsdaemon.rank.scrub.repair import (
    repair_inode_sums,
    same_counts,
    same_sums,
    sums_of_frags,
)
from mdsdaemon.types.backtrace import Backtrace
from mdsdaemon.types.snap import SnapRealm

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.types.inode import Inode


class Validator:
    """Checks inodes of one rank."""

    def __init__(self, rank: RankCore) -> None:
        self._rank = rank

    async def validate(self, inode: CInode, header: ScrubHeader) -> Validation:
        """Check an inode whose fragments are in the cache, and mend it if that was asked for.

        Raises:
            RadosError: our address is fenced, or the rank ends.
        """
        result = Validation()
        code, raw = await self._fetch(inode, header)
        result.performed = True
        self._check_backtrace(inode, header, result.backtrace, code, raw)
        await self._check_number(inode, header)
        counters = self._rank.counters.mds
        if inode.is_dir:
            counters.inc("scrub_dir_inodes")
            if inode.is_base:
                counters.inc("scrub_dir_base_inodes")
                await self._check_stored(inode, result.inode)
            else:
                counters.inc("scrub_dirfrag_rstats")
            self._check_sums(inode, header, result.raw_stats)
        else:
            counters.inc("scrub_file_inodes")
        checks = (result.backtrace, result.inode, result.raw_stats)
        result.passed = not any(c.checked and not c.passed for c in checks)
        if any(c.repaired for c in checks):
            header.repaired = True
        return result

    # -- backtrace ---------------------------------------------------------------------------

    async def _fetch(self, inode: CInode, header: ScrubHeader) -> tuple[int, bytes]:
        """(0 or a negative errno, the stored backtrace); leaves the tag with the object."""
        rank = self._rank
        pool = rank.store.backtraces.pool_of(inode)
        oid = backtrace_object(inode.ino)
        op = ObjectOperation()
        found = op.getxattr("parent")
        code, raw = 0, b""
        try:
            raw = (await rank.objecter.operate(pool, oid, op))[found]
        except RadosError as e:
            if e.errno == errno.ESHUTDOWN:
                raise
            code = -(e.errno or errno.EIO)
        rank.counters.mds.inc("openino_backtrace_fetch")
        rank.counters.mds.inc("scrub_backtrace_fetch")
        if not header.internal_tag and not code and not rank.read_only:
            tag = ObjectOperation().setxattr("scrub_tag", encode(Str, header.tag))
            try:
                await rank.objecter.operate(pool, oid, tag)
            except RadosError as e:
                rank.log.warning("scrub: cannot tag %s: %s", oid, e)
            rank.counters.mds.inc("scrub_set_tag")
        return code, raw

    def _check_backtrace(
        self, inode: CInode, header: ScrubHeader, check: Check, code: int, raw: bytes
    ) -> None:
        check.checked = True
        check.ondisk_read_retval = code
        memory = check.memory = self._rank.store.backtraces.build(inode)
        unwritten = inode.backtrace_segment is not None
        if inode.is_mdsdir:
            check.passed = True  # it has none
        elif code:
            check.error = "failed to read off disk; see retval"
            check.passed = unwritten
        else:
            try:
                disk = check.ondisk = decode(Backtrace, raw)
            except DecodeError:
                check.error = f"failed to decode on-disk backtrace ({len(raw)} bytes)!"
                check.passed = unwritten
            else:
                newer, divergent = compare(memory, disk)
                if divergent or newer < 0:
                    check.error = "On-disk backtrace is divergent or newer"
                    gone = unwritten or inode.inode.nlink == 0
                    check.passed = divergent and gone
                else:
                    check.passed = True
        if not check.passed and header.repair and not self._rank.read_only:
            self._rewrite_backtrace(inode, check)

    def _rewrite_backtrace(self, inode: CInode, check: Check) -> None:
        rank = self._rank
        path = rank.cache.path_of(inode)
        rank.services.clog.warn(f"bad backtrace on inode 0x{inode.ino:x}({path}), rewriting it")
        if inode.backtrace_segment is None:
            segment = rank.mdlog.segment
            inode.backtrace_segment = segment
            segment.dirty_backtraces.add(inode)
        check.repaired = True
        rank.counters.mds.inc("scrub_backtrace_repaired")

    # -- number ------------------------------------------------------------------------------

    async def _check_number(self, inode: CInode, header: ScrubHeader) -> None:
        """A number that is in use must not be free in the table."""
        rank = self._rank
        if not rank.inotable.is_marked_free(inode.ino):
            return
        clog = rank.services.clog
        clog.error(f"scrub: inode wrongly marked free: 0x{inode.ino:x}")
        if not header.repair or rank.read_only:
            return
        rank.inotable.repair(inode.ino)
        clog.error(f"inode table repaired for inode: 0x{inode.ino:x}")
        try:
            await rank.inotable.save()
        except (RadosError, JournalError) as e:
            rank.handle_write_error(e)
            return
        rank.counters.mds.inc("scrub_inotable_repaired")

    # -- directories -------------------------------------------------------------------------

    async def _check_stored(self, inode: CInode, check: Check) -> None:
        """A base inode in memory against its object."""
        check.checked = True
        check.memory = inode.inode
        try:
            disk = await self._rank.store.base.read_stored(inode.ino)
        except RadosError as e:
            if e.errno == errno.ESHUTDOWN:
                raise
            check.ondisk_read_retval = -(e.errno or errno.EIO)
            check.error = "On-disk inode cannot be read; "
            return
        except DecodeError as e:
            check.ondisk_read_retval = -errno.EINVAL
            check.error = f"On-disk inode cannot be decoded: {e}"
            return
        check.ondisk = disk
        if disk.version > inode.inode.version:
            check.error = "On-disk inode is newer than in-memory one; "
        elif not older_is_consistent(inode.inode, disk):
            check.error = "On-disk inode is divergent or newer than in-memory one; "
        else:
            check.passed = True

    def _check_sums(self, inode: CInode, header: ScrubHeader, check: Check) -> None:
        rank = self._rank
        check.checked = True
        if any(directory.damaged for directory in inode.dirs.values()):
            check.ondisk_read_retval = -errno.EIO
            check.error = "Failed to read dirfrags off disk"
            return
        num_snaps = snaps_at(inode)
        counts, sums = sums_of_frags(inode, num_snaps)
        stored = inode.inode
        check.memory, check.ondisk = (stored.dirstat, stored.rstat), (counts, sums)
        if same_counts(counts, stored.dirstat) and same_sums(sums, stored.rstat):
            check.passed = True
            return
        check.error = "freshly-calculated rstats don't match existing ones"
        if header.repair and not rank.read_only:
            check.error += " (will be fixed)"
            repair_inode_sums(rank, inode, num_snaps)
            check.repaired = True


def snaps_at(inode: CInode) -> int:
    """How many snapshots were made of this directory."""
    if not inode.snaprealm_blob:
        return 0
    try:
        return len(decode(SnapRealm, inode.snaprealm_blob).snaps)
    except DecodeError:
        return 0


def compare(memory: Backtrace, disk: Backtrace) -> tuple[int, bool]:
    """(1, 0 or -1: memory is newer, as old, older; whether they contradict each other)."""
    divergent = False
    newer = 0
    for step, (ours, theirs) in enumerate(zip(memory.ancestors, disk.ancestors, strict=False)):
        same = ours.dirino == theirs.dirino and ours.dname == theirs.dname
        if step == 0:
            divergent = not same
        elif divergent or not same:
            break
        if ours.version > theirs.version:
            divergent = divergent or (newer < 0 and step > 0)
            newer = 1
        elif ours.version < theirs.version:
            divergent = divergent or (newer > 0 and step > 0)
            newer = -1
    return newer, divergent


def older_is_consistent(ours: Inode, disk: Inode) -> bool:
    """Whether the stored inode can be an earlier state of ours (or the same)."""
    if ours.version == disk.version:
        return (
            ours.mode == disk.mode
            and ours.uid == disk.uid
            and ours.gid == disk.gid
            and ours.nlink == disk.nlink
            and ours.ctime == disk.ctime
            and ours.layout == disk.layout
            and ours.dirstat == disk.dirstat
            and ours.rstat == disk.rstat
        )
    return not (
        ours.max_size_ever < disk.max_size_ever
        or ours.truncate_seq < disk.truncate_seq
        or ours.time_warp_seq < disk.time_warp_seq
        or ours.dirstat.version < disk.dirstat.version
        or ours.rstat.version < disk.rstat.version
        or ours.accounted_rstat.version < disk.accounted_rstat.version
        or ours.file_data_version < disk.file_data_version
        or ours.xattr_version < disk.xattr_version
        or ours.backtrace_version < disk.backtrace_version
    )
