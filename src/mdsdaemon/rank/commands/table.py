"""Which function serves which command of a rank.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, MDSRankDispatcher::handle_asok_command (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mdsdaemon.messages.cmdparse import CmdMap, get_int
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.rank.commands import cache, dirfrag, journal, scrub, sessions, tables

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank

Handler = Callable[["MDSRank", CmdMap], "Reply | Awaitable[Reply]"]


def _damage_rm(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    number = get_int(cmdmap, "damage_id")
    if number is None:
        return Reply.fail(errno.EINVAL)
    rank.damage.remove(number)
    return Reply()


def _force_readonly(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    rank.force_readonly("asked by an administrator")
    rank.end_of_dispatch()
    return Reply()


HANDLERS: dict[str, Handler] = {
    "dump_ops_in_flight": lambda rank, _: rank.optracker.dump_ops_in_flight(),
    "ops": lambda rank, _: rank.optracker.dump_ops_in_flight(),
    "dump_blocked_ops": lambda rank, _: rank.optracker.dump_ops_in_flight(blocked=True),
    "dump_historic_ops": lambda rank, _: rank.optracker.dump_historic_ops(),
    "dump_historic_ops_by_duration": lambda rank, _: rank.optracker.dump_historic_ops(
        by_duration=True
    ),
    "osdmap barrier": journal.osdmap_barrier,
    "session ls": sessions.ls,
    "client ls": sessions.ls,
    "session evict": sessions.evict,
    "client evict": sessions.evict,
    "session kill": sessions.kill,
    "session config": sessions.config,
    "client config": sessions.config,
    "scrub start": scrub.start,
    "scrub abort": scrub.abort,
    "scrub pause": scrub.pause,
    "scrub resume": scrub.resume,
    "scrub status": scrub.status,
    "tag path": scrub.tag_path,
    "flush_path": journal.flush_path,
    "flush journal": journal.flush_journal,
    "get subtrees": cache.get_subtrees,
    "export dir": cache.export_dir,
    "dump cache": cache.dump_cache,
    "cache drop": cache.cache_drop,
    "cache status": cache.cache_status,
    "dump tree": cache.dump_tree,
    "dump inode": cache.dump_inode,
    "dump loads": tables.dump_loads,
    "dump snaps": tables.dump_snaps,
    "force_readonly": _force_readonly,
    "dirfrag split": dirfrag.split,
    "dirfrag merge": dirfrag.merge,
    "dirfrag ls": dirfrag.ls,
    "openfiles ls": tables.openfiles_ls,
    "damage ls": lambda rank, _: Reply(section="damage_table", data=rank.damage.dump()),
    "damage rm": _damage_rm,
    "objecter_requests": lambda rank, _: Reply(
        section="objecter_requests", data=rank.objecter.dump_requests()
    ),
}


class RankCommands:
    """The commands of one rank."""

    def __init__(self, rank: MDSRank) -> None:
        self._rank = rank

    def call(self, prefix: str, cmdmap: CmdMap, inbl: bytes) -> Reply | Awaitable[Reply]:
        """Run one command whose arguments fit its description."""
        handler = HANDLERS.get(prefix)
        if handler is None:
            return Reply.fail(errno.ENOSYS)
        return handler(self._rank, cmdmap)
