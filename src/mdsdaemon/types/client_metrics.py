"""Metrics that clients report to metadata servers.

Format: ceph/ceph, src/include/cephfs/metrics/Types.h (Pacific; version 2 of latencies: Reef).
"""

from typing import Any

import attrs

from mdsdaemon.encoding import U64, Cursor, Custom, Duration, as_codec, field, wire
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.types.release import REEF_FEATURES


@wire(v=1, compat=1)
class CapInfoMetric:
    """How often capabilities were there already, and how many the client has."""

    cap_hits: int = field(U64, default=0)
    cap_misses: int = field(U64, default=0)
    nr_caps: int = field(U64, default=0)


@wire(versions=((REEF_FEATURES, 2, 1), (0, 1, 1)))
class ReadLatencyMetric:
    """Latency of reads in nanoseconds; ``sq_sum`` of its squares."""

    lat: int = field(Duration, default=0)
    mean: int = field(Duration, default=0, since=2)
    sq_sum: int = field(U64, default=0, since=2)
    count: int = field(U64, default=0, since=2)


@wire(versions=((REEF_FEATURES, 2, 1), (0, 1, 1)))
class WriteLatencyMetric(ReadLatencyMetric):
    """The same of writes."""


@wire(versions=((REEF_FEATURES, 2, 1), (0, 1, 1)))
class MetadataLatencyMetric(ReadLatencyMetric):
    """The same of requests to metadata servers."""


@wire(v=1, compat=1)
class DentryLeaseMetric:
    """How often a leased dentry was there already, and how many the client has."""

    dlease_hits: int = field(U64, default=0)
    dlease_misses: int = field(U64, default=0)
    nr_dentries: int = field(U64, default=0)


@wire(v=1, compat=1)
class OpenedFilesMetric:
    """How many files are open, of how many inodes."""

    opened_files: int = field(U64, default=0)
    total_inodes: int = field(U64, default=0)


@wire(v=1, compat=1)
class PinnedIcapsMetric:
    """How many inodes are pinned, of how many."""

    pinned_icaps: int = field(U64, default=0)
    total_inodes: int = field(U64, default=0)


@wire(v=1, compat=1)
class OpenedInodesMetric:
    """How many inodes are open, of how many."""

    opened_inodes: int = field(U64, default=0)
    total_inodes: int = field(U64, default=0)


@wire(v=1, compat=1)
class ReadIoSizesMetric:
    """How many reads there were and of how many bytes (since Reef)."""

    total_ops: int = field(U64, default=0)
    total_size: int = field(U64, default=0)


@wire(v=1, compat=1)
class WriteIoSizesMetric:
    """The same of writes (since Reef)."""

    total_ops: int = field(U64, default=0)
    total_size: int = field(U64, default=0)


@attrs.frozen
class UnknownMetric:
    """A metric of a newer client: its number, version and encoded fields."""

    type: int
    v: int
    compat: int
    data: bytes


_KNOWN: dict[int, type[Any]] = {
    0: CapInfoMetric,
    1: ReadLatencyMetric,
    2: WriteLatencyMetric,
    3: MetadataLatencyMetric,
    4: DentryLeaseMetric,
    5: OpenedFilesMetric,
    6: PinnedIcapsMetric,
    7: OpenedInodesMetric,
    8: ReadIoSizesMetric,
    9: WriteIoSizesMetric,
}
_NUMBERS = {cls: number for number, cls in _KNOWN.items()}
_U32 = struct_of("I").pack
_HEAD = struct_of("BBI")


def _decode(c: Cursor) -> Any:
    number = c.u32()
    known = _KNOWN.get(number)
    if known is not None:
        return c.get(known)
    v, compat, size = _HEAD.unpack(c.raw(_HEAD.size))
    return UnknownMetric(number, v, compat, c.raw(size))


def _encode(payload: Any, out: bytearray, features: int) -> None:
    if isinstance(payload, UnknownMetric):
        out += _U32(payload.type)
        out += _HEAD.pack(payload.v, payload.compat, len(payload.data)) + payload.data
        return
    out += _U32(_NUMBERS[type(payload)])
    as_codec(type(payload)).encoder()(out, payload, features)


def _plain(payload: Any) -> Any:
    if isinstance(payload, UnknownMetric):
        return [payload.type, list(attrs.astuple(payload))]
    return [_NUMBERS[type(payload)], as_codec(type(payload)).to_plain(payload)]


def _unplain(plain: Any) -> Any:
    number, value = plain
    if number in _KNOWN:
        return as_codec(_KNOWN[number]).from_plain(value)
    return UnknownMetric(*value)


@wire(ceph="ClientMetricMessage")
class ClientMetric:
    """ClientMetricMessage: one metric; ``payload`` is one of the classes above."""

    payload: Any = field(Custom(_decode, _encode, 10, plain=_plain, unplain=_unplain))
