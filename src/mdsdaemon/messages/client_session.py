"""Opening, keeping and closing the session of a client.

Format: ceph/ceph, src/messages/MClientSession.h, src/include/ceph_fs.h (Pacific 16.2.15;
versions 6 and 7: Squid).
"""

from mdsdaemon.encoding import U32, U64, List, Map, Str, Time, field, wire
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.client_ops import SessionOp, session_op_name
from mdsdaemon.types.feature_bitset import FeatureBitset
from mdsdaemon.types.session import MetricSpec

CEPH_MSG_CLIENT_SESSION = 22

BLOCKLISTED = "blocklisted (blacklisted)"
"""The `error_string` of a REJECT from which kernel clients know that they are blocklisted."""

SESSION_BLOCKLISTED = 1 << 0
"""In `flags` of a REJECT: because the client is blocklisted."""


@wire(v=1, compat=1, keep_tail=True)
class CapAuth:
    """MDSCapAuth: what newer servers tell clients of their permissions; undecoded here."""


def _version(msg: "MClientSession", v: int, compat: int) -> tuple[int, int]:
    # the head alone, which every client understands, while there is nothing else to say
    return (v, compat) if msg.metadata or msg.supported_features.blocks else (1, compat)


@message(CEPH_MSG_CLIENT_SESSION, v=5, compat=1, newest=7, by_value=_version)
class MClientSession(Message):
    """Opens, keeps and closes a client's session.

    Attributes:
        op: a `SessionOp`.
        seq: number of the caps' renewal, or of a session's opening.
        stamp: nanoseconds since the epoch.
        max_caps, max_leases: of a RECALL_STATE: how many to keep.
        metadata: of the client when it opens; `error_string` of a REJECT.
        supported_features: CephFS features of the sender, when a session opens.
        flags: `SESSION_BLOCKLISTED` in the REJECT of a blocklisted client.
        oldest_client_tid: of newer clients, with a REQUEST_RENEWCAPS.
    """

    op: int = field(U32)
    seq: int = field(U64, default=0)
    stamp: int = field(Time, default=0)
    max_caps: int = field(U32, default=0)
    max_leases: int = field(U32, default=0)
    metadata: dict[str, str] = field(Map(Str, Str), factory=dict, since=2)
    supported_features: FeatureBitset = field(FeatureBitset, factory=FeatureBitset, since=3)
    metric_spec: MetricSpec = field(MetricSpec, factory=MetricSpec, since=4)
    flags: int = field(U32, default=0, since=5)
    cap_auths: list[CapAuth] = field(List(CapAuth), factory=list, since=6)
    oldest_client_tid: int = field(U64, default=2**64 - 1, since=7)

    def __str__(self) -> str:
        seq = f" seq {self.seq}" if self.seq else ""
        recall = self.op == SessionOp.RECALL_STATE
        limits = f" max_caps {self.max_caps} max_leases {self.max_leases}" if recall else ""
        return f"client_session({session_op_name(self.op)}{seq}{limits})"
