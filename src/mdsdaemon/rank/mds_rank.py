"""MDSRank: what holds a rank and serves its part of the file system.

    nursery of run()
    ├─ objecter, journal writer, purge queue …   whatever the parts spawn
    └─ state                                     one at a time, cancelled when the map has the next

Decisions are synchronous: `handle_mds_map`, `tick`, `ms_dispatch`. What a state has to wait for
happens in its own task (see `states`).

Behaviour: ceph/ceph, src/mds/MDSRank.cc (Pacific)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.clients.objecter import Objecter
from mdsdaemon.maps.mds_states import State, state_name, state_transition_valid
from mdsdaemon.messages.cmdparse import CmdMap
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.net.dispatcher import DaemonFault
from mdsdaemon.rank import health
from mdsdaemon.rank.cache.nests import carry_up_all
from mdsdaemon.rank.commands.table import RankCommands
from mdsdaemon.rank.core import RankCore
from mdsdaemon.rank.dispatch import RankDispatch
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.fate import RankFate
from mdsdaemon.rank.interface import Rank, RankServices
from mdsdaemon.rank.options import TRACKED
from mdsdaemon.rank.parts import make_parts
from mdsdaemon.rank.session import Session
from mdsdaemon.rank.states import STATES, StateWork
from mdsdaemon.types.entity import MDS, PeerName

if TYPE_CHECKING:
    from mdsdaemon.maps.mds_map import MDSMap
    from mdsdaemon.messages.base import Message
    from mdsdaemon.messages.pool import MRemoveSnaps
    from mdsdaemon.rank.scrub.stack import ScrubStack


class MDSRank(RankFate, Rank, RankCore):
    """A rank. `parts` makes what it consists of (tests make others).

    Attributes:
        scrubstack: checks of the tree that were asked for.
        work: what is done in the present state.
    """

    serves_files = True
    scrubstack: ScrubStack

    def __init__(
        self,
        whoami: int,
        services: RankServices,
        parts: Callable[[MDSRank], None] = make_parts,
    ) -> None:
        RankCore.__init__(self, whoami, services)
        self.started_at = trio.current_time()
        self.objecter = Objecter(
            config=services.config,
            messenger=services.messenger,
            monc=services.monc,
            host=services.host,
            perf=services.perf,
            log=services.log.getChild("objecter"),
        )
        self.objecter.set_honor_pool_full(False)
        self.objecter.on_blocklisted = self.fenced
        self.work: StateWork | None = None
        self.dispatch = RankDispatch(self)
        self.commands = RankCommands(self)
        self._ahead: deque[StateWork] = deque()
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._backlog: list[tuple[Callable[[], Awaitable[None]], str]] = []
        self._map_waiters: list[tuple[int, Callable[[], None]]] = []
        self._make_parts = parts

    # -- running -----------------------------------------------------------------------------

    def init(self) -> None:
        """Make the parts; nothing runs yet."""
        self._make_parts(self)
        self.dispatch.connect()
        self.counters.register()
        self.objecter.on_map.append(lambda _: self.handle_osd_map())
        self._unobserve = self.config.observe(TRACKED, lambda _: None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The rank's tasks, until cancelled.

        Raises:
            DaemonFault: a bug in what they share.
        """
        try:
            async with trio.open_nursery() as self._nursery:
                await self._nursery.start(self.objecter.run)
                self._nursery.start_soon(self.queue.run, name="rank queue")
                self._nursery.start_soon(self.leisure.run, name="rank leisure")
                backlog, self._backlog = self._backlog, []
                for work, name in backlog:
                    self.spawn(work, name)
                self._nursery.start_soon(self._run_states, name="rank state")
                self._nursery.start_soon(self._report_tasks, name="task status")
                self._nursery.start_soon(self._keep_cache_small, name="cache upkeep")
                task_status.started()
        finally:
            self._nursery = None
            self._unobserve()
            self.sessions.close()
            self.purge_queue.close()
            self.counters.unregister()

    def spawn(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Start a task in the rank's nursery; what it raises ends the daemon.

        What fails because we are fenced, or because the rank ends, damaged perhaps, is no bug.
        """
        if self._nursery is None:
            self._backlog.append((work, name))
        else:
            self._nursery.start_soon(self._guarded, work, name, name=name)

    async def _guarded(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        try:
            await work()
        except DaemonFault:
            raise
        except (OSError, FsError) as e:
            if not self.leaving and not (isinstance(e, OSError) and self.is_end_of_rank(e)):
                raise DaemonFault(f"{name}: {e}") from e
        except Exception as e:
            raise DaemonFault(f"{name}: {type(e).__name__}: {e}") from e

    async def _run_states(self) -> None:
        """One state's work after the other; a new state ends that of the one before."""
        while True:
            while not self._ahead:
                self._changed = trio.Event()
                await self._changed.wait()
            work = self._ahead.popleft()
            with trio.CancelScope() as work.scope:
                if not self.leaving:
                    await self._do(work)

    async def _do(self, work: StateWork) -> None:
        name = state_name(work.state)
        try:
            await work.run()
        except DaemonFault:
            raise
        except Exception as e:
            if not self.state_failed(work, e):
                raise DaemonFault(f"state {name}: {type(e).__name__}: {e}") from e

    async def _keep_cache_small(self) -> None:
        """Trim every mds_cache_trim_interval; if that is not enough, store what is dirty."""
        config = self.config
        while True:
            await trio.sleep(max(config.get_float("mds_cache_trim_interval"), 0.1))
            # a replay needs what earlier events have brought in
            if self.state >= State.RECONNECT and not self.leaving:
                self.store.trim_to_goal()
                writes = self.state in (State.ACTIVE, State.STOPPING)
                if self.store.is_full() and writes and not self.services.beacon.is_laggy():
                    self.mdlog.trim()

    async def _report_tasks(self) -> None:
        """Tell the manager what goes on, for `ceph -s`; and once more when it is over."""
        told = False
        while True:
            await trio.sleep(max(self.config.get_float("mds_task_status_update_interval"), 0.1))
            summary = self.scrubstack.summary()
            if summary != "idle":
                status = {"scrub status": summary}
            elif told:
                status = {}
            else:
                continue
            told = bool(status)
            self.services.mgrc.service_daemon_update_task_status(status)

    async def shutdown(self) -> None:
        """Begin nothing more. What clients were told is safe is on disk; they ask again for the
        rest.
        """
        self.leaving = True
        self.log.info("shutdown: shutting down rank %d", self.whoami)
        if self.work is not None:
            self.work.scope.cancel()

    def is_stopped(self) -> bool:
        return self.state == State.STOPPED

    # -- the map -----------------------------------------------------------------------------

    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        """A map that has us in this rank: begin the state that it gives us."""
        if self.leaving:
            return
        services = self.services
        info = mdsmap.mds_info[services.gid]
        oldstate, state = self.state or State.NULL, info.state
        if not state_transition_valid(oldstate, state):
            self.leave(f"Invalid state transition {state_name(oldstate)}->{state_name(state)}")
            return
        self.state = state
        if state != oldstate:
            self.incarnation = info.inc
            self._take_name(state)
        self.objecter.set_client_incarnation(self.incarnation)
        if mdsmap.required_client_features != oldmap.required_client_features:
            self.sessions.update_required_client_features()
        if state != oldstate:
            self._enter(mdsmap, oldstate)
        self._wake_map_waiters(mdsmap.epoch)
        if state == State.ACTIVE:
            # caps given out to clients with older OSD maps could let a fenced client write
            self.osd_epoch_barrier = self.objecter.epoch
        if oldmap.max_mds != mdsmap.max_mds:
            self.purge_queue.update_op_limit()
        self.end_of_dispatch()

    def _take_name(self, state: int) -> None:
        services, number = self.services, self.whoami
        if state == State.STANDBY_REPLAY:
            number = services.gid
            self.log.info(
                "handle_mds_map i am now mds.%d.%d replaying mds.%d.%d",
                number, self.incarnation, self.whoami, self.incarnation,
            )  # fmt: skip
        else:
            self.log.info("handle_mds_map i am now mds.%d.%d", number, self.incarnation)
        services.messenger.set_myname(PeerName(MDS, number))

    def _enter(self, mdsmap: MDSMap, oldstate: int) -> None:
        state = self.state
        self.log.info(
            "handle_mds_map state change %s --> %s", state_name(oldstate), state_name(state)
        )
        self.services.beacon.set_want_state(mdsmap, state)
        before, self.work = self.work, STATES[state](self, before=self.work)
        if before is not None:
            before.scope.cancel()
        self.work.enter()
        self.sessions.state_changed()
        if not self.leaving:
            self._ahead.append(self.work)
            self._changed.set()

    def request_state(self, state: int) -> None:
        """Ask the monitors for this state; it begins when a map has it."""
        if self.leaving:
            return
        self.log.info("request_state %s", state_name(state))
        self.services.beacon.set_want_state(self.mdsmap, state)
        self.services.beacon.send()

    def when_mdsmap(self, epoch: int, callback: Callable[[], None]) -> None:
        """Call this when the map has this epoch; at once if it has."""
        if self.mdsmap.epoch >= epoch:
            callback()
        else:
            self._map_waiters.append((epoch, callback))

    def _wake_map_waiters(self, epoch: int) -> None:
        due = [callback for wanted, callback in self._map_waiters if wanted <= epoch]
        if due:
            self._map_waiters = [entry for entry in self._map_waiters if entry[0] > epoch]
            for callback in due:
                self.queue.push(callback)

    def handle_osd_map(self) -> None:
        """A newer OSD map: clients may have been fenced, pools be full, snapshots be gone."""
        if not self.leaving and self.objecter.epoch:
            self.sessions.handle_osd_map()
            self.server.handle_osd_map()
            self.purge_queue.update_op_limit()
            if self.is_active():
                self.snaps.check_osd_map(force=True)
            self.end_of_dispatch()

    def handle_remove_snaps(self, msg: MRemoveSnaps) -> None:
        self.snaps.handle_remove_snaps(msg)
        self.end_of_dispatch()

    # -- dispatch ----------------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        return self.dispatch.ms_dispatch(msg)

    def get_session(self, name: PeerName) -> Session | None:
        return self.sessions.get_session(name)

    # -- tick --------------------------------------------------------------------------------

    def tick(self) -> None:
        """Upkeep, every mds_tick_interval; none while the monitors do not answer."""
        if self.leaving:
            return
        if self.services.beacon.is_laggy():
            self.log.warning("skipping upkeep work because connection to Monitors appears laggy")
            return
        for line in self.optracker.check():
            self.services.clog.warn(line)
        self.dispatch.advance()
        self.mdlog.flush()
        state = self.state
        if state in (State.ACTIVE, State.STOPPING):
            self.mdlog.trim()
        if self.is_serving():
            self.sessions.find_idle_sessions()
            self.sessions.evict_cap_revoke_non_responders()
            self.locker.tick()
        if state == State.ACTIVE:
            self.snaps.check_osd_map(force=False)
        if self.work is not None:
            self.work.tick()
        if self.is_serving():
            self.strays.tick()
            if not self.read_only:
                carry_up_all(self)
        self.end_of_dispatch()
        self.services.beacon.notify_health(self.health())

    def health(self) -> list[Any]:
        """The complaints of the next beacons."""
        return health.collect(self)

    # -- what is shown -----------------------------------------------------------------------

    def handle_asok_command(
        self, prefix: str, cmdmap: CmdMap, inbl: bytes
    ) -> Reply | Awaitable[Reply]:
        return self.commands.call(prefix, cmdmap, inbl)

    def dump_status(self) -> dict[str, Any]:
        """As ceph-mds's; `{state}_status` tells how far it is, and what it waits for."""
        return {
            "fs_name": self.mdsmap.fs_name,
            **({} if self.work is None else self.work.dump_status()),
            "rank_uptime": trio.current_time() - self.started_at,
        }

    def get_osd_epoch(self) -> int:
        return self.objecter.epoch

    def get_osd_epoch_barrier(self) -> int:
        return self.osd_epoch_barrier
