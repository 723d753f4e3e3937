"""Sessions and requests: what the versions of their heads hold, and arguments by operation."""

import struct
from typing import Any

import pytest

from mdsdaemon.encoding import DecodeError, as_codec, encode
from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.messages.client_request import MClientRequest, MClientRequestForward
from mdsdaemon.messages.client_session import (
    BLOCKLISTED,
    SESSION_BLOCKLISTED,
    CapAuth,
    MClientSession,
)
from mdsdaemon.types.caps import Release
from mdsdaemon.types.client_args import (
    ARGS_OF,
    ARGS_SIZE,
    LEGACY_ARGS_SIZE,
    FilelockArgs,
    GetattrArgs,
    LookupinoArgs,
    NoArgs,
    OpenArgs,
    ReaddirArgs,
    SetattrArgs,
    SetlayoutArgs,
    decode_args,
    dump_args,
    encode_args,
)
from mdsdaemon.types.client_ops import (
    MDS_FLAG_ASYNC,
    MDS_FLAG_REPLAY,
    O_CREAT,
    O_RDONLY,
    SETATTR_BTIME,
    SETATTR_MODE,
    MdsOp,
    SessionOp,
)
from mdsdaemon.types.entity import CLIENT, PeerName
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.mds import FilePath

HEAD = struct.Struct("<HQIIBBHIIIQ")
LEGACY_HEAD = struct.Struct("<QIIBBHIIIQ")
NO_PATHS = (b"\x01" + bytes(8) + bytes(4)) * 2


def read(version: int, front: bytes) -> MClientRequest:
    msg = decode_message(24, version, 1, front, b"", b"", FEATURES_PACIFIC)
    assert isinstance(msg, MClientRequest)
    return msg


def round_trip(msg: Any) -> Any:
    version, compat, front = encode_message(msg, FEATURES_PACIFIC)
    return decode_message(msg.TYPE, version, compat, front, msg.middle, msg.data, FEATURES_PACIFIC)


# -- sessions ------------------------------------------------------------------------------------


def test_a_session_message_with_nothing_but_its_head_is_of_version_1() -> None:
    plain = MClientSession(SessionOp.RENEWCAPS, seq=7, stamp=3_000_000_004)
    version, compat, front = encode_message(plain, FEATURES_PACIFIC)
    assert (version, compat) == (1, 1)
    assert front == struct.pack("<IQIIII", 5, 7, 3, 4, 0, 0)
    assert round_trip(plain) == plain


def test_what_a_session_is_opened_with() -> None:
    opened = MClientSession(SessionOp.OPEN, supported_features=CEPHFS_FEATURES_SUPPORTED)
    assert encode_message(opened, FEATURES_PACIFIC)[:2] == (5, 1)
    assert round_trip(opened) == opened
    refused = MClientSession(
        SessionOp.REJECT, metadata={"error_string": BLOCKLISTED}, flags=SESSION_BLOCKLISTED
    )
    assert encode_message(refused, FEATURES_PACIFIC)[0] == 5
    assert round_trip(refused).flags == SESSION_BLOCKLISTED
    assert str(refused) == "client_session(reject)"
    recall = MClientSession(SessionOp.RECALL_STATE, max_caps=9, seq=2)
    assert str(recall) == "client_session(recall_state seq 2 max_caps 9 max_leases 0)"


def test_sessions_of_newer_releases() -> None:
    head = struct.pack("<IQIIII", 4, 7, 0, 0, 0, 0)
    # metadata, features, metric_spec, flags, one MDSCapAuth, oldest_client_tid, and what is to come
    auth = b"\x01\x01" + struct.pack("<I", 5) + b"abcde"
    spec = b"\x01\x01\x04\0\0\0" + bytes(4)
    tail = bytes(8) + spec + bytes(4) + struct.pack("<I", 1) + auth
    front = head + tail + struct.pack("<Q", 42) + b"later"
    msg = decode_message(22, 8, 1, front, b"", b"", FEATURES_PACIFIC)
    assert isinstance(msg, MClientSession)
    assert (msg.seq, msg.oldest_client_tid, len(msg.cap_auths)) == (7, 42, 1)
    assert encode(CapAuth, msg.cap_auths[0]) == auth
    with pytest.raises(DecodeError, match="needs version 8"):
        decode_message(22, 8, 8, front, b"", b"", FEATURES_PACIFIC)


# -- requests ------------------------------------------------------------------------------------


def test_the_head_of_each_version() -> None:
    args = encode_args(GetattrArgs(0x155))
    head = (9, 3, MDS_FLAG_REPLAY, 2, 1, 0, MdsOp.GETATTR, 7, 8, 1 << 40)
    rest = NO_PATHS + struct.pack("<II", 5, 6) + bytes(4) + bytes(4)
    one = read(5, HEAD.pack(1, *head) + args + rest)
    assert (one.oldest_client_tid, one.mdsmap_epoch, one.caller_uid, one.caller_gid) == (9, 3, 7, 8)
    assert (one.ino, one.retry_attempt, one.stamp) == (1 << 40, 2, 5_000_000_006)
    assert one.is_replay
    two = read(5, HEAD.pack(2, *head) + args + struct.pack("<II", 300, 1) + rest)
    assert (two.retry_attempt, two.num_retry) == (300, 2)
    extra = struct.pack("<IIIII", 300, 1, 0, 1000, 1001)
    three = read(6, HEAD.pack(3, *head) + args + extra + rest + bytes(8))
    assert (three.owner_uid, three.owner_gid) == (1000, 1001)
    legacy = LEGACY_HEAD.pack(*head) + args[:LEGACY_ARGS_SIZE] + NO_PATHS
    first = read(1, legacy)
    assert (first.stamp, first.gid_list, first.args.mask) == (0, [], 0x155)
    assert read(3, legacy + struct.pack("<II", 5, 6)).stamp == 5_000_000_006
    for msg in (one, two, three, first):
        assert msg.args == GetattrArgs(0x155)


def test_clients_before_birth_times_set_none() -> None:
    args = encode_args(SetattrArgs(mode=0o600, mask=SETATTR_MODE | SETATTR_BTIME, btime=5))
    head = (9, 3, 0, 0, 0, 0, MdsOp.SETATTR, 7, 8, 0)
    old = read(2, LEGACY_HEAD.pack(*head) + args[:LEGACY_ARGS_SIZE] + NO_PATHS + bytes(8))
    assert old.args == SetattrArgs(mode=0o600, mask=SETATTR_MODE)


def test_what_comes_along_is_counted_in_the_head() -> None:
    releases = [Release(1, 2, 3, 4, 5, 6, 7), Release(ino=9, dname_seq=3, dname="größer")]
    msg = MClientRequest(
        MdsOp.RENAME,
        path=FilePath(1, "to"),
        path2=FilePath(1 << 40, "from/here"),
        releases=releases,
        gid_list=[4, 5],
        alternate_name="other",
        stamp=1_700_000_000_123_456_789,
        tid=3,
    )
    again = round_trip(msg)
    assert again == msg
    assert again.num_releases == 2
    assert again.releases == releases
    _, _, front = encode_message(msg, FEATURES_PACIFIC)
    bad = bytearray(front)
    bad[20:22] = (999).to_bytes(2, "little")
    with pytest.raises(DecodeError, match="releases"):
        read(5, bytes(bad))


def test_how_a_request_is_logged() -> None:
    msg = MClientRequest(
        MdsOp.GETATTR,
        path=FilePath(1 << 40, "a/b"),
        flags=MDS_FLAG_ASYNC,
        num_retry=2,
        tid=7,
        gid_list=[1],
        caller_uid=4,
        source=PeerName(CLIENT, 4105),
    )
    msg.args = GetattrArgs(0x155)
    text = str(msg)
    assert text.startswith("client_request(client.4105:7 getattr pAsLsXsFs #0x10000000000/a/b ")
    assert text.endswith("RETRY=2 ASYNC caller_uid=4, caller_gid=0{1,})")


@pytest.mark.parametrize(
    ("op", "flags", "writes"),
    [
        (MdsOp.OPEN, O_RDONLY, False),
        (MdsOp.OPEN, O_CREAT, True),
        (MdsOp.CREATE, O_RDONLY, True),
        (MdsOp.GETATTR, 0, False),
        (MdsOp.SETFILELOCK, 0, True),
    ],
)
def test_which_requests_may_write(op: MdsOp, flags: int, writes: bool) -> None:
    msg = MClientRequest(op)
    if op in (MdsOp.OPEN, MdsOp.CREATE):
        msg.args = OpenArgs(flags)
    assert round_trip(msg).may_write is writes


def test_forward() -> None:
    msg = MClientRequestForward(dest_mds=1, num_fwd=2, tid=9)
    assert encode_message(msg, FEATURES_PACIFIC)[2] == struct.pack("<iiB", 1, 2, 1)
    assert round_trip(msg) == msg


# -- arguments -----------------------------------------------------------------------------------

SAMPLES: list[tuple[MdsOp, Any, bytes]] = [
    (MdsOp.SETATTR, SetattrArgs(1, 2, 3, 4 * 10**9 + 5, 6, 7, 8, 9, 10), b""),
    (MdsOp.READDIR, ReaddirArgs(1, 2, 3, 4, 5), struct.pack("<IIIHI", 1, 2, 3, 4, 5)),
    (
        MdsOp.OPEN,
        OpenArgs(1, 2, 3, 4, 5, -1, 7, 8),
        struct.pack("<IIIIIiIQ", 1, 2, 3, 4, 5, -1, 7, 8),
    ),
    (
        MdsOp.SETLAYOUT,
        SetlayoutArgs(FileLayout(1, 2, 3, 4)),
        struct.pack("<7I", 1, 2, 3, 0, 0, 0, 4),
    ),
    (
        MdsOp.GETFILELOCK,
        FilelockArgs(1, 2, 3, 4, 5, 6, 1),
        struct.pack("<BBQQQQB", 1, 2, 3, 4, 5, 6, 1),
    ),
    (MdsOp.LOOKUPINO, LookupinoArgs(1, 2, 3, 4), struct.pack("<IQQI", 1, 2, 3, 4)),
]


@pytest.mark.parametrize(("op", "args", "raw"), SAMPLES, ids=lambda x: getattr(x, "name", ""))
def test_arguments(op: MdsOp, args: Any, raw: bytes) -> None:
    encoded = encode_args(args)
    assert len(encoded) == ARGS_SIZE
    assert encoded.startswith(raw)
    assert decode_args(op, encoded) == args
    assert dump_args(args)
    msg = MClientRequest(op)
    msg.args = args
    assert round_trip(msg).args == args


def test_every_kind_of_arguments_fits_into_the_union() -> None:
    for op, cls in ARGS_OF.items():
        assert len(encode_args(cls())) == ARGS_SIZE
        assert type(decode_args(op, bytes(ARGS_SIZE))) is cls
        assert as_codec(cls).min_size <= ARGS_SIZE
    assert decode_args(MdsOp.UNLINK, bytes(ARGS_SIZE)) == NoArgs()
    assert decode_args(0xFFFF, bytes(ARGS_SIZE)) == NoArgs()
