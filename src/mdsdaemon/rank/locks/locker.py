"""Locker: capabilities, locks, leases and advisory file locks of a rank.

Its parts, each on top of the one before:

    issue.py       evaluate an inode's locks, give capabilities and ask for them back
    leases.py      leases on names
    acquire.py     locks for requests
    max_size.py    how far clients may write
    flush.py       what clients say of their capabilities
    file_locks.py  advisory locks
    silent.py      clients that are silent or gone
    reconnect.py   claims after a failover

The model of an inode's locks is `inode_locks.py` with the tables of `lock_states.py`, what a client
has is `capability.py`, ranges of advisory locks are `flock.py`: none of them does I/O.

Behaviour: ceph/ceph, src/mds/Locker.cc (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.reconnect import Reconnect
from mdsdaemon.rank.snap.flushes import clients_of, journal_open

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.log.segment import LogSegment


class Locker(Reconnect):
    """See the module."""

    def tick(self) -> None:
        """Every mds_tick_interval."""
        self.expire_leases()
        self.remind()

    def rejournal_open_files(self, segment: LogSegment) -> None:
        """The segment is to be forgotten: which of its files are open need not be.

        The open file table knows those, since Pacific; but not what clients have yet to say of
        snapshots: those inodes a replay has to know.
        """
        files, segment.open_files = segment.open_files, set()
        waiting = [inode for inode in files if clients_of(inode)]
        if waiting:
            now = self.rank.mdlog.segment
            journal_open(self.rank, waiting)
            now.open_files.update(waiting)

    def dump_locks(self, inode: CInode) -> dict[str, Any]:
        """For `dump inode`: the locks that are not at rest."""
        locks = inode.locks
        if locks is None:
            return {}
        names = {
            st.FILE: "filelock",
            st.AUTH: "authlock",
            st.LINK: "linklock",
            st.XATTR: "xattrlock",
        }
        dump: dict[str, Any] = {}
        for lock, name in names.items():
            queue = locks.queues[lock]
            if locks.target(lock) == st.SYNC and locks.is_stable(lock) and not queue:
                continue
            dump[name] = {
                "gather_set": [],
                "state": locks.name(lock),
                "is_leased": False,
                "num_rdlocks": sum(one.held and one.mode == st.RD for one in queue),
                "num_wrlocks": sum(one.held and one.mode == st.WR for one in queue),
                "num_xlocks": sum(one.held and one.mode == st.X for one in queue),
                "num_waiting": sum(not one.held for one in queue),
            }
        return dump
