"""Requests that name what stands in a map which we may not have yet.

Behaviour: ceph/ceph, src/mds/Server.cc (check_layout_vxattr) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.waiting import MustWait

if TYPE_CHECKING:
    from mdsdaemon.rank.server.request import MDRequest


AHEAD = 10_000
"""Epochs that a client can be ahead of us; what claims more would wait for ever."""


def wait_for_map(req: MDRequest) -> None:
    """Have an MDSMap at least as new as the client's, since it names a pool of it.

    Raises:
        MustWait: until we have.
        FsError: EINVAL: there is no such map.
    """
    epoch = req.msg.mdsmap_epoch
    if epoch > req.rank.mdsmap.epoch + AHEAD:
        raise FsError(errno.EINVAL, f"there is no MDSMap {epoch}")
    if epoch > req.rank.mdsmap.epoch:
        gate = req.rank.queue.gate()
        req.rank.when_mdsmap(epoch, gate.open)
        raise MustWait(gate)
