"""A rank's performance counters: `perf dump`, and what the manager gets.

Parts count events themselves (`rank.counters.mds.inc("dir_fetch")`); gauges are set when somebody
looks.

Names: ceph/ceph, src/mds/MDSRank.cc, create_logger, and those of the parts (Pacific)
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

from mdsdaemon.perf import PerfCounters
from mdsdaemon.rank import counter_tables as tables
from mdsdaemon.rank.counter_tables import make_group

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore


STRAY_DIRS = 12
"""Inodes that never leave the cache: root, mdsdir, the directories of strays."""


class RankCounters:
    """All groups of one rank."""

    def __init__(self, rank: RankCore) -> None:
        self._rank = rank
        self.mds = make_group("mds", tables.MDS)
        self.cache = make_group("mds_cache", tables.MDS_CACHE)
        self.mem = make_group("mds_mem", tables.MDS_MEM)
        self.server = make_group("mds_server", tables.MDS_SERVER)
        self.sessions = make_group("mds_sessions", tables.MDS_SESSIONS)
        self.purge_queue = make_group("purge_queue", tables.PURGE_QUEUE)
        self.oft = make_group("oft", tables.OPEN_FILES)
        self.traverse, self.traverse_hit = self.mds["traverse"], self.mds["traverse_hit"]
        self._registered: list[PerfCounters] = []

    def register(self) -> None:
        """Show them, and those of the parts that have groups of their own."""
        perf = self._rank.services.perf
        self._registered = [
            self.mds, self.cache, self.mem, self.server, self.sessions, self.purge_queue, self.oft,
            self._rank.mdlog.counters.group,
        ]  # fmt: skip
        for group in self._registered:
            perf.add(group)
        perf.on_dump(self.refresh)

    def unregister(self) -> None:
        """The rank is gone."""
        perf = self._rank.services.perf
        for group in self._registered:
            perf.remove(group)
        self._registered = []

    def refresh(self) -> None:
        """Set the gauges."""
        if not self._registered:
            return
        rank = self._rank
        cache, locker = rank.cache, rank.locker
        inodes = len(cache)
        mds, mem = self.mds, self.mem
        mds.set("inodes", inodes)
        mds.set("caps", locker.num_caps)
        mds.set("inodes_with_caps", locker.num_inodes_with_caps)
        mds.set("subtrees", 2 if cache.root is not None else 0)
        root = cache.root
        if root is not None:
            mds.set("root_rfiles", root.inode.rstat.rfiles)
            mds.set("root_rbytes", root.inode.rstat.rbytes)
            mds.set("root_rsnaps", root.inode.rstat.rsnaps)
        for name, now, ever in (
            ("ino", inodes, cache.inodes_added),
            ("dn", cache.num_dentries, cache.dentries_added),
            ("dir", cache.num_dirs, cache.dirs_added),
            ("cap", locker.num_caps, locker.caps_added),
        ):
            mem.set(name, now)
            mem[f"{name}+"].value = ever
            mem[f"{name}-"].value = ever - now
        mds.set("inodes_pinned", locker.num_inodes_with_caps + STRAY_DIRS)
        mds.set("inodes_bottom", inodes)  # there is no order in which they would go
        mds.set("inodes_expired", rank.store.trimmer.trimmed)
        rss, heap = memory_kib()
        mem.set("rss", rss)
        mem.set("heap", heap)
        rank.strays.count()
        rank.sessions.upkeep.count()


def memory_kib() -> tuple[int, int]:
    """KiB of the process that are resident, and those that are its data; 0 where the system does
    not tell.
    """
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0, 0
    page = resource.getpagesize() // 1024
    return int(fields[1]) * page, int(fields[5]) * page
