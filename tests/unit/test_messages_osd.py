"""Requests to OSDs and their answers: the bytes, and what does not fit."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.encoding import DecodeError
from mdsdaemon.messages.base import Message, decode_message, encode_message
from mdsdaemon.messages.osd import MOSDBackoff, MOSDOp, MOSDOpReply, MWatchNotify, OpResults
from mdsdaemon.types.entity import CLIENT, PeerName
from mdsdaemon.types.features import FEATURES_ADVERTISED
from mdsdaemon.types.osd import NOSNAP, PG, EVersion, HObject, ObjectLocator, OSDReqId, ShardedPG
from mdsdaemon.types.osd_op import EXTENT, Op, OpFlag, OSDOp, join_indata, join_outdata


def sent(msg: Message) -> Message:
    version, compat, front = encode_message(msg, FEATURES_ADVERTISED)
    return decode_message(
        msg.TYPE, version, compat, front, msg.middle, msg.data, FEATURES_ADVERTISED
    )


def test_a_request_lies_as_ceph_writes_it() -> None:
    ops = [OSDOp.extent(Op.WRITE, 4096, 0, b"data"), OSDOp(Op.STAT)]
    msg = MOSDOp(
        pgid=ShardedPG(PG(3, 5)),
        hash=0xABCDEF05,
        osdmap_epoch=9,
        flags=0x24,
        reqid=OSDReqId(inc=7),
        client_inc=7,
        mtime=1_500_000_000_000_000_123,
        oloc=ObjectLocator(3),
        oid="10000000000.00000000",
        ops=ops,
        snap_seq=4,
        snaps=[4, 2],
        retry_attempt=0,
        features=0x11,
    )
    msg.data = join_indata(ops)
    version, compat, front = encode_message(msg, FEATURES_ADVERTISED)
    assert (version, compat) == (8, 3)
    at = 6 + 17 + 1  # spg_t with pg_t and the shard
    assert struct.unpack_from("<III", front, at) == (0xABCDEF05, 9, 0x24)
    at += 12 + 6 + 9 + 8 + 4 + 24
    assert struct.unpack_from("<III", front, at) == (7, 1_500_000_000, 123)
    tail = struct.pack("<QQIQQiQ", NOSNAP, 4, 2, 4, 2, 0, 0x11)
    assert front.endswith(tail)
    two = struct.pack("<HHI", 2, 0x2201, 0) + EXTENT.pack(4096, 4, 0, 0) + struct.pack("<I", 4)
    assert two in front
    got = sent(msg)
    assert isinstance(got, MOSDOp)
    assert [op.indata for op in got.ops] == [b"", b""]
    assert [op.indata for op in got.split_ops()] == [b"data", b""]
    assert got == msg


def test_data_that_is_missing_is_noticed() -> None:
    ops = [OSDOp.extent(Op.WRITE, 0, 0, b"data"), OSDOp.extent(Op.WRITE, 9, 0, b"more")]
    msg = MOSDOp(ops=ops)
    msg.data = b"dat"
    got = sent(msg)
    assert isinstance(got, MOSDOp)
    with pytest.raises(ValueError, match="less than"):
        got.split_ops()


def test_a_count_that_cannot_be() -> None:
    version, compat, front = encode_message(MOSDOp(ops=[OSDOp(Op.STAT)]), FEATURES_ADVERTISED)
    at = front.index(struct.pack("<HHI", 1, Op.STAT, 0))
    for count in (2, 0xFFFF):
        bad = front[:at] + struct.pack("<H", count) + front[at + 2 :]
        with pytest.raises(DecodeError):
            decode_message(42, version, compat, bad, b"", b"", FEATURES_ADVERTISED)


def test_a_reply_lies_as_ceph_writes_it() -> None:
    ops = [
        OSDOp(Op.READ, outdata=b"12345", rval=0),
        OSDOp(Op.GETXATTR, OpFlag.FAILOK, rval=-61),
    ]
    msg = MOSDOpReply(
        oid="o",
        pgid=PG(3, 5),
        flags=0x15,
        result=-61,
        bad_replay_version=EVersion(12, 9),
        osdmap_epoch=9,
        results=OpResults(ops, 2),
        replay_version=EVersion(12, 9),
        user_version=12,
    )
    msg.data = join_outdata(ops)
    _, _, front = encode_message(msg, FEATURES_ADVERTISED)
    tail = struct.pack("<iiiQIQB", 2, 0, -61, 12, 9, 12, 0) + bytes(24)
    assert front.endswith(tail)
    got = sent(msg)
    assert isinstance(got, MOSDOpReply)
    assert [op.outdata for op in got.split_ops()] == [b"12345", b""]
    assert [op.rval for op in got.results.ops] == [0, -61]
    assert got == msg


def test_the_smaller_ones() -> None:
    notify = MWatchNotify(opcode=1, cookie=2, notify_id=3, bl=b"payload", notifier_gid=4)
    _, _, front = encode_message(notify, FEATURES_ADVERTISED)
    assert front == struct.pack("<BBQQQI7siQ", 1, 1, 2, 0, 3, 7, b"payload", 0, 4)
    assert sent(notify) == notify
    backoff = MOSDBackoff(pgid=ShardedPG(PG(1, 2)), map_epoch=3, op=1, id=4, end=HObject(max=True))
    assert sent(backoff) == backoff


@given(
    st.lists(
        st.builds(
            OSDOp,
            op=st.sampled_from([int(op) for op in Op]) | st.integers(0, 0xFFFF),
            flags=st.integers(0, 255),
            args=st.binary(min_size=28, max_size=28),
            indata=st.binary(max_size=40),
        ),
        max_size=5,
    ),
    st.text(max_size=5),
    st.integers(0, 2**63),
)
def test_any_request_comes_back(ops: list[OSDOp], oid: str, tid: int) -> None:
    msg = MOSDOp(oid=oid, ops=ops, reqid=OSDReqId(PeerName(CLIENT, 3), tid, -1))
    msg.data = join_indata(ops)
    got = sent(msg)
    assert isinstance(got, MOSDOp)
    got.split_ops()
    assert got == msg


@given(st.binary(max_size=300), st.sampled_from([42, 43, 44, 61]))
def test_rubbish_is_a_decode_error(data: bytes, kind: int) -> None:
    try:
        decode_message(kind, 8, 1, data, b"", b"", FEATURES_ADVERTISED)
    except DecodeError:
        pass
