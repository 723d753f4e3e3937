"""The message that peers send to see whether the other is there."""

from mdsdaemon.encoding import Rest, field
from mdsdaemon.messages.base import Message, message


@message(2, v=1, compat=1)
class MPing(Message):
    """CEPH_MSG_PING: no payload, but in a monitor's answer an encoded string of JSON.

    Format: ceph/ceph, src/messages/MPing.h, src/mon/Monitor.cc (handle_ping) (Pacific).
    """

    payload: bytes = field(Rest, default=b"")
