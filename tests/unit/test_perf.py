"""Performance counters in the shapes of a live ceph-mds 16.2.15."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.perf import (
    LINEAR,
    LOG2,
    MEMPOOLS,
    Axis,
    Histogram,
    PerfCounters,
    PerfRegistry,
    Prio,
    Unit,
    add_context_counters,
)


def worker() -> PerfCounters:
    perf = PerfCounters("worker")
    perf.add_u64_counter("recv_messages", "messages received")
    perf.add_u64_counter("recv_bytes", "bytes received", unit=Unit.BYTES)
    perf.add_u64("active", "connections", nick="con", prio=Prio.USEFUL)
    perf.add_time("running", "time of work")
    perf.add_time_avg("queue_lat", "time in the queue")
    perf.add_u64_avg("size", "size of a batch")
    return perf


def test_dump() -> None:
    perf = worker()
    perf.inc("recv_messages")
    perf.inc("recv_bytes", 100)
    perf.set("active", 3)
    perf.dec("active")
    perf.tinc("running", 0.007041892)
    for seconds in (0.5, 0.25):
        perf.tinc("queue_lat", seconds)
    perf.inc("size", 10)
    perf.inc("size", 20)
    registry = PerfRegistry()
    registry.add(perf)
    assert registry.dump() == {
        "worker": {
            "recv_messages": 1,
            "recv_bytes": 100,
            "active": 2,
            "running": 0.007041892,
            "queue_lat": {"avgcount": 2, "sum": 0.75, "avgtime": 0.375},
            "size": {"avgcount": 2, "sum": 30},
        }
    }
    assert perf.get("running") == 7041892
    assert registry.dump("worker", "size") == {"worker": {"size": {"avgcount": 2, "sum": 30}}}
    assert registry.dump("worker", "nosuch") == {"worker": {}}
    assert registry.dump("nosuch") == {}
    assert registry.dump_histograms() == {"worker": {}}
    assert registry.histogram_schema() == {"worker": {}}


def test_empty_averages() -> None:
    assert worker()["queue_lat"].dump() == {"avgcount": 0, "sum": 0.0, "avgtime": 0.0}


def test_schema() -> None:
    registry = PerfRegistry()
    registry.add(worker())
    schema = registry.schema()["worker"]
    assert schema["recv_bytes"] == {
        "type": 10,
        "metric_type": "counter",
        "value_type": "integer",
        "description": "bytes received",
        "nick": "",
        "priority": 0,
        "units": "bytes",
    }
    assert [(row["type"], row["metric_type"], row["value_type"]) for row in schema.values()] == [
        (10, "counter", "integer"),
        (10, "counter", "integer"),
        (2, "gauge", "integer"),
        (1, "gauge", "real"),
        (5, "gauge", "real-integer-pair"),
        (6, "gauge", "integer-integer-pair"),
    ]
    assert (schema["active"]["nick"], schema["active"]["priority"]) == ("con", 5)


def test_below_zero_as_in_ceph() -> None:
    perf = worker()
    perf.dec("active", 45)
    assert perf.get("active") == 18446744073709551571


def test_reset_spares_gauges() -> None:
    perf = worker()
    for name in ("recv_messages", "active", "size"):
        perf.inc(name, 7)
    perf.tinc("queue_lat", 1)
    registry = PerfRegistry()
    registry.add(perf)
    assert registry.reset_command("worker") == {"success": "perf reset worker"}
    assert registry.reset_command("all") == {"success": "perf reset all"}
    assert registry.reset_command("nosuch") == {"error": "Not find: nosuch"}
    assert [perf.get(n) for n in ("recv_messages", "active", "size", "queue_lat")] == [0, 7, 0, 0]
    assert perf["queue_lat"].avgcount == 0


def test_entries_for_the_manager() -> None:
    registry = PerfRegistry()
    perf = PerfCounters("objecter", prio_default=Prio.USEFUL, prio_adjust=2)
    perf.add_u64("op_active", "operations", nick="actv", prio=Prio.CRITICAL)
    perf.add_u64_avg("op_size", "sizes")
    perf.add_u64_counter_histogram("h", Axis("x", LINEAR, 0, 1, 2), Axis("y", LINEAR, 0, 1, 2))
    registry.add(perf)
    registry.add(worker())
    entries = list(registry.entries())
    assert [(e.path, e.priority, e.counter.type) for e in entries[:2]] == [
        ("objecter.op_active", 10, 2),
        ("objecter.op_size", 7, 6),
    ]
    assert (entries[0].counter.nick, entries[0].counter.unit) == ("actv", 1)
    assert len(entries) == 8
    registry.remove(perf)
    registry.remove(perf)
    assert [group.name for group in registry] == ["worker"]


def test_two_groups_of_one_name() -> None:
    registry = PerfRegistry()
    for _ in range(3):
        registry.add(worker())
    assert list(registry.dump()) == ["worker", "worker-2", "worker-3"]


def test_mistakes_of_the_caller() -> None:
    perf = worker()
    with pytest.raises(ValueError, match="exists already"):
        perf.add_u64("active")
    with pytest.raises(ValueError, match="more than four"):
        perf.add_u64("other", nick="other")
    with pytest.raises(KeyError):
        perf.inc("nosuch")
    with pytest.raises(TypeError):
        perf.hinc("active", 1, 1)
    with pytest.raises(ValueError, match="no buckets"):
        Axis("x", LINEAR, 0, 1, 0)


def test_context_counters() -> None:
    registry = PerfRegistry()
    use = {"mds_co": (2, 856)}
    add_context_counters(registry, workers=lambda: (3, 1), pools=lambda: use)
    dump = registry.dump()
    assert dump["cct"] == {"total_workers": 3, "unhealthy_workers": 1}
    assert len(dump["mempool"]) == 2 * len(MEMPOOLS) == 58
    assert (dump["mempool"]["mds_co_bytes"], dump["mempool"]["mds_co_items"]) == (856, 2)
    use["mds_co"] = (4, 900)
    assert registry.dump()["mempool"]["mds_co_bytes"] == 900


# -- histograms -----------------------------------------------------------------------------------


def test_histogram_shape() -> None:
    perf = PerfCounters("osd")
    perf.add_u64_counter_histogram(
        "lat", Axis("Latency", LOG2, 0, 100, 4), Axis("Size", LINEAR, 10, 10, 3), "latency by size"
    )
    for pair in [(0, 0), (99, 10), (100, 20), (10**9, 19), (-5, 15)]:
        perf.hinc("lat", *pair)
    registry = PerfRegistry()
    registry.add(perf)
    dump = registry.dump_histograms()["osd"]["lat"]
    assert dump["axes"][0] == {
        "name": "Latency",
        "min": 0,
        "quant_size": 100,
        "buckets": 4,
        "scale_type": "log2",
        "ranges": [{"max": -1}, {"min": 0, "max": 99}, {"min": 100, "max": 199}, {"min": 200}],
    }
    assert dump["axes"][1]["ranges"] == [{"max": 9}, {"min": 10, "max": 19}, {"min": 20}]
    assert dump["values"] == [[0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert registry.histogram_schema()["osd"]["lat"]["value_type"] == "integer-2d-histogram"
    assert registry.dump() == {"osd": {}}
    json.dumps(dump)
    perf.reset()
    assert sum(map(sum, perf["lat"].dump()["values"])) == 0


@given(
    st.sampled_from([LINEAR, LOG2]),
    st.integers(-100, 100),
    st.integers(1, 50),
    st.integers(1, 12),
    st.integers(-1000, 100_000),
)
def test_a_value_lies_in_its_bucket(
    scale: str, low: int, quant: int, buckets: int, value: int
) -> None:
    axis = Axis("x", scale, low, quant, buckets)
    bounds = axis.dump()["ranges"][axis.bucket(value)]
    if buckets > 1:
        assert bounds.get("min", value) <= value <= bounds.get("max", value)


@given(st.lists(st.tuples(st.integers(-9, 99), st.integers(-9, 99)), max_size=30))
def test_nothing_is_lost(pairs: list[tuple[int, int]]) -> None:
    histogram = Histogram(Axis("x", LINEAR, 0, 7, 5), Axis("y", LOG2, 0, 3, 4))
    for x, y in pairs:
        histogram.inc(x, y)
    assert sum(map(sum, histogram.dump()["values"])) == len(pairs)
