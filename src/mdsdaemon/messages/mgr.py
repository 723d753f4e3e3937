"""The session with the active manager: who we are, what it wants reported, the reports.

Format: ceph/ceph, src/messages/MMgrMap.h, MMgrOpen.h, MMgrConfigure.h, MMgrReport.h, MMgrClose.h,
src/mgr/DaemonHealthMetric.h (Pacific)
"""

from mdsdaemon.encoding import (
    S32,
    U8,
    U32,
    U64,
    Blob,
    Bool,
    Cursor,
    Custom,
    Framed,
    List,
    Map,
    Opt,
    Rest,
    Str,
    field,
    wire,
)
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.messages.base import Message, message

MSG_MGR_OPEN = 0x700
MSG_MGR_CONFIGURE = 0x701
MSG_MGR_REPORT = 0x702
MSG_MGR_MAP = 0x704
MSG_MGR_CLOSE = 0x708

DAEMON_METRIC_SLOW_OPS = 0
DAEMON_METRIC_PENDING_CREATING_PGS = 1


@wire(v=3, compat=1)
class PerfCounterType:
    """The declaration of one perf counter: `path` is "logger.counter", `type` its kind bits."""

    path: str = field(Str)
    description: str = field(Str, default="")
    nick: str = field(Str, default="")
    type: int = field(U8, default=0)
    priority: int = field(U8, default=5, since=2)
    unit: int = field(U8, default=1, since=3)


@wire(v=1, compat=1)
class DaemonHealthMetric:
    """A figure that the manager turns into a health check; the manager of 16 asks only osds."""

    type: int = field(U8)
    value: int = field(U64)


@wire()
class DaemonConfig:
    """The `config_bl` of MMgrOpen and MMgrReport.

    `values`: option → {level: value}, levels as Ceph numbers them; `ignored_mon_values`: options
    of the monitors that could not be applied → value.
    """

    values: dict[str, dict[int, str]] = field(Map(Str, Map(S32, Str)), factory=dict)
    ignored_mon_values: dict[str, str] = field(Map(Str, Str), factory=dict)


@message(MSG_MGR_MAP, v=1)
class MMgrMap(Message):
    """A MgrMap, from a monitor."""

    map: MgrMap = field(MgrMap)


@message(MSG_MGR_OPEN, v=3, compat=1)
class MMgrOpen(Message):
    """Introduces the daemon; `service_name` is empty for daemons whose entity type says it.

    `config_bl` is an encoded DaemonConfig or empty, `config_defaults_bl` an encoded map of option
    → compiled-in default or empty.
    """

    daemon_name: str = field(Str)
    service_name: str = field(Str, default="", since=2)
    service_daemon: bool = field(Bool, default=False, since=2)
    daemon_metadata: dict[str, str] = field(
        Map(Str, Str), factory=dict, since=2, only_if="service_daemon"
    )
    daemon_status: dict[str, str] = field(
        Map(Str, Str), factory=dict, since=2, only_if="service_daemon"
    )
    config_bl: bytes = field(Blob, default=b"", since=3, repr=False)
    config_defaults_bl: bytes = field(Blob, default=b"", since=3, repr=False)


@message(MSG_MGR_CONFIGURE, v=4, compat=1)
class MMgrConfigure(Message):
    """How often (`stats_period` seconds, 0: never) to report counters of at least which priority.

    `queries` holds the rest undecoded: osd perf queries, then the mds metric queries.
    """

    stats_period: int = field(U32, default=0)
    stats_threshold: int = field(U32, default=0, since=2)
    queries: bytes = field(Rest, default=b"", since=3)


def _decode_nothing(c: Cursor) -> dict[bytes, bytes]:
    if c.u32():
        raise c.fail("osd perf metric reports are not understood here")
    return {}


def _encode_nothing(value: dict[bytes, bytes], out: bytearray, features: int) -> None:
    if value:
        raise ValueError("osd perf metric reports are not understood here")
    out += bytes(4)


_NoOsdReports = Custom(_decode_nothing, _encode_nothing, 4)


@wire(v=1, compat=1)
class PackedCounters:
    """The values of every declared counter in the order of the paths: u64 each.

    Counters with PERFCOUNTER_LONGRUNAVG take three: sum, count, count again.
    """

    values: bytes = field(Rest, default=b"")


@message(MSG_MGR_REPORT, v=9, compat=1)
class MMgrReport(Message):
    """Perf counters, and what changed in the daemon's status.

    A counter is declared once per session; `packed` holds the value of every counter declared so
    far. `metric_report` is an encoded MetricReportMessage.
    """

    daemon_name: str = field(Str)
    declare_types: list[PerfCounterType] = field(List(PerfCounterType), factory=list)
    packed: PackedCounters = field(Framed(PackedCounters), factory=PackedCounters)
    undeclare_types: list[str] = field(List(Str), factory=list, since=2)
    service_name: str = field(Str, default="", since=3)
    daemon_status: dict[str, str] | None = field(Opt(Map(Str, Str)), default=None, since=3)
    daemon_health_metrics: list[DaemonHealthMetric] = field(
        List(DaemonHealthMetric), factory=list, since=5
    )
    config_bl: bytes = field(Blob, default=b"", since=6, repr=False)
    osd_perf_metric_reports: dict[bytes, bytes] = field(_NoOsdReports, factory=dict, since=7)
    task_status: dict[str, str] | None = field(Opt(Map(Str, Str)), default=None, since=8)
    metric_report: bytes | None = field(Opt(Rest), default=None, since=9)


@message(MSG_MGR_CLOSE, v=1, compat=1)
class MMgrClose(Message):
    """Says goodbye; the manager sends the same message back."""

    daemon_name: str = field(Str)
    service_name: str = field(Str, default="")
