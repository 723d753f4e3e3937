"""Commands about clients' sessions; what they do is in `Sessions`.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, dump_sessions, evict_clients, config_client (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.messages.cmdparse import CmdMap, get_bool, get_int, get_str, get_strings
from mdsdaemon.messages.formatter import NamedList, Reply
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.sessions.filters import FilterError, SessionFilter

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


def _filter(cmdmap: CmdMap) -> SessionFilter:
    return SessionFilter.parse(get_strings(cmdmap, "filters") or [])


def ls(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """The sessions that the filters let through."""
    try:
        wanted = _filter(cmdmap)
    except FilterError as e:
        return Reply.fail(errno.EINVAL, str(e))
    shown = rank.sessions.dump(wanted, cap_dump=bool(get_bool(cmdmap, "cap_dump")))
    return Reply(section="sessions", data=NamedList("session", shown))


async def evict(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Evict the clients that the filters let through; all of them without a filter."""
    try:
        await rank.sessions.evictor.evict_clients(_filter(cmdmap))
    except FilterError as e:
        return Reply.fail(errno.EINVAL, str(e))
    except FsError as e:
        return Reply.fail(e.errno, e.why)
    return Reply()


async def kill(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Evict one client by its number."""
    client = get_str(cmdmap, "client_id")
    if client is None:
        return Reply.fail(errno.ENOENT, "Invalid client_id specified")
    try:
        await rank.sessions.evictor.kill_client(client)
    except FsError as e:
        return Reply.fail(e.errno, e.why)
    return Reply()


def config(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Set (or unset, without a value) an option of one session."""
    try:
        rank.sessions.evictor.config_client(
            get_int(cmdmap, "client_id") or 0,
            get_str(cmdmap, "option") or "",
            get_str(cmdmap, "value"),
        )
    except FsError as e:
        return Reply.fail(e.errno, e.why)
    return Reply()
