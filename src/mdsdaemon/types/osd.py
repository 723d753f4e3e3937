"""Names in RADOS: placement groups, versions, requests, object locators and objects.

Format: ceph/ceph, src/osd/osd_types.h and .cc, src/common/hobject.h and .cc (Pacific).
"""

from mdsdaemon.encoding import S8, S32, S64, U32, U64, Blob, Bool, Str, field, wire
from mdsdaemon.types.entity import PeerName

NO_POOL = -1
NO_SHARD = -1
NO_HASH = -1
NO_GEN = 2**64 - 1
NOSNAP = 2**64 - 2
"""The snapid of the head of an object or file: CEPH_NOSNAP."""
SNAPDIR = 2**64 - 1
MAXSNAP = 2**64 - 3


@wire(v=1, envelope="version", ceph="pg_t", order=True, hash=True, frozen=True)
class PG:
    """pg_t: a placement group, ``pool.seed`` with the seed in hex."""

    pool: int = field(S64, default=0)
    seed: int = field(U32, default=0)
    preferred: int = field(S32, default=-1)

    def __str__(self) -> str:
        return f"{self.pool}.{self.seed:x}"


@wire(v=1, compat=1, ceph="spg_t", order=True, hash=True, frozen=True)
class ShardedPG:
    """spg_t: a placement group, or one shard of an erasure-coded one."""

    pgid: PG = field(PG, factory=PG)
    shard: int = field(S8, default=NO_SHARD)

    def __str__(self) -> str:
        return str(self.pgid) if self.shard == NO_SHARD else f"{self.pgid}s{self.shard}"


@wire(ceph="eversion_t", hash=True, frozen=True)
class EVersion:
    """eversion_t: the version of an object: a count within an OSDMap epoch."""

    version: int = field(U64, default=0)
    epoch: int = field(U32, default=0)

    def __str__(self) -> str:
        return f"{self.epoch}'{self.version}"


@wire(v=2, compat=2, ceph="osd_reqid_t", hash=True, frozen=True)
class OSDReqId:
    """osd_reqid_t: one request of one instance of a client.

    Nobody is type 0 and number 0 here: an OSD takes any other name as given by the sender.
    """

    name: PeerName = field(PeerName, default=PeerName(0, 0))
    tid: int = field(U64, default=0)
    inc: int = field(S32, default=0)

    def __str__(self) -> str:
        return f"{self.name}.{self.inc}:{self.tid}"


def _locator_version(locator: "ObjectLocator", v: int, compat: int) -> tuple[int, int]:
    # readers that do not know hashes must refuse one
    return v, 6 if locator.hash != NO_HASH else compat


@wire(v=6, compat=3, by_value=_locator_version, ceph="object_locator_t", hash=True, frozen=True)
class ObjectLocator:
    """object_locator_t: where an object is placed: by its name, by ``key``, or by ``hash``."""

    pool: int = field(S64, default=NO_POOL)
    preferred: int = field(S32, default=-1)
    key: str = field(Str, default="")
    nspace: str = field(Str, default="", since=5)
    hash: int = field(S64, default=NO_HASH, since=6)


@wire(v=1, compat=1, ceph="request_redirect_t")
class RequestRedirect:
    """request_redirect_t: where else the OSD says to send a request."""

    redirect_locator: ObjectLocator = field(ObjectLocator, factory=ObjectLocator)
    redirect_object: str = field(Str, default="")
    osd_instructions: bytes = field(Blob, default=b"")


@wire(v=4, compat=3, ceph="hobject_t", hash=True, frozen=True)
class HObject:
    """hobject_t: an object or one of its clones, with its hash."""

    key: str = field(Str, default="")
    oid: str = field(Str, default="")
    snap: int = field(U64, default=0)
    hash: int = field(U32, default=0)
    max: bool = field(Bool, default=False)
    nspace: str = field(Str, default="", since=4)
    pool: int = field(S64, default=-(2**63), since=4)


@wire(v=6, compat=3, ceph="ghobject_t", hash=True, frozen=True)
class GHObject:
    """ghobject_t: an hobject_t with the generation and shard of an erasure-coded pool."""

    key: str = field(Str, default="")
    oid: str = field(Str, default="")
    snap: int = field(U64, default=0)
    hash: int = field(U32, default=0)
    max_hobj: bool = field(Bool, default=False)
    nspace: str = field(Str, default="", since=4)
    pool: int = field(S64, default=-(2**63), since=4)
    generation: int = field(U64, default=NO_GEN, since=5)
    shard: int = field(S8, default=NO_SHARD, since=5)
    max: bool = field(Bool, default=False, since=6)
