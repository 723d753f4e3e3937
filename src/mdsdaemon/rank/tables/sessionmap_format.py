"""How the table of sessions lies in its object, in the present format and in those of before.

Format: ceph/ceph, src/mds/SessionMap.cc (encode_header, decode_values, decode_legacy) (Pacific)
"""

from __future__ import annotations

from mdsdaemon.encoding import ALL_FEATURES, U64, Cursor, DecodeError, field, wire
from mdsdaemon.types.entity import TYPES_BY_NAME, PeerName
from mdsdaemon.types.session import SessionInfo

_ENVELOPED = 2**64 - 1


@wire(v=1, compat=1)
class SessionMapHeader:
    """The omap's header."""

    version: int = field(U64, default=0)


def parse_session_name(key: str) -> PeerName:
    """The name that is a key: `client.4123`.

    Raises:
        DecodeError: it is none.
    """
    kind, _, number = key.partition(".")
    if kind in TYPES_BY_NAME and number.isascii() and number.isdigit() and int(number) < 1 << 63:
        return PeerName(TYPES_BY_NAME[kind], int(number))
    raise DecodeError("SessionMap", "key", 0, f"{key!r} is no name of a client")


def decode_legacy(data: bytes) -> tuple[int, list[tuple[PeerName, SessionInfo]]]:
    """(version, sessions) of the object's data, as it was before the omap.

    Raises:
        DecodeError: it is not that.
    """
    c = Cursor(data, 0, len(data), ALL_FEATURES, ("SessionMap", "legacy"))
    version = c.u64()
    if version == _ENVELOPED:
        return _enveloped(c)
    left = c.u32()
    sessions: list[tuple[PeerName, SessionInfo]] = []
    while left > 0 and c.remaining() > 0:
        info = c.get(SessionInfo)
        sessions.append((info.inst.name, info))
        left -= 1
    return version, sessions


def _enveloped(c: Cursor) -> tuple[int, list[tuple[PeerName, SessionInfo]]]:
    struct_v, compat, size = c.u8(), c.u8(), c.u32()
    if struct_v < 2 or compat > 3:
        raise c.fail(f"a table of sessions of version {struct_v}, {compat}")
    if size > c.remaining():
        raise c.fail(f"{size} bytes of sessions are announced")
    end = c.remaining() - size
    version = c.u64()
    sessions: list[tuple[PeerName, SessionInfo]] = []
    while c.remaining() > end:
        name = c.get(PeerName)
        sessions.append((name, c.get(SessionInfo)))
    return version, sessions
