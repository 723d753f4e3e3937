"""stopping: the file system is taken down; nothing is left in journal or cache.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, stopping_start, tick; src/mds/MDCache.cc, shutdown_pass
(Pacific)
"""

import trio

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.states.base import StateWork


class Stopping(StateWork):
    """Clients are evicted, strays purged as far as they can be, everything is stored."""

    state = State.STOPPING

    async def run(self) -> None:
        rank = self.rank
        rank.log.info("Stopping...")
        await rank.sessions.evict_all()
        try:
            await self._store_all()
        except (RadosError, JournalError) as e:
            # what could not be stored is in the journal, which only a replay reads: stay
            rank.handle_write_error(e)
            rank.log.error("the rank cannot stop: %s", e)
            return
        rank.log.info("Finished stopping...")
        rank.request_state(State.STOPPED)

    async def _store_all(self) -> None:
        """Leave nothing in the journal, and nothing to be purged.

        Raises:
            RadosError, JournalError: something could not be written.
        """
        rank = self.rank
        await rank.mdlog.trim_all()
        await rank.leisure.idle()
        while not rank.purge_queue.is_idle():
            done, total, in_flight = rank.purge_queue.drain_progress()
            rank.services.clog.info(
                f"MDS rank {rank.whoami} waiting for purge queue "
                f"({done}/{total} {in_flight} files purging)"
            )
            with trio.move_on_after(rank.config.get_float("mds_tick_interval")):
                await rank.purge_queue.wait_idle()
        await rank.leisure.idle()
        await rank.mdlog.cap()
