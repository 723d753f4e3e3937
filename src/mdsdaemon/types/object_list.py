"""What an OSD lists: the objects of a placement group, the snapshots of an object.

Format: ceph/ceph, src/osd/osd_types.h (pg_ls_response_t, pg_nls_response_t, clone_info,
obj_list_snap_response_t), src/librados/ListObjectImpl.h (Pacific).
"""

from mdsdaemon.encoding import U64, List, Str, Tuple, field, wire
from mdsdaemon.types.osd import NOSNAP, HObject


@wire(ceph="librados::ListObjectImpl", hash=True, frozen=True)
class ListObject:
    """librados::ListObjectImpl: one object of a listing."""

    nspace: str = field(Str, default="")
    oid: str = field(Str, default="")
    locator: str = field(Str, default="")


@wire(v=1, compat=1, ceph="pg_nls_response_t")
class PGNLSResponse:
    """pg_nls_response_t: objects of all namespaces or one, and where to go on."""

    handle: HObject = field(HObject, factory=HObject)
    entries: list[ListObject] = field(List(ListObject), factory=list)


@wire(v=1, envelope="version", ceph="pg_ls_response_t")
class PGLSResponse:
    """pg_ls_response_t: (name, locator key) of the objects of one namespace."""

    handle: HObject = field(HObject, factory=HObject)
    entries: list[tuple[str, str]] = field(List(Tuple(Str, Str)), factory=list)


@wire(v=1, compat=1, ceph="clone_info")
class CloneInfo:
    """clone_info: a clone, or with NOSNAP the head; snapshots ascending, (offset, length)."""

    cloneid: int = field(U64, default=NOSNAP)
    snaps: list[int] = field(List(U64), factory=list)
    overlap: list[tuple[int, int]] = field(List(Tuple(U64, U64)), factory=list)
    size: int = field(U64, default=0)


@wire(v=2, compat=1, ceph="obj_list_snap_response_t")
class SnapList:
    """obj_list_snap_response_t: the clones of an object, oldest first, and its head."""

    clones: list[CloneInfo] = field(List(CloneInfo), factory=list)
    seq: int = field(U64, default=NOSNAP, since=2)
