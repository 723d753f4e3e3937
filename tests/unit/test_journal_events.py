"""The envelope of journal events, and every type of event in it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mdsdaemon.encoding import REGISTRY, DecodeError, encode
from mdsdaemon.rank.log.events import (
    CLASSES,
    EventType,
    LogEvent,
    decode_event,
    encode_event,
    event_type,
)
from mdsdaemon.types.features import FEATURES_PACIFIC, SERVER_QUINCY, SERVER_REEF
from mdsdaemon.types.journal import (
    ECommitted,
    EImportFinish,
    ENoOp,
    EPurged,
    ESegment,
    ESessionsOld,
    ESubtreeMap,
    ESubtreeMapTest,
    ETableServer,
    EUpdate,
)
from mdsdaemon.types.session import MetaReqId

EVENTS: list[LogEvent] = [
    ESubtreeMap(stamp=5, expire_pos=4 << 20, event_seq=17),
    ESubtreeMapTest(event_seq=18),
    EUpdate(stamp=1, type="mkdir", cmapv=4, had_peers=True),
    ECommitted(reqid=MetaReqId(tid=3)),
    EPurged(inos={1: 5}, inotablev=3, seq=9),
    ETableServer(table=1, op=2, mutation=b"abc", bymds=0),
    ENoOp(pad=b"\xff" * 40),
    ESegment(99),
    ESessionsOld(cmapv=6, stamp=8),
]


@pytest.mark.parametrize("number", CLASSES, ids=lambda n: EventType(n).name)
def test_every_type_is_found_by_its_number(number: int) -> None:
    event = CLASSES[number]()
    payload = encode_event(event)
    again = decode_event(payload)
    assert type(again) is CLASSES[number]
    assert (again, event_type(again)) == (event, number)
    assert payload[:6] == bytes((0, 0, 0, 0, 1, 1))
    assert payload[10:14] == number.to_bytes(4, "little")


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_events_come_back_in_both_encodings(event: LogEvent) -> None:
    payload = encode_event(event)
    assert decode_event(payload) == event
    classic = payload[10:]  # the type and the event, as before 2012
    assert decode_event(classic) == event


def test_an_entry_as_ceph_mds_writes_it() -> None:
    """The bytes of an EImportFinish of 16.2.15, by hand."""
    payload = bytes.fromhex(
        "00000000"  # the new encoding
        "010123000000"  # envelope: version 1, 35 bytes
        "05000000"  # EVENT_IMPORTFINISH
        "030319000000"  # the event: version 3, 25 bytes
        "0100000002000000"  # 1.000000002 s
        "0000000000010000"  # base: inode 0x10000000000 …
        "00000001"  # … fragment of one bit
        "01"  # success
        "00000000"  # something newer
    )
    event = decode_event(payload)
    assert isinstance(event, EImportFinish)
    assert (event.stamp, event.base.ino, event.success) == (1_000_000_002, 1 << 40, True)


def test_a_test_of_subtrees_begins_no_segment() -> None:
    """Its type differs, and so does its class, which is what replay goes by."""
    test = decode_event(encode_event(ESubtreeMapTest()))
    assert not isinstance(test, ESubtreeMap)
    assert event_type(test) == EventType.SUBTREEMAP_TEST


@pytest.mark.parametrize("number", [0, 1, 7, 13, 25, 44, 52, 99, 102, 1 << 31])
def test_unknown_types_are_named(number: int) -> None:
    payload = bytearray(encode_event(ENoOp()))
    payload[10:14] = number.to_bytes(4, "little")
    with pytest.raises(DecodeError, match=f"unknown tag {number}"):
        decode_event(bytes(payload))
    if number:
        with pytest.raises(DecodeError, match=f"unknown tag {number}"):
            decode_event(bytes(payload[10:]))


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_cut_anywhere_it_is_a_decode_error(event: LogEvent) -> None:
    payload = encode_event(event)
    for size in range(len(payload)):
        with pytest.raises(DecodeError):
            decode_event(payload[:size])


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_bytes_behind_the_event_are_refused(event: LogEvent) -> None:
    with pytest.raises(DecodeError):
        decode_event(encode_event(event) + b"x")


def test_padding_must_fill_its_event() -> None:
    payload = bytearray(encode_event(ENoOp(pad=b"\xff" * 8)))
    payload[20] = 9
    with pytest.raises(DecodeError):
        decode_event(bytes(payload))


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_flipped_bytes_are_errors_or_events(event: LogEvent) -> None:
    rng, payload = random.Random(4), encode_event(event)
    refused = 0
    for _ in range(300):
        bad = bytearray(payload)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        try:
            assert type(decode_event(bytes(bad))) in CLASSES.values()
        except DecodeError:
            refused += 1
    assert refused


RELEASES = {
    "16.2.0": FEATURES_PACIFIC,
    "18.2.0": FEATURES_PACIFIC | SERVER_QUINCY | SERVER_REEF,
}


def test_events_of_the_corpus(corpus: Path) -> None:
    """What ceph-mds of two releases wrote, in an envelope, comes back byte for byte."""
    seen = 0
    for release, features in RELEASES.items():
        for cls in set(CLASSES.values()):
            names = [name for name, known in REGISTRY.items() if known is cls]
            for path in (p for n in names for p in sorted((corpus / release / n).glob("*"))):
                body = event_type(cls()).to_bytes(4, "little") + path.read_bytes()
                head = bytes((0, 0, 0, 0, 1, 1)) + len(body).to_bytes(4, "little")
                event = decode_event(head + body)
                assert type(event) is cls
                assert encode_event(event, features) == head + body, path
                assert encode(cls, event, features) == body[4:]
                seen += 1
    assert seen > 20


def test_values_are_compared() -> None:
    """The tests above would pass with events that are all alike."""
    assert ESubtreeMap(event_seq=17) != ESubtreeMap(event_seq=18)
    assert EUpdate(type="mkdir") != EUpdate(type="rmdir")
