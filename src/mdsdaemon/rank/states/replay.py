"""replay and standby-replay: the journal is read, once or for as long as another has the rank.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, replay_start, standby_replay_restart, replay_done
(Pacific)
"""

from typing import Any

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank import boot
from mdsdaemon.rank.states.base import StateWork


class StandbyReplay(StateWork):
    """Tables and journal are read, then followed; replay takes over what is in memory.

    Attributes:
        warm: the journal is open, and what was read of it is whole.
    """

    state = State.STANDBY_REPLAY
    boots = True
    warm = False

    async def run(self) -> None:
        rank = self.rank
        rank.log.info("replay_start")
        await boot.wait_for_fence(rank)
        await boot.load_tables(rank, follow=True)
        await rank.store.load_base()
        await rank.mdlog.open(follow=True)
        self.warm = True
        await rank.mdlog.replaying.follow()

    def carry(self) -> Any:
        return self.warm

    def dump_status(self) -> dict[str, Any]:
        return {"replay_status": self.rank.mdlog.dump_replay_status()}


class Replay(StateWork):
    """The whole journal, or what is left of it after standby-replay; then it is ours to write.

    `carried` is what `StandbyReplay.warm` was.
    """

    state = State.REPLAY
    boots = True

    async def run(self) -> None:
        rank = self.rank
        rank.log.info("replay_start")
        await boot.wait_for_fence(rank)
        if self.carried:
            rank.log.info("standby_replay_restart (final takeover pass)")
            await boot.together(rank.mdlog.replaying.take_over, lambda: boot.load_rest(rank))
        else:
            if self.before == State.STANDBY_REPLAY:
                boot.forget(rank)
            await boot.load_tables(rank)
            await rank.store.load_base()
            await rank.mdlog.open()
            await rank.mdlog.replay()
        rank.log.info("Finished replaying journal")
        if boot.validate_sessions(rank):
            await boot.replay_done(rank)

    def dump_status(self) -> dict[str, Any]:
        return {"replay_status": self.rank.mdlog.dump_replay_status()}
