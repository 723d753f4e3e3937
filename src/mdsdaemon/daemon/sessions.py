"""Connections of clients: which session they belong to and what their caps allow.

Behaviour: ceph/ceph, src/mds/MDSDaemon.cc, ms_handle_accept, ms_handle_reset,
ms_handle_remote_reset, parse_caps (Pacific)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mdsdaemon.cephx.plug import AuthCapsInfo
from mdsdaemon.types.entity import PeerName

if TYPE_CHECKING:
    from mdsdaemon.cephx.caps import MDSAuthCaps
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.rank.interface import Rank
    from mdsdaemon.rank.session import Session


def parse_caps(
    info: AuthCapsInfo | None, log: logging.Logger, who: str = "a peer"
) -> MDSAuthCaps | None:
    """The caps that the ticket of `who` gives it; None when they cannot be read.

    `None` as `info` is a peer that has not authenticated: it may do nothing.
    """
    from mdsdaemon.cephx.caps import CapsError, MDSAuthCaps  # no client, no caps

    if info is None:
        return MDSAuthCaps()
    try:
        return MDSAuthCaps.from_info(info)
    except CapsError as e:
        log.warning("parse_caps: auth cap parse error of %s, which may do nothing: %s", who, e)
        return None


def describe(con: Connection) -> str:
    """A connection's peer for the log: whose key, which session, where."""
    identity = con.peer_identity
    name = "unknown" if identity is None else identity.entity_name
    return f"{name} ({PeerName(con.peer_type, con.peer_global_id)}) at {con.peer_addrs}"


def accept(con: Connection, rank: Rank | None, log: logging.Logger) -> Session:
    """Give an accepted connection its session, and the session the connection.

    A client that a rank knows gets its session back; everybody else a new, closed one, which is in
    no session map until the client asks to open it. Connections are taken without a rank too: a
    client with `allow *` may send commands.
    """
    from mdsdaemon.cephx.caps import MDSAuthCaps
    from mdsdaemon.rank.session import Session  # not before: a third of all types comes with it

    name = PeerName(con.peer_type, con.peer_global_id)
    session = rank.get_session(name) if rank is not None else None
    if session is None:
        session = Session(name)
        con.session = session
        if rank is not None:
            rank.kick_waiters_for_any_client_connection()
    else:
        log.debug("ms_handle_accept: existing session %s, connection %s", name, con)
        con.session = session
    identity = con.peer_identity
    info = identity.caps if identity else None
    session.auth_caps = parse_caps(info, log, describe(con)) or MDSAuthCaps()
    if session.connection is not con:
        session.set_connection(con)
    return session


def session_of(con: Connection) -> Session | None:
    """What `accept` has given the connection; None if it is not a client's."""
    if con.session is None:
        return None
    from mdsdaemon.rank.session import Session

    return con.session if isinstance(con.session, Session) else None


def is_idle(con: Connection) -> bool:
    """Whether the connection belongs to no session that a client has opened."""
    session = session_of(con)
    return session is None or session.is_closed()


def reset(con: Connection, log: logging.Logger, *, remote: bool) -> None:
    """A client's connection was reset, by us or (`remote`) by the client.

    A closed session lets go of the connection; an open one keeps it, for the client may come back.
    """
    session = session_of(con)
    if session is not None:
        if session.is_closed():
            log.debug("closing connection %s for session %s", con, session.name)
            con.mark_down()
            con.session = None
    elif not remote:
        con.mark_down()
