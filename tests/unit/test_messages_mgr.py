"""The messages of a manager session: their bytes, and the counters in a report."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.clients.mgr_report import DeclaredCounters
from mdsdaemon.encoding import DecodeError, EncodeError, decode, encode
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.messages.base import TYPES, Message, decode_message, encode_message
from mdsdaemon.messages.mgr import (
    DaemonConfig,
    DaemonHealthMetric,
    MMgrClose,
    MMgrConfigure,
    MMgrMap,
    MMgrOpen,
    MMgrReport,
    PackedCounters,
    PerfCounterType,
)
from mdsdaemon.perf import PerfCounters, PerfRegistry, Prio
from mdsdaemon.types.features import FEATURES_PACIFIC


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def frame(v: int, compat: int, body: bytes) -> bytes:
    return struct.pack("<BBI", v, compat, len(body)) + body


def blob(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


DECLARATION = frame(
    3, 1, text("mds.inodes") + text("Inodes") + text("ino") + bytes([2, 8, 1])
)  # fmt: skip

CASES: list[tuple[Message, int, int, int, bytes]] = [
    (
        MMgrOpen("a", config_bl=b"cfg", config_defaults_bl=b"dfl"), 0x700, 3, 1,
        text("a") + text("") + b"\0" + text("cfg") + text("dfl"),
    ),
    (
        MMgrOpen("a", "svc", True, {"k": "v"}, {"s": "t"}), 0x700, 3, 1,
        text("a") + text("svc") + b"\1" + struct.pack("<I", 1) + text("k") + text("v")
        + struct.pack("<I", 1) + text("s") + text("t") + text("") + text(""),
    ),
    (MMgrConfigure(5, 5, b"\0\0\0\0\0"), 0x701, 4, 1, struct.pack("<II", 5, 5) + bytes(5)),
    (
        MMgrReport(
            "a",
            declare_types=[PerfCounterType("mds.inodes", "Inodes", "ino", 2, 8)],
            packed=PackedCounters(struct.pack("<Q", 77)),
            undeclare_types=["mds.old"],
            daemon_health_metrics=[DaemonHealthMetric(0, 3)],
            config_bl=b"cfg",
            task_status={"scrub": "idle"},
        ),
        0x702, 9, 1,
        text("a") + struct.pack("<I", 1) + DECLARATION
        + blob(frame(1, 1, struct.pack("<Q", 77)))
        + struct.pack("<I", 1) + text("mds.old") + text("") + b"\0"
        + struct.pack("<I", 1) + frame(1, 1, struct.pack("<BQ", 0, 3))
        + text("cfg") + struct.pack("<I", 0)
        + b"\1" + struct.pack("<I", 1) + text("scrub") + text("idle") + b"\0",
    ),
    (MMgrClose("a"), 0x708, 1, 1, text("a") + text("")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("msg", "code", "version", "compat", "front"),
    CASES,
    ids=[f"{type(case[0]).__name__}-{n}" for n, case in enumerate(CASES)],
)
def test_bytes(msg: Message, code: int, version: int, compat: int, front: bytes) -> None:
    assert TYPES[code] is type(msg)
    assert encode_message(msg, FEATURES_PACIFIC) == (version, compat, front)
    assert decode_message(code, version, compat, front, b"", b"", FEATURES_PACIFIC) == msg


@given(st.binary(max_size=200), st.sampled_from([0x700, 0x701, 0x702, 0x704, 0x708]))
def test_garbage_is_a_decode_error_or_a_message(front: bytes, code: int) -> None:
    try:
        decode_message(code, 9, 1, front, b"", b"", FEATURES_PACIFIC)
    except DecodeError:
        pass


def test_a_map_goes_through() -> None:
    msg = MMgrMap(MgrMap(epoch=3, active_name="x"))
    version, compat, front = encode_message(msg, FEATURES_PACIFIC)
    assert decode_message(0x704, version, compat, front, b"", b"", FEATURES_PACIFIC) == msg


def test_a_first_version_configure_has_a_period_alone() -> None:
    front = struct.pack("<I", 5)
    msg = decode_message(0x701, 1, 1, front, b"", b"", FEATURES_PACIFIC)
    assert msg == MMgrConfigure(5)


def test_osd_reports_are_not_ours() -> None:
    msg = MMgrReport("a", osd_perf_metric_reports={b"x": b"y"})
    with pytest.raises(EncodeError):
        encode_message(msg, FEATURES_PACIFIC)


def test_configuration_as_the_manager_reads_it() -> None:
    config = DaemonConfig({"debug_mds": {0: "1/5", 5: "20/20"}}, {"x": "y"})
    assert encode(DaemonConfig, config) == (
        struct.pack("<I", 1) + text("debug_mds")
        + struct.pack("<I", 2) + struct.pack("<i", 0) + text("1/5")
        + struct.pack("<i", 5) + text("20/20")
        + struct.pack("<I", 1) + text("x") + text("y")
    )  # fmt: skip
    assert decode(DaemonConfig, encode(DaemonConfig, config)) == config


def test_counters_are_declared_once_and_packed_by_path() -> None:
    registry = PerfRegistry()
    mds = PerfCounters("mds")
    inodes = mds.add_u64("inodes", "Inodes", "ino", Prio.CRITICAL)
    latency = mds.add_time_avg("reply_latency", "Reply latency", "rlat", Prio.INTERESTING)
    mds.add_u64("whatever", "of no interest", prio=Prio.UNINTERESTING)
    registry.add(mds)
    inodes.set(7)
    latency.tinc(1.5)
    latency.tinc(0.5)
    session = DeclaredCounters()

    first = session.report(registry.entries(), Prio.USEFUL)
    assert [d.path for d in first.declare] == ["mds.inodes", "mds.reply_latency"]
    assert first.declare[1] == PerfCounterType(
        "mds.reply_latency", "Reply latency", "rlat", 0x5, Prio.INTERESTING, 1
    )
    assert struct.unpack("<4Q", first.packed.values) == (7, 2_000_000_000, 2, 2)

    second = session.report(registry.entries(), Prio.USEFUL)
    assert (second.declare, second.undeclare) == ([], [])
    assert second.packed == first.packed

    higher = session.report(registry.entries(), Prio.CRITICAL)
    assert higher.undeclare == ["mds.reply_latency"]
    assert struct.unpack("<Q", higher.packed.values) == (7,)

    registry.remove(mds)
    gone = session.report(registry.entries(), 0)
    assert gone.undeclare == ["mds.inodes"]
    assert gone.packed.values == b""
