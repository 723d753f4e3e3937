"""What the monitors say to clients about file systems, and hear from daemons about their load.

Format: ceph/ceph, src/messages/MFSMap.h, MFSMapUser.h, MMDSLoadTargets.h, src/mds/FSMapUser.cc
(Pacific)
"""

from mdsdaemon.encoding import S32, U32, U64, List, Set, Str, field, wire
from mdsdaemon.maps.fs_map import FSMap
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE
from mdsdaemon.messages.base import Message, message
from mdsdaemon.messages.mon import PaxosHeader

CEPH_MSG_FS_MAP = 45
CEPH_MSG_FS_MAP_USER = 103
MSG_MDS_OFFLOAD_TARGETS = 0x20A


@wire(v=1, compat=1)
class FSInfo:
    """FSMapUser::fs_info_t: a file system's id and name."""

    cid: int = field(S32, default=FS_CLUSTER_ID_NONE)
    name: str = field(Str, default="")


@wire(v=1, compat=1)
class FSMapUser:
    """What a client needs of the FSMap to find a file system's id by its name."""

    epoch: int = field(U32, default=0)
    legacy_client_fscid: int = field(S32, default=FS_CLUSTER_ID_NONE)
    filesystems: list[FSInfo] = field(List(FSInfo), factory=list)


@message(CEPH_MSG_FS_MAP, v=1)
class MFSMap(Message):
    """The whole FSMap, for who subscribed to ``fsmap``."""

    epoch: int = field(U32)
    fsmap: FSMap = field(FSMap, repr=False)


@message(CEPH_MSG_FS_MAP_USER, v=1)
class MFSMapUser(Message):
    """The names of all file systems, for who subscribed to ``fsmap.user``."""

    epoch: int = field(U32)
    fsmap: FSMapUser = field(FSMapUser)


@message(MSG_MDS_OFFLOAD_TARGETS, v=1)
class MMDSLoadTargets(Message):
    """A daemon names the ranks that it moves subtrees to."""

    paxos: PaxosHeader = field(PaxosHeader, factory=PaxosHeader)
    global_id: int = field(U64, default=0)
    targets: set[int] = field(Set(S32), factory=set)
