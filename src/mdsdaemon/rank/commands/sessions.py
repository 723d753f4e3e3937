"""Commands about clients' sessions; what they do is in `Sessions`.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, dump_sessions, evict_clients, config_client (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from mdsdaemon.messages.cmdparse import CmdMap, get_bool, get_int, get_str, get_strings
from mdsdaemon.messages.formatter import Reply

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


def ls(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """The sessions that the filters let through."""
    return rank.sessions.command_ls(
        get_strings(cmdmap, "filters") or [], cap_dump=bool(get_bool(cmdmap, "cap_dump"))
    )


def evict(rank: MDSRank, cmdmap: CmdMap) -> Awaitable[Reply] | Reply:
    """Evict the clients that the filters let through; all of them without a filter."""
    return rank.sessions.command_evict(get_strings(cmdmap, "filters") or [])


def kill(rank: MDSRank, cmdmap: CmdMap) -> Awaitable[Reply] | Reply:
    """Evict one client by its number."""
    client = get_str(cmdmap, "client_id")
    if client is None:
        return Reply.fail(errno.ENOENT, "Invalid client_id specified")
    return rank.sessions.command_kill(client)


def config(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Set (or unset, without a value) an option of one session."""
    return rank.sessions.command_config(
        get_int(cmdmap, "client_id") or 0,
        get_str(cmdmap, "option") or "",
        get_str(cmdmap, "value"),
    )
