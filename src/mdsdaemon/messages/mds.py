"""What a metadata server says to monitors and to `ceph tell`.

Format: ceph/ceph, src/messages/MMDSBeacon.h, MMDSMap.h, MCommand.h, MCommandReply.h,
PaxosServiceMessage.h (Pacific)
"""

import uuid

from mdsdaemon.encoding import (
    S16,
    S32,
    U32,
    U64,
    Blob,
    Bool,
    List,
    Map,
    Str,
    Uuid,
    field,
)
from mdsdaemon.maps.compat_set import CompatSet
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.health import MDSHealth

CEPH_MSG_MDS_MAP = 21
MSG_COMMAND = 97
MSG_COMMAND_REPLY = 98
MSG_MDS_BEACON = 100

CEPH_MSG_PRIO_HIGH = 196

_STATE_BOOT = -4


@message(MSG_MDS_BEACON, v=8, compat=6)
class MMDSBeacon(Message):
    """A daemon's sign of life, and the monitor's acknowledgement (only `seq` matters there).

    `version` is the epoch of the last MDS map seen: the monitor grants `state` only to who knows
    the present map. `sys_info` is there only while booting.
    """

    version: int = field(U64)
    deprecated_session_mon: int = field(S16, default=-1, kw_only=True)
    deprecated_session_mon_tid: int = field(U64, default=0, kw_only=True)
    fsid: uuid.UUID = field(Uuid)
    global_id: int = field(U64)
    state: int = field(S32)
    seq: int = field(U64)
    name: str = field(Str)
    standby_for_rank: int = field(S32, default=-1)
    standby_for_name: str = field(Str, default="")
    compat: CompatSet = field(CompatSet, factory=CompatSet)
    health: MDSHealth = field(MDSHealth, factory=MDSHealth)
    sys_info: dict[str, str] = field(Map(Str, Str), factory=dict, only_if=f"state == {_STATE_BOOT}")
    mds_features: int = field(U64, default=0)
    standby_for_fscid: int = field(S32, default=-1)
    standby_replay: bool = field(Bool, default=False, since=7)
    fs: str = field(Str, default="", since=8)


@message(CEPH_MSG_MDS_MAP, v=2, compat=1)
class MMDSMap(Message):
    """An MDS map, still encoded. `map_fs_name`: its fs_name in 16.2.15, empty in older releases."""

    fsid: uuid.UUID = field(Uuid)
    epoch: int = field(U32)
    encoded: bytes = field(Blob, repr=False)
    map_fs_name: str = field(Str, default="", since=2)


@message(MSG_COMMAND, v=1)
class MCommand(Message):
    """A `ceph tell` command: the parts of `cmd` joined are one JSON object; `data` is its input."""

    fsid: uuid.UUID = field(Uuid)
    cmd: list[str] = field(List(Str), factory=list)


@message(MSG_COMMAND_REPLY, v=1)
class MCommandReply(Message):
    """The answer to an `MCommand` of the same tid: 0 or -errno, a text, and `data`."""

    r: int = field(S32, default=0)
    rs: str = field(Str, default="")
