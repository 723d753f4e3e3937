"""The one error that a misbehaving peer causes."""

from __future__ import annotations


class ProtocolError(Exception):
    """The peer broke the protocol, or cannot speak with us; the socket must be closed.

    `str()` is one plain sentence without the peer's name: the caller knows who it was.
    """
