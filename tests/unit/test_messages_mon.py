"""The messages of a monitor session: their bytes, written out by hand after Ceph's sources."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.messages.auth import MAuth, MAuthReply
from mdsdaemon.messages.base import TYPES, Message, decode_message, encode_message
from mdsdaemon.messages.config import MConfig, MGetConfig
from mdsdaemon.messages.log import ClogType, LogEntry, MLog, MLogAck
from mdsdaemon.messages.mon import (
    MMonCommand,
    MMonCommandAck,
    MMonGetMap,
    MMonGetVersion,
    MMonGetVersionReply,
    MMonMap,
    MMonSubscribe,
    MMonSubscribeAck,
    SubscribeItem,
)
from mdsdaemon.types.entity import MDS, EntityAddrVec, EntityName, PeerName
from mdsdaemon.types.features import FEATURES_PACIFIC

FSID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
PAXOS = struct.pack("<QhQ", 0, -1, 0)


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


ENTRY = LogEntry(
    name=EntityName(MDS, "a"),
    rank=PeerName(MDS, -1),
    addrs=EntityAddrVec(),
    stamp=5_000_000_007,
    seq=3,
    prio=ClogType.WARN,
    msg="hello",
)
ENTRY_BYTES = (
    struct.pack("<I", MDS) + text("a")
    + struct.pack("<Bq", MDS, -1)
    + struct.pack("<BI", 2, 0)
    + struct.pack("<II", 5, 7)
    + struct.pack("<QH", 3, 3)
    + text("hello") + text("cluster")
)  # fmt: skip

CASES: list[tuple[Message, int, int, int, bytes]] = [
    (MMonGetMap(), 5, 1, 0, b""),
    (MMonMap(b"map"), 4, 1, 0, text("map")),
    (
        MMonSubscribe({"osdmap": SubscribeItem(7, 1), "config": SubscribeItem(0)}, "host"),
        15, 3, 1,
        struct.pack("<I", 2) + text("config") + struct.pack("<QB", 0, 0)
        + text("osdmap") + struct.pack("<QB", 7, 1) + text("host"),
    ),
    (MMonSubscribeAck(300, FSID), 16, 1, 0, struct.pack("<I", 300) + FSID.bytes),
    (
        MMonCommand(fsid=FSID, cmd=["{}"]), 50, 1, 0,
        PAXOS + FSID.bytes + struct.pack("<I", 1) + text("{}"),
    ),
    (
        MMonCommandAck(r=-22, rs="no", cmd=["x"]), 51, 1, 0,
        PAXOS + struct.pack("<i", -22) + text("no") + struct.pack("<I", 1) + text("x"),
    ),
    (MMonGetVersion(9, "osdmap"), 19, 1, 0, struct.pack("<Q", 9) + text("osdmap")),
    (MMonGetVersionReply(9, 20, 10), 20, 2, 0, struct.pack("<QQQ", 9, 20, 10)),
    (
        MAuth(protocol=2, auth_payload=b"secret", monmap_epoch=4), 17, 1, 0,
        PAXOS + struct.pack("<I", 2) + text("secret") + struct.pack("<I", 4),
    ),
    (
        MAuthReply(2, -13, 4100, b"bl", "why"), 18, 1, 0,
        struct.pack("<IiQ", 2, -13, 4100) + text("bl") + text("why"),
    ),
    (MConfig({"b": "2", "a": "1"}), 62, 1, 1,
     struct.pack("<I", 2) + text("a") + text("1") + text("b") + text("2")),
    (MGetConfig(EntityName(MDS, "a"), "h", "ssd"), 63, 1, 1,
     struct.pack("<I", MDS) + text("a") + text("h") + text("ssd")),
    (
        MLog(fsid=FSID, entries=[ENTRY]), 52, 1, 0,
        PAXOS + FSID.bytes + struct.pack("<I", 1)
        + struct.pack("<BBI", 5, 5, len(ENTRY_BYTES)) + ENTRY_BYTES,
    ),
    (MLogAck(FSID, 8, "cluster"), 53, 1, 0, FSID.bytes + struct.pack("<Q", 8) + text("cluster")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("msg", "code", "version", "compat", "front"),
    CASES,
    ids=[type(case[0]).__name__ for case in CASES],
)
def test_bytes(msg: Message, code: int, version: int, compat: int, front: bytes) -> None:
    assert TYPES[code] is type(msg)
    assert encode_message(msg, FEATURES_PACIFIC) == (version, compat, front)
    assert decode_message(code, version, compat, front, b"", b"", FEATURES_PACIFIC) == msg


@pytest.mark.parametrize(
    ("msg", "code", "version", "compat", "front"),
    CASES,
    ids=[type(case[0]).__name__ for case in CASES],
)
def test_every_cut_is_a_decode_error_or_an_older_form(
    msg: Message, code: int, version: int, compat: int, front: bytes
) -> None:
    for size in range(len(front)):
        try:
            decode_message(code, version, compat, front[:size], b"", b"", FEATURES_PACIFIC)
        except DecodeError:
            continue
        # only the last field of these may be missing
        assert isinstance(msg, MAuth | MLogAck)


@given(st.binary(max_size=200), st.sampled_from(sorted({case[1] for case in CASES})))
def test_garbage_is_a_decode_error_or_a_message(front: bytes, code: int) -> None:
    try:
        decode_message(code, 9, 0, front, b"", b"", FEATURES_PACIFIC)
    except DecodeError:
        pass


def test_older_forms_lack_their_last_fields() -> None:
    def old(code: int, version: int, front: bytes) -> Message:
        return decode_message(code, version, 0, front, b"", b"", FEATURES_PACIFIC)

    reply = old(20, 1, struct.pack("<QQ", 9, 20))
    assert reply == MMonGetVersionReply(9, 20, 0)
    subscribe = old(15, 2, struct.pack("<I", 0))
    assert subscribe == MMonSubscribe({}, "")
    assert old(17, 1, PAXOS + struct.pack("<II", 2, 0)) == MAuth(protocol=2)
    assert old(53, 1, FSID.bytes + struct.pack("<Q", 8)) == MLogAck(FSID, 8, "")


def test_no_secret_in_the_repr() -> None:
    assert "secret" not in repr(MAuth(protocol=2, auth_payload=b"secret"))
    assert "secret" not in repr(MAuthReply(2, 0, 1, b"secret", ""))
    assert "secret" not in repr(MConfig({"rgw_key": "secret"}))


def test_log_entries_of_real_releases(corpus: Path) -> None:
    files = sorted(corpus.glob("*/LogEntry/*"))
    assert files
    for path in files:
        data = path.read_bytes()
        assert encode(LogEntry, decode(LogEntry, data)) == data
