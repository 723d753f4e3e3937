"""resolve and reconnect: clients say what they hold.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, resolve_start, reconnect_start (Pacific)
"""

from typing import Any

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.states.base import StateWork


class Resolve(StateWork):
    """Alone there is nothing to agree upon with other ranks."""

    state = State.RESOLVE

    def enter(self) -> None:
        self.rank.log.info("resolve_start")
        self.rank.snaps.finish_recovery()

    async def run(self) -> None:
        await self.rank.store.finish_uncommitted_fragments()
        self.rank.request_state(State.RECONNECT)

    def dump_status(self) -> dict[str, Any]:
        return {"resolve_status": {"resolve_gather": "", "resolve_ack_gather": ""}}


class Reconnect(StateWork):
    """Every session of the journal has mds_reconnect_timeout to come back with its caps."""

    state = State.RECONNECT

    def enter(self) -> None:
        rank = self.rank
        rank.log.info("reconnect_start")
        if not rank.snaps.recovered:
            rank.snaps.finish_recovery()
        killed = rank.sessions.apply_blocklist()
        if killed:
            rank.log.info("reconnect_start: killed %d blocklisted sessions", killed)
            rank.set_osd_epoch_barrier(rank.objecter.epoch)
        rank.sessions.reconnect_start()

    async def run(self) -> None:
        rank = self.rank
        if self.before == State.REPLAY:
            await rank.store.finish_uncommitted_fragments()
        await rank.sessions.reconnect_wait()
        rank.log.info("reconnect_done")
        rank.request_state(State.REJOIN)

    def dump_status(self) -> dict[str, Any]:
        return {"reconnect_status": self.rank.sessions.reconnect_status()}

    def tick(self) -> None:
        status = self.rank.sessions.reconnect_status()
        self.rank.log.info(
            "reconnect: %d of %d clients are back, waiting for %s",
            status["done"],
            status["total"],
            status["client_reconnect_gather"],
        )
