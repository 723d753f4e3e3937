"""What a journal's writer has written next, and what it calls safe."""

from __future__ import annotations

import random

import pytest

from mdsdaemon.clients.journaler_stream import JournalStream, frame
from mdsdaemon.clients.journaler_write import JournalWriter, Piece
from mdsdaemon.types.journal_store import StreamFormat

PERIOD = 1000


def a_writer(pos: int = PERIOD, **options: int) -> JournalWriter:
    """A writer whose zeroing is done as soon as it is asked for."""
    writer = JournalWriter(PERIOD, pos, **options)
    zero(writer)
    return writer


def zero(writer: JournalWriter) -> list[tuple[int, int]]:
    done = []
    while (what := writer.next_zero()) is not None:
        writer.zeroed(*what)
        done.append(what)
    return done


def pieces(writer: JournalWriter) -> list[Piece]:
    found = []
    while (piece := writer.next_piece()) is not None:
        found.append(piece)
    return found


def spans(found: list[Piece]) -> list[tuple[int, int]]:
    return [(piece.start, piece.end) for piece in found]


def test_nothing_is_written_before_it_is_asked_for() -> None:
    writer = a_writer()
    assert writer.append(b"x" * 80) == 1100 == writer.write_pos
    assert (writer.next_piece(), writer.buffered, writer.flush_pos) == (None, 100, 1000)
    writer.flush()
    (piece,) = pieces(writer)
    assert (piece.start, piece.end, piece.safe_before) == (1000, 1100, 1000)
    assert piece.data == frame(b"x" * 80, 1000)
    assert (writer.flush_pos, writer.safe_pos, writer.buffered) == (1100, 1000, 0)
    assert writer.written(piece)
    assert writer.safe_pos == 1100


def test_a_flush_takes_all_that_was_appended() -> None:
    writer = a_writer()
    for n in range(5):
        writer.append(b"%d" % n)
    writer.flush()
    writer.append(b"late")
    (piece,) = pieces(writer)
    assert piece.end == writer.write_pos


def test_only_a_few_are_under_way_and_the_rest_gathers() -> None:
    writer = a_writer(at_once=2)
    found = []
    for _ in range(10):
        writer.append(b"x" * 20)
        writer.flush()
        found += pieces(writer)
    assert spans(found) == [(1000, 1040), (1040, 1080)]
    writer.written(found[1])
    (third,) = pieces(writer)
    assert (third.start, third.end) == (1080, 1400)


def test_full_periods_are_written_unasked() -> None:
    writer = a_writer()
    ends = [writer.append(b"x" * 280) for _ in range(4)]
    assert ends[2:] == [1900, 2200]
    assert writer.crossed
    (piece,) = pieces(writer)
    assert (piece.start, piece.end) == (1000, 2000)
    assert writer.buffered == 200
    assert writer.next_piece() is None
    # the fourth entry is not whole, so that only the third is safe
    writer.written(piece)
    assert writer.safe_pos == 1900
    writer.flush()
    (piece,) = pieces(writer)
    assert piece.safe_before == 1900
    writer.written(piece)
    assert writer.safe_pos == 2200


def test_an_entry_that_ends_with_the_period() -> None:
    writer = a_writer()
    writer.append(b"x" * 980)
    (piece,) = pieces(writer)
    assert writer.written(piece)
    assert writer.safe_pos == 2000
    writer.append(b"")
    assert writer.next_piece() is None


def test_an_entry_longer_than_periods() -> None:
    writer = a_writer()
    writer.append(b"a" * 80)
    end = writer.append(b"b" * 3480)
    assert end == 4600
    found = pieces(writer)
    assert spans(found) == [(1000, 2000), (2000, 3000), (3000, 4000)]
    for piece in found:
        writer.written(piece)
        assert writer.safe_pos == 1100
    writer.flush()
    (piece,) = pieces(writer)
    writer.written(piece)
    assert writer.safe_pos == 4600


def test_safe_is_where_the_first_under_way_begins() -> None:
    writer = a_writer(at_once=4)
    found = []
    for _ in range(4):
        writer.append(b"x" * 80)
        writer.flush()
        found += pieces(writer)
    assert len(found) == 4
    assert not writer.written(found[2])
    assert not writer.written(found[1])
    assert writer.safe_pos == 1000
    assert writer.written(found[0])
    assert writer.safe_pos == 1300
    assert writer.written(found[3])
    assert writer.safe_pos == 1400


def test_zeroing_goes_ahead() -> None:
    writer = JournalWriter(PERIOD, 1300, prezero_periods=2)
    asked = []
    while (what := writer.next_zero()) is not None:
        asked.append(what)
    assert asked == [(1300, 700), (2000, 1000), (3000, 1000)]
    writer.append(b"x" * 80)
    writer.flush()
    assert writer.next_piece() is None
    writer.zeroed(*asked[1])
    writer.zeroed(*asked[2])
    assert (writer.prezero_pos, writer.next_piece()) == (1300, None)
    writer.zeroed(*asked[0])
    assert writer.prezero_pos == 4000
    assert spans(pieces(writer)) == [(1300, 1400)]


def test_nothing_is_written_into_the_last_zeroed_period() -> None:
    writer = JournalWriter(PERIOD, 1000, prezero_periods=2)
    zero(writer)
    assert writer.prezero_pos == 3000
    writer.append(b"x" * 4000)
    writer.flush()
    assert spans(pieces(writer)) == [(1000, 2000)]
    assert zero(writer) == [(n, 1000) for n in (3000, 4000, 5000, 6000, 7000)]
    assert spans(pieces(writer)) == [(2000, 3000), (3000, 4000), (4000, 5000)]


def test_legacy_frames() -> None:
    writer = a_writer(stream_format=StreamFormat.LEGACY)
    assert writer.append(b"abc") == 1007
    writer.flush()
    assert pieces(writer)[0].data == frame(b"abc", 1000, StreamFormat.LEGACY)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_answers(seed: int) -> None:
    """The bytes are the entries' frames; safe_pos is always an entry's end with all before done."""
    rng = random.Random(seed)
    writer = JournalWriter(PERIOD, 1300, prezero_periods=rng.randrange(2, 6), at_once=3)
    disk, done = bytearray(), [(0, 1300)]
    ends, zeros, flying = {1300}, list[tuple[int, int]](), list[Piece]()
    for _ in range(800):
        match rng.randrange(6):
            case 0 | 1:
                big = rng.random() < 0.05
                ends.add(writer.append(rng.randbytes(rng.randrange(3000 if big else 90))))
            case 2:
                writer.flush()
            case 3 if (what := writer.next_zero()) is not None:
                zeros.append(what)
            case 4 if zeros:
                writer.zeroed(*zeros.pop(rng.randrange(len(zeros))))
            case 5 if flying and rng.random() < 0.7:
                piece = flying.pop(rng.randrange(len(flying)))
                done.append((piece.start, piece.end))
                before = writer.safe_pos
                assert writer.written(piece) == (writer.safe_pos > before)
        for piece in pieces(writer):
            assert piece.start == 1300 + len(disk)
            assert piece.start // PERIOD == (piece.end - 1) // PERIOD
            assert piece.end <= writer.prezero_pos - PERIOD + PERIOD * (piece.end % PERIOD != 0)
            disk += piece.data
            flying.append(piece)
        assert len(flying) <= 6
        assert writer.flush_pos == 1300 + len(disk)
        covered = 0
        for start, end in sorted(done):
            if start > covered:
                break
            covered = end
        assert writer.safe_pos == max(end for end in ends if end <= covered)
    stream = JournalStream(StreamFormat.RESILIENT, 1300, writer.flush_pos)
    stream.feed(bytes(disk))
    found = stream.read()
    assert [e.end for e in found] == [e for e in sorted(ends)[1:] if e <= writer.flush_pos]
    assert len(found) > 50
