"""starting: a rank that was stopped in good order begins anew; its journal holds nothing to replay.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, boot_start, starting_done (Pacific)
"""

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank import boot
from mdsdaemon.rank.states.base import StateWork


class Starting(StateWork):
    """Tables and base inodes are read, the journal is continued at its end."""

    state = State.STARTING
    boots = True

    async def run(self) -> None:
        rank = self.rank
        await boot.wait_for_fence(rank)
        await boot.load_tables(rank)
        await rank.store.load_base()
        await rank.store.load_strays()
        await rank.mdlog.open()
        await rank.mdlog.start_writing()
        rank.spawn(rank.mdlog.run, "journal")
        rank.log.info("starting_done")
        rank.request_state(State.ACTIVE)
        rank.mdlog.start_new_segment()
        rank.end_of_dispatch()
