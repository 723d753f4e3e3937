"""Replies: attributes in every form that a client may want them in, traces, listings."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire_strategies import values_of

from mdsdaemon.encoding import DecodeError, decode, encode, wire_codec
from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.messages.client_reply import (
    CreatedInode,
    ListedEntry,
    Listing,
    ListingWriter,
    MClientReply,
    OpencResponse,
    Trace,
    VxattrValue,
    decode_listing,
    decode_snap_trace,
    decode_trace,
    encode_listing,
    encode_snap_trace,
    encode_trace,
    set_trace,
)
from mdsdaemon.types import features as f
from mdsdaemon.types.client_ops import MdsOp
from mdsdaemon.types.client_stat import (
    DIR_PIN_UNKNOWN,
    STRUCT_REPLIES,
    DirStat,
    InodeStat,
    LeaseStat,
    ReplyCap,
    ReplyEncoding,
    encode_xattrs,
    inode_stat_room,
    reply_encoding,
)
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.frag import Frag, FragTree
from mdsdaemon.types.layout import DirLayout, FileLayout
from mdsdaemon.types.snap import SnapRealmInfo
from mdsdaemon.types.stats import QuotaInfo

OPTIONAL = (f.DIRLAYOUTHASH, f.MDS_INLINE_DATA, f.MDS_QUOTA, f.FS_FILE_LAYOUT_V2, f.FS_BTIME)
FORMS = [
    STRUCT_REPLIES,
    reply_encoding(FeatureBitset(), f.FEATURES_PACIFIC),
    reply_encoding(FeatureBitset(), 0),
]
every_form = pytest.mark.parametrize("how", FORMS, ids=["structs", "bare", "oldest"])

FULL = InodeStat(
    1 << 40,
    7,
    rdev=5,
    version=9,
    xattr_version=3,
    cap=ReplyCap(0x155, 1, 2, 3, 4, 5, 1),
    layout=FileLayout(1 << 16, 2, 1 << 20, 4),
    ctime=1_000_000_001,
    mtime=2_000_000_002,
    atime=3_000_000_003,
    time_warp_seq=6,
    size=7,
    max_size=8,
    truncate_size=9,
    truncate_seq=10,
    mode=0o120777,
    uid=11,
    gid=12,
    nlink=13,
    nfiles=14,
    nsubdirs=15,
    rbytes=16,
    rfiles=17,
    rsubdirs=18,
    rctime=19,
    dirfragtree=FragTree({Frag(): 1}),
    symlink="größer",
    dir_layout=DirLayout(2),
    xattrbl=encode_xattrs({"user.a": b"\0v"}),
    inline_version=20,
    inline_data=b"data",
    quota=QuotaInfo(21, 22),
    pool_ns="ns",
    btime=23,
    change_attr=24,
    dir_pin=25,
    snap_btime=26,
    rsnaps=27,
    snap_metadata={"k": "v"},
    fscrypt=True,
)
AFTER_FIRST = {
    "dir_pin": DIR_PIN_UNKNOWN,
    "snap_btime": 0,
    "rsnaps": 0,
    "snap_metadata": {},
    "fscrypt": False,
}


def written(how: ReplyEncoding, stat: InodeStat) -> bytes:
    out = bytearray()
    how.inode(out, stat, how.features)
    return bytes(out)


def read(how: ReplyEncoding, raw: bytes) -> InodeStat:
    return decode(how.inode_codec, raw, how.features)


def test_which_form_a_client_gets() -> None:
    assert reply_encoding(CEPHFS_FEATURES_SUPPORTED, 0) is STRUCT_REPLIES
    assert not reply_encoding(FeatureBitset.of(range(9)), f.FEATURES_PACIFIC).structs


def test_attributes_as_a_struct() -> None:
    raw = written(STRUCT_REPLIES, FULL)
    assert raw[:2] == b"\x06\x01"
    assert read(STRUCT_REPLIES, raw) == FULL
    assert FULL.xattrs() == {"user.a": b"\0v"}
    # a later release appends, an earlier one has less
    later = b"\x08\x01" + struct.pack("<I", len(raw) - 6 + 5) + raw[6:] + b"later"
    assert read(STRUCT_REPLIES, later) == FULL
    tail = 4 + 8 + 8 + len(b"\1\0\0\0") + 2 * 4 + 2 + 1
    first = b"\x01\x01" + struct.pack("<I", len(raw) - 6 - tail) + raw[6:-tail]
    old = read(STRUCT_REPLIES, first)
    assert {name: getattr(old, name) for name in AFTER_FIRST} == AFTER_FIRST
    assert old.change_attr == FULL.change_attr


@pytest.mark.parametrize("lacking", [0, *OPTIONAL])
def test_bare_attributes_by_feature(lacking: int) -> None:
    how = reply_encoding(FeatureBitset(), f.FEATURES_PACIFIC & ~lacking)
    raw = written(how, FULL)
    again = read(how, raw)
    table: dict[int, dict[str, object]] = {
        0: {},
        f.DIRLAYOUTHASH: {"dir_layout": DirLayout()},
        f.MDS_INLINE_DATA: {"inline_version": 2**64 - 1, "inline_data": b""},
        f.MDS_QUOTA: {"quota": QuotaInfo()},
        f.FS_FILE_LAYOUT_V2: {"pool_ns": ""},
        f.FS_BTIME: {"btime": 0, "change_attr": 0},
    }
    defaults: dict[str, object] = {**AFTER_FIRST, **table[lacking]}
    for name in wire_codec(InodeStat).specs:
        expected = defaults.get(name, getattr(FULL, name))
        assert getattr(again, name) == expected, name
    sizes = {f.DIRLAYOUTHASH: 8, f.MDS_INLINE_DATA: 16, f.MDS_QUOTA: 22, f.FS_BTIME: 16}
    full = len(written(reply_encoding(FeatureBitset(), f.FEATURES_PACIFIC), FULL))
    assert full - len(raw) == sizes.get(lacking, 6 if lacking else 0)


@settings(max_examples=60)
@given(stat=values_of(InodeStat))
def test_any_attributes_in_any_form(stat: InodeStat) -> None:
    for how in FORMS:
        raw = written(how, stat)
        assert written(how, read(how, raw)) == raw
        for size in range(0, len(raw), 7):
            with pytest.raises(DecodeError):
                read(how, raw[:size])


def test_the_bytes_before_the_struct_are_those_of_the_bare_fields() -> None:
    """Up to the additions both forms are the same."""
    bare = written(reply_encoding(FeatureBitset(), f.FEATURES_PACIFIC), FULL)
    assert written(STRUCT_REPLIES, FULL)[6 : 6 + len(bare)] == bare


def test_room() -> None:
    """The reckoning grows by what the fields of any length grow by (its size: tests/real)."""
    bare = len(written(reply_encoding(FeatureBitset(), f.FEATURES_PACIFIC), FULL))
    assert inode_stat_room(FULL) - bare == inode_stat_room(InodeStat(1)) - len(
        written(reply_encoding(FeatureBitset(), f.FEATURES_PACIFIC), InodeStat(1))
    )


def test_bad_xattrs() -> None:
    stat = InodeStat(1, xattrbl=encode_xattrs({"a": b"b"}) + b"x")
    with pytest.raises(DecodeError):
        stat.xattrs()
    assert InodeStat(1).xattrs() == {}


@every_form
@pytest.mark.parametrize("with_dir", [False, True])
@pytest.mark.parametrize("with_target", [False, True])
def test_traces(how: ReplyEncoding, with_dir: bool, with_target: bool) -> None:
    trace = Trace()
    if with_dir:
        trace.dir, trace.dirfrag, trace.dname = InodeStat(1), DirStat(Frag.of(1 << 23, 1)), "\udcff"
        trace.dirfrag.dist = {0, 3}
        trace.lease = LeaseStat(7, 30000, 2)
    if with_target:
        trace.target = InodeStat(2, mode=0o100644)
    msg = MClientReply(MdsOp.LOOKUP, tid=9)
    set_trace(msg, how, trace)
    assert (msg.is_dentry, msg.is_target) == (with_dir, with_target)
    version, compat, front = encode_message(msg, how.features)
    again = decode_message(26, version, compat, front, b"", b"", how.features)
    assert isinstance(again, MClientReply)
    assert again == msg
    assert decode_trace(how, again) == trace
    again.trace += b"\0"
    with pytest.raises(DecodeError, match="follow"):
        decode_trace(how, again)
    again.trace = again.trace[:-2]
    if again.trace:
        with pytest.raises(DecodeError):
            decode_trace(how, again)


def test_a_reply_s_head() -> None:
    msg = MClientReply(MdsOp.MKDIR, result=-17, mdsmap_epoch=5, safe=0, tid=4)
    front = encode_message(msg, f.FEATURES_PACIFIC)[2]
    assert front == struct.pack("<IiIBBB", 0x1220, -17, 5, 0, 0, 0) + bytes(12)
    assert str(msg) == "client_reply(4 = -17 unsafe)"
    assert str(MClientReply(MdsOp.GETATTR, tid=4)) == "client_reply(4 = 0)"


@every_form
def test_listings(how: ReplyEncoding) -> None:
    entries = [ListedEntry(f"name {i}", LeaseStat(), InodeStat(i, mode=0o100600)) for i in range(9)]
    listing = Listing(DirStat(Frag.of(0, 1), 0, {1}), 0x101, entries)
    raw = encode_listing(how, listing)
    assert decode_listing(how, raw) == listing
    for size in range(0, len(raw), 11):
        with pytest.raises(DecodeError):
            decode_listing(how, raw[:size])
    with pytest.raises(DecodeError):
        decode_listing(how, raw + b"\0")
    writer = ListingWriter(how, listing.dirfrag)
    at = writer.head_bytes
    assert raw[at - 6 : at] == struct.pack("<IH", 9, 0x101)
    for entry in entries:
        writer.add(entry.dname, entry.lease, entry.inode)
    assert (writer.count, at + writer.body_bytes) == (9, len(raw))
    assert writer.before_inode_bytes < writer.body_bytes
    writer.drop_last()
    assert decode_listing(how, writer.finish(0)).entries == entries[:8]


def test_a_listing_that_claims_too_much() -> None:
    raw = bytearray(encode_listing(STRUCT_REPLIES, Listing()))
    at = ListingWriter(STRUCT_REPLIES, DirStat()).head_bytes - 6
    raw[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(DecodeError, match="claimed"):
        decode_listing(STRUCT_REPLIES, bytes(raw))


def test_what_operations_add() -> None:
    assert encode(CreatedInode, CreatedInode(5)) == struct.pack("<Q", 5)
    response = OpencResponse(5, {100: 20})
    raw = encode(OpencResponse, response)
    assert raw == b"\x01\x01" + struct.pack("<IQIQQ", 28, 5, 1, 100, 20)
    assert decode(OpencResponse, raw) == response
    assert encode(VxattrValue, VxattrValue("-1")) == b"\x01\x01\x06\0\0\0\x02\0\0\0-1"
    lease = bytearray()
    STRUCT_REPLIES.lease(lease, LeaseStat(7, 30000, 2, "alt"), 0)
    assert lease == b"\x02\x01" + struct.pack("<IHIII", 17, 7, 30000, 2, 3) + b"alt"


@settings(max_examples=40)
@given(st.lists(values_of(SnapRealmInfo), max_size=4))
def test_realms(realms: list[SnapRealmInfo]) -> None:
    raw = encode_snap_trace(realms)
    assert decode_snap_trace(raw) == realms
    with pytest.raises(DecodeError):
        decode_snap_trace(raw + b"\0")
    assert encode_trace(STRUCT_REPLIES, Trace()) == b""
