"""Inputs and stored values of the object class `cephfs`.

Format: ceph/ceph, src/cls/cephfs/cls_cephfs.h
"""

from mdsdaemon.encoding import S64, U64, Str, field, wire


@wire(v=1, compat=1, ceph="ObjCeiling")
class ObjCeiling:
    """The highest index of an object of a file, and that object's size; compares by index."""

    id: int = field(U64, default=0)
    size: int = field(U64, default=0)

    def __gt__(self, other: "ObjCeiling") -> bool:
        return self.id > other.id


@wire(v=1, compat=1, ceph="AccumulateArgs")
class AccumulateArgs:
    """What to gather, and in which attributes."""

    obj_xattr_name: str = field(Str, default="")
    mtime_xattr_name: str = field(Str, default="")
    obj_size_xattr_name: str = field(Str, default="")
    obj_index: int = field(U64, default=0)
    obj_size: int = field(U64, default=0)
    mtime: int = field(S64, default=0)
