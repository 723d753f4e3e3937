"""A message as msgr2 carries it: header fields and three byte strings.

Format: ceph/ceph, src/include/msgr.h (ceph_msg_header2), src/msg/async/frames_v2.h (MessageFrame)
(Pacific)
"""

from __future__ import annotations

from struct import Struct
from typing import Protocol

from mdsdaemon.records import define

CEPH_MSG_PRIO_LOW = 64
CEPH_MSG_PRIO_DEFAULT = 127
CEPH_MSG_PRIO_HIGH = 196
CEPH_MSG_PRIO_HIGHEST = 255

CEPH_MSG_FOOTER_COMPLETE = 1

# seq, tid, type, priority, version, data_pre_padding_len, data_off, ack_seq, flags,
# compat_version, reserved
MSG_HEADER2 = Struct("<QQHHHIHQBHH")


@define(eq=True)
class MessageFrame:
    """One MESSAGE frame. `type`, `priority`, `version`, `compat_version`: u16; `tid`: u64.

    `seq` and `ack_seq` are set by the connection: those given to `Wire.send_message` are ignored.
    """

    type: int
    front: bytes = b""
    middle: bytes = b""
    data: bytes = b""
    tid: int = 0
    priority: int = CEPH_MSG_PRIO_DEFAULT
    version: int = 1
    compat_version: int = 0
    data_off: int = 0
    flags: int = CEPH_MSG_FOOTER_COMPLETE
    seq: int = 0
    ack_seq: int = 0
    reserved: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of front, middle and data: what throttles count."""
        return len(self.front) + len(self.middle) + len(self.data)

    def frame(self, features: int) -> MessageFrame:
        """A message that is encoded already does not depend on the peer's features."""
        return self


class Outgoing(Protocol):
    """What a session queues: anything that can be encoded once the peer's features are known.

    `frame` is called when the message is about to be written, and once more after a reconnection
    only if the peer's features have changed in between.
    """

    @property
    def priority(self) -> int: ...

    def frame(self, features: int) -> MessageFrame: ...
