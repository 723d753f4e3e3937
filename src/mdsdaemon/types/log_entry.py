"""Lines of the cluster log.

Format: ceph/ceph, src/common/LogEntry.h and .cc (Pacific; LogSummary 4: Reef).
"""

from enum import IntEnum

from mdsdaemon.encoding import U16, U64, List, Map, Str, Time, Tuple, field, wire
from mdsdaemon.types.entity import EntityAddrVec, EntityName, PeerName
from mdsdaemon.types.release import REEF_FEATURES


class LogPriority(IntEnum):
    """How grave a line is."""

    DEBUG = 0
    INFO = 1
    SEC = 2
    WARN = 3
    ERROR = 4

    def __str__(self) -> str:
        return {0: "[DBG]", 1: "[INF]", 2: "[SEC]", 3: "[WRN]", 4: "[ERR]"}[self.value]


@wire(v=5, compat=5, ceph="LogEntry")
class LogEntry:
    """One line: who (``name``, and its instance ``rank``), when, its number, how grave and what."""

    name: EntityName = field(EntityName, factory=EntityName)
    rank: PeerName = field(PeerName, factory=PeerName)
    addrs: EntityAddrVec = field(EntityAddrVec, factory=EntityAddrVec)
    stamp: int = field(Time, default=0)
    seq: int = field(U64, default=0)
    prio: int = field(U16, default=LogPriority.DEBUG)
    msg: str = field(Str, default="")
    channel: str = field(Str, default="cluster")


@wire()
class LogEntryKey:
    """What tells one line from another."""

    rank: PeerName = field(PeerName, factory=PeerName)
    stamp: int = field(Time, default=0)
    seq: int = field(U64, default=0)


@wire(v=1, compat=1)
class LogEntryKeys:
    """The keys of recent lines, oldest first."""

    keys: list[LogEntryKey] = field(List(LogEntryKey), factory=list)


@wire(versions=((REEF_FEATURES, 4, 3), (0, 3, 3)), ceph="LogSummary")
class LogSummary:
    """The last lines of each channel, with the number that the monitors gave them.

    Since Reef the lines lie elsewhere; ``channel_info`` says from which number to which.
    """

    version: int = field(U64, default=0)
    seq: int = field(U64, default=0)
    tail_by_channel: dict[str, list[tuple[int, LogEntry]]] = field(
        Map(Str, List(Tuple(U64, LogEntry))), factory=dict
    )
    channel_info: dict[str, tuple[int, int]] = field(
        Map(Str, Tuple(U64, U64)), factory=dict, since=4
    )
    recent_keys: LogEntryKeys = field(LogEntryKeys, factory=LogEntryKeys, since=4)
