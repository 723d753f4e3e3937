"""Authentication inside an open monitor session: ticket renewal and rotating service keys.

The payloads are those of the authentication method and stay opaque here.

Format: ceph/ceph, src/messages/MAuth.h, MAuthReply.h (Pacific)
"""

from mdsdaemon.encoding import S32, U32, U64, Blob, Str, field
from mdsdaemon.messages.base import Message, message
from mdsdaemon.messages.mon import PaxosHeader

CEPH_MSG_AUTH = 17
CEPH_MSG_AUTH_REPLY = 18


@message(CEPH_MSG_AUTH, v=1)
class MAuth(Message):
    """A request of the method `protocol` (2: cephx)."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    protocol: int = field(U32, default=0)
    auth_payload: bytes = field(Blob, default=b"", repr=False)
    monmap_epoch: int = field(U32, default=0, if_more=True)


@message(CEPH_MSG_AUTH_REPLY, v=1)
class MAuthReply(Message):
    """`result` is 0 or -errno, `result_msg` the monitor's text for people."""

    protocol: int = field(U32, default=0)
    result: int = field(S32, default=0)
    global_id: int = field(U64, default=0)
    result_bl: bytes = field(Blob, default=b"", repr=False)
    result_msg: str = field(Str, default="")
