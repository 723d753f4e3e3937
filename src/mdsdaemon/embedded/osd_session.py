"""A client of the embedded OSD: its caps, and which OSDMap it was last sent.

Behaviour: ceph/ceph, src/osd/OSD.cc (ms_handle_authentication, maybe_share_map)
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from mdsdaemon.embedded.store.osd_caps import ALL_CAPS, OSDCaps, OSDCapsError, parse_osd_caps
from mdsdaemon.encoding import DecodeError, Str, decode
from mdsdaemon.types.entity import PeerName

if TYPE_CHECKING:
    from mdsdaemon.messages.osd import MOSDOp
    from mdsdaemon.msgr2.auth import PeerIdentity
    from mdsdaemon.net.connection import Connection


class CapsRefused(Exception):
    """The peer's ticket gives it something that is no OSD capability."""


def caps_of(info: Any) -> OSDCaps:
    """The capabilities in a ticket (AuthCapsInfo); none: every request is EPERM.

    Raises CapsRefused.
    """
    if info.allow_all:
        return ALL_CAPS
    if not info.caps:
        return OSDCaps()
    try:
        return parse_osd_caps(decode(Str, info.caps))
    except (DecodeError, OSDCapsError) as exc:
        raise CapsRefused(f"{exc}") from exc


@attrs.define(eq=False)
class OSDSession:
    """The `session` of a connection.

    Attributes:
        identity: what the caps were read from.
        name: the client, as requests and watches know it.
        unlimited: the caps allow everything.
        last_sent_epoch: the newest OSDMap that it has, as far as known.
        waiting: requests that need a newer OSDMap than there is; later ones wait behind them.
        fenced: the epoch for which the client was last looked up in the blocklist, and the answer.
    """

    identity: PeerIdentity | None
    name: PeerName
    caps: OSDCaps
    unlimited: bool = False
    last_sent_epoch: int = 0
    waiting: deque[MOSDOp] = attrs.Factory(deque)
    fenced: tuple[int, bool] = (-1, False)


def open_session(con: Connection) -> OSDSession:
    """The session of a peer that has authenticated.

    Raises CapsRefused.
    """
    identity = con.peer_identity
    if identity is None:
        raise CapsRefused("it has not authenticated")
    name = con.peer_name or PeerName(con.peer_type, identity.global_id)
    caps = caps_of(identity.caps)
    unlimited = caps.allow_all and not any(grant.network for grant in caps.grants)
    return OSDSession(identity, name, caps, unlimited)
