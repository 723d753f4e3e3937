"""May the client do that, and is there room for it.

Behaviour: ceph/ceph, src/mds/Server.cc (check_access, check_fragment_space, check_dir_max_entries)
(Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.rank.errors import FsError

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.server.request import MDRequest


def check_access(
    req: MDRequest, inode: CInode, mask: int, new_uid: int = -1, new_gid: int = -1
) -> None:
    """Whether the client's caps allow it for the user who asks.

    Args:
        mask: MAY_*.
        new_uid, new_gid: with MAY_CHOWN and MAY_CHGRP.

    Raises:
        FsError: EACCES, EIO.
    """
    msg = req.msg
    req.session.check_access(
        inode, mask, msg.caller_uid, msg.caller_gid, msg.gid_list, new_uid, new_gid
    )


def check_room(req: MDRequest, directory: CDir) -> None:
    """Whether another entry fits.

    Raises:
        FsError: ENOSPC: the fragment, or the directory, is as large as it may be.
    """
    config = req.rank.config
    stat = directory.fnode.fragstat
    if stat.nfiles + stat.nsubdirs >= config.get_int("mds_bal_fragment_size_max"):
        raise FsError(errno.ENOSPC, f"{directory} is full")
    most = config.get_int("mds_dir_max_entries")
    if most:
        whole = directory.inode.inode.dirstat
        if whole.nfiles + whole.nsubdirs >= most:
            raise FsError(errno.ENOSPC, f"{directory.inode} has {most} entries")
