"""starting: a rank that was stopped in good order begins anew; its journal holds nothing to replay.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, boot_start, starting_done (Pacific)
"""

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank import boot
from mdsdaemon.rank.states.base import StateWork
from mdsdaemon.rank.waiting import until_done


class Starting(StateWork):
    """Tables and base inodes are read, the journal is continued at its end."""

    state = State.STARTING
    boots = True

    async def run(self) -> None:
        rank = self.rank
        mdlog = rank.mdlog
        await boot.wait_for_fence(rank)
        await boot.load_tables(rank)
        await rank.store.load_base()
        await mdlog.open()
        await mdlog.start_writing()
        rank.spawn(mdlog.run, "journal")
        # what is loaded may have to be marked dirty
        mdlog.prepare_new_segment()
        mydir = rank.cache.mydir
        assert mydir is not None
        await until_done(lambda: rank.store.all_dirs(mydir))
        mdlog.journal_subtree_map()
        rank.end_of_dispatch()
        rank.log.info("starting_done")
        rank.request_state(State.ACTIVE)
