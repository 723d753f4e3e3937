"""rejoin: the inodes that clients hold caps of are opened.

Behaviour: ceph/ceph, src/mds/MDCache.cc, rejoin_start and what follows (Pacific)
"""

from typing import Any

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank import rejoin
from mdsdaemon.rank.states.base import StateWork


class Rejoin(StateWork):
    """Open files first, then everything else that clients named in their reconnect."""

    state = State.REJOIN

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.progress = rejoin.Progress()

    def enter(self) -> None:
        self.rank.log.info("rejoin_start")

    async def run(self) -> None:
        rank = self.rank
        await rejoin.rejoin(rank, self.progress)
        rank.log.info("rejoin_done")
        if rank.cache.root is None:
            rank.damaged("No subtrees found for root MDS rank!")
            return
        replay = rank.dispatch.num_replay or rank.sessions.num_pending_reclaim()
        rank.request_state(State.CLIENTREPLAY if replay else State.ACTIVE)

    def dump_status(self) -> dict[str, Any]:
        return {"rejoin_status": self.progress.dump()}

    def tick(self) -> None:
        progress = self.progress
        self.rank.log.info(
            "rejoin: %s, %d of %d inodes", progress.step, progress.done, progress.total
        )
