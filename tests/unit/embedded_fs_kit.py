"""Metadata servers as a monitor hears of them, on time that the test moves by hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from mdsdaemon.embedded.monitor.mds_fsmap_edit import FSMapEditor
from mdsdaemon.embedded.monitor.mds_state import Answer, BeaconReply, FSMapState, MDSOptions
from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_all
from mdsdaemon.maps.fs_map import Filesystem, FSMap
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE, MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.health import MDSHealth, MDSHealthMetric

FSID = uuid.UUID(int=7)
START = 1_700_000_000.0


def addrs_of(gid: int) -> EntityAddrVec:
    """The addresses of a daemon: its gid is its nonce."""
    return EntityAddrVec(
        (
            EntityAddr(EntityAddr.TYPE_MSGR2, gid, "127.0.0.1", 6800),
            EntityAddr(EntityAddr.TYPE_LEGACY, gid, "127.0.0.1", 6801),
        )
    )


class Cluster:
    """A monitor's FSMap, and daemons that say what the test has them say.

    Attributes:
        fenced: the gids of fenced instances, in order; the OSDMap's epoch counts them.
        log: lines of the cluster log.
        epochs: the FSMap after each commit, by epoch.
    """

    def __init__(self, **options: float) -> None:
        self.now = START
        self.fenced: list[int] = []
        self.log: list[str] = []
        self.epochs: dict[int, str] = {}
        self._seqs: dict[int, int] = {}
        self.state = FSMapState(
            FSMapEditor(FSMap(ever_enabled_multiple=True)),
            self._blocklist,
            lambda level, text: self.log.append(text),
            MDSOptions(**options),  # type: ignore[arg-type]
        )
        self.state.edit.touch()
        self.state.edit.commit(self.now)

    def _blocklist(self, addrs: EntityAddrVec, until: float) -> int:
        assert until == self.now + self.state.options.blocklist_interval
        self.fenced.append(addrs.addrs[0].nonce)
        return 100 + len(self.fenced)

    # -- looking ----------------------------------------------------------------------------

    @property
    def edit(self) -> FSMapEditor:
        return self.state.edit

    @property
    def map(self) -> FSMap:
        return self.state.map

    def fs(self, name: str = "cephfs") -> Filesystem:
        found = self.edit.by_name(name)
        assert found is not None
        return found

    def mds_map(self, name: str = "cephfs") -> MDSMap:
        return self.fs(name).mds_map

    def info(self, gid: int) -> MDSInfo:
        return self.edit.info(gid)

    def roles(self) -> dict[int, str]:
        """Who is what: gid → ``0:active`` (rank of the only or named file system), ``standby``."""
        return {
            gid: (f"{info.rank}:" if info.rank >= 0 else "")
            + state_name(info.state).partition(":")[2]
            for gid, info in self.edit.infos().items()
        }

    # -- doing ------------------------------------------------------------------------------

    def settle(self) -> None:
        """Commit and tick until nothing changes."""
        self._commit()
        while self.state.tick(self.now):
            self._commit()

    def _commit(self) -> None:
        if self.edit.dirty:
            self.edit.commit(self.now)
            check_sanity(self.map)
            self.epochs[self.map.epoch] = str(self.roles())

    def new_fs(self, name: str = "cephfs", *, max_mds: int = 1) -> Filesystem:
        """A file system; pools are 2n and 2n+1."""
        number = len(self.map.filesystems) + 1
        fs = self.edit.create_filesystem(name, 2 * number, 2 * number + 1, self.now)
        fs.mds_map.max_mds = max_mds
        self.settle()
        return fs

    def boot(
        self,
        gid: int,
        name: str = "",
        *,
        fs: str = "",
        compat: CompatSet | None = None,
    ) -> BeaconReply:
        """A daemon's first beacon. Its name is ``mGID`` unless given."""
        return self.say(gid, State.BOOT, name or f"m{gid}", fs=fs, compat=compat, version=0)

    def say(
        self,
        gid: int,
        state: int,
        name: str = "",
        *,
        fs: str | None = None,
        version: int | None = None,
        seq: int | None = None,
        compat: CompatSet | None = None,
        health: Iterable[MDSHealthMetric] = (),
    ) -> BeaconReply:
        """A beacon, and what follows from it. By default of a daemon that knows the newest map."""
        known = self.edit.gid_exists(gid)
        if version is None:
            version = self.edit.effective_epoch(gid) if known else self.map.epoch
        if fs is None:
            fscid = self.info(gid).join_fscid if known else FS_CLUSTER_ID_NONE
            found = self.edit.find(fscid)
            fs = found.mds_map.fs_name if found is not None else ""
        if seq is None:
            seq = self._seqs[gid] = self._seqs.get(gid, 0) + 1
        beacon = MMDSBeacon(
            version=version,
            fsid=FSID,
            global_id=gid,
            state=state,
            seq=seq,
            name=name or (self.info(gid).name if known else f"m{gid}"),
            compat=compat or get_compat_set_all(),
            health=MDSHealth(list(health)),
            sys_info={"hostname": "here"} if state == State.BOOT else {},
            mds_features=1,
            fs=fs,
        )
        reply = self.state.beacon(beacon, addrs_of(gid), self.now)
        assert reply.changed == self.edit.dirty
        self.settle()
        return reply

    def alive(self, *gids: int) -> None:
        """A beacon of each that changes nothing."""
        for gid in gids:
            reply = self.say(gid, self.info(gid).state)
            assert reply.answer is Answer.ACK
            assert not reply.changed

    def wait(self, seconds: float, *alive: int, step: float = 1.0) -> None:
        """Time passes; the daemons `alive` go on with their beacons."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            for gid in alive:
                if self.edit.gid_exists(gid):
                    self.say(gid, self.info(gid).state)
            self.settle()

    def up_to_active(self, gid: int) -> None:
        """The daemon goes through what its rank asks for, up to active."""
        steps = {
            State.CREATING: (State.ACTIVE,),
            State.STARTING: (State.ACTIVE,),
            State.REPLAY: (State.RECONNECT, State.REJOIN, State.ACTIVE),
        }
        for state in steps[State(self.info(gid).state)]:
            reply = self.say(gid, state)
            assert reply.answer is Answer.ACK, state
            assert self.info(gid).state == state

    def active_fs(self, gid: int = 1, name: str = "cephfs", *standbys: int) -> Filesystem:
        """A file system that `gid` serves, and standbys."""
        self.boot(gid)
        fs = self.new_fs(name)
        self.up_to_active(gid)
        for other in standbys:
            self.boot(other)
        return fs


def check_sanity(fsmap: FSMap) -> None:
    """What Ceph's monitor checks of each FSMap (FSMap::sanity), plus the ranks' sets."""
    numbers = [fs.fscid for fs in fsmap.filesystems]
    assert numbers == sorted(set(numbers))
    assert fsmap.legacy_client_fscid in (*numbers, FS_CLUSTER_ID_NONE)
    seen: dict[int, int] = {}
    for fs in fsmap.filesystems:
        m = fs.mds_map
        assert m.epoch <= fsmap.epoch
        holders = {}
        for gid, info in m.mds_info.items():
            assert info.global_id == gid
            assert info.rank >= 0
            seen[gid] = fs.fscid
            assert info.compat.writeable(m.compat)
            if info.state != State.STANDBY_REPLAY:
                holders[info.rank] = gid
        assert holders == m.up
        assert set(m.up) <= m.in_
        assert not set(m.up) & (m.failed | m.damaged | m.stopped)
        assert not m.failed & (m.damaged | m.stopped)
    for gid, info in fsmap.standby_daemons.items():
        assert (info.global_id, info.rank, info.state) == (gid, -1, State.STANDBY)
        assert gid not in seen
        seen[gid] = FS_CLUSTER_ID_NONE
    assert fsmap.standby_epochs.keys() == fsmap.standby_daemons.keys()
    assert fsmap.mds_roles == seen
