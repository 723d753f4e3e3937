"""Inputs and outputs of the object class `version`.

Format: ceph/ceph, src/cls/version/cls_version_types.h, cls_version_ops.h
"""

from collections.abc import Callable
from enum import IntEnum

from mdsdaemon.encoding import U32, U64, List, Str, field, wire


@wire(v=1, compat=1, ceph="obj_version")
class ObjVersion:
    """obj_version: a number that grows, and a tag that tells lines of numbers apart."""

    ver: int = field(U64, default=0)
    tag: str = field(Str, default="")


class Cond(IntEnum):
    """VersionCond: how the object's version has to compare with the one given."""

    NONE = 0
    EQ = 1
    GT = 2
    GE = 3
    LT = 4
    LE = 5
    TAG_EQ = 6
    TAG_NE = 7


COMPARISONS: dict[int, Callable[[ObjVersion, ObjVersion], bool]] = {
    Cond.EQ: lambda have, want: have == want,
    Cond.GT: lambda have, want: have.ver > want.ver,
    Cond.GE: lambda have, want: have.ver >= want.ver,
    Cond.LT: lambda have, want: have.ver < want.ver,
    Cond.LE: lambda have, want: have.ver <= want.ver,
    Cond.TAG_EQ: lambda have, want: have.tag == want.tag,
    Cond.TAG_NE: lambda have, want: have.tag != want.tag,
}


@wire(v=1, compat=1, ceph="obj_version_cond")
class VersionCond:
    """obj_version_cond."""

    ver: ObjVersion = field(ObjVersion, factory=ObjVersion)
    cond: int = field(U32, default=0)


@wire(v=1, compat=1, ceph="cls_version_read_ret")
class VersionValue:
    """cls_version_set_op and cls_version_read_ret."""

    objv: ObjVersion = field(ObjVersion, factory=ObjVersion)


@wire(v=1, compat=1, ceph="cls_version_inc_op")
class VersionOp:
    """cls_version_inc_op and cls_version_check_op."""

    objv: ObjVersion = field(ObjVersion, factory=ObjVersion)
    conds: list[VersionCond] = field(List(VersionCond), factory=list)
