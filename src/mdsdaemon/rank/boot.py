"""Making a rank's objects, and reading them: the steps that several states share.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, boot_create, boot_start, validate_sessions, replay_done
(Pacific)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.waiting import side_by_side

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


async def together(*works: Callable[[], Awaitable[None]]) -> None:
    """Do these side by side; the first error ends the others and is raised as it is."""
    await side_by_side(lambda work: work(), works, len(works))


async def create(rank: MDSRank) -> None:
    """The objects of a new file system; each is on disk when this returns."""
    log = rank.log
    log.info("boot_create creating fresh journal")
    await rank.mdlog.create()
    rank.spawn(rank.mdlog.run, "journal")
    log.info("boot_create creating fresh hierarchy")
    rank.store.create_root_and_mydir()
    rank.inotable.create()
    rank.sessionmap.create()
    rank.snaps.table.create()
    rank.openfiles.create()
    await together(
        *_stores(rank),
        rank.inotable.save,
        rank.sessionmap.save,
        rank.snaps.table.save,
        rank.purge_queue.create,
    )
    rank.mdlog.journal_subtree_map()
    rank.end_of_dispatch()
    await rank.mdlog.wait_safe()


def _stores(rank: MDSRank) -> list[Callable[[], Awaitable[None]]]:
    """Storing each fragment, base inode and backtrace that is dirty."""
    store, segment = rank.store, rank.mdlog.segment
    return [
        *(partial(store.commit_dir, directory) for directory in segment.dirty_dirs),
        *(partial(store.commit_base, inode) for inode in segment.dirty_bases),
        *(partial(store.write_backtrace, inode) for inode in segment.dirty_backtraces),
    ]


async def load_tables(rank: MDSRank, *, follow: bool = False) -> None:
    """All tables, side by side. `follow`: without what only the rank's holder may touch."""
    rank.log.info("Booting: opening inotable, sessionmap, snap table")
    works = [rank.inotable.load, rank.sessionmap.load, rank.snaps.table.load]
    if not follow:
        works.append(partial(load_rest, rank))
    await together(*works)


async def load_rest(rank: MDSRank) -> None:
    """Purge queue and open file table: what standby-replay leaves alone."""
    rank.log.info("Booting: opening purge queue, loading open file table")
    await together(rank.purge_queue.open, rank.openfiles.load)


async def wait_for_fence(rank: MDSRank) -> None:
    """Until the OSD map has our predecessor on its blocklist: it can write nothing any more."""
    wanted = rank.mdsmap.last_failure_osd_epoch
    if rank.objecter.epoch < wanted:
        rank.log.info(" waiting for osdmap %d (which blocklists prior instance)", wanted)
    await rank.objecter.wait_for_map(max(1, wanted))


def forget(rank: MDSRank) -> None:
    """What an unfinished load as a follower left behind must not mix with what is read now."""
    for inode in list(rank.cache.inodes.values()):
        rank.cache.remove_inode(inode)
    for session in list(rank.sessionmap):
        rank.sessionmap.remove_session(session)


def validate_sessions(rank: MDSRank) -> bool:
    """Whether the table of inode numbers agrees with what sessions were given of it."""
    valid = True
    for session in rank.sessionmap:
        if rank.inotable.intersects_free(session.prealloc_inos.as_dict()):
            rank.services.clog.error(
                f"client {session.name} loaded with preallocated inodes that are inconsistent "
                "with inotable"
            )
            valid = False
    if not valid:
        rank.damaged("sessionmap and inotable contradict each other")
    return valid


async def replay_done(rank: MDSRank) -> None:
    """The journal is ours now; what an operator asked for is done before the clients come."""
    config = rank.config
    rank.log.info("making mds journal writeable")
    await rank.mdlog.start_writing()
    rank.spawn(rank.mdlog.run, "journal")
    works: list[Callable[[], Awaitable[None]]] = []
    if config.get_bool("mds_wipe_sessions"):
        rank.log.info("wiping out client sessions")
        rank.sessionmap.wipe()
        works.append(rank.sessionmap.save)
    if config.get_bool("mds_wipe_ino_prealloc"):
        rank.log.info("wiping out ino prealloc from sessions")
        rank.sessionmap.wipe_ino_prealloc()
        works.append(rank.sessionmap.save)
    skip = config.get_int("mds_skip_ino")
    if skip:
        rank.log.info("skipping %d inodes", skip)
        rank.inotable.skip_inos(skip)
        works.append(rank.inotable.save)
    for work in works:
        await work()
    if is_alone(rank):
        rank.log.info("i am alone, moving to state reconnect")
        rank.request_state(State.RECONNECT)
    else:
        rank.log.info("i am not alone, moving to state resolve")
        rank.request_state(State.RESOLVE)


def is_alone(rank: MDSRank) -> bool:
    """Whether no other rank exists, up or failed."""
    mdsmap = rank.mdsmap
    return len(mdsmap.in_) == 1 and not mdsmap.failed
