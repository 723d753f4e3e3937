"""Quotas: telling clients how much is below a directory that has one.

Behaviour: ceph/ceph, src/mds/MDCache.cc (broadcast_quota_to_client) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.messages.client_misc import MClientQuota

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.types.inode import Inode


def broadcast(rank: RankCore, inode: CInode, *, exclude: int = -1, changed: bool = False) -> None:
    """Tell clients that have the directory of its quota and sums, if they are worth telling.

    Args:
        exclude: this client is told only what it is worth to tell; -1: all are.
        changed: the quota itself is new: all others are told.
    """
    stored = inode.inode
    if not inode.caps or not (stored.quota.is_enabled or changed):
        return
    rbytes, rsize = stored.rstat.rbytes, stored.rstat.rsize
    for client, cap in inode.caps.items():
        known = cap.quota_seen
        worth = known != (rbytes, rsize) and _worth_telling(stored, *known)
        if not worth and (not changed or client == exclude):
            continue
        cap.quota_seen = (rbytes, rsize)
        msg = MClientQuota(
            ino=inode.ino,
            rctime=stored.rstat.rctime,
            rbytes=rbytes,
            rfiles=stored.rstat.rfiles,
            rsubdirs=stored.rstat.rsubdirs,
            quota=stored.quota,
        )
        cap.session.send(msg, rank.sessions.must_follow(client, inode))


def _worth_telling(stored: Inode, known_bytes: int, known_size: int) -> bool:
    """Near the limit every change counts, far from it a large one."""
    quota, rbytes, rsize = stored.quota, stored.rstat.rbytes, stored.rstat.rsize
    if quota.max_files > 0:
        if rsize >= quota.max_files:
            return True
        if abs(known_size - quota.max_files) >> 4 < abs(known_size - rsize):
            return True
    if quota.max_bytes > 0:
        if rbytes > quota.max_bytes - (quota.max_bytes >> 3):
            return True
        if abs(known_bytes - quota.max_bytes) >> 4 < abs(known_bytes - rbytes):
            return True
    return False
