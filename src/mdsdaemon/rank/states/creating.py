"""creating: a file system that does not exist yet gets its first objects.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, boot_create (Pacific)
"""

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank import boot
from mdsdaemon.rank.states.base import StateWork


class Creating(StateWork):
    """Journal, root, mydir and strays, tables; then the rank asks to be active."""

    state = State.CREATING
    boots = True

    async def run(self) -> None:
        rank = self.rank
        await boot.wait_for_fence(rank)
        await boot.create(rank)
        rank.log.info("creating_done")
        rank.request_state(State.ACTIVE)
