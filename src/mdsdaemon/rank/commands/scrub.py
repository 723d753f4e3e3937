"""Commands of scrub.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, command_scrub_*; src/mds/MDCache.cc, enqueue_scrub
(Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.messages.cmdparse import CmdMap, get_str, get_strings
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.rank.commands.journal import walk
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.waiting import until_done

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


def _not_rank_0(rank: MDSRank) -> Reply | None:
    return Reply.fail(errno.EXDEV, "Not rank 0") if rank.whoami != 0 else None


async def start(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Begin to check a path; the answer does not wait for the end."""
    options = get_strings(cmdmap, "scrubops") or []
    tag = get_str(cmdmap, "tag") or ""
    return _not_rank_0(rank) or await _enqueue(rank, get_str(cmdmap, "path") or "", tag, options)


async def tag_path(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Check all of a path, and note the tag with each first object."""
    tag = get_str(cmdmap, "tag") or ""
    path = get_str(cmdmap, "path") or ""
    return _not_rank_0(rank) or await _enqueue(rank, path, tag, ["force", "recursive"])


async def _enqueue(rank: MDSRank, path: str, tag: str, options: list[str]) -> Reply:
    op = rank.optracker.start(
        f"internal op enqueue_scrub:mds.{rank.whoami}:0", kind="enqueue_scrub"
    )
    rank.counters.cache.inc("ireq_enqueue_scrub")
    try:
        inode = await until_done(lambda: walk(rank, path))
        header = rank.scrubstack.enqueue(inode, path, tag, frozenset(options))
    except FsError as e:
        return Reply(section="results", data={"return_code": -e.errno})
    finally:
        op.finish()
    data = {"return_code": 0, "scrub_tag": header.tag, "mode": "asynchronous"}
    return Reply(section="results", data=data)


def _result(code: int) -> Reply:
    return Reply(section="result", data={"return_code": code})


async def abort(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Give all checks up."""
    refusal = _not_rank_0(rank)
    if refusal is not None:
        return refusal
    await rank.scrubstack.abort()
    return _result(0)


async def pause(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Hold the checks; waits for those that are under way."""
    refusal = _not_rank_0(rank)
    if refusal is not None:
        return refusal
    return _result(await rank.scrubstack.pause())


def resume(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Go on after a pause."""
    return _not_rank_0(rank) or _result(rank.scrubstack.resume())


def status(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """What is being checked."""
    return Reply(section="result", data=rank.scrubstack.status())
