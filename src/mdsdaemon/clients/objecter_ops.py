"""ObjectOperation: the operations of one request on one object, and their results.

    op = ObjectOperation().assert_exists()
    size = op.stat()
    keys = op.omap_get_keys("", 1000)
    result = await objecter.operate(pool, "10000000000.00000000", op)
    result[size].size, result[keys].keys

Operations that answer with data return an `Output`, the key to their part of the `Result`; all
others return the ObjectOperation itself.

Format: ceph/ceph, src/osdc/Objecter.h (ObjectOperation), src/osd/PrimaryLogPG.cc (do_osd_ops)
(Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Self, TypeVar

import attrs

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.encoding import (
    S32,
    U64,
    Blob,
    Bool,
    DecodeError,
    List,
    Map,
    Set,
    Str,
    Time,
    Tuple,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.types.object_list import SnapList
from mdsdaemon.types.osd_op import (
    ALLOC_HINT,
    ASSERT_VER,
    CMPXATTR_MODE_STRING,
    CMPXATTR_MODE_U64,
    MODE_WR,
    SNAP,
    Cmp,
    Flag,
    Op,
    OpFlag,
    OSDOp,
)

T = TypeVar("T")

_Values = Map(Str, Blob)
_Keys = Set(Str)


@wire()
class Stat:
    """Size in bytes, and mtime in nanoseconds."""

    size: int = field(U64)
    mtime: int = field(Time)


@wire()
class OmapKeys:
    """Keys in their order; `more`: there are others after the last."""

    keys: list[str] = field(List(Str))
    more: bool = field(Bool, default=False)


@wire()
class OmapVals:
    """Values by key, in order; `more`: there are others after the last."""

    vals: dict[str, bytes] = field(_Values)
    more: bool = field(Bool, default=False)


@wire()
class Sparse:
    """What a sparse read found: offset → length of each extent, and their bytes joined."""

    extents: dict[int, int] = field(Map(U64, U64))
    data: bytes = field(Blob)


@attrs.frozen(eq=False)
class Output(Generic[T]):
    """The place of one operation's output in a `Result`."""

    index: int
    decode: Callable[[bytes], T]


@attrs.define
class Result:
    """A request that succeeded.

    Attributes:
        object: pool and name of the object.
        ops: the operations with `rval` and `outdata`.
        version: of the object, as its users see it.
        epoch: of the OSD's map.
    """

    object: str
    ops: list[OSDOp]
    version: int = 0
    epoch: int = 0

    def __getitem__(self, output: Output[T]) -> T:
        """The output of one operation.

        Raises RadosError: the operation failed (it was allowed to), or EIO: its output is not
        what it has to be.
        """
        if output.index >= len(self.ops):
            raise RadosError(5, self.object, "", "the OSD answered fewer operations than asked")
        op = self.ops[output.index]
        if op.rval < 0:
            raise RadosError(-op.rval, self.object, op_text(op))
        try:
            return output.decode(op.outdata)
        except DecodeError as exc:
            raise RadosError(5, self.object, op_text(op), f"bad output: {exc}") from exc


def op_text(op: OSDOp) -> str:
    """An operation's name as Ceph prints it: `omap-get-keys`."""
    return _TEXT.get(op.op) or op.name.lower()


_TEXT = {int(op): op.name.lower() for op in Op} | {
    Op.SPARSE_READ: "sparse-read",
    Op.NOTIFY_ACK: "notify-ack",
    Op.ASSERT_VER: "assert-version",
    Op.LIST_WATCHERS: "list-watchers",
    Op.LIST_SNAPS: "list-snaps",
    Op.OMAPGETKEYS: "omap-get-keys",
    Op.OMAPGETVALS: "omap-get-vals",
    Op.OMAPGETHEADER: "omap-get-header",
    Op.OMAPGETVALSBYKEYS: "omap-get-vals-by-keys",
    Op.OMAPSETVALS: "omap-set-vals",
    Op.OMAPSETHEADER: "omap-set-header",
    Op.OMAPCLEAR: "omap-clear",
    Op.OMAPRMKEYS: "omap-rm-keys",
    Op.OMAPRMKEYRANGE: "omap-rm-key-range",
    Op.OMAP_CMP: "omap-cmp",
    Op.COPY_FROM: "copy-from",
    Op.COPY_FROM2: "copy-from2",
    Op.COPY_GET: "copy-get",
    Op.SETALLOCHINT: "set-alloc-hint",
    Op.WRITESAME: "write-same",
}


def _raw(data: bytes) -> bytes:
    return data


def _nothing(_: bytes) -> None:
    return None


def _decoder(codec: Any) -> Callable[[bytes], Any]:
    return lambda data: decode(codec, data)


_stat, _keys, _vals = _decoder(Stat), _decoder(OmapKeys), _decoder(OmapVals)
_values, _sparse, _snaps = _decoder(_Values), _decoder(Sparse), _decoder(SnapList)


_READ, _WRITE = int(Flag.READ), int(Flag.WRITE)


class ObjectOperation:
    """See the module. One may be used for several requests, one after another.

    Attributes:
        ops: the operations so far.
        flags: of the request; READ or WRITE is found out from the operations.
    """

    __slots__ = ("flags", "ops")

    def __init__(self) -> None:
        self.ops: list[OSDOp] = []
        self.flags = 0

    def __len__(self) -> int:
        return len(self.ops)

    def add(self, op: OSDOp) -> Self:
        """Any operation."""
        self.ops.append(op)
        return self

    def _ask(self, op: OSDOp, decode_output: Callable[[bytes], T]) -> Output[T]:
        self.ops.append(op)
        return Output(len(self.ops) - 1, decode_output)

    def request_flags(self) -> int:
        """`flags`, with WRITE if an operation changes the object, else READ."""
        flags = int(self.flags)
        if flags & (_READ | _WRITE):
            return flags
        for op in self.ops:
            if op.op & MODE_WR:
                return flags | _WRITE
        return flags | _READ

    def set_last_op_flags(self, flags: int) -> Self:
        """`OpFlag` bits of the operation added last; FAILOK lets the others go on without it."""
        self.ops[-1].flags |= flags
        return self

    def failok(self) -> Self:
        """The operation added last may fail."""
        return self.set_last_op_flags(OpFlag.FAILOK)

    # -- data --------------------------------------------------------------------------------

    def read(
        self, offset: int, length: int, *, truncate_size: int = 0, truncate_seq: int = 0
    ) -> Output[bytes]:
        """Bytes; fewer at the object's end. `length` 0: to the end."""
        op = OSDOp.extent(
            Op.READ, offset, length, truncate_size=truncate_size, truncate_seq=truncate_seq
        )
        return self._ask(op, _raw)

    def sparse_read(self, offset: int, length: int) -> Output[Sparse]:
        """The extents that are there."""
        return self._ask(OSDOp.extent(Op.SPARSE_READ, offset, length), _sparse)

    def stat(self) -> Output[Stat]:
        """Size and mtime; ENOENT: no such object."""
        return self._ask(OSDOp(Op.STAT), _stat)

    def cmpext(self, offset: int, data: bytes) -> Self:
        """Go on only if the object has these bytes there; errno 4095 + place of a difference."""
        return self.add(OSDOp.extent(Op.CMPEXT, offset, 0, data))

    def write(
        self, offset: int, data: bytes, *, truncate_size: int = 0, truncate_seq: int = 0
    ) -> Self:
        """Write; `truncate_seq` newer than the object's first truncates it to `truncate_size`."""
        op = OSDOp.extent(
            Op.WRITE, offset, 0, data, truncate_size=truncate_size, truncate_seq=truncate_seq
        )
        return self.add(op)

    def write_full(self, data: bytes) -> Self:
        """Replace the object's bytes by these."""
        return self.add(OSDOp.extent(Op.WRITEFULL, 0, 0, data))

    def append(self, data: bytes) -> Self:
        """Write behind the object's end."""
        return self.add(OSDOp.extent(Op.APPEND, 0, 0, data))

    def zero(self, offset: int, length: int) -> Self:
        """Make bytes zero."""
        return self.add(OSDOp.extent(Op.ZERO, offset, length))

    def truncate(self, size: int) -> Self:
        """Cut, or prolong with zeros, to `size`."""
        return self.add(OSDOp.extent(Op.TRUNCATE, size))

    def trimtrunc(self, truncate_size: int, truncate_seq: int) -> Self:
        """Cut to `truncate_size` if the object has not seen this truncation yet."""
        return self.add(
            OSDOp.extent(Op.TRIMTRUNC, 0, 0, truncate_size=truncate_size, truncate_seq=truncate_seq)
        )

    def create(self, excl: bool = False) -> Self:
        """Make the object; EEXIST if it is there and `excl`."""
        return self.add(OSDOp(Op.CREATE, OpFlag.EXCL if excl else 0))

    def remove(self) -> Self:
        """Delete; ENOENT: no such object."""
        return self.add(OSDOp(Op.DELETE))

    def rollback(self, snapid: int) -> Self:
        """Make the object what it was at a snapshot."""
        return self.add(OSDOp(Op.ROLLBACK, 0, SNAP.pack(snapid)))

    def set_alloc_hint(self, object_size: int, write_size: int, flags: int = 0) -> Self:
        """What to expect of the object, in bytes."""
        op = OSDOp(Op.SETALLOCHINT, 0, ALLOC_HINT.pack(object_size, write_size, flags))
        return self.add(op).failok()

    # -- conditions --------------------------------------------------------------------------

    def assert_exists(self) -> Self:
        """Go on only if the object is there (ENOENT)."""
        return self.add(OSDOp(Op.STAT))

    def assert_version(self, version: int) -> Self:
        """Go on only at this version; ERANGE: the object is newer, EOVERFLOW: it is older."""
        return self.add(OSDOp(Op.ASSERT_VER, 0, ASSERT_VER.pack(0, version)))

    def cmpxattr(self, name: str, cmp: Cmp, value: bytes | int) -> Self:
        """Go on only if `value` (a number: compared as one) stands so to the xattr (ECANCELED)."""
        mode, raw = CMPXATTR_MODE_STRING, value
        if isinstance(value, int):
            mode, raw = CMPXATTR_MODE_U64, encode(U64, value)
        assert isinstance(raw, bytes)
        return self.add(OSDOp.xattr(Op.CMPXATTR, name, raw, cmp, mode))

    def omap_cmp(self, assertions: Mapping[str, tuple[bytes, Cmp]]) -> Self:
        """Go on only if each value compares so to that of the key (ECANCELED)."""
        codec = Map(Str, Tuple(Blob, S32))
        plain = {key: (value, int(cmp)) for key, (value, cmp) in assertions.items()}
        return self.add(OSDOp(Op.OMAP_CMP, indata=encode(codec, plain)))

    # -- xattrs ------------------------------------------------------------------------------

    def getxattr(self, name: str) -> Output[bytes]:
        """One xattr; ENODATA: there is none of that name."""
        return self._ask(OSDOp.xattr(Op.GETXATTR, name), _raw)

    def getxattrs(self) -> Output[dict[str, bytes]]:
        """All xattrs."""
        return self._ask(OSDOp(Op.GETXATTRS), _values)

    def setxattr(self, name: str, value: bytes) -> Self:
        """Set one."""
        return self.add(OSDOp.xattr(Op.SETXATTR, name, value))

    def rmxattr(self, name: str) -> Self:
        """Remove one."""
        return self.add(OSDOp.xattr(Op.RMXATTR, name))

    # -- omap --------------------------------------------------------------------------------

    def omap_get_keys(self, start_after: str = "", max_return: int = 1 << 30) -> Output[OmapKeys]:
        """Keys behind `start_after`; the OSD may return fewer than asked for."""
        indata = encode(Str, start_after) + encode(U64, max_return)
        return self._ask(OSDOp(Op.OMAPGETKEYS, indata=indata), _keys)

    def omap_get_vals(
        self, start_after: str = "", filter_prefix: str = "", max_return: int = 1 << 30
    ) -> Output[OmapVals]:
        """Keys behind `start_after` that begin with `filter_prefix`, and their values."""
        indata = encode(Str, start_after) + encode(U64, max_return) + encode(Str, filter_prefix)
        return self._ask(OSDOp(Op.OMAPGETVALS, indata=indata), _vals)

    def omap_get_vals_by_keys(self, keys: Iterable[str]) -> Output[dict[str, bytes]]:
        """The values of those of `keys` that are there."""
        return self._ask(OSDOp(Op.OMAPGETVALSBYKEYS, indata=encode(_Keys, set(keys))), _values)

    def omap_get_header(self) -> Output[bytes]:
        """The header, which is beside the keys."""
        return self._ask(OSDOp(Op.OMAPGETHEADER), _raw)

    def omap_set(self, values: Mapping[str, bytes]) -> Self:
        """Set values by key."""
        return self.add(OSDOp(Op.OMAPSETVALS, indata=encode(_Values, dict(values))))

    def omap_set_header(self, header: bytes) -> Self:
        """Set the header."""
        return self.add(OSDOp(Op.OMAPSETHEADER, indata=header))

    def omap_rm_keys(self, keys: Iterable[str]) -> Self:
        """Remove keys."""
        return self.add(OSDOp(Op.OMAPRMKEYS, indata=encode(_Keys, set(keys))))

    def omap_rm_range(self, begin: str, end: str) -> Self:
        """Remove the keys from `begin` up to `end`, which stays."""
        indata = encode(Str, begin) + encode(Str, end)
        return self.add(OSDOp(Op.OMAPRMKEYRANGE, indata=indata))

    def omap_clear(self) -> Self:
        """Remove all keys and the header."""
        return self.add(OSDOp(Op.OMAPCLEAR))

    # -- others ------------------------------------------------------------------------------

    def call(
        self, class_name: str, method: str, data: bytes = b"", *, write: bool = False
    ) -> Output[bytes]:
        """A method of an object class; `write`: one that changes the object."""
        if write:
            self.flags |= Flag.WRITE
        return self._ask(OSDOp.call(class_name, method, data), _raw)

    def list_snaps(self) -> Output[SnapList]:
        """The clones; the request's snapid has to be SNAPDIR."""
        return self._ask(OSDOp(Op.LIST_SNAPS), _snaps)
