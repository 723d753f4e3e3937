"""FSMap: all file systems and all daemons of a cluster, as the monitors keep them.

Format: ceph/ceph, src/mds/FSMap.h and .cc (Pacific).
"""

from typing import Any

from mdsdaemon.encoding import S32, U32, U64, Bool, Framed, List, Map, Str, Time, field, wire
from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_default
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE, MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.types.features import SERVER_QUINCY, SERVER_SQUID


@wire(v=1, compat=1, ceph="ClusterInfo", order=True, hash=True, frozen=True)
class ClusterInfo:
    """The file system that a mirror copies to."""

    client_name: str = field(Str, default="")
    cluster_name: str = field(Str, default="")
    fs_name: str = field(Str, default="")


@wire(v=1, compat=1, ceph="Peer", order=True, hash=True, frozen=True)
class Peer:
    """One mirror of a file system."""

    uuid: str = field(Str, default="")
    remote: ClusterInfo = field(ClusterInfo, factory=ClusterInfo)


@wire(v=1, compat=1, ceph="MirrorInfo")
class MirrorInfo:
    """Whether a file system is mirrored, and where to."""

    mirrored: bool = field(Bool, default=False)
    peers: list[Peer] = field(List(Peer), factory=list)

    def dump(self) -> dict[str, Any]:
        """As in Ceph's JSON."""
        peers = {}
        for peer in self.peers:
            remote = peer.remote
            peers[peer.uuid] = {
                "remote": {
                    "client_name": remote.client_name,
                    "cluster_name": remote.cluster_name,
                    "fs_name": remote.fs_name,
                }
            }
        return {"peers": peers}


@wire(v=2, compat=1, ceph="Filesystem")
class Filesystem:
    """One file system: its id and its MDSMap."""

    fscid: int = field(S32, default=FS_CLUSTER_ID_NONE)
    mds_map: MDSMap = field(Framed(MDSMap), factory=MDSMap)
    mirror_info: MirrorInfo = field(MirrorInfo, factory=MirrorInfo, since=2)

    def dump(self) -> dict[str, Any]:
        """As ``ceph fs dump -f json`` of 16.2 shows it."""
        shown: dict[str, Any] = {"mdsmap": self.mds_map.dump(), "id": self.fscid}
        if self.mirror_info.mirrored:
            shown["mirror_info"] = self.mirror_info.dump()
        return shown


@wire(versions=((SERVER_SQUID | SERVER_QUINCY, 8, 6), (0, 7, 6)), ceph="FSMap")
class FSMap:
    """All file systems, and the daemons that none of them uses.

    Attributes:
        legacy_client_fscid: the file system of clients that name none.
        mds_roles: file system (or FS_CLUSTER_ID_NONE) of each daemon, by gid.
        standby_epochs: the epoch at which each standby was last changed.
        btime: since Squid, when the map was made, in nanoseconds.
    """

    epoch: int = field(U32, default=0)
    next_filesystem_id: int = field(U64, default=1)
    legacy_client_fscid: int = field(S32, default=FS_CLUSTER_ID_NONE)
    compat: CompatSet = field(CompatSet, factory=get_compat_set_default)
    enable_multiple: bool = field(Bool, default=True)
    filesystems: list[Filesystem] = field(List(Filesystem), factory=list)
    mds_roles: dict[int, int] = field(Map(U64, S32), factory=dict)
    standby_daemons: dict[int, MDSInfo] = field(Map(U64, MDSInfo), factory=dict)
    standby_epochs: dict[int, int] = field(Map(U64, U32), factory=dict)
    ever_enabled_multiple: bool = field(Bool, default=False, since=7)
    btime: int = field(Time, default=0, since=8)

    def get_filesystem(self, name: str) -> Filesystem | None:
        """The file system of that name."""
        for fs in self.filesystems:
            if fs.mds_map.fs_name == name:
                return fs
        return None

    def get_info_gid(self, gid: int) -> MDSInfo | None:
        """A daemon, wherever in the map it is."""
        maps = (fs.mds_map.mds_info for fs in self.filesystems)
        for infos in (self.standby_daemons, *maps):
            if gid in infos:
                return infos[gid]
        return None

    def dump(self) -> dict[str, Any]:
        """As ``ceph fs dump -f json`` of 16.2 shows it."""
        standbys = []
        for gid, info in sorted(self.standby_daemons.items()):
            standbys.append(info.dump() | {"epoch": self.standby_epochs.get(gid, 0)})
        return {
            "epoch": self.epoch,
            "default_fscid": self.legacy_client_fscid,
            "compat": self.compat.dump(),
            "feature_flags": {
                "enable_multiple": self.enable_multiple,
                "ever_enabled_multiple": self.ever_enabled_multiple,
            },
            "standbys": standbys,
            "filesystems": [fs.dump() for fs in sorted(self.filesystems, key=lambda f: f.fscid)],
        }
