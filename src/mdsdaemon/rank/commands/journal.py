"""Commands that write things back: flush journal, flush_path; osdmap barrier.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, C_Flush_Journal, command_flush_path; src/mds/CInode.cc,
flush (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.messages.cmdparse import CmdMap, get_int, get_str
from mdsdaemon.messages.formatter import Reply, cpp_strerror
from mdsdaemon.rank.commands.paths import start_of
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.waiting import until_done

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mds_rank import MDSRank


async def flush_journal(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Everything that the journal has is stored elsewhere, then it is trimmed."""
    code, message = await flushed(rank)
    return Reply(section="result", data={"message": message, "return_code": code})


async def flushed(rank: MDSRank) -> tuple[int, str]:
    """Do that; (0 or a negative errno, what went wrong)."""
    if rank.read_only:
        return -errno.EROFS, ""
    if not rank.is_active():
        return 0, ""
    try:
        await rank.mdlog.trim_all()
    except OSError as e:
        code = -(e.errno or errno.EIO)
        return code, f"Error {code} ({cpp_strerror(code)}) while flushing journal"
    return 0, ""


async def flush_path(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """The inode at a path is stored with its fragments and its backtrace."""
    path = get_str(cmdmap, "path") or ""
    code = 0
    if rank.read_only:
        code = -errno.EROFS
    else:
        rank.counters.cache.inc("ireq_flush")
        op = rank.optracker.start(f"internal op flush_path:mds.{rank.whoami}:0", kind="flush_path")
        try:
            await flush_inode(rank, await until_done(lambda: walk(rank, path)))
        except FsError as e:
            code = -e.errno
        except (RadosError, JournalError) as e:
            code = -(e.errno or errno.EIO)
        finally:
            op.finish()
    return Reply(section="results", data={"return_code": code})


def walk(rank: MDSRank, path: str) -> CInode:
    """The inode at a path.

    Raises:
        MustWait: until it is in the cache.
        FsError: ENOENT, ENOTDIR, EIO.
    """
    ino, names = start_of(rank, path)
    inode = rank.cache.get_inode(ino)
    if inode is None:
        raise FsError(errno.ESTALE)
    for name in names:
        dn = rank.store.lookup(inode, name)
        if dn is None or dn.is_null:
            raise FsError(errno.ENOENT)
        inode = dn.inode if dn.inode is not None else rank.store.need_remote(dn)
    return inode


async def flush_inode(rank: MDSRank, inode: CInode) -> None:
    """Store what is dirty of it.

    Raises:
        RadosError, JournalError: a write failed.
    """
    await rank.mdlog.wait_safe()
    if inode.backtrace_segment is not None:
        await rank.store.write_backtrace(inode)
    for directory in list(inode.dirs.values()):
        if directory.is_dirty:
            await rank.store.commit_dir(directory)
    if inode.parent is not None:
        if inode.parent.dir.is_dirty:
            await rank.store.commit_dir(inode.parent.dir)
    elif inode.base_segment is not None:
        await rank.store.commit_base(inode)


async def osdmap_barrier(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """No client may use new caps before it has this OSD map; waits until we have it."""
    epoch = get_int(cmdmap, "target_epoch")
    if epoch is None:
        return Reply.fail(errno.EINVAL, "no target epoch given")
    rank.set_osd_epoch_barrier(epoch)
    await rank.objecter.wait_for_map(epoch)
    return Reply()
