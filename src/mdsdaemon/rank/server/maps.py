"""Requests that name what stands in a map which we may not have yet.

Behaviour: ceph/ceph, src/mds/Server.cc (check_layout_vxattr) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.rank.waiting import MustWait

if TYPE_CHECKING:
    from mdsdaemon.rank.server.request import MDRequest


def wait_for_map(req: MDRequest) -> None:
    """Have an MDSMap at least as new as the client's, since it names a pool of it.

    Raises:
        MustWait: until we have.
    """
    epoch = req.msg.mdsmap_epoch
    if epoch > req.rank.mdsmap.epoch:
        gate = req.rank.queue.gate()
        req.rank.when_mdsmap(epoch, gate.open)
        raise MustWait(gate)
