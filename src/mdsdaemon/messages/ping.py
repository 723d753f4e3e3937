"""The empty message, which peers send to see whether the other is there."""

from mdsdaemon.messages.base import Message, message


@message(2, v=1, compat=1)
class MPing(Message):
    """CEPH_MSG_PING: no payload. Format: ceph/ceph, src/messages/MPing.h (Pacific)."""
