"""Handshake states and the frames that each of them admits.

Format: ceph/ceph, src/msg/async/frames_v2.h (Tag), ProtocolV2.h (State) (Pacific)
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto


class Tag(IntEnum):
    """The first byte of a frame."""

    HELLO = 1
    AUTH_REQUEST = 2
    AUTH_BAD_METHOD = 3
    AUTH_REPLY_MORE = 4
    AUTH_REQUEST_MORE = 5
    AUTH_DONE = 6
    AUTH_SIGNATURE = 7
    CLIENT_IDENT = 8
    SERVER_IDENT = 9
    IDENT_MISSING_FEATURES = 10
    SESSION_RECONNECT = 11
    SESSION_RESET = 12
    SESSION_RETRY = 13
    SESSION_RETRY_GLOBAL = 14
    SESSION_RECONNECT_OK = 15
    WAIT = 16
    MESSAGE = 17
    KEEPALIVE2 = 18
    KEEPALIVE2_ACK = 19
    ACK = 20


class State(Enum):
    """Where a wire stands. DECIDING: NeedDecision is out, nothing is read until it is answered."""

    BANNER_CONNECTING = auto()
    HELLO_CONNECTING = auto()
    AUTH_CONNECTING = auto()
    AUTH_CONNECTING_SIGN = auto()
    SESSION_CONNECTING = auto()
    SESSION_RECONNECTING = auto()
    BANNER_ACCEPTING = auto()
    HELLO_ACCEPTING = auto()
    AUTH_ACCEPTING = auto()
    AUTH_ACCEPTING_MORE = auto()
    AUTH_ACCEPTING_SIGN = auto()
    SESSION_ACCEPTING = auto()
    DECIDING = auto()
    READY = auto()
    CLOSED = auto()


ALLOWED: dict[Tag, frozenset[State]] = {
    Tag.HELLO: frozenset({State.HELLO_CONNECTING, State.HELLO_ACCEPTING}),
    Tag.AUTH_REQUEST: frozenset({State.AUTH_ACCEPTING}),
    Tag.AUTH_BAD_METHOD: frozenset({State.AUTH_CONNECTING}),
    Tag.AUTH_REPLY_MORE: frozenset({State.AUTH_CONNECTING}),
    Tag.AUTH_REQUEST_MORE: frozenset({State.AUTH_ACCEPTING_MORE}),
    Tag.AUTH_DONE: frozenset({State.AUTH_CONNECTING}),
    Tag.AUTH_SIGNATURE: frozenset({State.AUTH_CONNECTING_SIGN, State.AUTH_ACCEPTING_SIGN}),
    Tag.CLIENT_IDENT: frozenset({State.SESSION_ACCEPTING}),
    Tag.SERVER_IDENT: frozenset({State.SESSION_CONNECTING}),
    Tag.IDENT_MISSING_FEATURES: frozenset({State.SESSION_CONNECTING}),
    Tag.SESSION_RECONNECT: frozenset({State.SESSION_ACCEPTING}),
    Tag.SESSION_RESET: frozenset({State.SESSION_RECONNECTING}),
    Tag.SESSION_RETRY: frozenset({State.SESSION_RECONNECTING}),
    Tag.SESSION_RETRY_GLOBAL: frozenset({State.SESSION_RECONNECTING}),
    Tag.SESSION_RECONNECT_OK: frozenset({State.SESSION_RECONNECTING}),
    Tag.WAIT: frozenset({State.SESSION_CONNECTING, State.SESSION_RECONNECTING}),
    Tag.MESSAGE: frozenset({State.READY}),
    Tag.KEEPALIVE2: frozenset({State.READY}),
    Tag.KEEPALIVE2_ACK: frozenset({State.READY}),
    Tag.ACK: frozenset({State.READY}),
}
"""The states in which a frame may arrive; in every other one it ends the connection."""

ALLOWED_MASK: dict[State, int] = {
    state: sum(1 << tag for tag, states in ALLOWED.items() if state in states) for state in State
}
"""The same table by state, as a bit mask of tags: what a frame reader checks."""


def tag_name(tag: int) -> str:
    """A tag's name for people, unknown ones by number."""
    try:
        return Tag(tag).name
    except ValueError:
        return f"unknown tag {tag}"
