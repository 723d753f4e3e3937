"""The object class `version`: a version with a tag, kept in an attribute of the object.

Behaviour: ceph/ceph, src/cls/version/cls_version.cc; format: cls_version_types.h, cls_version_ops.h
"""

from __future__ import annotations

from base64 import b64encode
from errno import ECANCELED, ENODATA, ENOENT
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.store.classes.registry import (
    METHOD_RD,
    METHOD_WR,
    MethodError,
    get_xattr,
    method,
    read_input,
    read_stored,
    set_xattr,
)
from mdsdaemon.embedded.store.classes.version_types import (
    COMPARISONS,
    ObjVersion,
    VersionCond,
    VersionOp,
    VersionValue,
)
from mdsdaemon.encoding import encode

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.context import OpContext

_ATTR: Final = "ceph.objclass.version"
_TAG_LEN: Final = 24


def _write(ctx: OpContext, version: ObjVersion) -> None:
    set_xattr(ctx, _ATTR, encode(ObjVersion, version))


def _read(ctx: OpContext, *, create: bool) -> ObjVersion:
    try:
        raw = get_xattr(ctx, _ATTR)
    except MethodError as exc:
        if exc.result not in (-ENOENT, -ENODATA):
            raise
        if not create:
            return ObjVersion()
        made = ObjVersion(1, b64encode(ctx.engine.host.randbytes(_TAG_LEN)).decode()[:_TAG_LEN])
        _write(ctx, made)
        return made
    return read_stored(ObjVersion, raw)


def _check(conds: list[VersionCond], version: ObjVersion) -> None:
    for cond in conds:
        test = COMPARISONS.get(cond.cond)
        if test is not None and not test(version, cond.ver):
            raise MethodError(-ECANCELED)


@method("version", "set", METHOD_RD | METHOD_WR)
def version_set(ctx: OpContext, data: bytes) -> bytes:
    """Set the version and its tag."""
    _write(ctx, read_input(VersionValue, data).objv)
    return b""


@method("version", "inc", METHOD_RD | METHOD_WR)
@method("version", "inc_conds", METHOD_RD | METHOD_WR)
def version_inc(ctx: OpContext, data: bytes) -> bytes:
    """Count up, if the conditions hold; a version that is not there begins at 1."""
    op = read_input(VersionOp, data)
    version = _read(ctx, create=True)
    _check(op.conds, version)
    _write(ctx, ObjVersion(version.ver + 1, version.tag))
    return b""


@method("version", "read", METHOD_RD)
def version_read(ctx: OpContext, data: bytes) -> bytes:
    """The version and its tag."""
    return encode(VersionValue, VersionValue(_read(ctx, create=False)))


@method("version", "check_conds", METHOD_RD)
def version_check(ctx: OpContext, data: bytes) -> bytes:
    """Fail with ECANCELED unless the conditions hold."""
    op = read_input(VersionOp, data)
    _check(op.conds, _read(ctx, create=False))
    return b""
