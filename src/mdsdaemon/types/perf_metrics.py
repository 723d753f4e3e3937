"""What a manager asks rank 0 to sum up of the clients' metrics, and the answer.

Format: ceph/ceph, src/mgr/MDSPerfMetricTypes.h, src/mgr/MetricTypes.h (Pacific).
"""

from typing import Any, TypeVar

from mdsdaemon.encoding import (
    S32,
    U8,
    Blob,
    Codec,
    Cursor,
    Custom,
    List,
    Set,
    Str,
    Tuple,
    as_codec,
    field,
    wire,
)

T = TypeVar("T")


def _var_tuple(item: type[T]) -> Codec[tuple[T, ...]]:
    """Items after a count of 7 bits a byte, least significant first (denc_varint)."""
    codec = as_codec(item)

    def decode_fn(c: Cursor) -> tuple[T, ...]:
        count = shift = 0
        while True:
            byte = c.u8()
            count |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift > 28:
                raise c.fail("a count of more than 32 bits")
        if count * max(codec.min_size, 1) > c.remaining():
            raise c.fail(f"{count} items are claimed")
        return tuple(c.get(codec) for _ in range(count))

    def encode_fn(items: tuple[T, ...], out: bytearray, features: int) -> None:
        count = len(items)
        while count > 0x7F:
            out.append(count & 0x7F | 0x80)
            count >>= 7
        out.append(count)
        for value in items:
            codec.encoder()(out, value, features)

    def unplain(plain: Any) -> tuple[T, ...]:
        return tuple(codec.from_plain(x) for x in plain)

    return Custom(
        decode_fn, encode_fn, 1, plain=lambda v: [codec.to_plain(x) for x in v], unplain=unplain
    )


@wire(v=1, compat=1, order=True, hash=True, frozen=True)
class SubKeyDescriptor:
    """By what to group: 0 rank, 1 client id; the groups of ``regex`` are the key."""

    type: int = field(U8, default=0)
    regex: str = field(Str, default="")


@wire(v=1, compat=1, order=True, hash=True, frozen=True)
class CounterDescriptor:
    """Which metric: the numbers of client_metrics up to 7."""

    type: int = field(U8, default=0)


@wire(v=1, compat=1, ceph="MDSPerfMetricQuery", order=True, hash=True, frozen=True)
class PerfMetricQuery:
    """One question of the manager."""

    key: tuple[SubKeyDescriptor, ...] = field(_var_tuple(SubKeyDescriptor), default=())
    counters: tuple[CounterDescriptor, ...] = field(_var_tuple(CounterDescriptor), default=())


@wire(v=1, compat=1, ceph="MDSPerfMetrics")
class PerfMetrics:
    """The sums: for each key (a list of the groups of each regex) the packed counters."""

    counters: tuple[CounterDescriptor, ...] = field(_var_tuple(CounterDescriptor), default=())
    groups: list[tuple[list[list[str]], bytes]] = field(
        List(Tuple(List(List(Str)), Blob)), factory=list
    )


@wire(v=1, compat=1, ceph="MDSPerfMetricReport")
class PerfMetricReport:
    """The answers, and the ranks whose part in them is old."""

    reports: list[tuple[PerfMetricQuery, PerfMetrics]] = field(
        List(Tuple(PerfMetricQuery, PerfMetrics)), factory=list
    )
    delayed_ranks: set[int] = field(Set(S32), factory=set)


@wire(v=1, compat=1, ceph="MDSMetricPayload")
class MDSMetricPayload:
    """A metadata server's metrics in its report to the manager."""

    metric_report: PerfMetricReport = field(PerfMetricReport, factory=PerfMetricReport)
