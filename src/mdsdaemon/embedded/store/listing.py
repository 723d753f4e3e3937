"""Listing the objects of a placement group, from a cursor on, in the order of their hashes.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.cc (do_pg_op), src/osd/osd_types.cc (get_hobj_end)
"""

from __future__ import annotations

from bisect import bisect_left
from errno import EINVAL
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.store.state import raw_name, reverse_bits
from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.types.object_list import ListObject, PGLSResponse, PGNLSResponse
from mdsdaemon.types.osd import NOSNAP, HObject
from mdsdaemon.types.osd_op import PGLS_ARGS, Op, OSDOp

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.requests import OpRequest
    from mdsdaemon.embedded.store.state import ObjectState, PoolStore, SortKey

ALL_NSPACES: Final = "\x01"
"""The namespace that stands for all of them (librados::all_nspaces)."""
_END: Final = 1 << 32


def pg_range(seed: int, pg_num: int) -> tuple[int, int]:
    """The reversed hashes of a placement group: from the first up to but not including the last."""
    bits = 0
    if pg_num > 1:
        bits = pg_num.bit_length()
        half = 1 << (bits - 1)
        if seed % half >= pg_num % half:
            bits -= 1
    start = reverse_bits(seed)
    return start, (start | (0xFFFFFFFF >> bits)) + 1


def _cursor(handle: HObject) -> SortKey:
    if handle.max:
        return (_END, b"", b"", b"")
    key = raw_name(handle.key or handle.oid)
    return (reverse_bits(handle.hash), raw_name(handle.nspace), key, raw_name(handle.oid))


def _handle(pool: int, state: ObjectState) -> HObject:
    nspace, key, name = state.key
    return HObject(key, name, NOSNAP, state.hash, False, nspace, pool)


def _boundary(pool: int, rev: int) -> HObject:
    if rev >= _END:
        return HObject(max=True)
    return HObject("", "", NOSNAP, reverse_bits(rev), False, "", pool)


def list_objects(
    pool: PoolStore, seed: int, pg_num: int, after: SortKey, count: int
) -> tuple[list[ObjectState], ObjectState | None]:
    """At most `count` objects of a group from a cursor on, and the next one if there are more."""
    start, end = pg_range(seed, pg_num)
    order = pool.order()
    at = bisect_left(order, (max(after, (start, b"", b"", b"")),))
    found: list[ObjectState] = []
    for i in range(at, len(order)):
        sort_key, key = order[i]
        if sort_key[0] >= end:
            break
        state = pool.objects.get(key)
        if state is None:
            continue
        if len(found) == count:
            return found, state
        found.append(state)
    return found, None


def do_pg_op(req: OpRequest, op: OSDOp, pool: PoolStore, seed: int, pg_num: int, most: int) -> int:
    """PGNLS or PGLS: 1 at the end of the group, else 0. Filters and all else are refused."""
    if op.op not in (Op.PGNLS, Op.PGLS) or req.snapid != NOSNAP:
        return -EINVAL
    count = min(most, PGLS_ARGS.unpack(op.args)[0])
    try:
        handle = decode(HObject, op.indata, partial=True)
    except DecodeError:
        return -EINVAL
    cursor = _cursor(handle)
    start, end = pg_range(seed, pg_num)
    everywhere = False
    if op.op == Op.PGNLS:
        everywhere = req.key[0] == ALL_NSPACES
        at_start = not handle.max and cursor == (0, b"", b"", b"")
        if (not handle.max and cursor[0] >= end) or (not at_start and cursor[0] < start):
            return -EINVAL
    states, following = list_objects(pool, seed, pg_num, cursor, count)
    if not everywhere:
        states = [state for state in states if state.key[0] == req.key[0]]
    if op.op == Op.PGLS:
        following_handle = HObject(max=True) if following is None else _handle(pool.pool, following)
        entries = [(state.key[2], state.key[1]) for state in states]
        op.outdata = encode(PGLSResponse, PGLSResponse(following_handle, entries))
    else:
        next_handle = _boundary(pool.pool, end) if following is None else None
        listed = [ListObject(state.key[0], state.key[2], state.key[1]) for state in states]
        response = PGNLSResponse(next_handle or _handle(pool.pool, following or states[-1]), listed)
        op.outdata = encode(PGNLSResponse, response)
    return 1 if following is None else 0
