"""Changing the FSMap: daemons come, take ranks, fail; file systems are made and removed.

`FSMapEditor` holds the cluster's FSMap. The first change after a `commit` begins the next epoch,
and everything that is changed until the following `commit` carries that epoch. Nothing here knows
of time other than by its argument, of messages or of sessions.

Behaviour: ceph/ceph, src/mds/FSMap.cc (Pacific; per-daemon compat of 16.2.5)
"""

from __future__ import annotations

from copy import deepcopy

from attrs import define

from mdsdaemon.embedded.monitor.mds_fsmap import FSMapView
from mdsdaemon.maps.compat_set import (
    MDS_INCOMPAT,
    MDS_INCOMPAT_INLINE,
    CompatSet,
    get_compat_set_v16_2_4,
)
from mdsdaemon.maps.fs_map import Filesystem
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE, MDSInfo
from mdsdaemon.maps.mds_map import FLAG_NOT_JOINABLE, MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.utime import from_seconds


@define
class FSMapEditor(FSMapView):
    """See the module.

    Attributes:
        map: the FSMap; `epoch` in it is the next one as soon as something changed.
        dirty: something changed since the last `commit`.
    """

    dirty: bool = False

    # -- epochs -----------------------------------------------------------------------------

    def touch(self) -> int:
        """Begin the next epoch if that has not been done, and return it."""
        if not self.dirty:
            self.dirty = True
            self.map.epoch += 1
        return self.map.epoch

    def commit(self, now: float) -> None:
        """The epoch is complete: stamp the file systems that changed in it."""
        epoch = self.map.epoch
        for fs in self.map.filesystems:
            mds_map = fs.mds_map
            if mds_map.epoch == epoch:
                mds_map.modified = from_seconds(now)
            mds_map.inc = dict.fromkeys(mds_map.in_, mds_map.epoch)
        self.dirty = False

    # -- changing daemons -------------------------------------------------------------------

    def insert(self, info: MDSInfo) -> None:
        """A new daemon, as a standby."""
        gid = info.global_id
        info.compat = daemon_compat(info.compat)
        epoch = self.touch()
        self.map.mds_roles[gid] = FS_CLUSTER_ID_NONE
        self.map.standby_daemons[gid] = info
        self.map.standby_epochs[gid] = epoch

    def modify_daemon(self, gid: int) -> MDSInfo:
        """The daemon, to be changed now."""
        epoch = self.touch()
        fscid = self.map.mds_roles[gid]
        if fscid == FS_CLUSTER_ID_NONE:
            self.map.standby_epochs[gid] = epoch
        else:
            self.fs(fscid).mds_map.epoch = epoch
        return self.info(gid)

    def promote(self, gid: int, fs: Filesystem, rank: int) -> None:
        """Give the rank to a standby or to the daemon that follows it."""
        epoch = self.touch()
        mds_map = fs.mds_map
        info = mds_map.mds_info.get(gid)
        if info is None:
            info = mds_map.mds_info[gid] = self.map.standby_daemons.pop(gid)
            del self.map.standby_epochs[gid]
        if not mds_map.compat.writeable(info.compat):
            mds_map.compat.merge(info.compat)
        if rank in mds_map.stopped:
            mds_map.stopped.discard(rank)
            info.state = State.STARTING
        elif not mds_map.is_in(rank):
            info.state = State.CREATING
        else:
            info.state = State.REPLAY
            mds_map.failed.discard(rank)
        info.rank = rank
        info.inc = epoch
        self.map.mds_roles[gid] = fs.fscid
        mds_map.in_.add(rank)
        mds_map.up[rank] = gid
        mds_map.epoch = epoch

    def assign_standby_replay(self, gid: int, fs: Filesystem, rank: int) -> None:
        """Let a standby follow the rank."""
        epoch = self.touch()
        info = self.map.standby_daemons.pop(gid)
        del self.map.standby_epochs[gid]
        info.rank = rank
        info.state = State.STANDBY_REPLAY
        fs.mds_map.mds_info[gid] = info
        self.map.mds_roles[gid] = fs.fscid
        fs.mds_map.epoch = epoch

    def erase(self, gid: int, blocklist_epoch: int) -> None:
        """Forget the daemon; its rank is failed, or as if never made when it was CREATING.

        `blocklist_epoch` is that of the OSDMap that fences it, 0 if none does.
        """
        epoch = self.touch()
        fscid = self.map.mds_roles.pop(gid)
        if fscid == FS_CLUSTER_ID_NONE:
            del self.map.standby_daemons[gid]
            del self.map.standby_epochs[gid]
            return
        mds_map = self.fs(fscid).mds_map
        info = mds_map.mds_info.pop(gid)
        if info.state != State.STANDBY_REPLAY:
            if info.state == State.CREATING:
                mds_map.in_.discard(info.rank)
            else:
                mds_map.failed.add(info.rank)
            mds_map.up.pop(info.rank, None)
        # Ceph sets 0 for a daemon that only followed; the rank that waits must not forget whom
        # it waits for.
        mds_map.last_failure_osd_epoch = blocklist_epoch or mds_map.last_failure_osd_epoch
        mds_map.epoch = epoch

    def set_damaged(self, fs: Filesystem, rank: int) -> None:
        """A rank that no daemon holds any more is damaged until somebody says it is repaired."""
        fs.mds_map.failed.discard(rank)
        fs.mds_map.damaged.add(rank)
        fs.mds_map.epoch = self.touch()

    def undamaged(self, fs: Filesystem, rank: int) -> bool:
        """A damaged rank becomes a failed one, for the next daemon to take."""
        if rank not in fs.mds_map.damaged:
            return False
        fs.mds_map.damaged.discard(rank)
        fs.mds_map.failed.add(rank)
        fs.mds_map.epoch = self.touch()
        return True

    def stop(self, gid: int) -> list[int]:
        """A daemon has finished stopping its rank. Returns the gids that leave the map, with it."""
        fs = self.fs(self.map.mds_roles[gid])
        mds_map = fs.mds_map
        rank = mds_map.mds_info[gid].rank
        followers = [
            other
            for other, info in sorted(mds_map.mds_info.items())
            if info.rank == rank and info.state == State.STANDBY_REPLAY
        ]
        for other in followers:
            self.erase(other, 0)
        mds_map.up.pop(rank, None)
        mds_map.in_.discard(rank)
        mds_map.stopped.add(rank)
        del mds_map.mds_info[gid]
        del self.map.mds_roles[gid]
        mds_map.epoch = self.touch()
        return [*followers, gid]

    # -- changing file systems --------------------------------------------------------------

    def modify_filesystem(self, fs: Filesystem) -> MDSMap:
        """The file system's map, to be changed now."""
        fs.mds_map.epoch = self.touch()
        return fs.mds_map

    def create_filesystem(
        self,
        name: str,
        metadata_pool: int,
        data_pool: int,
        now: float,
        *,
        fscid: int = FS_CLUSTER_ID_NONE,
        recover: bool = False,
    ) -> Filesystem:
        """A file system without daemons.

        With `recover` its metadata is there already: rank 0 is failed instead of new, and nobody
        may join until an administrator says so.
        """
        stamp = from_seconds(now)
        mds_map = MDSMap(
            epoch=self.touch(),
            fs_name=name,
            data_pools=[data_pool],
            metadata_pool=metadata_pool,
            compat=with_inline(self.map.compat),
            created=stamp,
            modified=stamp,
            enabled=True,
        )
        if recover:
            mds_map.in_.add(0)
            mds_map.failed.add(0)
            mds_map.flags |= FLAG_NOT_JOINABLE
        if fscid == FS_CLUSTER_ID_NONE:
            fscid = self.map.next_filesystem_id
            self.map.next_filesystem_id += 1
        else:
            self.map.next_filesystem_id = max(fscid, self.map.next_filesystem_id) + 1
        fs = Filesystem(fscid=fscid, mds_map=mds_map)
        if not self.map.filesystems:
            self.map.legacy_client_fscid = fscid
        self.map.filesystems.append(fs)
        self.map.filesystems.sort(key=lambda each: each.fscid)
        return fs

    def reset_filesystem(self, fs: Filesystem, now: float) -> None:
        """Forget all ranks but 0, which is failed, and every setting but the pools."""
        self.touch()
        old = fs.mds_map
        stamp = from_seconds(now)
        fs.mds_map = MDSMap(
            in_={0},
            failed={0},
            inline_data_enabled=old.inline_data_enabled,
            data_pools=old.data_pools,
            metadata_pool=old.metadata_pool,
            cas_pool=old.cas_pool,
            fs_name=old.fs_name,
            compat=with_inline(self.map.compat),
            created=stamp,
            modified=stamp,
            standby_count_wanted=old.standby_count_wanted,
            enabled=True,
            stopped=(old.in_ | old.stopped) - {0},
        )

    def erase_filesystem(self, fs: Filesystem) -> None:
        """Remove a file system that no daemon serves; preferences for it are forgotten."""
        self.touch()
        self.map.filesystems.remove(fs)
        if self.map.legacy_client_fscid == fs.fscid:
            self.map.legacy_client_fscid = FS_CLUSTER_ID_NONE
        for gid, info in self.infos().items():
            if info.join_fscid == fs.fscid:
                self.modify_daemon(gid).join_fscid = FS_CLUSTER_ID_NONE

    def set_default_compat(self, compat: CompatSet) -> None:
        """What file systems made from now on need."""
        self.touch()
        self.map.compat = compat


def with_inline(compat: CompatSet) -> CompatSet:
    """The set as releases from 16.2.5 on read it: inline data, which older ones left out, is in."""
    made = deepcopy(compat)
    made.incompat.insert(MDS_INCOMPAT_INLINE, MDS_INCOMPAT[MDS_INCOMPAT_INLINE])
    return made


def daemon_compat(said: CompatSet) -> CompatSet:
    """What a daemon knows whose beacons say this; before 16.2.5 they said nothing."""
    empty = not (said.compat.mask or said.ro_compat.mask or said.incompat.mask)
    return with_inline(get_compat_set_v16_2_4() if empty else said)
