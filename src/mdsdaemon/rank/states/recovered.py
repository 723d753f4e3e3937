"""After a recovery: what the predecessor of this rank had begun is finished.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, recovery_done (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


async def after_recovery(rank: MDSRank, *, recovered: bool = True) -> None:
    """Truncations, purges and sizes of files; then the strays are looked through.

    Args:
        recovered: the rank was another daemon's, or ours before.
    """
    if recovered:
        rank.log.info("recovery_done -- successful recovery!")
        rank.truncator.start_recovered()
        rank.recovery.start_queued()
        rank.end_of_dispatch()
    await rank.strays.populate_mydir()
    rank.end_of_dispatch()
