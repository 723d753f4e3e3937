"""A cluster in one nursery tree; see the package.

run()
└─ committer            group commits of monitor and store; outermost, so that nothing is lost
   └─ monitor           mon.a
      └─ object store   osd.0
         └─ metadata servers
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from mdsdaemon.cluster.conf import ceph_conf, keyring_text
from mdsdaemon.cluster.daemons import MDS_CAPS, MDSParts, MDSSet
from mdsdaemon.cluster.errors import CommandFailedError, plain_cluster_errors
from mdsdaemon.cluster.folder import Folder
from mdsdaemon.cluster.options import ClusterOptions, mds_names
from mdsdaemon.cluster.parts import TABLE, Workshop
from mdsdaemon.cluster.serving import DEFAULT_FS, Serving
from mdsdaemon.cluster.snapshots import ClusterSnapshot
from mdsdaemon.cluster.store_link import Usage, join
from mdsdaemon.daemon.default_rank import DEFAULT_RANK, serves_files
from mdsdaemon.embedded.monitor.command_handler import CommandHandler
from mdsdaemon.embedded.monitor.core import Monitor
from mdsdaemon.embedded.monitor.mds_monitor import MDSMonitor
from mdsdaemon.embedded.osd import EmbeddedOSD
from mdsdaemon.embedded.storage import Committer, MemoryStorage, SqliteStorage, Storage
from mdsdaemon.host import Host
from mdsdaemon.log import ROOT
from mdsdaemon.recorder import FlightRecorder
from mdsdaemon.types.entity import CLIENT, MDS, EntityAddrVec, EntityName

if TYPE_CHECKING:
    from mdsdaemon.cephx.auth import EntityAuth
    from mdsdaemon.embedded.monitor.commands import CommandResult
    from mdsdaemon.net.memory_network import MemoryNetwork
    from mdsdaemon.rank.interface import RankFactory

STOCK_MDS: Final = "stock"
"""A metadata server that is none of ours may join under this name; its key lies in the folder."""
LEAVE_TIMEOUT: Final = 10.0
"""Seconds that the end of `open_cluster` waits for an orderly end before it cancels."""


class Cluster:
    """A one-process cluster; made by `open_cluster`.

    Attributes:
        options: what was asked for.
        mds: the metadata servers that run, by name: `add`, `stop`, `kill`.
        step: what the start is at, or `ready`; for messages to people.
        monitor, osd: the parts themselves, from the start of `run` on.
        serves_files: whether metadata servers of ours become up:active; False: one with a rank
            stays in up:creating, and being ready does not wait for it.
        serving: the file systems, from the start of `run` on.
    """

    monitor: Monitor
    osd: EmbeddedOSD
    serving: Serving

    def __init__(
        self,
        options: ClusterOptions,
        folder: Folder,
        *,
        host: Host,
        log: logging.Logger,
        recorder: FlightRecorder,
        network: MemoryNetwork | None,
        rank_factory: RankFactory,
        default_fs: bool,
    ) -> None:
        self.options = options
        self._default_fs = default_fs
        self.step = "starting"
        self._folder = folder
        self._log, self._host = log, host
        self._workshop = Workshop(options, host, log, recorder, network)
        self.mds = MDSSet(
            self._mds_parts, host=host, log=log, recorder=recorder, rank_factory=rank_factory
        )
        self.serves_files = serves_files(rank_factory)
        self._first: ClusterSnapshot | None = None
        self._started = False
        self._scope = trio.CancelScope()
        self._stop = trio.Event()
        self._ended = trio.Event()

    def __repr__(self) -> str:
        return f"<Cluster in {self._folder.path}: {self.step}>"

    # -- what it is -------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where the files lie; a temporary one is gone when the block of `open_cluster` ends."""
        return self._folder.path

    @property
    def conf_path(self) -> Path:
        """ceph.conf; there once the cluster is ready."""
        return self._folder.conf_path

    @property
    def keyring_path(self) -> Path:
        """The keyring with the key of client.admin; there once the cluster is ready."""
        return self._folder.keyring_path

    @property
    def fsid(self) -> uuid.UUID:
        return self.monitor.fsid

    @property
    def mon_addrs(self) -> EntityAddrVec:
        """Where the monitor listens."""
        return self.monitor.addrs

    @property
    def is_ready(self) -> bool:
        """Monitor and object store serve, and the map has the metadata servers."""
        return self._first is not None and not self._ended.is_set()

    # -- running ----------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop` or cancelled; `started()` when the cluster is ready.

        Raises:
            FatalError: it cannot start (the store, a port, a folder, an option), or the disk
                refuses later.
            DaemonFault: a bug, as an exception group.
        """
        if self._started:
            raise RuntimeError("run() is called once")
        self._started = True
        try:
            with plain_cluster_errors(), self._scope:
                await self._run(task_status)
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Let `run` end in good order; returns at once."""
        self._stop.set()

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        self.step = "opening the store"
        storage = self._open_storage()
        try:
            committer = Committer(storage)
            async with trio.open_nursery() as nursery:
                await nursery.start(committer.run)
                await self._run_monitor(committer, task_status)
                nursery.cancel_scope.cancel()
        finally:
            storage.close()

    async def _run_monitor(self, committer: Committer, task_status: trio.TaskStatus[None]) -> None:
        self.step = "binding the monitor's port"
        self.monitor = await self._workshop.monitor(committer)
        file_systems = next(s for s in self.monitor.services if isinstance(s, MDSMonitor))
        self.serving = Serving(file_systems)
        async with trio.open_nursery() as mon_nursery:
            await mon_nursery.start(self.monitor.run)
            self.step = "starting the object store"
            self.osd, bind = self._workshop.osd(committer, self.monitor)
            async with trio.open_nursery() as osd_nursery:
                addrs = await osd_nursery.start(self.osd.run, [bind])
                self._join_osd(committer.storage, addrs)
                async with trio.open_nursery() as mds_nursery:
                    await mds_nursery.start(self.mds.run)
                    await self._serve(committer.storage, task_status)
                    mds_nursery.cancel_scope.cancel()
                osd_nursery.cancel_scope.cancel()
            mon_nursery.cancel_scope.cancel()

    def _join_osd(self, storage: Storage, addrs: EntityAddrVec) -> None:
        """Monitor and object store learn of each other."""
        raw = storage.get(TABLE, b"osd_identity")
        if raw is None:
            raw = self._host.randbytes(16)
            self.monitor.transactions.put(TABLE, b"osd_identity", raw)
        folder = None if self.options.data is None else self._folder.path
        usage = Usage(self.osd.engine, self.options.capacity, folder)
        join(self.monitor, self.osd, addrs, uuid.UUID(bytes=raw, version=4), usage)

    async def _serve(self, storage: Storage, task_status: trio.TaskStatus[None]) -> None:
        await self._begin(storage)
        self._first = self._snapshot()
        self.step = "ready"
        task_status.started()
        await self._stop.wait()
        self.step = "stopping"
        await self.mds.stop_all()
        self.monitor.osd.osd_is_gone()

    async def _begin(self, storage: Storage) -> None:
        """All that is missing once monitor and store serve, up to being ready."""
        self.step = "making keys and files"
        stock = self._mds_auth(STOCK_MDS)
        await self._durable()
        self._write_files(stock)
        port = str(self.mon_addrs.addrs[0].port).encode()
        if storage.get(TABLE, b"mon_port") != port:
            self.monitor.transactions.put(TABLE, b"mon_port", port)
        self._name_file_systems()
        for name in self.options.fs:
            self.step = f"making the file system {name}"
            await self._make_fs(name)
        for name in mds_names(self.options.mds):
            self.step = f"starting mds.{name}"
            await self.mds.add(name)
        for name in self.mds:
            self.step = f"waiting for mds.{name} in the map"
            await self.mds.wait_in_map(name)
        await self._wait_served(self._at_step)
        await self._durable()

    def _name_file_systems(self) -> None:
        """Where none was named and ours can serve one: those that there are, or a first one."""
        if self._default_fs and self.serves_files and self.options.mds:
            names = self.serving.names() or [DEFAULT_FS]
            self.options = attrs.evolve(self.options, fs=tuple(names))

    async def _wait_served(self, tell: Callable[[str], None] | None = None) -> None:
        """Until a client can mount what our metadata servers are enough for."""
        if self.serves_files:
            there = self.serving.names()
            names = [name for name in self.options.fs if name in there]
            await self.serving.wait_active(names[: len(self.mds)], tell)

    def _at_step(self, step: str) -> None:
        self.step = step

    # -- parts ------------------------------------------------------------------------------

    def _open_storage(self) -> Storage:
        if self.options.data is None:
            return MemoryStorage()
        return SqliteStorage(self._folder.store_path)

    def _mds_auth(self, name: str) -> EntityAuth:
        """The key of a metadata server, made if there is none."""
        with self.monitor.transactions.transaction():
            return self.monitor.auth.get_or_create(EntityName(MDS, name), MDS_CAPS)

    def _mds_parts(self, name: str) -> MDSParts:
        return self._workshop.mds(name, len(self.mds), self._mds_auth(name), self.monitor)

    def _write_files(self, stock: EntityAuth) -> None:
        folder = self._folder
        folder.make_subfolders()
        admin = self.monitor.auth.keys.get(EntityName(CLIENT, "admin"))
        if admin is None:
            folder.keyring_path.unlink(missing_ok=True)
            self._log.warning("client.admin has no key any more; there is no keyring")
        else:
            folder.write(folder.keyring_path, keyring_text("client.admin", admin))
        path = folder.mds_keyring_path(STOCK_MDS)
        folder.write(path, keyring_text(f"mds.{STOCK_MDS}", stock))
        options = self.options
        text = ceph_conf(
            folder.path, self.fsid, self.mon_addrs, options.pool_size, options.settings
        )
        folder.write(folder.conf_path, text, 0o644)

    async def _make_fs(self, name: str) -> None:
        """The file system and its pools, unless they are there."""
        known = json.loads((await self.command("fs ls", format="json")).outb)
        if any(fs["name"] == name for fs in known):
            return
        pools = f"cephfs.{name}.meta", f"cephfs.{name}.data"
        for pool in pools:
            await self.command("osd pool create", pool=pool)
        await self.command("fs new", fs_name=name, metadata=pools[0], data=pools[1])

    async def _durable(self) -> None:
        """Wait until all that was decided is on the disk."""
        done = trio.Event()
        self.monitor.transactions.after(done.set)
        await done.wait()

    # -- what the host may ask of it --------------------------------------------------------

    async def command(
        self, prefix: str, /, *, inbuf: bytes = b"", **args: str | float | bool | list[str]
    ) -> CommandResult:
        """A command of the monitor with client.admin's rights: `command("fs set", fs_name=…)`.

        The answer comes when what it changed is durable.

        Raises CommandFailedError.
        """
        cmd = json.dumps({"prefix": prefix, **args})
        handler = next(s for s in self.monitor.services if isinstance(s, CommandHandler))
        with self.monitor.transactions.transaction():
            result = handler.run(self.monitor.internal_session(), [cmd], inbuf)
        if result.r < 0:
            raise CommandFailedError(prefix, -result.r, result.outs)
        await self._durable()
        return result

    async def snapshot(self) -> ClusterSnapshot:
        """The whole content as it is now; kept in memory as long as somebody has it."""
        await self._durable()
        return self._snapshot()

    async def restore(self, snapshot: ClusterSnapshot) -> None:
        """Make the content what it was; clients and daemons stay connected.

        A metadata server that held a rank starts anew; where ours serve files, this returns when
        they serve those of the snapshot. Clients that have a file system mounted keep what they
        have cached of it, and should mount anew.

        Raises ValueError: the snapshot is one of another cluster.
        """
        if snapshot.cluster is not self:
            raise ValueError("the snapshot is one of another cluster")
        self.mds.renew_ranks()
        with self.monitor.transactions.transaction():
            self.osd.restore(snapshot.store)
            self.monitor.restore(snapshot.monitor)
            for name, auth in self.mds.keys_in_use.items():
                self.monitor.auth.put_entity(EntityName(MDS, name), auth)
        await self._durable()
        await self._wait_served()

    async def reset(self) -> None:
        """Make the content what it was when the cluster became ready."""
        if self._first is None:
            raise RuntimeError("the cluster is not ready")
        await self.restore(self._first)

    def _snapshot(self) -> ClusterSnapshot:
        return ClusterSnapshot(self, self.monitor.snapshot(), self.osd.snapshot())

    async def _leave(self) -> None:
        """The end of `open_cluster`: in good order, or cancelled."""
        try:
            if self._started and not self._ended.is_set():
                self.stop()
                with trio.move_on_after(LEAVE_TIMEOUT):
                    await self._ended.wait()
        finally:
            self._scope.cancel()
            self._folder.close()


@asynccontextmanager
async def open_cluster(
    *,
    data: str | os.PathLike[str] | None = None,
    fs: Sequence[str] | None = None,
    mds: int = 1,
    pool_size: int = 1,
    mon_port: int = 0,
    settings: Mapping[str, str] | None = None,
    host: Host | None = None,
    log: logging.Logger | None = None,
    recorder: FlightRecorder | None = None,
    network: MemoryNetwork | None = None,
    rank_factory: RankFactory = DEFAULT_RANK,
) -> AsyncIterator[Cluster]:
    """A cluster for the length of a block; start its `run` in a nursery around or inside of it.

    Leaving the block ends the cluster in good order and deletes its temporary folder.

    Args:
        data: folder in which the cluster lives and survives; in memory when left out.
        fs: names of file systems to make, unless they are there. None: where `rank_factory` serves
            files, the file systems that there are or a first one, ``cephfs``; else none.
        mds: how many metadata servers of ours to start; those that hold no rank are standbys.
        pool_size: copies that new pools say to have (the store keeps one).
        mon_port: TCP port of the monitor; 0: one that the system chooses, with `data` the one of
            the last time if it is free.
        settings: options of Ceph, for all daemons and for ceph.conf's [global].
        host: clock and randomness.
        log: parent of the loggers `mon.a`, `osd.0`, `mds.a`, ….
        recorder: takes the events of all parts.
        network: a network in memory instead of loopback: the monitor is 10.0.0.1, the store
            10.0.0.2, the metadata servers 10.0.1.2 and following.
        rank_factory: makes the object that holds a rank.

    Raises:
        UsageError: a value that cannot be.
        FatalError: the folder cannot be made or used.
    """
    options = ClusterOptions(
        data=None if data is None else Path(data),
        fs=tuple(fs or ()),
        mds=mds,
        pool_size=pool_size,
        mon_port=mon_port,
        settings=dict(settings or {}),
    )
    host = host or Host.system()
    folder = Folder.temporary() if options.data is None else Folder.of_data(options.data)
    cluster = Cluster(
        options,
        folder,
        host=host,
        log=log or logging.getLogger(ROOT),
        recorder=recorder or FlightRecorder(wall=host.wall, name="cluster"),
        network=network,
        rank_factory=rank_factory,
        default_fs=fs is None,
    )
    try:
        yield cluster
    finally:
        await cluster._leave()
