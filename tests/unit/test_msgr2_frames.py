"""Frames: layout to the byte, both modes, bounds, and every kind of damage."""

import struct
from collections.abc import Callable
from itertools import pairwise

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.msgr2.crypto import GcmOpen, GcmSeal, gcm_pair, sign
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.frame_reader import FrameReader
from mdsdaemon.msgr2.frames import FrameLimits, FrameWriter
from mdsdaemon.msgr2.message import MSG_HEADER2
from mdsdaemon.msgr2.states import Tag

SECRET = bytes(range(64))
HEADER = bytes(range(41))
EVERY_TAG = (1 << 21) - 2
LIMITS = FrameLimits(control=4096, front=5000, middle=6000, data=7000, preauth=1 << 30)
MODES = pytest.mark.parametrize("secure", [False, True])


def writer(secure: bool) -> FrameWriter:
    made = FrameWriter()
    if secure:
        made.secure(gcm_pair(SECRET, server=False)[0])
    return made


def reader(secure: bool, limits: FrameLimits = LIMITS) -> FrameReader:
    made = FrameReader(limits)
    made.allowed = EVERY_TAG
    made.transcript = None
    if secure:
        made.secure(gcm_pair(SECRET, server=True)[1])
    return made


def one(secure: bool, tag: int, *segments: bytes) -> bytes:
    made = writer(secure)
    made.write(tag, *segments)
    return made.take()


def read_all(made: FrameReader) -> list[tuple[int, list[bytes]]]:
    frames = []
    while (frame := made.next()) is not None:
        frames.append(frame)
    return frames


def preamble_crc(data: bytes) -> int:
    return crc32c(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def segment_crc(data: bytes) -> int:
    return crc32c(data) ^ 0xFFFFFFFF


def test_crcs_are_cephs() -> None:
    # the numbers of src/test/common/test_crc32c.cc
    assert preamble_crc(b"foo bar baz") == 4119623852
    assert preamble_crc(b"whiz bang boom") == 2360230088
    assert segment_crc(b"") == 0xFFFFFFFF
    assert segment_crc(b"123456789") == crc32c(b"123456789") ^ 0xFFFFFFFF == 0x1CF96D7C


def test_control_frame_layout_in_crc_mode() -> None:
    data = one(False, Tag.ACK, b"\x05" + bytes(7))
    preamble = struct.pack("<BBIHIHIHIHxx", 20, 1, 8, 8, 0, 0, 0, 0, 0, 0)
    assert data[:28] == preamble
    assert data[28:32] == struct.pack("<I", preamble_crc(preamble))
    assert data[32:40] == b"\x05" + bytes(7)
    assert data[40:] == struct.pack("<I", segment_crc(data[32:40]))


def test_empty_control_frame_has_no_segment_crc() -> None:
    assert len(one(False, Tag.WAIT, b"")) == 32
    assert len(one(True, Tag.WAIT, b"")) == 96


def test_message_layout_in_crc_mode() -> None:
    data = one(False, Tag.MESSAGE, HEADER, b"front", b"", b"data")
    preamble = struct.pack("<BBIHIHIHIHxx", 17, 4, 41, 8, 5, 8, 0, 8, 4, 4096)
    assert data[:28] == preamble
    at = 32 + 41
    assert data[at : at + 4] == struct.pack("<I", segment_crc(HEADER))
    assert data[at + 4 : at + 13] == b"frontdata"
    crcs = segment_crc(b"front"), segment_crc(b""), segment_crc(b"data")
    assert data[at + 13 :] == struct.pack("<BIII", 0x0E, *crcs)


@pytest.mark.parametrize(
    ("segments", "count", "sealed"),
    [
        ((HEADER,), 1, 96),
        ((HEADER, b"", b"", b""), 1, 96),
        ((HEADER, b"f"), 2, 96 + 16 + 16 + 16),
        ((HEADER, b"", b"m" * 17, b""), 3, 96 + 32 + 16 + 16),
        ((HEADER, b"", b"", b"d"), 4, 96 + 16 + 16 + 16),
        ((b"x" * 48,), 1, 96),
        ((b"x" * 49,), 1, 96 + 16 + 16),
        ((b"x" * 65,), 1, 96 + 32 + 16),
    ],
)
def test_sizes_in_secure_mode(segments: tuple[bytes, ...], count: int, sealed: int) -> None:
    data = one(True, Tag.MESSAGE, *segments)
    assert len(data) == sealed
    opener = gcm_pair(SECRET, server=True)[1]
    assert opener.open(data[:96])[1] == count


def test_secrets_are_crossed() -> None:
    key, from_server, from_client = SECRET[:16], SECRET[16:28], SECRET[28:40]
    seal, opener = gcm_pair(SECRET, server=False)
    assert GcmOpen(key, from_client).open(seal.seal(b"up")) == b"up"
    assert opener.open(GcmSeal(key, from_server).seal(b"down")) == b"down"
    with pytest.raises(ProtocolError, match="no connection secret"):
        gcm_pair(SECRET[:39], server=True)


def test_nonces_count_the_upper_64_bits_and_end() -> None:
    first = struct.pack("<IQ", 7, (1 << 64) - 1)
    seal = GcmSeal(bytes(16), first)
    seal.seal(b"last before the wrap")
    wrapped = GcmOpen(bytes(16), struct.pack("<IQ", 7, 0))
    assert wrapped.open(seal.seal(b"first after it")) == b"first after it"
    seal._nonces._left = 0
    with pytest.raises(ProtocolError, match="nonces"):
        seal.seal(b"")


def test_signature() -> None:
    assert sign(b"", b"anything") == bytes(32)
    # HMAC-SHA256, RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign(b"Jefe", b"what do ya want for nothing?").hex() == expected


blobs = st.binary(max_size=300)
control_frames = st.tuples(
    st.sampled_from([t for t in Tag if t is not Tag.MESSAGE]), st.tuples(blobs)
)
message_frames = st.tuples(
    st.just(Tag.MESSAGE),
    st.tuples(st.binary(min_size=41, max_size=41), blobs, blobs, blobs),
)


@MODES
@given(
    sent=st.lists(st.one_of(control_frames, message_frames), max_size=8),
    cuts=st.lists(st.integers(0, 4000), max_size=12),
)
def test_round_trip_in_any_pieces(
    secure: bool, sent: list[tuple[Tag, tuple[bytes, ...]]], cuts: list[int]
) -> None:
    made = writer(secure)
    for tag, segments in sent:
        made.write(tag, *segments)
    size = made.nbytes
    data = made.take()
    assert len(data) == size
    there = reader(secure)
    got = []
    for start, end in pairwise(sorted({0, len(data), *(c for c in cuts if c < len(data))})):
        there.feed(data[start:end])
        got += read_all(there)
    assert there.buffered == 0
    assert got == [(tag, without_trailing_empty(segments)) for tag, segments in sent]


def without_trailing_empty(segments: tuple[bytes, ...]) -> list[bytes]:
    while len(segments) > 1 and not segments[-1]:
        segments = segments[:-1]
    return list(segments)


@MODES
def test_byte_at_a_time_and_every_truncation(secure: bool) -> None:
    data = one(secure, Tag.MESSAGE, HEADER, b"front" * 9, b"", b"data" * 30)
    there = reader(secure)
    for index in range(len(data)):
        assert there.next() is None
        there.feed(data[index : index + 1])
    assert there.next() == (17, [HEADER, b"front" * 9, b"", b"data" * 30])
    assert there.next() is None


@MODES
def test_every_flipped_bit_is_noticed(secure: bool) -> None:
    data = one(secure, Tag.MESSAGE, HEADER, b"front", b"middle", b"data")
    unnoticed = set()
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        there = reader(secure)
        there.feed(damaged)
        try:
            frame = there.next()
        except ProtocolError:
            continue
        unnoticed.add(bit // 8)
        assert frame == (17, [HEADER, b"front", b"middle", b"data"])
    # only the reserved half of late_status says nothing, as in Ceph
    assert unnoticed == (set() if secure else {len(data) - 13})


@MODES
def test_replayed_and_reordered_frames_end_a_secure_connection(secure: bool) -> None:
    made = writer(secure)
    made.write(Tag.ACK, bytes(8))
    first = made.take()
    made.write(Tag.ACK, b"\x01" + bytes(7))
    second = made.take()
    for order in ([first, first], [second], [first, second, first]):
        there = reader(secure)
        there.feed(b"".join(order))
        if not secure:
            assert len(read_all(there)) == len(order)
            continue
        with pytest.raises(ProtocolError, match="authentication tag"):
            read_all(there)


def preamble(tag: int, count: int, *lengths: int) -> bytes:
    padded = [*lengths, 0, 0, 0, 0][:4]
    head = struct.pack("<BB", tag, count)
    head += b"".join(struct.pack("<IH", length, 8) for length in padded) + bytes(2)
    return head + struct.pack("<I", preamble_crc(head))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (preamble(17, 2, 41, 5001), "5001 bytes of front, 5000 are taken"),
        (preamble(17, 3, 41, 0, 6001), "6001 bytes of middle"),
        (preamble(17, 4, 41, 0, 0, 7001), "7001 bytes of data"),
        (preamble(17, 4, 41, 1, 1, 0xFFFFFFFF), "4294967295 bytes of data"),
        (preamble(17, 1, 40), "header of 40 bytes"),
        (preamble(17, 1, 0xFFFFFFFF), "header of 4294967295 bytes"),
        (preamble(1, 1, 4097), "HELLO of 4097 bytes, 4096 are taken"),
        (preamble(1, 1, 0xFFFFFFFF), "HELLO of 4294967295 bytes"),
        (preamble(1, 2, 1, 1), "HELLO has 2 segments"),
        (preamble(17, 0), "0 segments"),
        (preamble(17, 5, 41, 1, 1, 1), "5 segments"),
        (preamble(17, 2, 41, 0), "last segment is empty"),
        (preamble(0, 1, 1), "unknown tag 0 is out of place"),
        (preamble(21, 1, 1), "unknown tag 21 is out of place"),
        (preamble(255, 1, 1), "unknown tag 255 is out of place"),
        (bytes(32), "0 segments"),  # a crc of seed 0 over zeros is 0
        (b"\x01" + bytes(31), "wrong crc"),
        (b"\xff" * 32, "wrong crc"),
    ],
)
@MODES
def test_bad_preambles_are_refused_before_anything_is_buffered(
    secure: bool, data: bytes, why: str
) -> None:
    there = reader(secure)
    if secure:
        data = gcm_pair(SECRET, server=False)[0].seal(data + bytes(48))
    for index in range(len(data) - 1):
        there.feed(data[index : index + 1])
        assert there.next() is None
    there.feed(data[-1:])
    with pytest.raises(ProtocolError, match=why):
        there.next()


def test_tags_that_may_not_come_are_refused_by_their_preamble() -> None:
    there = reader(False)
    there.allowed = 1 << Tag.HELLO
    there.feed(preamble(Tag.MESSAGE, 4, 41, 1, 1, 1))
    with pytest.raises(ProtocolError, match="frame MESSAGE is out of place"):
        there.next()


def test_incoming_bytes_are_known_from_the_preamble() -> None:
    data = one(False, Tag.MESSAGE, HEADER, b"f" * 10, b"m" * 20, b"d" * 30)
    there = reader(False)
    there.feed(data[:32])
    assert there.incoming_bytes == 0
    assert there.next() is None
    assert there.incoming_bytes == 60
    there.feed(data[32:])
    assert there.next() is not None
    assert there.incoming_bytes == 0


@pytest.mark.parametrize(
    ("status", "outcome"), [(0x01, "aborted"), (0xE1, "aborted"), (0xEE, "taken"), (0x0F, "bad")]
)
def test_late_status(status: int, outcome: str) -> None:
    data = bytearray(one(False, Tag.MESSAGE, HEADER, b"front"))
    data[-13] = status
    there = reader(False)
    there.feed(bytes(data) + one(False, Tag.MESSAGE, HEADER, b"next"))
    if outcome == "bad":
        with pytest.raises(ProtocolError, match="ends with status"):
            there.next()
        return
    fronts = [segments[1] for _, segments in read_all(there)]
    assert fronts == ([b"next"] if outcome == "aborted" else [b"front", b"next"])


def test_a_sealed_frame_may_be_aborted() -> None:
    seal = gcm_pair(SECRET, server=False)[0]
    head = preamble(Tag.MESSAGE, 2, 41, 5) + HEADER + bytes(7)
    rest = bytes(16) + b"\x01" + bytes(15)
    there = reader(True)
    there.feed(seal.seal(head) + seal.seal(rest))
    assert there.next() is None
    assert there.buffered == 0


def test_preauth_bytes_are_bounded() -> None:
    there = FrameReader(FrameLimits(preauth=200))
    there.allowed = EVERY_TAG
    frame = one(False, Tag.AUTH_REPLY_MORE, bytes(60))
    there.feed(frame)
    assert there.next() is not None
    assert bytes(there.transcript or b"") == frame
    there.feed(frame)
    assert there.next() is not None
    there.feed(frame)
    with pytest.raises(ProtocolError, match="before authentication"):
        there.next()


@MODES
def test_long_frames_do_not_cost_a_copy_per_piece(secure: bool) -> None:
    front = bytes(range(256)) * 4096
    data = one(secure, Tag.MESSAGE, HEADER, front)
    there = reader(secure, FrameLimits())
    for start in range(0, len(data), 4096):
        assert there.next() is None
        there.feed(data[start : start + 4096])
        assert there.buffered <= len(data)
    assert there.next() == (17, [HEADER, front])


@MODES
@given(data=st.binary(max_size=600), start=st.integers(0, 400))
def test_garbage_raises_only_protocol_error(secure: bool, data: bytes, start: int) -> None:
    """After any number of good bytes, any bytes."""
    good = one(secure, Tag.MESSAGE, HEADER, b"front" * 20, b"", b"data")
    there = reader(secure)
    there.feed(good[:start] + data)
    try:
        read_all(there)
    except ProtocolError:
        pass
    assert there.buffered <= start + len(data)


def test_header_size() -> None:
    assert MSG_HEADER2.size == 41


@pytest.mark.parametrize("take", [lambda r: r.take_raw(3), lambda r: r.peek_raw(3)])
def test_raw_bytes(take: Callable[[FrameReader], bytes]) -> None:
    there = reader(False)
    there.feed(b"abc")
    assert take(there) == b"abc"
    assert reader(False).take_raw(1) is None
