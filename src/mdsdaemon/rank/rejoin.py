"""Opening what clients hold: files that were open first, then all inodes of their reconnects.

Behaviour: ceph/ceph, src/mds/MDCache.cc, process_imported_caps and what follows;
src/mds/OpenFileTable.cc, prefetch_inodes (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from mdsdaemon.rank.snap.notify import after_reconnect

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


@define
class Progress:
    """How far it is: inodes to be opened, and those that are."""

    total: int = 0
    done: int = 0
    step: str = "waiting"

    def dump(self) -> dict[str, Any]:
        """For `status`; the first three keys are ceph-mds's."""
        return {
            "rejoin_gather": "",
            "rejoin_ack_gather": "",
            "num_opening_inodes": self.total - self.done,
            "step": self.step,
            "done": self.done,
            "total": self.total,
        }


async def rejoin(rank: MDSRank, progress: Progress) -> None:
    """See the module."""
    progress.step = "open files"
    await rank.openfiles.prefetch()
    progress.step = "capabilities"
    await rank.sessions.rejoin_caps(progress)
    realms = rank.sessions.reconnect.realms
    after_reconnect(rank, realms)
    realms.clear()
    rank.recovery.identify()
    progress.step = "done"
