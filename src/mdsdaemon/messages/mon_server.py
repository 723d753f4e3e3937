"""What only a monitor sends, or only a monitor understands.

Format: ceph/ceph, src/messages/MKVData.h, MStatfs.h, MStatfsReply.h, MGetPoolStats.h,
MGetPoolStatsReply.h, MMgrBeacon.h, MMgrDigest.h, MServiceMap.h (Pacific)
"""

from mdsdaemon.encoding import U64, Blob, Bool, Map, Opt, Str, field
from mdsdaemon.messages.base import Message, message

MSG_KV_DATA = 54


@message(MSG_KV_DATA, v=1, compat=1)
class MKVData(Message):
    """Keys below a prefix; with `incremental` those that changed, None: removed."""

    version: int = field(U64, default=0)
    prefix: str = field(Str, default="")
    incremental: bool = field(Bool, default=False)
    pairs: dict[str, bytes | None] = field(Map(Str, Opt(Blob)), factory=dict, repr=False)
