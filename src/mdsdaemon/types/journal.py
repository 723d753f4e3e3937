"""Events of a rank's journal.

Format: ceph/ceph, src/mds/events/*.h, src/mds/journal.cc, src/mds/LogEvent.cc (Pacific).
"""

from mdsdaemon.encoding import (
    S16,
    S32,
    S64,
    U8,
    U16,
    U64,
    Blob,
    Bool,
    List,
    Map,
    Set,
    Str,
    Time,
    field,
    wire,
)
from mdsdaemon.types.entity import EntityAddr, EntityInst, PeerName
from mdsdaemon.types.frag import DirFrag, Frag
from mdsdaemon.types.interval_set import IntervalSet
from mdsdaemon.types.mds import VInodeNo
from mdsdaemon.types.metablob import EMetaBlob
from mdsdaemon.types.session import ClientMetadata, MetaReqId
from mdsdaemon.types.stats import FNode


@wire(v=6, compat=5)
class SubtreeMapFields:
    """Which parts of the tree this rank has."""

    stamp: int = field(Time, default=0)
    metablob: EMetaBlob = field(EMetaBlob, factory=EMetaBlob)
    subtrees: dict[DirFrag, list[DirFrag]] = field(Map(DirFrag, List(DirFrag)), factory=dict)
    ambiguous_subtrees: set[DirFrag] = field(Set(DirFrag), factory=set)
    expire_pos: int = field(U64, default=0)
    event_seq: int = field(U64, default=0, since=6)


@wire(v=6, compat=5, ceph="ESubtreeMap")
class ESubtreeMap(SubtreeMapFields):
    """The beginning of a segment."""


@wire(v=6, compat=5)
class ESubtreeMapTest(SubtreeMapFields):
    """Written for ceph-mds's own checks (mds_debug_subtrees); it begins no segment."""


@wire(v=4, compat=3, ceph="EExport")
class EExport:
    """A subtree went to another rank."""

    stamp: int = field(Time, default=0)
    metablob: EMetaBlob = field(EMetaBlob, factory=EMetaBlob)
    base: DirFrag = field(DirFrag, factory=DirFrag)
    bounds: set[DirFrag] = field(Set(DirFrag), factory=set)
    target: int = field(S32, default=-1, since=4)


@wire(v=4, compat=3, ceph="EImportStart")
class EImportStart:
    """A subtree comes from another rank; ``client_map`` holds the clients' EntityInsts."""

    stamp: int = field(Time, default=0)
    base: DirFrag = field(DirFrag, factory=DirFrag)
    metablob: EMetaBlob = field(EMetaBlob, factory=EMetaBlob)
    bounds: list[DirFrag] = field(List(DirFrag), factory=list)
    cmapv: int = field(U64, default=0)
    client_map: bytes = field(Blob, default=b"")
    from_: int = field(S32, default=-1, since=4)


@wire(v=3, compat=3, ceph="EImportFinish")
class EImportFinish:
    """The subtree came, or did not."""

    stamp: int = field(Time, default=0)
    base: DirFrag = field(DirFrag, factory=DirFrag)
    success: bool = field(Bool, default=False)


@wire(v=5, compat=4, ceph="EFragment")
class EFragment:
    """A directory fragment is split (``bits`` > 0) or merged; ``rollback``: DirfragRollbacks."""

    stamp: int = field(Time, default=0)
    op: int = field(U8, default=0)
    ino: int = field(U64, default=0)
    basefrag: Frag = field(Frag, factory=Frag)
    bits: int = field(S32, default=0)
    metablob: EMetaBlob = field(EMetaBlob, factory=EMetaBlob)
    orig_frags: list[Frag] = field(List(Frag), factory=list, since=5)
    rollback: bytes = field(Blob, default=b"", since=5)


@wire(v=1, compat=1, ceph="dirfrag_rollback")
class DirfragRollback:
    """What a fragment's header was before."""

    fnode: FNode = field(FNode, factory=FNode)


@wire(v=2, compat=2)
class ENoOp:
    """Nothing: cephfs-journal-tool writes it over an event, with as many bytes of padding."""

    pad: bytes = field(Blob, default=b"", repr=False)


@wire(v=1, compat=1)
class ESegment:
    """The beginning of a segment without a subtree map, as releases from 18.2.1 on write it."""

    seq: int = field(U64, default=0)


@wire(v=1, compat=1)
class ELid:
    """The end of a journal that is finished, or where one begins, from 18.2.1 on."""

    seq: int = field(U64, default=0)


@wire(v=2, compat=2, ceph="EResetJournal")
class EResetJournal:
    """Everything before was given up by an administrator."""

    stamp: int = field(Time, default=0)


def _no_inst() -> EntityInst:
    return EntityInst(PeerName(0, 0), EntityAddr())


@wire(v=6, compat=5, ceph="ESession")
class ESession:
    """A client's session opened or closed."""

    stamp: int = field(Time, default=0)
    client_inst: EntityInst = field(EntityInst, factory=_no_inst)
    open: bool = field(Bool, default=False)
    cmapv: int = field(U64, default=0)
    inos_to_free: dict[int, int] = field(IntervalSet, factory=dict)
    inotablev: int = field(U64, default=0)
    client_metadata: ClientMetadata = field(ClientMetadata, factory=ClientMetadata, since=5)
    inos_to_purge: dict[int, int] = field(IntervalSet, factory=dict, since=6)


@wire(v=2, compat=1, ceph="ESessions")
class ESessions:
    """Several sessions opened."""

    client_map: dict[int, EntityInst] = field(Map(S64, EntityInst), factory=dict)
    cmapv: int = field(U64, default=0)
    stamp: int = field(Time, default=0)
    client_metadata_map: dict[int, ClientMetadata] = field(
        Map(S64, ClientMetadata), factory=dict, since=2
    )


@wire()
class ESessionsOld:
    """`ESessions` of before version 1."""

    client_map: dict[int, EntityInst] = field(Map(S64, EntityInst), factory=dict)
    cmapv: int = field(U64, default=0)
    stamp: int = field(Time, default=0, if_more=True)


@wire(v=4, compat=4, ceph="EUpdate")
class EUpdate:
    """A change of metadata by a request of the kind ``type``."""

    stamp: int = field(Time, default=0)
    type: str = field(Str, default="")
    metablob: EMetaBlob = field(EMetaBlob, factory=EMetaBlob)
    client_map: bytes = field(Blob, default=b"")
    cmapv: int = field(U64, default=0, since=3)
    reqid: MetaReqId = field(MetaReqId, factory=MetaReqId)
    had_peers: bool = field(Bool, default=False)


@wire(v=4, compat=3, ceph="EOpen")
class EOpen:
    """Files that clients hold open."""

    stamp: int = field(Time, default=0)
    metablob: EMetaBlob = field(EMetaBlob, factory=EMetaBlob)
    inos: list[int] = field(List(U64), factory=list)
    snap_inos: list[VInodeNo] = field(List(VInodeNo), factory=list, since=4)


@wire(v=3, compat=3, ceph="ECommitted")
class ECommitted:
    """The peers have committed a request."""

    stamp: int = field(Time, default=0)
    reqid: MetaReqId = field(MetaReqId, factory=MetaReqId)


@wire(v=1, compat=1, ceph="EPurged")
class EPurged:
    """Inode numbers whose data is gone."""

    inos: dict[int, int] = field(IntervalSet, factory=dict)
    inotablev: int = field(U64, default=0)
    seq: int = field(U64, default=0)


@wire(v=3, compat=3, ceph="ETableClient")
class ETableClient:
    """This rank's part in a change of a table of another rank."""

    stamp: int = field(Time, default=0)
    table: int = field(U16, default=0)
    op: int = field(S16, default=0)
    tid: int = field(U64, default=0)


@wire(v=3, compat=3, ceph="ETableServer")
class ETableServer:
    """A change of a table of this rank."""

    stamp: int = field(Time, default=0)
    table: int = field(U16, default=0)
    op: int = field(S16, default=0)
    reqid: int = field(U64, default=0)
    bymds: int = field(S32, default=-1)
    mutation: bytes = field(Blob, default=b"")
    tid: int = field(U64, default=0)
    version: int = field(U64, default=0)


@wire(v=3, compat=3, ceph="EPeerUpdate")
class EPeerUpdate:
    """This rank's part in a request that another one leads; ``rollback``: see journal_peer."""

    stamp: int = field(Time, default=0)
    type: str = field(Str, default="")
    reqid: MetaReqId = field(MetaReqId, factory=MetaReqId)
    leader: int = field(S32, default=-1)
    op: int = field(U8, default=0)
    origop: int = field(U8, default=0)
    commit: EMetaBlob = field(EMetaBlob, factory=EMetaBlob)
    rollback: bytes = field(Blob, default=b"")
