"""Messages that real clients and servers sent: 16.2.15's of today, and those of old releases.

`data/client_messages.jsonl` has what libcephfs and ceph-mds 16.2.15 said to each other in our own
tests, some of what libcephfs 18.2.7 said to us, and objects of Ceph's corpus of 0.61 to 11.2,
which had messages in it.
"""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mdsdaemon.encoding import DecodeError, decode, encode, wire_codec
from mdsdaemon.messages import client_caps, client_misc, client_request, client_session
from mdsdaemon.messages.base import TYPES, Message, decode_message
from mdsdaemon.messages.client_misc import MClientMetrics, MClientReconnect
from mdsdaemon.messages.client_reply import (
    Listing,
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
)
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.types import features as f
from mdsdaemon.types.client_locks import FileLock
from mdsdaemon.types.client_ops import MdsOp
from mdsdaemon.types.client_stat import STRUCT_REPLIES, ReplyEncoding, reply_encoding
from mdsdaemon.types.feature_bitset import FeatureBitset
from mdsdaemon.types.release import REEF_FEATURES

assert client_caps, client_misc
assert client_request, client_session

OLD = f.FEATURES_PACIFIC & ~f.FS_BTIME & ~f.FS_FILE_LAYOUT_V2
FEATURES = {
    "16.2.15": f.FEATURES_PACIFIC,
    "18.2.7": f.FEATURES_PACIFIC,
    "11.2.0": f.FEATURES_PACIFIC,
    "0.94.2": OLD,
    "0.80": OLD & ~f.MDS_QUOTA,
    "0.61.4": OLD & ~f.MDS_QUOTA & ~f.MDS_INLINE_DATA,
}
"""What the two ends knew of each other, as far as it matters."""

_FILE = Path(__file__).parent / "data" / "client_messages.jsonl"
VECTORS: list[dict[str, Any]] = [json.loads(line) for line in _FILE.read_text().splitlines()]


def _label(vector: dict[str, Any]) -> str:
    return f"{vector['release']} {TYPES[vector['type']].__name__} v{vector['v']}"


def features_of(vector: dict[str, Any]) -> int:
    """The connection's features: as recorded, or as both ends of that time had them."""
    return int(vector.get("features", FEATURES[vector["release"]]))


every_vector = pytest.mark.parametrize("vector", VECTORS, ids=map(_label, VECTORS))


def read(vector: dict[str, Any], **other: bytes) -> Message:
    front, middle, data = (
        other.get(name, bytes.fromhex(vector[name])) for name in ("front", "middle", "data")
    )
    kind, v, compat = vector["type"], vector["v"], vector["compat"]
    return decode_message(kind, v, compat, front, middle, data, features_of(vector))


def payload_of(vector: dict[str, Any]) -> tuple[str, bytes]:
    name = "data" if TYPES[vector["type"]].PAYLOAD_IN_DATA else "front"
    return name, bytes.fromhex(vector[name])


def read_parts(vector: dict[str, Any], msg: MClientReply) -> tuple[ReplyEncoding, Trace, Any]:
    """A reply's parts, as the client read them that it was for."""
    how = STRUCT_REPLIES
    first = msg.trace or msg.extra
    if first[:2] not in (b"\x06\x01", b"\x01\x01") and msg.op != MdsOp.GETFILELOCK:
        how = reply_encoding(FeatureBitset(), features_of(vector))
    trace = decode_trace(how, msg)
    extra: Any = None
    if msg.op in (MdsOp.READDIR, MdsOp.LSSNAP):
        extra = decode_listing(how, msg.extra)
    elif msg.op == MdsOp.GETVXATTR:
        extra = decode(VxattrValue, msg.extra)
    elif msg.op == MdsOp.GETFILELOCK:
        extra = decode(FileLock, msg.extra)
    elif msg.op == MdsOp.CREATE and msg.extra[:2] == b"\x01\x01":
        extra = decode(OpencResponse, msg.extra)
    return how, trace, extra


@every_vector
def test_whole_and_the_same_again(vector: dict[str, Any]) -> None:
    msg = read(vector)
    features = features_of(vector)
    if isinstance(msg, MClientMetrics):
        features |= REEF_FEATURES  # 16.2.15 writes the later form to everyone
    name, payload = payload_of(vector)
    codec = wire_codec(type(msg))
    fresh, end = codec.decode_body(vector["v"])(payload, 0, len(payload), features)
    assert end == len(payload)
    again = encode(codec, fresh if name == "data" else msg, features, version=vector["v"])
    if vector["type"] == client_caps.CEPH_MSG_CLIENT_CAPS and vector["release"] < "1":
        # old servers filled parts of the layout that nobody reads any more
        differ = [i for i in range(len(payload)) if payload[i] != again[i]]
        assert len(again) == len(payload)
        assert set(differ) <= set(range(144, 172))
    else:
        assert again == payload


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if v["type"] == 26],
    ids=[str(v["release"]) for v in VECTORS if v["type"] == 26],
)
def test_parts_of_replies(vector: dict[str, Any]) -> None:
    msg = read(vector)
    assert isinstance(msg, MClientReply)
    how, trace, extra = read_parts(vector, msg)
    realms = decode_snap_trace(msg.snapbl)
    assert encode_snap_trace(realms) == msg.snapbl
    # files of several names belong to the global realm, 3
    assert [r.ino for r in realms][-1:] in ([1], [3], [])
    assert (trace.dir is not None, trace.target is not None) == (msg.is_dentry, msg.is_target)
    again = encode_trace(how, trace)
    if vector["release"] < "1":
        assert len(again) == len(msg.trace)  # but for the layouts' unused parts
    else:
        assert again == msg.trace
        if isinstance(extra, Listing):
            assert encode_listing(how, extra) == msg.extra
    for stat in (trace.dir, trace.target):
        if stat is not None:
            assert stat.ino
            assert stat.mode & 0o170000
            assert (
                stat.layout.object_size in (0, 1 << 20, 1 << 22, 1 << 23) or vector["release"] < "1"
            )
            stat.xattrs()


@every_vector
def test_cut_anywhere(vector: dict[str, Any]) -> None:
    """Too few bytes are never taken for a message."""
    name, payload = payload_of(vector)
    old_claim = vector["type"] == client_misc.CEPH_MSG_CLIENT_RECONNECT and vector["v"] < 4
    for size in range(len(payload)):
        if old_claim and (len(payload) - size) % 24 == 0:
            continue  # the old form goes on to the end, whatever it is
        with pytest.raises(DecodeError):
            read(vector, **{name: payload[:size]})


@every_vector
def test_changed_bytes(vector: dict[str, Any]) -> None:
    """Anything that a peer may send is a message or a DecodeError, its parts too."""
    rng = random.Random(_label(vector) + vector["front"])
    name, payload = payload_of(vector)
    for _ in range(150):
        bad = bytearray(payload)
        for _ in range(rng.choice((1, 1, 2, 8))):
            bad[rng.randrange(len(bad))] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        with suppress(DecodeError):
            msg = read(vector, **{name: bytes(bad)})
            if isinstance(msg, MClientReply):
                decode_snap_trace(msg.snapbl)
                read_parts(vector, msg)
            elif isinstance(msg, MClientRequest):
                assert msg.args is not None
                assert str(msg)
            elif isinstance(msg, MClientReconnect):
                assert not msg.caps_v1


def test_every_kind_and_direction_is_there() -> None:
    kinds = {v["type"] for v in VECTORS if v["release"] == "16.2.15"}
    assert kinds == {22, 23, 24, 26, 29, 0x310, 0x311, 0x312, 0x313, 0x314}
    requests = [read(v) for v in VECTORS if v["type"] == 24 and v["release"] == "16.2.15"]
    assert len({m.op for m in requests if isinstance(m, MClientRequest)}) >= 18
