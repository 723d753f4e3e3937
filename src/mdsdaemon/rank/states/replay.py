"""replay and standby-replay: the journal is read, once or for as long as another has the rank.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, replay_start, standby_replay_restart, replay_done
(Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon import collector
from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank import boot
from mdsdaemon.rank.states.base import StateWork

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


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

    def tick(self) -> None:
        log_progress(self.rank, "standby-replay")


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
            with collector.resting():
                await rank.mdlog.replay()
        rank.log.info("Finished replaying journal")
        if boot.validate_sessions(rank):
            await boot.replay_done(rank)

    def dump_status(self) -> dict[str, Any]:
        return {"replay_status": self.rank.mdlog.dump_replay_status()}

    def tick(self) -> None:
        log_progress(self.rank, "replay")


def log_progress(rank: MDSRank, state: str) -> None:
    """How far the journal is read."""
    at = rank.mdlog.dump_replay_status()
    first, end = at["journal_expire_pos"], at["journal_write_pos"]
    read = max(at["journal_read_pos"], first)
    if not end:
        rank.log.info("%s: tables and base inodes are being read", state)
        return
    share = 100 * (read - first) // max(end - first, 1)
    rank.log.info("%s: %d%% of the journal, %d events", state, share, at["num_events"])
