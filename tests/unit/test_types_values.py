"""Values whose meaning is more than their fields."""

from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.encoding import decode, encode
from mdsdaemon.types import interval_set
from mdsdaemon.types.client_metrics import ClientMetric, UnknownMetric
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.features import FEATURES_PACIFIC, FS_FILE_LAYOUT_V2
from mdsdaemon.types.frag import DirFrag, Frag, FragTree
from mdsdaemon.types.health import HealthStatus, MDSHealth, MDSHealthMetric, MDSHealthType
from mdsdaemon.types.inode import S_IFLNK, Inode, InodeStore
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.metablob import Dentries, DirLump, FullBit, NullBit
from mdsdaemon.types.utime import from_seconds, utime_gmstr, utime_str


def test_times_in_text() -> None:
    time = from_seconds(1_700_000_000.25) + 999
    assert utime_str(time) == "2023-11-14T22:13:20.250000+0000"
    assert utime_str(time, timezone(timedelta(hours=2))) == "2023-11-15T00:13:20.250000+0200"
    assert utime_gmstr(time) == "2023-11-14T22:13:20.250000Z"
    assert utime_str(0) == "0.000000"
    assert utime_str(12_500_000_000) == "12.500000"


def test_feature_bits() -> None:
    bits = FeatureBitset.of({1, 12, 64})
    assert len(bits.blocks) == 16
    assert bits.bits() == [1, 12, 64]
    assert bits.test(12)
    assert not bits.test(13)
    assert bits.missing_from(FeatureBitset.of({12})) == [1, 64]
    assert FeatureBitset.of(()).blocks == b""
    assert CEPHFS_FEATURES_SUPPORTED.blocks.hex() == "ffff070000000000"


@given(st.sets(st.integers(0, 200)))
def test_feature_bits_are_a_set(bits: set[int]) -> None:
    assert set(FeatureBitset.of(bits).bits()) == bits


def as_intervals(numbers: set[int]) -> dict[int, int]:
    return interval_set.normalised((n, 1) for n in numbers)


NUMBERS = st.sets(st.integers(0, 30))


@given(NUMBERS, NUMBERS)
def test_interval_sets(a: set[int], b: set[int]) -> None:
    left, right = as_intervals(a), as_intervals(b)
    assert interval_set.size(left) == len(a)
    assert interval_set.union(left, right) == as_intervals(a | b)
    assert interval_set.subtract(left, right) == as_intervals(a - b)
    assert all(interval_set.contains(left, n) == (n in a) for n in range(32))


def test_fragments() -> None:
    half, quarter = Frag.of(0x800000, 1), Frag.of(0x400000, 2)
    assert (str(Frag()), str(half), str(quarter)) == ("*", "1*", "01*")
    assert half.contains(0xFFFFFF)
    assert not half.contains(0x7FFFFF)
    # by value first: not the order of the encoded numbers
    assert sorted([half, quarter, Frag()]) == [Frag(), quarter, half]
    assert half.enc < quarter.enc
    tree = FragTree({half: 1, Frag(): 1, quarter: 3})
    assert list(decode(FragTree, encode(FragTree, tree)).splits) == [Frag(), quarter, half]
    assert str(DirFrag(0x10000000000, half)) == "0x10000000000.1*"


def test_layouts_have_an_old_form() -> None:
    layout = FileLayout(4 << 20, 1, 4 << 20, 3)
    assert layout.is_valid()
    assert layout.period == 4 << 20
    old = encode(FileLayout, layout, FEATURES_PACIFIC & ~FS_FILE_LAYOUT_V2)
    assert len(old) == 28
    assert decode(FileLayout, old) == layout
    assert decode(FileLayout, encode(FileLayout, layout, FEATURES_PACIFIC)) == layout
    assert decode(FileLayout, bytes(28)) == FileLayout()
    assert not FileLayout().is_valid()


def test_an_inode_that_a_newer_server_wrote_keeps_what_it_had() -> None:
    raw = bytearray(encode(Inode, Inode(ino=1 << 40, size=7)))
    newer = b"\x0c\0\0\0fscrypt auth\0\0\0\0"
    raw[0] = 19
    raw[2:6] = (len(raw) - 6 + len(newer)).to_bytes(4, "little")
    raw += newer
    inode = decode(Inode, bytes(raw))
    assert inode.size == 7
    assert encode(Inode, inode, FEATURES_PACIFIC) == bytes(raw)
    inode.size = 8
    again = decode(Inode, encode(Inode, inode, FEATURES_PACIFIC))
    assert again == inode
    assert again != Inode(ino=1 << 40, size=8)


def test_only_links_have_a_target() -> None:
    link = InodeStore(inode=Inode(mode=S_IFLNK | 0o777), symlink="there")
    file = InodeStore(inode=Inode(mode=0o100644), symlink="nowhere")
    assert decode(InodeStore, encode(InodeStore, link)).symlink == "there"
    assert decode(InodeStore, encode(InodeStore, file)).symlink == ""


def test_dentries_of_a_lump() -> None:
    dentries = Dentries(dfull=[FullBit(dn="a", inode=Inode(mode=0o40755))], dnull=[NullBit(dn="b")])
    lump = DirLump()
    assert lump.dentries() == Dentries()
    lump.set_dentries(dentries, FEATURES_PACIFIC)
    assert (lump.nfull, lump.nremote, lump.nnull) == (1, 0, 1)
    assert decode(DirLump, encode(DirLump, lump)).dentries() == dentries


def test_health_of_a_beacon() -> None:
    metric = MDSHealthMetric(MDSHealthType.SLOW_REQUEST, HealthStatus.WARN, "2 slow requests")
    health = MDSHealth([metric])
    assert decode(MDSHealth, encode(MDSHealth, health)) == health
    assert str(MDSHealthType.SLOW_REQUEST) == "MDS_SLOW_REQUEST"
    assert str(HealthStatus.WARN) == "HEALTH_WARN"


def test_metrics_of_newer_clients_are_kept_as_they_are() -> None:
    raw = (77).to_bytes(4, "little") + b"\x03\x01\x02\0\0\0xy"
    metric = decode(ClientMetric, raw)
    assert metric.payload == UnknownMetric(77, 3, 1, b"xy")
    assert encode(ClientMetric, metric) == raw


@pytest.mark.parametrize("text", ["", "\udcff", "größer"])
def test_names_that_are_not_utf8_survive(text: str) -> None:
    bit = NullBit(dn=text)
    assert decode(NullBit, encode(NullBit, bit)) == bit
