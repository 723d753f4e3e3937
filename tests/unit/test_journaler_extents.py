"""Where bytes lie: striped and not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.clients.journaler_extents import extents, object_name
from mdsdaemon.types.layout import FileLayout

K = 1 << 16


def test_names() -> None:
    assert object_name(0x200, 0) == "200.00000000"
    assert object_name(0x10000000000, 0x123456789) == "10000000000.123456789"


def test_one_object_after_another() -> None:
    layout = FileLayout(4 << 20, 1, 4 << 20, 1)
    found = extents(layout, (4 << 20) - 10, 30)
    assert [(e.number, e.offset, e.length, e.parts) for e in found] == [
        (0, (4 << 20) - 10, 10, [(0, 10)]),
        (1, 0, 20, [(10, 20)]),
    ]
    assert extents(layout, 5, 0) == []


def test_striped() -> None:
    """Units go round three objects, and on in three new ones when those are full."""
    layout = FileLayout(K, 3, 2 * K, 1)
    found = extents(layout, K // 2, 7 * K)
    assert [(e.number, e.offset, e.length, e.parts) for e in found] == [
        (0, K // 2, K // 2 + K, [(0, K // 2), (5 * K // 2, K)]),
        (1, 0, 2 * K, [(K // 2, K), (7 * K // 2, K)]),
        (2, 0, 2 * K, [(3 * K // 2, K), (9 * K // 2, K)]),
        (3, 0, K, [(11 * K // 2, K)]),
        (4, 0, K // 2, [(13 * K // 2, K // 2)]),
    ]


@pytest.mark.parametrize("unit", [K, 2 * K])
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 40 * K),
    st.integers(0, 20 * K),
)
def test_every_byte_lies_in_one_place(
    unit: int, count: int, stripes: int, offset: int, length: int
) -> None:
    layout = FileLayout(unit, count, stripes * unit, 1)
    covered = []
    for extent in extents(layout, offset, length):
        assert sum(size for _, size in extent.parts) == extent.length
        assert extent.offset + extent.length <= layout.object_size
        at = extent.offset
        for where, size in extent.parts:
            covered.append((where, size))
            for place in (where, where + size - 1):  # Ceph's formula, byte by byte
                block, inside = divmod(offset + place, unit)
                stripe, column = divmod(block, count)
                group, row = divmod(stripe, stripes)
                assert extent.number == group * count + column
                assert at + place - where == row * unit + inside
            at += size
    at = 0
    for where, size in sorted(covered):
        assert where == at
        at += size
    assert at == length
