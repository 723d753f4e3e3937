"""The answer to `status`.

Format: ceph/ceph, src/mds/MDSDaemon.cc, dump_status (Pacific)
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from mdsdaemon.maps.mds_info import RANK_NONE
from mdsdaemon.maps.mds_states import state_name

if TYPE_CHECKING:
    from mdsdaemon.maps.mds_map import MDSMap
    from mdsdaemon.rank.interface import Rank


def dump_status(
    *,
    fsid: uuid.UUID,
    gid: int,
    want_state: int,
    mdsmap: MDSMap,
    rank: Rank | None,
    uptime: float,
) -> dict[str, Any]:
    """Keys and order of ceph-mds; what the rank adds stands between state and mdsmap_epoch."""
    return {
        "cluster_fsid": str(fsid),
        "whoami": RANK_NONE if rank is None else rank.whoami,
        "id": gid,
        "want_state": state_name(want_state),
        "state": state_name(mdsmap.get_state_gid(gid)),
        **({} if rank is None else rank.dump_status()),
        "mdsmap_epoch": mdsmap.epoch,
        "osdmap_epoch": 0 if rank is None else rank.get_osd_epoch(),
        "osdmap_epoch_barrier": 0 if rank is None else rank.get_osd_epoch_barrier(),
        "uptime": uptime,
    }
