"""The flight record: bounded, without secrets, readable when cut off."""

import os
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.recorder import FlightRecorder
from mdsdaemon.recorder.ring import MAX_FIELDS, MAX_TEXT
from mdsdaemon.recorder.show import Record, RecordError, format_record, parse_record, read_record

KEY = "AQCOrQNrXknSGhAAYs4/Ue+l9Y8/gj3iUIo7iA=="


class Clock:
    """Moves a quarter of a second each time somebody looks."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


def recorder(capacity: int = 100) -> FlightRecorder:
    return FlightRecorder(capacity, wall=Clock(), name="mds.a")


def test_a_record_comes_back() -> None:
    ring = recorder()
    ring.record("msg_in", type="mds_map", seq=3, from_="mon.0", big=2**70)
    ring.record("state", old="up:boot", new="up:standby", laggy=False, rank=None, load=0.5)
    record = parse_record(ring.dump("log dump"))
    assert record.damage == ""
    assert [event.kind for event in record.events] == ["msg_in", "state"]
    assert record.events[0].fields == {
        "type": "mds_map", "seq": 3, "from_": "mon.0", "big": 2**70,
    }  # fmt: skip
    assert record.events[1].fields["laggy"] is False
    assert record.events[1].at == 1_700_000_000.5
    assert record.header["name"] == "mds.a"
    assert record.header["reason"] == "log dump"
    assert (record.header["events"], record.header["dropped"]) == (2, 0)
    assert record.header["pid"] == os.getpid()


def test_the_file_is_a_self_described_cbor_sequence() -> None:
    ring = recorder()
    ring.record("x")
    assert ring.dump()[:3] == bytes.fromhex("d9d9f7")


def test_messages_become_fields_when_they_are_read() -> None:
    ring = recorder()
    ring.message("message.in", 3, "MClientRequest", 17)
    ring.message("message.out", 3, "MClientSession", 0)
    events = parse_record(ring.dump()).events
    assert [(event.kind, event.fields) for event in events] == [
        ("message.in", {"con": 3, "msg": "MClientRequest tid 17"}),
        ("message.out", {"con": 3, "msg": "MClientSession"}),
    ]


def test_the_oldest_go_first() -> None:
    ring = recorder(3)
    for number in range(10):
        ring.record("n", number=number)
    assert [fields["number"] for _, _, fields in ring.events()] == [7, 8, 9]
    record = parse_record(ring.dump())
    assert record.header["dropped"] == 7
    ring.resize(2)
    assert len(ring) == 2
    empty = recorder(0)
    empty.record("n")
    assert len(empty) == 0
    assert parse_record(empty.dump()).events == []


def test_events_are_bounded_in_size_and_do_not_keep_objects_alive() -> None:
    class Big:
        def __str__(self) -> str:
            return "x" * 10_000

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    ring = recorder()
    ring.record(
        "x", text="y" * 10_000, data=b"z" * 10_000, obj=Big(), broken=Broken(), items=[1, 2]
    )
    ((_, _, raw),) = ring._events
    assert isinstance(raw, dict)
    assert {type(value) for value in raw.values()} == {str}
    fields = next(ring.events())[2]
    assert len(fields["text"]) == len(fields["obj"]) == MAX_TEXT
    assert fields["data"] == "<10000 bytes>"
    assert fields["broken"] == "<Broken: RuntimeError>"
    assert fields["items"] == "[1, 2]"
    ring.record("many", **{f"f{n}": n for n in range(50)})
    assert len(list(ring.events())[1][2]) == MAX_FIELDS
    assert len(ring.dump()) < 5000


def test_no_secret_is_written() -> None:
    ring = recorder()
    ring.record("auth", key=KEY, session_key=b"0123456789abcdef", ticket="abc", peer="mon.0")
    ring.record("command", args=f"config set key {KEY}", text=f"key = {KEY}")
    ring.record("argv", text="--key hunter2 -i a")
    data = ring.dump(f"crash: {KEY}")
    for secret in (KEY, "0123456789abcdef", "hunter2", "abc"):
        assert secret.encode() not in data
    assert b"mon.0" in data


def test_text_that_is_no_unicode() -> None:
    ring = recorder()
    ring.record("x", name=b"\xff\xfe".decode("utf-8", "surrogateescape"))
    assert parse_record(ring.dump()).events[0].fields["name"] == "\\udcff\\udcfe"


def test_dump_file(tmp_path: Path) -> None:
    ring = recorder()
    ring.record("x")
    path = tmp_path / "mds.a.flight"
    path.write_text("an older one")
    ring.dump_file(str(path), "respawn")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_record(str(path)).header["reason"] == "respawn"
    assert [p.name for p in tmp_path.iterdir()] == ["mds.a.flight"]
    with pytest.raises(OSError, match="No such file"):
        ring.dump_file("/nonexistent/x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        ring.dump_file(str(tmp_path / "folder"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "mds.a.flight"]


# -- reading --------------------------------------------------------------------------------------


def test_for_people() -> None:
    ring = recorder()
    ring.record("msg_in", type="mds_map", note="two words", empty="", esc="a\nb\x1b[31m")
    ring.record("state", new="up:standby")
    lines = list(format_record(parse_record(ring.dump("respawn command"))))
    assert lines[0].startswith("flight record of mds.a (pid ")
    assert lines[1] == "written 2023-11-14T22:13:20.750Z: respawn command"
    assert lines[2] == "2 events"
    assert lines[3] == (
        "2023-11-14T22:13:20.250Z    +0.000  msg_in  "
        'type=mds_map  note="two words"  empty=""  esc=a\\nb\\x1b[31m'
    )
    assert lines[4] == "2023-11-14T22:13:20.500Z    +0.250  state   new=up:standby"


def test_every_cut_is_survived() -> None:
    ring = recorder()
    for number in range(5):
        ring.record("n", number=number, text="words")
    data = ring.dump("x")
    header = len(cbor2.dumps(cbor2.CBORTag(55799, dict(parse_record(data).header))))
    for cut in range(header, len(data)):
        record = parse_record(data[:cut])
        assert record.damage
        assert [e.fields["number"] for e in record.events] == list(range(len(record.events)))
        assert "damaged" in list(format_record(record))[-1]
    for cut in range(header):
        with pytest.raises(RecordError):
            parse_record(data[:cut])


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"hello", cbor2.dumps({"format": "other"}), cbor2.dumps([1]),
     cbor2.dumps({"format": "mdsdaemon flight record", "version": 2}),
     b"\x9f" * 5000, b"\xbf" * 100_000, b"\x5b" + b"\x7f" * 8, b"\x9b" + b"\x7f" * 8],
    ids=repr,
)  # fmt: skip
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(RecordError, match=r"somewhere: .*flight record"):
        parse_record(data, "somewhere")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        read_record("/nonexistent/x")
    with pytest.raises(RecordError, match="Is a directory"):
        read_record(str(tmp_path))


HEADER = cbor2.dumps({"format": "mdsdaemon flight record", "version": 1})


@given(st.binary(max_size=200))
def test_anything_after_a_header(data: bytes) -> None:
    record = parse_record(HEADER + data)
    assert isinstance(record, Record)
    for line in format_record(record):
        assert line.isprintable()


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(st.floats(), st.text(), st.dictionaries(st.one_of(st.text(), st.integers()), ANY))
def test_events_of_any_shape(at: float, kind: str, fields: dict[object, object]) -> None:
    record = parse_record(HEADER + cbor2.dumps([at, kind, fields]))
    for line in format_record(record):
        assert line.isprintable()


@given(st.text(), st.dictionaries(st.text().filter(lambda n: n not in ("self", "kind")), ANY))
def test_whatever_is_recorded_can_be_read(kind: str, fields: dict[str, object]) -> None:
    ring = recorder()
    ring.record(kind, **fields)
    record = parse_record(ring.dump())
    assert record.damage == ""
    assert len(record.events) == 1
