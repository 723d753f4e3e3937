"""Commands that show or empty the cache.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, C_Drop_Cache, command_dump_tree, command_get_subtrees;
src/mds/MDCache.cc, dump_cache, dump_tree, cache_status (Pacific)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.messages.cmdparse import CmdMap, get_int, get_str
from mdsdaemon.messages.formatter import NamedList, Reply, cpp_strerror
from mdsdaemon.rank.commands import dumps
from mdsdaemon.rank.commands.journal import flushed
from mdsdaemon.rank.commands.paths import in_cache
from mdsdaemon.rank.commands.texts import dentry_text, dir_text, inode_text

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mds_rank import MDSRank


def all_inodes(rank: MDSRank) -> list[CInode]:
    """Everything in the cache."""
    return [*rank.cache.inodes.values(), *rank.cache.snap_inodes.values()]


async def dump_cache(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """All inodes, as the answer or as text into a new file."""
    path = get_str(cmdmap, "path")
    option = "mds_dump_cache_threshold_" + ("formatter" if path is None else "file")
    threshold = rank.config.get_int(option)
    too_large = threshold and rank.store.memory_used() > threshold
    if path is None:
        if too_large:
            text = "cache usage exceeds dump threshold"
            return Reply(section="result", data={"error": text})
        shown = []
        for number, inode in enumerate(all_inodes(rank)):
            shown.append(dumps.dump_inode(rank, inode, dirfrags=True))
            if not number % 512:
                await trio.lowlevel.checkpoint()
        return Reply(section="inodes", data=NamedList("inode", shown))
    if too_large:
        return Reply.fail(errno.EINVAL)
    text = "".join(line + "\n" for line in _lines(rank))
    try:
        await trio.to_thread.run_sync(_write_new, path, text)
    except OSError as e:
        return Reply(r=e.errno or errno.EIO)
    return Reply()


def _lines(rank: MDSRank) -> Iterator[str]:
    for inode in all_inodes(rank):
        yield inode_text(rank, inode)
        for directory in inode.dirs.values():
            yield " " + dir_text(rank, directory)
            for dn in directory.all_items():
                yield "  " + dentry_text(dn)


def _write_new(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def dump_tree(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """What the cache has below a path, `depth` levels of it."""
    depth = get_int(cmdmap, "depth")
    root = in_cache(rank, get_str(cmdmap, "root") or "")
    if root is None:
        return Reply(error="root inode is not in cache")
    shown: list[Any] = []
    _tree(rank, root, 0, -1 if depth is None else depth, shown)
    return Reply(section="inodes", data=NamedList("inode", shown))


def _tree(rank: MDSRank, inode: CInode, level: int, depth: int, shown: list[Any]) -> None:
    """Children first, as ceph-mds does it."""
    if depth < 0 or level < depth:
        for directory in inode.dirs.values():
            for dn in directory.items.values():
                if dn.inode is not None:
                    _tree(rank, dn.inode, level + 1, depth, shown)
    shown.append(dumps.dump_inode(rank, inode, dirfrags=True))


def dump_inode(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """One inode by its number."""
    number = get_int(cmdmap, "number")
    if number is None:
        return Reply(error="missing inode number")
    inode = rank.cache.get_inode(number)
    if inode is None:
        text = "dump inode failed, wrong inode number or the inode is not cached"
        return Reply(error=text)
    path = "" if inode.is_root else rank.cache.path_of(inode)
    data = {"path": path, **dumps.dump_inode(rank, inode)}
    return Reply(section="inode", data=data)


def get_subtrees(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """The whole tree and our own directory: there is no other rank."""
    shown = []
    for inode in (rank.cache.root, rank.cache.mydir):
        if inode is None:
            continue
        pin = inode.inode.export_pin
        shown += [
            {
                "is_auth": True,
                "auth_first": rank.whoami,
                "auth_second": dumps.NO_RANK,
                "export_pin": max(pin, -1),
                "distributed_ephemeral_pin": False,
                "random_ephemeral_pin": False,
                "export_pin_target": max(pin, -1),
                "dir": dumps.dump_dir(rank, directory),
            }
            for directory in inode.dirs.values()
        ]
    return Reply(section="subtrees", data=NamedList("subtree", shown))


def export_dir(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """There is no rank to export to."""
    rank.log.warning("bad MDS target %s", get_int(cmdmap, "rank"))
    return Reply(section="results", data={"return_code": -errno.ENOENT})


def pool_status(rank: MDSRank) -> dict[str, Any]:
    """Objects in the cache, and bytes that they take."""
    items = len(rank.cache) + rank.cache.num_dentries
    return {"pool": {"items": items, "bytes": rank.store.memory_used()}}


def cache_status(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    return Reply(section="cache", data=pool_status(rank))


async def cache_drop(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Clients give caps back, the journal is flushed, and what nobody holds leaves the cache."""
    timeout = get_int(cmdmap, "timeout") or 0
    began = trio.current_time()
    recalled, code = await _recall(rank, timeout)
    recall = {"return_code": code, "message": cpp_strerror(code), "recalled": recalled}
    if not code:
        recall["message"] = "(0) Success"
    code, message = await flushed(rank)
    if code:
        return Reply(section="result", data={"error": message})
    trimmed = await rank.store.trim_to(0)
    rank.end_of_dispatch()
    return Reply(
        section="result",
        data={
            "client_recall": recall,
            "flush_journal": {"return_code": code, "message": message},
            "trim_cache": {"trimmed": trimmed},
            "cache": pool_status(rank),
            "duration": trio.current_time() - began,
        },
    )


async def _recall(rank: MDSRank, timeout: float) -> tuple[int, int]:  # noqa: ASYNC109
    """(caps that clients were asked for, 0 or -ETIMEDOUT)."""
    recalled = 0
    deadline = trio.current_time() + timeout if timeout else float("inf")
    with trio.move_on_at(deadline) as scope:
        while True:
            flushed = trio.Event()
            throttled, asked = rank.sessions.recall_client_state(
                steady=True, trim=True, flushed=flushed.set
            )
            rank.end_of_dispatch()
            recalled += asked
            if not (throttled or asked):
                break
            rank.store.trim(0)
            with trio.move_on_after(1):
                await flushed.wait()
    return recalled, -errno.ETIMEDOUT if scope.cancelled_caught else 0
