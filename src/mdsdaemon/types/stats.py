"""Sums over directories: of one fragment or directory, and of everything below.

Format: ceph/ceph, src/mds/mdstypes.h and .cc (Pacific).
"""

from mdsdaemon.encoding import S64, U32, U64, Time, field, wire


@wire(v=3, compat=2, ceph="frag_info_t")
class FragInfo:
    """frag_info_t: counts of the entries of a directory or of one fragment of it."""

    version: int = field(U64, default=0)
    mtime: int = field(Time, default=0)
    nfiles: int = field(S64, default=0)
    nsubdirs: int = field(S64, default=0)
    change_attr: int = field(U64, default=0, since=3)

    @property
    def size(self) -> int:
        """Files and directories together."""
        return self.nfiles + self.nsubdirs


@wire(v=3, compat=2, ceph="nest_info_t")
class NestInfo:
    """nest_info_t: sums over everything below."""

    version: int = field(U64, default=0)
    rbytes: int = field(S64, default=0)
    rfiles: int = field(S64, default=0)
    rsubdirs: int = field(S64, default=0)
    ranchors: int = field(S64, default=0)
    rsnaps: int = field(S64, default=0)
    rctime: int = field(Time, default=0)

    @property
    def rsize(self) -> int:
        """Files and directories together."""
        return self.rfiles + self.rsubdirs


@wire(v=1, compat=1, ceph="quota_info_t")
class QuotaInfo:
    """quota_info_t: the most bytes and files below a directory, 0 for no limit."""

    max_bytes: int = field(S64, default=0)
    max_files: int = field(S64, default=0)

    @property
    def is_enabled(self) -> bool:
        """Whether there is a limit."""
        return bool(self.max_bytes or self.max_files)


@wire(v=4, compat=3, keep_tail=True, ceph="fnode_t")
class FNode:
    """fnode_t: the header of a directory fragment.

    Attributes:
        fragstat, rstat: what the fragment holds; ``accounted_`` is what its directory counts of it.
        damage_flags: what a scrub found wrong.
    """

    version: int = field(U64, default=0)
    snap_purged_thru: int = field(U64, default=0)
    fragstat: FragInfo = field(FragInfo, factory=FragInfo)
    accounted_fragstat: FragInfo = field(FragInfo, factory=FragInfo)
    rstat: NestInfo = field(NestInfo, factory=NestInfo)
    accounted_rstat: NestInfo = field(NestInfo, factory=NestInfo)
    damage_flags: int = field(U32, default=0, since=3)
    recursive_scrub_version: int = field(U64, default=0, since=4)
    recursive_scrub_stamp: int = field(Time, default=0, since=4)
    localized_scrub_version: int = field(U64, default=0, since=4)
    localized_scrub_stamp: int = field(Time, default=0, since=4)


@wire(v=2, compat=2, ceph="old_rstat_t")
class OldRStat:
    """old_rstat_t: the sums that a fragment had in snapshots from ``first`` on."""

    first: int = field(U64, default=0)
    rstat: NestInfo = field(NestInfo, factory=NestInfo)
    accounted_rstat: NestInfo = field(NestInfo, factory=NestInfo)
