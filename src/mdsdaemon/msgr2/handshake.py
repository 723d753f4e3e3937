"""What both sides of the handshake do: banner, HELLO, key change, signatures.

Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc (_banner_exchange, handle_hello, finish_auth,
handle_auth_signature) (Pacific)
"""

from __future__ import annotations

import hmac
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, ClassVar

from mdsdaemon.msgr2.auth import CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE, AuthKeys
from mdsdaemon.msgr2.crypto import gcm_pair, sign
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.frame_reader import FrameReader
from mdsdaemon.msgr2.frames import FrameLimits, FrameWriter
from mdsdaemon.msgr2.payloads import (
    BANNER_PREFIX,
    BANNER_V1,
    MSGR2_FEATURE_REVISION_1,
    PAYLOADS,
    BannerPayload,
    Hello,
    decode_payload,
    encode_payload,
)
from mdsdaemon.msgr2.states import ALLOWED_MASK, State, Tag

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import PeerIdentity
    from mdsdaemon.msgr2.events import Event
    from mdsdaemon.msgr2.registry import Registry
    from mdsdaemon.msgr2.session import Session
    from mdsdaemon.msgr2.wire import Wire
    from mdsdaemon.types.entity import EntityAddr

MAX_ATTEMPTS = 8
"""How often one socket may retry a method of authentication, or an ident or reconnect."""

MAX_SEQ = 1 << 62
"""A peer that names a higher global_seq or connect_seq is not counting; ours must not overflow."""

_U16 = Struct("<H")
_BANNER_LEN = len(BANNER_PREFIX) + _U16.size


class Handshake:
    """One socket from its first byte to READY; `Wire` goes on from there.

    Subclasses have a method `_on_<tag>` per frame, taking its decoded payload.
    """

    server: ClassVar[bool]

    def __init__(self, wire: Wire, registry: Registry, limits: FrameLimits) -> None:
        self.reader = FrameReader(limits)
        self.writer = FrameWriter()
        self.events: deque[Event] = deque()
        self.session: Session | None = None
        self.identity: PeerIdentity | None = None
        self.peer_type = 0
        self.con_mode = 0
        self._wire = wire
        self._registry = registry
        self._endpoint = registry.endpoint
        self._peer_seen_at: EntityAddr
        self._expected_signature = b""
        self._global_id = 0
        self._attempts = 0
        self.state: State
        """Where the wire stands; what may arrive next follows from it (`enter`)."""
        self.enter(State.BANNER_ACCEPTING if self.server else State.BANNER_CONNECTING)
        banner = encode_payload(BannerPayload(MSGR2_FEATURE_REVISION_1, MSGR2_FEATURE_REVISION_1))
        self.writer.write_raw(BANNER_PREFIX + _U16.pack(len(banner)) + banner)

    def enter(self, state: State) -> None:
        """Go over to another state."""
        self.state = state
        self.reader.allowed = ALLOWED_MASK[state]

    def advance(self) -> bool:
        """Take one step; False if it needs more bytes, or a decision.

        Raises ProtocolError or AuthError.
        """
        state = self.state
        if state in (State.DECIDING, State.READY, State.CLOSED):
            return False
        if state in (State.BANNER_CONNECTING, State.BANNER_ACCEPTING):
            return self._read_banner()
        frame = self.reader.next()
        if frame is None:
            return False
        tag = Tag(frame[0])
        payload: object = decode_payload(PAYLOADS[tag], frame[1][0])
        getattr(self, f"_on_{tag.name.lower()}")(payload)
        return True

    def send(self, tag: Tag, payload: object) -> None:
        """Write a control frame."""
        self.writer.write(tag, encode_payload(payload))

    def _read_banner(self) -> bool:
        start = self.reader.peek_raw(_BANNER_LEN)
        if start[: len(BANNER_PREFIX)] != BANNER_PREFIX[: len(start)]:
            if start[:8] == BANNER_V1[: len(start)][:8]:
                raise ProtocolError("the peer speaks only the old protocol (msgr v1)")
            raise ProtocolError("the peer does not speak Ceph's protocol")
        if len(start) < _BANNER_LEN:
            return False
        (length,) = _U16.unpack_from(start, len(BANNER_PREFIX))
        banner = self.reader.take_raw(_BANNER_LEN + length)
        if banner is None:
            return False
        features = decode_payload(BannerPayload, banner[_BANNER_LEN:])
        if not features.supported & MSGR2_FEATURE_REVISION_1:
            raise ProtocolError("the peer speaks msgr2.0, which is older than we speak (msgr2.1)")
        unknown = features.required & ~MSGR2_FEATURE_REVISION_1
        if unknown:
            raise ProtocolError(f"the peer requires msgr2 features {unknown:#x} that we lack")
        self.enter(State.HELLO_ACCEPTING if self.server else State.HELLO_CONNECTING)
        self.send(Tag.HELLO, Hello(self._endpoint.name.type, self._peer_seen_at))
        return True

    def _attempt(self, what: str) -> None:
        self._attempts += 1
        if self._attempts > MAX_ATTEMPTS:
            raise ProtocolError(f"too many attempts at {what}")

    def _finish_auth(self, con_mode: int, keys: AuthKeys) -> None:
        """Both transcripts are complete: sign what we read, seal from here on if so agreed."""
        assert self.reader.transcript is not None
        assert self.writer.transcript is not None
        signature = sign(keys.session_key, self.reader.transcript)
        self._expected_signature = sign(keys.session_key, self.writer.transcript)
        self.reader.transcript = self.writer.transcript = None
        self.con_mode = con_mode
        if con_mode == CEPH_CON_MODE_SECURE:
            seal, opener = gcm_pair(keys.connection_secret, server=self.server)
            self.writer.secure(seal)
            self.reader.secure(opener)
        elif con_mode != CEPH_CON_MODE_CRC:
            raise ProtocolError(f"connection mode {con_mode} is neither crc nor secure")
        self._attempts = 0
        self.enter(State.AUTH_ACCEPTING_SIGN if self.server else State.AUTH_CONNECTING_SIGN)
        self.writer.write(Tag.AUTH_SIGNATURE, signature)

    def _check_signature(self, signature: bytes) -> None:
        if not hmac.compare_digest(signature, self._expected_signature):
            raise ProtocolError("the handshake was changed on its way: its signature is wrong")

    def _ready(self, session: Session) -> None:
        self.session = session
        session.wire = self._wire
        session.keepalive_wanted = False
        session.ready()
        self.enter(State.READY)
