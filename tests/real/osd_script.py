"""Random requests from a seed, and their answers in a form that two object stores can share."""

import copy
import random
import struct
from pathlib import Path
from typing import Any

import attrs
from tests.real.raw_osd import RawOSDClient, seen

from mdsdaemon.types.osd import SNAPDIR
from mdsdaemon.types.osd_op import (
    ALLOC_HINT,
    ASSERT_VER,
    CHECKSUM,
    EXTENT,
    NO_ARGS,
    SNAP,
    WRITESAME,
    Flag,
    Op,
    OpFlag,
    OSDOp,
)

NAMES = ("o1", "o2", "o3")
_READS_MUCH = {
    Op.READ,
    Op.SPARSE_READ,
    Op.GETXATTRS,
    Op.GETXATTR,
    Op.OMAPGETVALS,
    Op.OMAPGETKEYS,
    Op.OMAPGETVALSBYKEYS,
}
_MAKES_OMAP = {Op.OMAPSETVALS, Op.OMAPSETHEADER}
_ITERATES_OMAP = {Op.OMAPGETKEYS, Op.OMAPGETVALS}
_WRITES_DATA = {Op.WRITE, Op.WRITEFULL, Op.APPEND, Op.WRITESAME}
_READS_DATA = {Op.READ, Op.SPARSE_READ, Op.CHECKSUM, Op.CMPEXT}


@attrs.define
class Step:
    """One request: to which object, what, and MOSDOp's other fields."""

    name: str
    ops: list[OSDOp]
    fields: dict[str, Any]


def blob(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def key_map(values: dict[bytes, bytes]) -> bytes:
    parts = [blob(key) + blob(value) for key, value in sorted(values.items())]
    return struct.pack("<I", len(values)) + b"".join(parts)


def key_list(keys: list[bytes]) -> bytes:
    return struct.pack("<I", len(keys)) + b"".join(map(blob, keys))


class _Maker:
    """Makes operations at random."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def offset(self) -> int:
        return self.rng.choice([0, 0, 1, 100, 4096, 5000, 32768, 40000, 65536])

    def length(self) -> int:
        return self.rng.choice([0, 1, 5, 100, 4096, 9000, 40000])

    def data(self) -> bytes:
        return bytes([self.rng.randrange(256)]) * self.length()

    def key(self) -> bytes:
        return self.rng.choice([b"a", b"b", b"bb", b"c", b"zz"])

    def attr(self) -> str:
        return self.rng.choice(["x", "y", "long" + "n" * 20])

    def op(self, snaps: list[int]) -> OSDOp:
        kinds = [self.write, self.write, self.shape, self.read, self.read, self.xattr, self.omap]
        made = self.rng.choice([*kinds, self.omap, self.other])(snaps)
        if self.rng.random() < 0.15:
            made.flags |= OpFlag.FAILOK
        return made

    def truncate_args(self) -> dict[str, int]:
        seq = self.rng.choice([0] * 8 + [1, 2, 3])
        return {
            "truncate_seq": seq,
            "truncate_size": self.rng.choice([0, 10, 5000]) if seq else 0,
        }

    def write(self, snaps: list[int]) -> OSDOp:
        op = self.rng.choice([Op.WRITE, Op.WRITE, Op.WRITEFULL, Op.APPEND, Op.WRITESAME])
        if op == Op.WRITESAME:
            args = WRITESAME.pack(self.offset(), self.rng.choice([0, 10, 12]), 5)
            return OSDOp(op, 0, args, b"abcde")
        offset = self.offset() if op == Op.WRITE else 0
        extra = self.truncate_args() if op == Op.WRITE else {}
        # a write of nothing beyond the end leaves a real OSD with a wrong checksum
        data = self.data() if op == Op.WRITEFULL else self.data() or b"1"
        return OSDOp.extent(op, offset, 0, data, **extra)

    def shape(self, snaps: list[int]) -> OSDOp:
        op = self.rng.choice([Op.ZERO, Op.TRUNCATE, Op.DELETE, Op.CREATE, Op.CREATE])
        if op == Op.ZERO:
            return OSDOp.extent(op, self.offset(), max(1, self.length()))
        if op == Op.TRUNCATE:
            offset, seq = self.offset(), self.rng.choice([0, 0, 5, 6])
            return OSDOp.extent(op, offset, truncate_seq=seq, truncate_size=offset if seq else 0)
        return OSDOp(op, self.rng.choice([0, OpFlag.EXCL]) if op == Op.CREATE else 0)

    def read(self, snaps: list[int]) -> OSDOp:
        op = self.rng.choice([Op.READ, Op.READ, Op.SPARSE_READ, Op.STAT, Op.CMPEXT, Op.CHECKSUM])
        if op == Op.READ:
            return OSDOp.extent(op, self.offset(), self.length(), b"", **self.truncate_args())
        if op == Op.CMPEXT:
            return OSDOp.extent(op, self.offset(), 5, bytes(5))
        if op == Op.CHECKSUM:
            length, chunk = self.rng.choice([0, 10]), self.rng.choice([0, 5])
            return OSDOp(op, 0, CHECKSUM.pack(self.offset(), length, chunk, 2), b"\xff" * 4)
        # with length 0 the memory store of a real OSD reads everything
        return OSDOp.extent(op, self.offset(), self.length() or 7) if op != Op.STAT else OSDOp(op)

    def xattr(self, snaps: list[int]) -> OSDOp:
        op = self.rng.choice([Op.GETXATTR, Op.GETXATTRS, Op.SETXATTR, Op.RMXATTR, Op.CMPXATTR])
        if op == Op.GETXATTRS:
            return OSDOp(op)
        if op == Op.SETXATTR:
            return OSDOp.xattr(op, self.attr(), self.rng.choice([b"", b"5", b"12", b"abc"]))
        if op == Op.CMPXATTR:
            mode = self.rng.choice([1, 2, 2, 3])
            value: bytes = self.rng.choice([b"", b"5", b"abc"])
            if mode == 2:
                value = struct.pack("<Q", self.rng.choice([0, 5, 12]))
            return OSDOp.xattr(op, self.attr(), value, self.rng.randrange(1, 7), mode)
        return OSDOp.xattr(op, self.attr())

    def omap(self, snaps: list[int]) -> OSDOp:
        rng = self.rng
        after, most = rng.choice([b"", b"a", b"b"]), rng.choice([0, 1, 10])
        cmp_op = struct.pack("<i", rng.choice([1, 3, 5, 2]))
        pairs = {self.key(): rng.choice([b"", b"v", b"w"]) for _ in range(3)}
        # the memory store of a real OSD crashes on a range that ends before it begins
        ends = sorted([self.key(), self.key()])
        number = struct.pack("<Q", most)
        inputs = {
            Op.OMAPSETVALS: key_map(pairs),
            Op.OMAPSETHEADER: rng.choice([b"", b"header"]),
            Op.OMAPCLEAR: b"",
            Op.OMAPRMKEYS: key_list([self.key()]),
            Op.OMAPRMKEYRANGE: blob(ends[0]) + blob(ends[1]),
            Op.OMAPGETKEYS: blob(after) + number,
            Op.OMAPGETVALS: blob(after) + number + blob(rng.choice([b"", b"b"])),
            Op.OMAPGETVALSBYKEYS: key_list([self.key(), self.key()]),
            Op.OMAPGETHEADER: b"",
            Op.OMAP_CMP: struct.pack("<I", 1)
            + blob(self.key())
            + blob(rng.choice([b"", b"v"]))
            + cmp_op,
        }
        op = rng.choice([Op.OMAPSETVALS, Op.OMAPSETVALS, *inputs])
        return OSDOp(op, 0, NO_ARGS, inputs[op])

    def other(self, snaps: list[int]) -> OSDOp:
        kind = self.rng.randrange(3)
        if kind == 0:
            version = self.rng.choice([0, 1, 2, 5])
            return OSDOp(Op.ASSERT_VER, 0, ASSERT_VER.pack(0, version))
        if kind == 1 and snaps:
            return OSDOp(Op.ROLLBACK, 0, SNAP.pack(self.rng.choice(snaps)))
        return OSDOp(Op.SETALLOCHINT, 0, ALLOC_HINT.pack(100, 100, 0))


def is_write(op: OSDOp) -> bool:
    return bool(op.op & 0x2000)


def script(seed: int, count: int, *, with_snaps: bool) -> list[Step]:
    """The requests of a seed; `with_snaps` takes self-managed snapshots on the way."""
    maker = _Maker(seed)
    rng = maker.rng
    steps: list[Step] = []
    snaps: list[int] = []
    for _ in range(count):
        if with_snaps and rng.random() < 0.06:
            snaps = [(snaps[0] if snaps else 0) + 1, *snaps]
        ops = [maker.op(snaps) for _ in range(rng.choice([1, 1, 2, 3]))]
        if any(op.op in _MAKES_OMAP for op in ops):
            # a real OSD crashes if they are of an object that is only being made
            ops = [op for op in ops if op.op not in _ITERATES_OMAP]
        if any(op.op in _WRITES_DATA for op in ops):
            # a real OSD compares what is stored with the checksum of what is about to be, and
            # where they differ never answers
            ops = [op for op in ops if op.op not in _READS_DATA]
        flags = int(Flag.ONDISK)
        much = any(op.op in _READS_MUCH for op in ops) and any(map(is_write, ops))
        # a real OSD takes the state of a write that it refuses for a too long answer for done
        if not much and rng.random() < 0.3:
            flags |= Flag.RETURNVEC
        fields: dict[str, Any] = {"flags": flags}
        if with_snaps:
            fields |= {"snap_seq": snaps[0] if snaps else 0, "snaps": list(snaps)}
            if snaps and rng.random() < 0.2:
                ops = [op for op in ops if not is_write(op)] or [OSDOp.extent(Op.READ)]
                fields["snapid"] = rng.choice(snaps)
            elif rng.random() < 0.1:
                ops = [OSDOp(Op.LIST_SNAPS)]
                fields["snapid"] = SNAPDIR
            elif rng.random() < 0.1:
                fields["flags"] |= Flag.ORDERSNAP
        steps.append(Step(rng.choice(NAMES), ops, fields))
    return steps


def shared(answer: tuple[Any, ...]) -> tuple[Any, ...]:
    """An answer without what depends on how a store keeps holes."""
    ops: list[Any] = []
    for code, rval, args, out in answer[1]:
        if code != Op.SPARSE_READ:
            ops.append((code, rval, args, out))
            continue
        content: dict[int, int] = {}
        if out:
            (count,) = struct.unpack_from("<I", out)
            at = 8 + 16 * count
            for i in range(count):
                start, size = struct.unpack_from("<QQ", out, 4 + 16 * i)
                content |= {start + j: byte for j, byte in enumerate(out[at : at + size]) if byte}
                at += size
        ops.append((code, rval, args[:16], content))
    return (answer[0], ops, *answer[2:])


async def run_script(conf: Path, pool: str, steps: list[Step]) -> list[Any]:
    """The answers of the cluster that `conf` is of."""
    answers: list[Any] = []
    async with RawOSDClient.connect(conf) as client:
        number = await client.pool(pool)
        for step in steps:
            msg = client.request(number, step.name, copy.deepcopy(step.ops), **step.fields)
            answers.append(shared(seen(await client.send(msg, patience=30))))
    return answers


def explain(step: Step) -> str:
    """A step for people."""
    ops = [f"{op.name}{' failok' if op.flags & 2 else ''} {_args(op)}" for op in step.ops]
    return f"{step.name}: {ops} {step.fields}"


def _args(op: OSDOp) -> str:
    return f"{EXTENT.unpack(op.args)} {op.indata[:40]!r}"
