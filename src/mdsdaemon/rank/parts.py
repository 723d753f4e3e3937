"""Making the parts of a rank, in the order in which they know each other.

One file knows all of them, so that none of them has to import the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.cache.cache import MDCache
from mdsdaemon.rank.cache.store import CacheStore
from mdsdaemon.rank.damage import DamageTable
from mdsdaemon.rank.locks.locker import Locker
from mdsdaemon.rank.log.mdlog import MDLog
from mdsdaemon.rank.optracker import OpTracker
from mdsdaemon.rank.recovery import RecoveryQueue
from mdsdaemon.rank.scrub.stack import ScrubStack
from mdsdaemon.rank.server.server import Server
from mdsdaemon.rank.sessions.sessions import Sessions
from mdsdaemon.rank.snap.snaps import Snaps
from mdsdaemon.rank.strays import StrayManager
from mdsdaemon.rank.tables.inotable import InoTable
from mdsdaemon.rank.tables.openfiles import OpenFileTable
from mdsdaemon.rank.tables.purge_queue import PurgeQueue
from mdsdaemon.rank.tables.sessionmap import SessionMapStore
from mdsdaemon.rank.truncate import Truncator

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


def make_parts(rank: MDSRank) -> None:
    """Put the parts in place; none of them runs yet."""
    rank.damage = DamageTable(rank)
    rank.optracker = OpTracker(rank.config, rank.host.wall)
    rank.cache = MDCache(rank)
    rank.store = CacheStore(rank)
    rank.mdlog = MDLog(rank)
    rank.inotable = InoTable(rank)
    rank.sessionmap = SessionMapStore(rank)
    rank.snaps = Snaps(rank)
    rank.openfiles = OpenFileTable(rank)
    rank.purge_queue = PurgeQueue(rank)
    rank.strays = StrayManager(rank)
    rank.sessions = Sessions(rank)
    rank.locker = Locker(rank)
    rank.store.trimmer.num_caps = lambda: rank.locker.num_caps
    rank.truncator = Truncator(rank)
    rank.recovery = RecoveryQueue(rank)
    rank.server = Server(rank)
    rank.scrubstack = ScrubStack(rank)
    rank.tables = {
        "inotable": rank.inotable,
        "sessionmap": rank.sessionmap,
        "snaptable": rank.snaps.table,
    }
