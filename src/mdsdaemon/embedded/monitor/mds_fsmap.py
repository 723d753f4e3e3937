"""Looking at an FSMap: who is in it, what a text names, who would take a rank.

Behaviour: ceph/ceph, src/mds/FSMap.cc, FSMap.h, MDSMap.h (Pacific; per-daemon compat of 16.2.5)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import define, frozen

from mdsdaemon.encoding import decode, encode
from mdsdaemon.maps.fs_map import Filesystem, FSMap
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE, GID_NONE, MDSInfo
from mdsdaemon.maps.mds_map import (
    FLAG_ALLOW_STANDBY_REPLAY,
    FLAG_REFUSE_STANDBY_FOR_ANOTHER_FS,
    MDSMap,
)
from mdsdaemon.maps.mds_states import State

_RESIZING = (State.CREATING, State.STARTING, State.STOPPING)


@frozen
class Role:
    """A rank of a file system, ``1:0``."""

    fscid: int
    rank: int

    def __str__(self) -> str:
        return f"{self.fscid}:{self.rank}"


class RoleError(LookupError):
    """A text names no rank; `malformed` tells a bad number from one that is not there."""

    def __init__(self, text: str, *, malformed: bool = False) -> None:
        super().__init__(text)
        self.malformed = malformed


def is_resizeable(mds_map: MDSMap) -> bool:
    """Whether ranks may be added or stopped now: nothing is recovering or on its way."""
    return not mds_map.is_degraded() and not any(mds_map.get_num_mds(s) for s in _RESIZING)


def is_upgradeable(mds_map: MDSMap) -> bool:
    """Whether a daemon that knows more than the file system needs may take a rank of it."""
    if not mds_map.in_:
        return True
    follows = mds_map.test_flag(FLAG_ALLOW_STANDBY_REPLAY)
    return not follows and (len(mds_map.in_) == 1 or not mds_map.up)


def is_followable(mds_map: MDSMap, rank: int) -> bool:
    """Whether a standby may replay along with the rank."""
    info = mds_map.get_info(rank)
    return (
        info is not None and not info.is_degraded and mds_map.get_standby_replay(rank) == GID_NONE
    )


def parse_int(text: str, bits: int = 64) -> int:
    """A decimal number as Ceph's commands take it. ValueError carries Ceph's words."""
    stripped = text.lstrip(" \t\n\v\f\r")
    digits = stripped[1:] if stripped[:1] in ("+", "-") else stripped
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"Expected option value to be integer, got '{text}'")
    value = int(stripped) if len(digits) < 40 else 1 << 99
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise ValueError(f"The option value '{text}' seems to be invalid")
    return value


@define
class FSMapView:
    """What can be asked of an FSMap."""

    map: FSMap

    def copy(self) -> FSMap:
        """The map as it is, for readers that outlive the next change."""
        return decode(FSMap, encode(FSMap, self.map))

    def find(self, fscid: int) -> Filesystem | None:
        """The file system of that number."""
        for fs in self.map.filesystems:
            if fs.fscid == fscid:
                return fs
        return None

    def fs(self, fscid: int) -> Filesystem:
        """The file system of that number; KeyError if there is none."""
        found = self.find(fscid)
        if found is None:
            raise KeyError(fscid)
        return found

    def by_name(self, name: str) -> Filesystem | None:
        return self.map.get_filesystem(name)

    def fscid_of_name(self, name: str) -> int:
        """The number of the named file system; FS_CLUSTER_ID_NONE for "" and unknown names."""
        fs = self.by_name(name) if name else None
        return fs.fscid if fs is not None else FS_CLUSTER_ID_NONE

    def infos(self) -> dict[int, MDSInfo]:
        """All daemons, by gid and in the order of gids."""
        found = dict(self.map.standby_daemons)
        for fs in self.map.filesystems:
            found.update(fs.mds_map.mds_info)
        return dict(sorted(found.items()))

    def gid_exists(self, gid: int, allowed: Collection[str] = ()) -> bool:
        """Whether the daemon is in the map, and in one of the file systems `allowed` if given."""
        return gid in self.map.mds_roles and (not allowed or self.fs_name_of_gid(gid) in allowed)

    def fscid_of_gid(self, gid: int) -> int:
        """The file system that the daemon serves, or FS_CLUSTER_ID_NONE."""
        return self.map.mds_roles.get(gid, FS_CLUSTER_ID_NONE)

    def fs_name_of_gid(self, gid: int) -> str:
        """The name of the file system that the daemon serves, "" for a standby."""
        fs = self.find(self.fscid_of_gid(gid))
        return fs.mds_map.fs_name if fs is not None else ""

    def info(self, gid: int) -> MDSInfo:
        """The daemon; KeyError if it is not in the map."""
        fscid = self.map.mds_roles[gid]
        if fscid == FS_CLUSTER_ID_NONE:
            return self.map.standby_daemons[gid]
        return self.fs(fscid).mds_map.mds_info[gid]

    def gid_of_name(self, name: str) -> int:
        """The daemon of that name with the lowest gid, or GID_NONE."""
        return next((gid for gid, info in self.infos().items() if info.name == name), GID_NONE)

    def effective_epoch(self, gid: int) -> int:
        """The epoch of the newest map that concerns the daemon."""
        fscid = self.map.mds_roles[gid]
        if fscid == FS_CLUSTER_ID_NONE:
            return self.map.standby_epochs[gid]
        return self.fs(fscid).mds_map.epoch

    def is_any_degraded(self) -> bool:
        return any(fs.mds_map.is_degraded() for fs in self.map.filesystems)

    def pool_in_use(self, pool: int) -> bool:
        """Whether a file system keeps anything in the pool."""
        return any(
            pool == fs.mds_map.metadata_pool or fs.mds_map.is_data_pool(pool)
            for fs in self.map.filesystems
        )

    def parse_role(self, text: str, allowed: Collection[str] = ()) -> Role:
        """``NAME:RANK``, ``FSCID:RANK`` or ``RANK`` of the default file system.

        Raises RoleError with Ceph's words.
        """
        head, colon, tail = text.partition(":")
        if colon:
            fs = self._parse_filesystem(head)
            if fs is None:
                raise RoleError("Invalid filesystem")
        else:
            tail = head
            fs = self.find(self.map.legacy_client_fscid)
            if fs is None:
                raise RoleError("No filesystem selected")
        try:
            rank = parse_int(tail, 32)
        except ValueError:
            rank = -1
        if rank < 0:
            raise RoleError(f"Invalid rank '{tail}'", malformed=True)
        if rank not in fs.mds_map.in_:
            raise RoleError(f"Rank '{rank}' not found")
        if allowed and fs.mds_map.fs_name not in allowed:
            raise RoleError("Invalid file system")
        return Role(fs.fscid, rank)

    def _parse_filesystem(self, text: str) -> Filesystem | None:
        try:
            found = self.find(parse_int(text, 32))
        except ValueError:
            found = None
        return found or self.by_name(text)

    def gid_from_arg(self, text: str) -> int:
        """The daemon that a role, a gid or a name stands for.

        Raises RoleError: none; its text is empty for an unknown number, as Ceph's is.
        """
        try:
            role = self.parse_role(text)
        except RoleError:
            pass
        else:
            gid = self.fs(role.fscid).mds_map.up.get(role.rank)
            if gid is not None:
                return gid
        try:
            gid = parse_int(text)
        except ValueError:
            gid = self.gid_of_name(text)
            if gid == GID_NONE:
                raise RoleError(f"MDS named '{text}' does not exist, or is not up") from None
            return gid
        if not self.gid_exists(gid):
            raise RoleError("")
        return gid

    # -- who takes over ---------------------------------------------------------------------

    def get_available_standby(self, fs: Filesystem) -> MDSInfo | None:
        """The standby that a rank of the file system would get.

        One that prefers this file system comes first, then one without preference, then one that
        prefers another.
        """
        mds_map = fs.mds_map
        upgradeable = is_upgradeable(mds_map)
        who: MDSInfo | None = None
        for _, info in sorted(self.map.standby_daemons.items()):
            if info.laggy or info.is_frozen or not info.compat.writeable(mds_map.compat):
                continue
            if not upgradeable and not mds_map.compat.writeable(info.compat):
                continue  # its promotion would change what the file system needs
            if info.join_fscid == fs.fscid:
                return info
            if info.join_fscid == FS_CLUSTER_ID_NONE or (
                who is None and not mds_map.test_flag(FLAG_REFUSE_STANDBY_FOR_ANOTHER_FS)
            ):
                who = info
        return who

    def find_replacement_for(self, fs: Filesystem, rank: int) -> MDSInfo | None:
        """Who would take the rank: the daemon that follows it, else a standby."""
        for _, info in sorted(fs.mds_map.mds_info.items()):
            if info.rank == rank and info.state == State.STANDBY_REPLAY:
                return None if info.is_frozen else info
        return self.get_available_standby(fs)


def filtered(fsmap: FSMap, allowed: Collection[str]) -> FSMap:
    """The map as somebody sees who may see only these file systems; all of it for none."""
    if not allowed:
        return fsmap
    seen = [fs for fs in fsmap.filesystems if fs.mds_map.fs_name in allowed]
    numbers = {fs.fscid for fs in seen}
    legacy = fsmap.legacy_client_fscid
    return FSMap(
        epoch=fsmap.epoch,
        next_filesystem_id=fsmap.next_filesystem_id,
        legacy_client_fscid=legacy if legacy in numbers else FS_CLUSTER_ID_NONE,
        compat=fsmap.compat,
        enable_multiple=fsmap.enable_multiple,
        filesystems=seen,
        mds_roles={gid: fscid for gid, fscid in fsmap.mds_roles.items() if fscid in numbers},
        standby_daemons=fsmap.standby_daemons,
        standby_epochs=fsmap.standby_epochs,
        ever_enabled_multiple=fsmap.ever_enabled_multiple,
    )


def ranks_text(ranks: Iterable[int]) -> str:
    """``0,1`` as Ceph prints a set."""
    return ",".join(map(str, sorted(ranks)))
