"""The messenger's performance counters, under the names that ceph-mds gives them.

The messenger counts in plain numbers; the counters take the growth over when they are read.

Names: ceph/ceph, src/msg/async/Stack.h, src/common/Throttle.cc (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mdsdaemon.perf import PerfCounters, Unit
from mdsdaemon.records import define, evolve

if TYPE_CHECKING:
    from mdsdaemon.net.messenger import Messenger
    from mdsdaemon.net.throttle import Throttle
    from mdsdaemon.perf import PerfRegistry


@define
class Tally:
    """What a messenger has done so far; bytes are those of the sockets, times in seconds."""

    recv_messages: int = 0
    send_messages: int = 0
    recv_bytes: int = 0
    send_bytes: int = 0
    created_connections: int = 0
    running_recv_time: float = 0.0


_COUNTS: Final = {
    "recv_messages": "messages received",
    "send_messages": "messages queued for sending",
    "recv_bytes": "bytes received",
    "send_bytes": "bytes sent",
    "created_connections": "connections made",
}
_THROTTLE_COUNTS: Final = {
    "get_started": "requests that were willing to wait",
    "get": "requests granted",
    "get_sum": "amount granted",
    "get_or_fail_fail": "requests refused",
    "get_or_fail_success": "requests granted without waiting",
    "take": "amounts taken unasked",
    "take_sum": "amount taken unasked",
    "put": "returns",
    "put_sum": "amount returned",
}


def add_messenger_counters(registry: PerfRegistry, messenger: Messenger) -> None:
    """Add `AsyncMessenger::Worker-0` and the dispatch throttle.

    There is one worker, since one thread serves all connections. Messages have no fast dispatch
    and are not timed in the queue: those counters exist and stay zero.
    """
    group = PerfCounters("AsyncMessenger::Worker-0")
    for name, description in _COUNTS.items():
        unit = Unit.BYTES if name.endswith("_bytes") else Unit.NONE
        group.add_u64_counter(f"msgr_{name}", description, unit=unit)
    active = group.add_u64_counter("msgr_active_connections", "open connections")
    total = group.add_time("msgr_running_total_time", "time spent on what peers sent")
    recv = group.add_time("msgr_running_recv_time", "time spent on receiving and dispatching")
    group.add_time("msgr_running_send_time", "not measured apart")
    group.add_time("msgr_running_fast_dispatch_time", "there is no fast dispatch")
    group.add_time_avg("msgr_send_messages_queue_lat", "not measured")
    group.add_time_avg("msgr_handle_ack_lat", "not measured")
    registry.add(group)
    seen = Tally()

    def refresh() -> None:
        nonlocal seen
        now = evolve(messenger.tally)
        for name in _COUNTS:
            group.inc(f"msgr_{name}", getattr(now, name) - getattr(seen, name))
        active.set(len(messenger.connections))
        total.tinc(now.running_recv_time - seen.running_recv_time)
        recv.tinc(now.running_recv_time - seen.running_recv_time)
        seen = now

    registry.on_dump(refresh)
    add_throttle_counters(registry, messenger.dispatch_throttle)


def add_throttle_counters(registry: PerfRegistry, throttle: Throttle) -> None:
    """Add `throttle-NAME` for a throttle."""
    group = PerfCounters(f"throttle-{throttle.name}")
    value = group.add_u64("val", "amount taken now")
    limit = group.add_u64("max", "most that may be taken")
    for name, description in _THROTTLE_COUNTS.items():
        group.add_u64_counter(name, description)
    wait = group.add_time_avg("wait", "time spent waiting")
    registry.add(group)
    seen = evolve(throttle.tally)

    def refresh() -> None:
        nonlocal seen
        now = evolve(throttle.tally)
        value.set(throttle.current)
        limit.set(throttle.maximum)
        for name in _THROTTLE_COUNTS:
            group.inc(name, getattr(now, name) - getattr(seen, name))
        # The average is one of waits, however many of them fall between two readings.
        wait.tinc(now.wait - seen.wait)
        wait.avgcount += now.waits - seen.waits - 1
        seen = now

    registry.on_dump(refresh)
