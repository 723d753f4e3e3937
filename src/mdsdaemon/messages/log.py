"""The cluster log: entries to the monitors, and how far they have stored them.

Format: ceph/ceph, src/messages/MLog.h, MLogAck.h, src/common/LogEntry.cc (Pacific)
"""

import uuid
from enum import IntEnum

from mdsdaemon.encoding import U16, U64, List, Str, Time, Uuid, field, wire
from mdsdaemon.messages.base import Message, message
from mdsdaemon.messages.mon import NO_FSID, PaxosHeader
from mdsdaemon.types.entity import EntityAddrVec, EntityName, PeerName

MSG_LOG = 52
MSG_LOGACK = 53

CLOG_CHANNEL_CLUSTER = "cluster"
CLOG_CHANNEL_AUDIT = "audit"


class ClogType(IntEnum):
    """Severity of a cluster log entry (clog_type)."""

    DEBUG = 0
    INFO = 1
    SEC = 2
    WARN = 3
    ERROR = 4


CLOG_TAGS = {
    ClogType.DEBUG: "[DBG]",
    ClogType.INFO: "[INF]",
    ClogType.SEC: "[SEC]",
    ClogType.WARN: "[WRN]",
    ClogType.ERROR: "[ERR]",
}


@wire(v=5, compat=5, ceph="LogEntry")
class LogEntry:
    """One line: who said it under which names and addresses, when (ns), and how severe it is."""

    name: EntityName = field(EntityName)
    rank: PeerName = field(PeerName)
    addrs: EntityAddrVec = field(EntityAddrVec)
    stamp: int = field(Time)
    seq: int = field(U64)
    prio: int = field(U16)
    msg: str = field(Str)
    channel: str = field(Str, default=CLOG_CHANNEL_CLUSTER)


@message(MSG_LOG, v=1)
class MLog(Message):
    """Entries in the order of their seq."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    entries: list[LogEntry] = field(List(LogEntry), factory=list)


@message(MSG_LOGACK, v=1)
class MLogAck(Message):
    """Every entry up to seq `last` is stored."""

    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    last: int = field(U64, default=0)
    channel: str = field(Str, default="", if_more=True)
