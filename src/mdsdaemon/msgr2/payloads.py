"""What control frames hold.

As in Ceph, bytes after the last known field are passed over: a newer peer may have put more there.

Format: ceph/ceph, src/msg/async/frames_v2.h (Pacific)
"""

from typing import TypeVar

from mdsdaemon.encoding import (
    S32,
    S64,
    U8,
    U32,
    U64,
    Blob,
    Bool,
    DecodeError,
    List,
    Raw,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.msgr2.crypto import SIGNATURE_LEN
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.states import Tag
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.features import MSG_ADDR2, SERVER_NAUTILUS

T = TypeVar("T")

BANNER_PREFIX = b"ceph v2\n"
BANNER_V1 = b"ceph v027"
MSGR2_FEATURE_REVISION_1 = 1
MSGR2_REQUIRED = MSG_ADDR2
"""Features that every peer must have, since the frames themselves are encoded for them."""

CEPH_MSG_CONNECT_LOSSY = 1

_FRAME_FEATURES = MSG_ADDR2 | SERVER_NAUTILUS


@wire()
class BannerPayload:
    """After the banner prefix and a u16 length: MSGR2_FEATURE_* masks."""

    supported: int = field(U64)
    required: int = field(U64)


@wire()
class Hello:
    """HELLO: the sender's entity type, and the receiver's address as the sender sees it."""

    entity_type: int = field(U8)
    peer_addr: EntityAddr = field(EntityAddr)


@wire()
class AuthRequestPayload:
    """AUTH_REQUEST"""

    method: int = field(U32)
    preferred_modes: list[int] = field(List(U32))
    auth_payload: bytes = field(Blob, repr=False)


@wire()
class AuthBadMethodPayload:
    """AUTH_BAD_METHOD; `result` is -errno."""

    method: int = field(U32)
    result: int = field(S32)
    allowed_methods: list[int] = field(List(U32))
    allowed_modes: list[int] = field(List(U32))


@wire()
class AuthMorePayload:
    """AUTH_REPLY_MORE and AUTH_REQUEST_MORE"""

    auth_payload: bytes = field(Blob, repr=False)


@wire()
class AuthDonePayload:
    """AUTH_DONE"""

    global_id: int = field(U64)
    con_mode: int = field(U32)
    auth_payload: bytes = field(Blob, repr=False)


@wire()
class AuthSignature:
    """AUTH_SIGNATURE: HMAC-SHA256 of all bytes that the sender received before it."""

    signature: bytes = field(Raw(SIGNATURE_LEN), repr=False)


@wire()
class ClientIdent:
    """CLIENT_IDENT"""

    addrs: EntityAddrVec = field(EntityAddrVec)
    target_addr: EntityAddr = field(EntityAddr)
    gid: int = field(S64)
    global_seq: int = field(U64)
    supported_features: int = field(U64)
    required_features: int = field(U64)
    flags: int = field(U64)
    cookie: int = field(U64, repr=False)


@wire()
class ServerIdent:
    """SERVER_IDENT"""

    addrs: EntityAddrVec = field(EntityAddrVec)
    gid: int = field(S64)
    global_seq: int = field(U64)
    supported_features: int = field(U64)
    required_features: int = field(U64)
    flags: int = field(U64)
    cookie: int = field(U64, repr=False)


@wire()
class Reconnect:
    """SESSION_RECONNECT; `msg_seq` is the last message that the sender has received."""

    addrs: EntityAddrVec = field(EntityAddrVec)
    client_cookie: int = field(U64, repr=False)
    server_cookie: int = field(U64, repr=False)
    global_seq: int = field(U64)
    connect_seq: int = field(U64)
    msg_seq: int = field(U64)


@wire()
class SessionReset:
    """SESSION_RESET; full: the receiver forgets its messages too."""

    full: bool = field(Bool)


@wire()
class SessionRetry:
    """SESSION_RETRY"""

    connect_seq: int = field(U64)


@wire()
class SessionRetryGlobal:
    """SESSION_RETRY_GLOBAL"""

    global_seq: int = field(U64)


@wire()
class ReconnectOk:
    """SESSION_RECONNECT_OK; `msg_seq` as in Reconnect."""

    msg_seq: int = field(U64)


@wire()
class Wait:
    """WAIT"""


@wire()
class IdentMissingFeatures:
    """IDENT_MISSING_FEATURES"""

    features: int = field(U64)


PAYLOADS: dict[Tag, type] = {
    Tag.HELLO: Hello,
    Tag.AUTH_REQUEST: AuthRequestPayload,
    Tag.AUTH_BAD_METHOD: AuthBadMethodPayload,
    Tag.AUTH_REPLY_MORE: AuthMorePayload,
    Tag.AUTH_REQUEST_MORE: AuthMorePayload,
    Tag.AUTH_DONE: AuthDonePayload,
    Tag.AUTH_SIGNATURE: AuthSignature,
    Tag.CLIENT_IDENT: ClientIdent,
    Tag.SERVER_IDENT: ServerIdent,
    Tag.IDENT_MISSING_FEATURES: IdentMissingFeatures,
    Tag.SESSION_RECONNECT: Reconnect,
    Tag.SESSION_RESET: SessionReset,
    Tag.SESSION_RETRY: SessionRetry,
    Tag.SESSION_RETRY_GLOBAL: SessionRetryGlobal,
    Tag.SESSION_RECONNECT_OK: ReconnectOk,
    Tag.WAIT: Wait,
}
"""The control frames of the handshake. KEEPALIVE2(_ACK) and ACK are read by `Wire` itself."""


def decode_payload(cls: type[T], data: bytes) -> T:
    """The one segment of a control frame.

    Raises:
        ProtocolError: the bytes are not a `cls`.
    """
    try:
        return decode(cls, data, _FRAME_FEATURES, partial=True)
    except DecodeError as error:
        raise ProtocolError(f"a control frame does not decode: {error}") from error


def encode_payload(payload: object) -> bytes:
    """The one segment of a control frame."""
    return encode(type(payload), payload, _FRAME_FEATURES)
