"""The metadata servers of a one-process cluster: added, stopped, killed, waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import attrs
import trio

from mdsdaemon.cluster.options import mds_names
from mdsdaemon.daemon.assembly import Surroundings
from mdsdaemon.daemon.embed import MDS
from mdsdaemon.maps.mds_states import State

if TYPE_CHECKING:
    import logging

    from mdsdaemon.cephx.auth import EntityAuth
    from mdsdaemon.config import Config
    from mdsdaemon.host import Host
    from mdsdaemon.net.stream import Transport
    from mdsdaemon.rank.interface import RankFactory
    from mdsdaemon.recorder import FlightRecorder
    from mdsdaemon.types.entity import EntityAddr

MDS_CAPS: Final = {
    "mon": "allow profile mds",
    "osd": "allow rw tag cephfs *=*",
    "mds": "allow",
    "mgr": "allow profile mds",
}
"""What the key of a metadata server may do; as `ceph auth get-or-create` would be told."""


@attrs.frozen
class MDSParts:
    """What one metadata server is made of, beside its name."""

    config: Config
    auth: EntityAuth = attrs.field(repr=False)
    transport: Transport = attrs.field(repr=False)
    bind: EntityAddr


@attrs.define(eq=False)
class _Entry:
    mds: MDS
    auth: EntityAuth = attrs.field(repr=False)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)


class MDSSet(Mapping[str, MDS]):
    """The metadata servers that run, by name.

    Args:
        parts: makes what a daemon of that name needs, its key in the monitor included.
    """

    def __init__(
        self,
        parts: Callable[[str], MDSParts],
        *,
        host: Host,
        log: logging.Logger,
        recorder: FlightRecorder,
        rank_factory: RankFactory,
    ) -> None:
        self._parts = parts
        self._host, self._log, self._recorder = host, log, recorder
        self._rank_factory = rank_factory
        self._entries: dict[str, _Entry] = {}
        self._nursery: trio.Nursery | None = None

    def __getitem__(self, name: str) -> MDS:
        return self._entries[name].mds

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<MDSSet {list(self.values())}>"

    @property
    def keys_in_use(self) -> dict[str, EntityAuth]:
        """The keys of those that run, by daemon."""
        return {name: entry.auth for name, entry in self._entries.items()}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the daemons until cancelled; a bug in one ends all."""
        async with trio.open_nursery() as self._nursery:
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def add(self, name: str = "") -> MDS:
        """Start one more, under the first free of the names a, b, c … if none is given.

        It has joined the cluster when this returns; `wait_in_map` waits until the map has it.

        Raises:
            ValueError: there is one of that name.
            FatalError: it cannot join.
        """
        nursery = self._running()
        if not name:
            taken = set(self._entries)
            name = next(n for n in mds_names(len(taken) + 1) if n not in taken)
        if name in self._entries:
            raise ValueError(f"mds.{name} runs already; stop or kill it first")
        parts = self._parts(name)
        around = Surroundings(
            config=parts.config,
            host=self._host,
            log=self._log.getChild(f"mds.{name}"),
            recorder=self._recorder,
            transport=parts.transport,
            rank_factory=self._rank_factory,
            admin_socket=False,
            binds=(parts.bind,),
        )
        entry = self._entries[name] = _Entry(MDS(around), parts.auth)
        await nursery.start(self._run, name, entry)
        return entry.mds

    async def _run(
        self,
        name: str,
        entry: _Entry,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            with entry.scope:
                await entry.mds.run(task_status=task_status)
        finally:
            if self._entries.get(name) is entry:
                del self._entries[name]
            entry.ended.set()

    async def stop(self, name: str) -> None:
        """Let it leave: it tells the monitor. KeyError: there is none of that name."""
        await self._entries[name].mds.stop()

    async def kill(self, name: str) -> None:
        """End it at once; to the monitor it looks like a crash. KeyError: there is none."""
        entry = self._entries[name]
        entry.scope.cancel()
        await entry.ended.wait()

    def renew_ranks(self) -> None:
        """Those that hold a rank begin a new life: what they know of objects is not so any more."""
        for entry in self._entries.values():
            if entry.mds.rank is not None and not entry.mds.is_leaving:
                entry.mds.respawn("the cluster is restored", at_once=True)

    async def stop_all(self) -> None:
        """Let all of them leave, at the same time."""
        async with trio.open_nursery() as nursery:
            for entry in self._entries.values():
                nursery.start_soon(entry.mds.stop)

    async def wait_in_map(self, name: str) -> None:
        """Wait until the map has it, in whatever state. RuntimeError: it ended before."""
        entry = self._entries[name]
        while entry.mds.state == State.NULL:
            if entry.ended.is_set():
                raise RuntimeError(f"mds.{name} ended before it was in the map")
            await entry.mds.wait_for_news()

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise RuntimeError("the cluster does not run: start its run() in a nursery")
        return self._nursery
