"""clientreplay: requests that clients had an unsafe reply to are done again.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, clientreplay_start, maybe_clientreplay_done (Pacific)
"""

from typing import Any

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.states.base import StateWork
from mdsdaemon.rank.states.recovered import after_recovery


class ClientReplay(StateWork):
    """One request after the other, in the order in which they came."""

    state = State.CLIENTREPLAY

    def enter(self) -> None:
        self.rank.log.info("clientreplay_start")

    async def run(self) -> None:
        rank = self.rank
        await after_recovery(rank)
        while rank.dispatch.replay_one():
            rank.end_of_dispatch()
            await rank.server.wait_idle()  # the next one may depend on it
            await rank.mdlog.wait_safe()
        await rank.sessions.wait_reclaimed()
        await rank.mdlog.wait_safe()
        rank.log.info("clientreplay_done")
        rank.request_state(State.ACTIVE)

    def dump_status(self) -> dict[str, Any]:
        return {
            "clientreplay_status": {
                "clientreplay_queue": self.rank.dispatch.num_replay,
                "active_replay": self.rank.server.num_requests(),
            }
        }
