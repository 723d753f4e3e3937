"""Frames of a journal: round trips, every cut, flipped bytes, finding the way back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.clients.journaler_stream import (
    MAX_ENTRY,
    SENTINEL,
    Entry,
    JournalStream,
    envelope_size,
    frame,
)
from mdsdaemon.encoding import DecodeError
from mdsdaemon.types.journal_store import StreamFormat

START = 4 << 20
LEGACY, RESILIENT = StreamFormat.LEGACY, StreamFormat.RESILIENT
FORMATS = pytest.mark.parametrize("fmt", [LEGACY, RESILIENT], ids=lambda f: f.name)


def a_journal(payloads: list[bytes], fmt: int = RESILIENT) -> tuple[bytes, list[Entry]]:
    """The bytes from START on, and their entries."""
    data, entries = b"", []
    for payload in payloads:
        start = START + len(data)
        data += frame(payload, start, fmt)
        entries.append(Entry(start, START + len(data), payload))
    return data, entries


PAYLOADS = [b"first", b"", b"x" * 300, b"last"]


def test_bytes_of_a_frame() -> None:
    assert frame(b"abc", 0x400000).hex() == (
        "9397585326594131"  # 0x3141592653589793
        "03000000616263"
        "0000400000000000"
    )
    assert frame(b"abc", 0x400000, LEGACY).hex() == "03000000616263"
    assert (envelope_size(RESILIENT), envelope_size(LEGACY)) == (20, 4)


@FORMATS
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_entries_come_out_whatever_the_pieces(fmt: int, step: int) -> None:
    data, entries = a_journal(PAYLOADS, fmt)
    stream, found = JournalStream(fmt, START, START + len(data)), list[Entry]()
    for at in range(0, len(data), step):
        stream.feed(data[at : at + step])
        assert stream.readable() == bool(
            found != entries[: (n := sum(e.end <= START + at + step for e in entries))]
        )
        found += stream.read()
        assert found == entries[:n]
    assert (found, stream.pos, stream.buffered) == (entries, START + len(data), 0)
    assert not stream.torn


@given(st.lists(st.binary(max_size=80), max_size=12), st.data())
def test_any_entries_in_any_pieces(payloads: list[bytes], draw: st.DataObject) -> None:
    data, entries = a_journal(payloads)
    stream, found = JournalStream(RESILIENT, START, START + len(data)), list[Entry]()
    while data:
        size = draw.draw(st.integers(1, len(data)))
        stream.feed(data[:size])
        data = data[size:]
        while batch := stream.read(draw.draw(st.integers(1, 3))):
            found += batch
    assert found == entries


@FORMATS
def test_every_cut_is_torn(fmt: int) -> None:
    """All whole entries come out, and the rest is known to be none."""
    data, entries = a_journal(PAYLOADS, fmt)
    for size in range(len(data)):
        stream = JournalStream(fmt, START, START + size)
        stream.feed(data[:size])
        whole = [e for e in entries if e.end <= START + size]
        assert stream.read() == whole
        ends_with_an_entry = size == (whole[-1].end - START if whole else 0)
        assert stream.torn != ends_with_an_entry
        assert stream.pos == (whole[-1].end if whole else START)
        assert not stream.resync()


def test_torn_is_known_before_all_bytes_are_there() -> None:
    data, _ = a_journal([b"x" * 1000])
    stream = JournalStream(RESILIENT, START, START + 900)
    stream.feed(data[:11])
    assert stream.read() == []
    assert not stream.torn
    stream.feed(data[11:12])
    assert stream.read() == []
    assert (stream.torn, stream.need) == (True, 1020)


def test_without_a_limit_nothing_is_torn() -> None:
    data, _ = a_journal([b"x" * 1000])
    stream = JournalStream(RESILIENT, START)
    stream.feed(data[:900])
    assert stream.read() == []
    assert not stream.torn


@pytest.mark.parametrize("where", ["sentinel", "pointer"])
def test_bad_entry_in_the_middle(where: str) -> None:
    data, entries = a_journal(PAYLOADS)
    bad = bytearray(data)
    third = entries[2]
    bad[third.start - START if where == "sentinel" else third.end - START - 8] ^= 1
    stream = JournalStream(RESILIENT, START, START + len(data))
    stream.feed(bytes(bad))
    assert stream.read() == entries[:2]
    with pytest.raises(DecodeError) as caught:
        stream.read()
    assert caught.value.offset == third.start == stream.pos
    assert stream.resync()
    assert stream.read() == entries[3:]


def test_flipped_bits_are_never_taken_for_entries() -> None:
    """A flip in a frame's envelope ends reading there; one in a payload is not the stream's."""
    data, entries = a_journal([b"p%d" % n * 9 for n in range(20)])
    for at in range(len(data)):
        hit = next(e for e in entries if e.start - START <= at < e.end - START)
        for bit in range(8):
            bad = bytearray(data)
            bad[at] ^= 1 << bit
            stream = JournalStream(RESILIENT, START, START + len(data))
            stream.feed(bytes(bad))
            found = list[Entry]()
            try:
                while batch := stream.read():
                    found += batch
            except DecodeError:
                assert stream.pos == hit.start
            inside = hit.start - START + 12 <= at < hit.end - START - 8
            if inside:
                assert [e[:2] for e in found] == [e[:2] for e in entries]
                continue
            assert found == [e for e in entries if e.end <= hit.start]
            assert not stream.torn or stream.need > hit.end - hit.start
            # the way back leads to the next entry, and never into the middle of one
            assert stream.resync() == (hit is not entries[-1])
            assert stream.read() == [e for e in entries if e.start >= hit.end]


def test_resync_in_pieces() -> None:
    """A mark that comes in two parts is found, and what was passed is not kept."""
    good = frame(b"good", START + 5000)
    data = bytes(5000) + good
    for step in (1, 3, 50):
        stream, found = JournalStream(RESILIENT, START, START + len(data)), False
        for at in range(0, len(data), step):
            stream.feed(data[at : at + step])
            found = found or stream.resync()
            assert found or stream.buffered < 70
        assert found
        assert stream.read() == [Entry(START + 5000, START + 5000 + len(good), b"good")]


def test_resync_passes_what_only_looks_like_an_entry() -> None:
    wrong_place = frame(b"copied from elsewhere", 77)
    too_long = SENTINEL.to_bytes(8, "little") + (1 << 20).to_bytes(4, "little")
    absurd = SENTINEL.to_bytes(8, "little") + b"\xff\xff\xff\xff"
    head = b"?" * 10 + wrong_place + too_long + absurd
    good = frame(b"good", START + len(head))
    stream = JournalStream(RESILIENT, START, START + len(head + good))
    stream.feed(head + good)
    with pytest.raises(DecodeError):
        stream.read()
    assert stream.resync()
    assert [e.payload for e in stream.read()] == [b"good"]


def test_lengths_that_cannot_be_are_refused() -> None:
    stream = JournalStream(RESILIENT, START)
    stream.feed(SENTINEL.to_bytes(8, "little") + (MAX_ENTRY + 1).to_bytes(4, "little"))
    with pytest.raises(DecodeError, match="too long"):
        stream.read()
    old = JournalStream(LEGACY, START)
    old.feed(b"\xff\xff\xff\xff")
    with pytest.raises(DecodeError, match="too long"):
        old.read()


def test_garbage_raises_nothing_but_decode_errors() -> None:
    rng = random.Random(3)
    for _ in range(300):
        data = rng.randbytes(rng.randrange(200))
        for fmt in (LEGACY, RESILIENT):
            stream = JournalStream(fmt, START, START + len(data))
            stream.feed(data)
            try:
                while stream.read():
                    pass
            except DecodeError:
                assert stream.pos >= START
            stream.resync()
            assert START <= stream.pos <= START + len(data)


def test_an_entry_with_a_wrong_length_is_not_torn() -> None:
    """The end of the last entry is there: it was written whole."""
    data, entries = a_journal(PAYLOADS)
    last = entries[-1].start
    for bad_size in (5, 1 << 20, (1 << 32) - 1):
        bad = bytearray(data)
        bad[last - START + 8 : last - START + 12] = bad_size.to_bytes(4, "little")
        stream = JournalStream(RESILIENT, START, START + len(data))
        stream.feed(bytes(bad))
        assert stream.read() == entries[:-1]
        assert stream.torn
        assert not stream.resync()
        assert stream.ends_entry_of(last)
        assert not stream.ends_entry_of(entries[-2].start)


def test_at_most() -> None:
    data, entries = a_journal([b"x"] * 10)
    stream = JournalStream(RESILIENT, START)
    stream.feed(data)
    assert [len(stream.read(4)) for _ in range(4)] == [4, 4, 2, 0]
    assert stream.pos == entries[-1].end
