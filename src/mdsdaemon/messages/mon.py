"""What a monitor session carries besides maps of others: monmap, subscriptions, commands, versions.

Format: ceph/ceph, src/messages/MMonGetMap.h, MMonMap.h, MMonSubscribe.h, MMonSubscribeAck.h,
MMonCommand.h, MMonCommandAck.h, MMonGetVersion.h, MMonGetVersionReply.h, PaxosServiceMessage.h
(Pacific)
"""

import uuid

from mdsdaemon.encoding import S16, S32, U8, U32, U64, Blob, List, Map, Str, Uuid, field, wire
from mdsdaemon.messages.base import Message, message

CEPH_MSG_MON_MAP = 4
CEPH_MSG_MON_GET_MAP = 5
CEPH_MSG_MON_SUBSCRIBE = 15
CEPH_MSG_MON_SUBSCRIBE_ACK = 16
CEPH_MSG_MON_GET_VERSION = 19
CEPH_MSG_MON_GET_VERSION_REPLY = 20
MSG_MON_COMMAND = 50
MSG_MON_COMMAND_ACK = 51

NO_FSID = uuid.UUID(int=0)


@wire()
class PaxosHeader:
    """The head of every PaxosServiceMessage; only `version` still means something."""

    version: int = field(U64, default=0)
    deprecated_session_mon: int = field(S16, default=-1)
    deprecated_session_mon_tid: int = field(U64, default=0)


@wire()
class SubscribeItem:
    """ceph_mon_subscribe_item: the first epoch wanted; flags bit 0 is CEPH_SUBSCRIBE_ONETIME."""

    start: int = field(U64)
    flags: int = field(U8, default=0)


@message(CEPH_MSG_MON_GET_MAP, v=1)
class MMonGetMap(Message):
    """Asks for the monmap once, without a subscription."""


@message(CEPH_MSG_MON_MAP, v=1)
class MMonMap(Message):
    """An encoded MonMap."""

    monmapbl: bytes = field(Blob)


@message(CEPH_MSG_MON_SUBSCRIBE, v=3, compat=1)
class MMonSubscribe(Message):
    """Map name → subscription; adds to what the session has subscribed to before."""

    what: dict[str, SubscribeItem] = field(Map(Str, SubscribeItem), factory=dict)
    hostname: str = field(Str, default="", since=3)


@message(CEPH_MSG_MON_SUBSCRIBE_ACK, v=1)
class MMonSubscribeAck(Message):
    """From a monitor that wants subscriptions renewed every `interval` seconds."""

    interval: int = field(U32, default=0)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)


@message(MSG_MON_COMMAND, v=1)
class MMonCommand(Message):
    """A command for the monitor; `cmd` is JSON text, its input lies in `data`."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    fsid: uuid.UUID = field(Uuid, default=NO_FSID)
    cmd: list[str] = field(List(Str), factory=list)


@message(MSG_MON_COMMAND_ACK, v=1)
class MMonCommandAck(Message):
    """The result of the command with the same tid: -errno or 0, status text; output in `data`."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    r: int = field(S32, default=0)
    rs: str = field(Str, default="")
    cmd: list[str] = field(List(Str), factory=list)


@message(CEPH_MSG_MON_GET_VERSION, v=1)
class MMonGetVersion(Message):
    """Asks for the newest and oldest epoch of the map `what`."""

    handle: int = field(U64, default=0)
    what: str = field(Str, default="")


@message(CEPH_MSG_MON_GET_VERSION_REPLY, v=2)
class MMonGetVersionReply(Message):
    """The answer to the MMonGetVersion with the same `handle`."""

    handle: int = field(U64, default=0)
    version: int = field(U64, default=0)
    oldest_version: int = field(U64, default=0, since=2)
