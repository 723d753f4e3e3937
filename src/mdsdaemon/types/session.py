"""What is kept of a client's session.

Format: ceph/ceph, src/mds/mdstypes.h and .cc, src/messages/MClientRequest.h (Pacific).
"""

from mdsdaemon.encoding import U64, Map, Set, Str, field, wire
from mdsdaemon.types.entity import EntityAddr, EntityInst, EntityName, PeerName
from mdsdaemon.types.feature_bitset import FeatureBitset
from mdsdaemon.types.interval_set import IntervalSet


@wire(ceph="metareqid_t", order=True, hash=True, frozen=True)
class MetaReqId:
    """metareqid_t: one request of a client."""

    name: PeerName = field(PeerName, factory=PeerName)
    tid: int = field(U64, default=0)

    def __str__(self) -> str:
        return f"{self.name}:{self.tid}"


@wire(v=1, compat=1, ceph="metric_spec_t")
class MetricSpec:
    """metric_spec_t: which metrics a client reports."""

    metric_flags: FeatureBitset = field(FeatureBitset, factory=FeatureBitset)


@wire(v=3, compat=1, ceph="client_metadata_t")
class ClientMetadata:
    """client_metadata_t: what a client says of itself."""

    kv_map: dict[str, str] = field(Map(Str, Str), factory=dict)
    features: FeatureBitset = field(FeatureBitset, factory=FeatureBitset, since=2)
    metric_spec: MetricSpec = field(MetricSpec, factory=MetricSpec, since=3)


def _no_inst() -> EntityInst:
    return EntityInst(PeerName(), EntityAddr())


@wire(v=7, compat=7, keep_tail=True, ceph="session_info_t")
class SessionInfo:
    """session_info_t: a session as it is stored.

    Attributes:
        completed_requests: by tid, the inode that the request made.
        prealloc_inos: inode numbers that are set aside for the client.
        auth_name: the name whose key it used.
    """

    inst: EntityInst = field(EntityInst, factory=_no_inst)
    completed_requests: dict[int, int] = field(Map(U64, U64), factory=dict)
    prealloc_inos: dict[int, int] = field(IntervalSet, factory=dict)
    used_inos: dict[int, int] = field(IntervalSet, factory=dict)
    completed_flushes: set[int] = field(Set(U64), factory=set, since=5)
    auth_name: EntityName = field(EntityName, factory=EntityName, since=6)
    client_metadata: ClientMetadata = field(ClientMetadata, factory=ClientMetadata, since=7)
