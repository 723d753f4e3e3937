"""active: clients are served.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, active_start, recovery_done (Pacific)
"""

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.states.base import StateWork
from mdsdaemon.rank.states.recovered import after_recovery

RECOVERING = (State.REJOIN, State.RECONNECT)


class Active(StateWork):
    """What waited for it goes on; what a predecessor left half-done is finished."""

    state = State.ACTIVE

    def enter(self) -> None:
        rank = self.rank
        rank.log.info("active_start")
        if not rank.snaps.recovered:
            rank.snaps.finish_recovery()
        rank.openfiles.clean_lists()
        rank.locker.reissue_all_caps()
        rank.dispatch.go_active()

    async def run(self) -> None:
        await after_recovery(self.rank, recovered=self.before in RECOVERING)

    def tick(self) -> None:
        self.rank.scrubstack.tick()
