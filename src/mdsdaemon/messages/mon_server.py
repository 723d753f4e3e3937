"""What only a monitor sends, or only a monitor understands.

Format: ceph/ceph, src/messages/MKVData.h, MMgrBeacon.h (Pacific)
"""

from mdsdaemon.encoding import U64, Blob, Bool, Map, Opt, Rest, Str, field
from mdsdaemon.messages.base import Message, message
from mdsdaemon.messages.mon import PaxosHeader

MSG_KV_DATA = 54
MSG_MGR_BEACON = 0x703


@message(MSG_KV_DATA, v=1, compat=1)
class MKVData(Message):
    """Keys below a prefix; with `incremental` those that changed, None: removed."""

    version: int = field(U64, default=0)
    prefix: str = field(Str, default="")
    incremental: bool = field(Bool, default=False)
    pairs: dict[str, bytes | None] = field(Map(Str, Opt(Blob)), factory=dict, repr=False)


@message(MSG_MGR_BEACON, v=11, compat=1)
class MMgrBeacon(Message):
    """A manager's sign of life; no cluster of ours has one, so the rest stays undecoded."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    rest: bytes = field(Rest, default=b"", repr=False)
