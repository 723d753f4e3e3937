"""One life of a daemon: init, the nursery tree, and leaving in good order.

    messenger              listeners and connections; outermost, so that a goodbye can be sent
    └─ monitor session     hunting, tickets, subscriptions
       └─ daemon           beacon, tick, commands, admin socket, manager session, rank

Behaviour: ceph/ceph, src/mds/MDSDaemon.cc, init and suicide; src/ceph_mds.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.daemon.admin_socket import AdminSocket, AdminSocketError
from mdsdaemon.daemon.outcome import DaemonAbort, End, Outcome, plain_errors
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.entity import MDS, EntityAddr, PeerName

if TYPE_CHECKING:
    from mdsdaemon.daemon.mds_daemon import MDSDaemon

GOODBYE = 0.75
"""Seconds for the last beacon and its answer, of which 0.95 are waited. ceph-mds takes 1; we want
to be gone within that."""
RANK_SHUTDOWN = 5.0
"""Seconds for a rank to stop in good order."""
HEARTBEAT_WORKER = "mds_tick"


async def run(
    mds: MDSDaemon,
    binds: Sequence[EntityAddr],
    *,
    admin_socket: AdminSocket | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> Outcome:
    """Live: bind, join the cluster, serve, leave. Returns how it ended.

    `started()` is called when the monitors have authenticated us and beacons are being sent.
    Cancelled from outside it ends at once without a goodbye, as by a crash.

    Raises:
        FatalError: the daemon could not bind or join; with the exit status for a program.
    """
    failure: list[FatalError] = []
    with _remembering(failure):
        mds.monc.init()
    if failure:
        raise failure[0]
    mds.messenger.set_authenticator(mds)
    mds.messenger.add_dispatcher_tail(mds.beacon)
    mds.messenger.add_dispatcher_tail(mds)
    async with trio.open_nursery() as messenger_nursery:
        with _remembering(failure):
            serve = partial(mds.messenger.run, list(binds))
            await messenger_nursery.start(service, mds, "messenger", serve, name="messenger")
        if not failure:
            await _run_mon_session(mds, admin_socket, failure, task_status)
        messenger_nursery.cancel_scope.cancel()
    if failure:
        raise failure[0]
    if mds.outcome is None:
        raise DaemonAbort("the daemon's tasks ended without a reason")
    return mds.outcome


async def _run_mon_session(
    mds: MDSDaemon,
    admin_socket: AdminSocket | None,
    failure: list[FatalError],
    task_status: trio.TaskStatus[None],
) -> None:
    async with trio.open_nursery() as mon_nursery:
        async with trio.open_nursery() as nursery:
            mds.nursery = nursery
            await nursery.start(service, mds, "commands", mds.tell.run, name="commands")
            if admin_socket is not None:
                await _start_admin_socket(mds, admin_socket, nursery)
            with _remembering(failure), trio.CancelScope() as mds.init_scope:
                if mds.outcome is not None:
                    mds.init_scope.cancel()
                await init(mds, mon_nursery)
            if failure:
                mds.suicide(str(failure[0]))
            elif mds.outcome is None:
                task_status.started()
            await mds.leaving.wait()
            await _leave(mds)
            nursery.cancel_scope.cancel()
        mon_nursery.cancel_scope.cancel()


@contextmanager
def _remembering(failure: list[FatalError]) -> Iterator[None]:
    """Keep an error of init until all tasks have ended."""
    try:
        with plain_errors():
            yield
    except FatalError as e:
        failure.append(e)


async def _start_admin_socket(
    mds: MDSDaemon, admin_socket: AdminSocket, nursery: trio.Nursery
) -> None:
    try:
        await admin_socket.bind()
    except AdminSocketError as e:
        # As with ceph-mds: the daemon is more use without its admin socket than not at all.
        mds.log.error("%s", e)
        return
    await nursery.start(service, mds, "admin socket", admin_socket.run, name="admin socket")


async def init(mds: MDSDaemon, mon_nursery: trio.Nursery) -> None:
    """Join the cluster, in ceph-mds's order. Cancelled by `suicide`."""
    monc, messenger = mds.monc, mds.messenger
    await mon_nursery.start(service, mds, "monitor session", monc.run, name="monitor session")
    await monc.authenticate()

    timeout = mds.config.get_int("rotating_keys_bootstrap_timeout")
    attempts = 0
    while not await monc.wait_auth_rotating(timeout):
        attempts += 1
        if attempts <= mds.config.get_int("max_rotating_auth_attempts"):
            mds.log.error("unable to obtain rotating service keys; retrying")
            continue
        raise FatalError(
            "failed to refresh rotating keys, maximum retry time reached",
            ExitStatus.TEMPORARY,
            "compare this machine's clock with those of the monitors",
        )

    monc.sub_want("mdsmap", 0, 0)
    monc.renew_subs()
    mds.set_up_admin_socket()

    mds.beacon.notify_mdsmap(mds.mdsmap)
    messenger.set_myname(PeerName(MDS, -1))
    mds.reset_tick()
    nursery = mds.nursery_or_fail()
    await nursery.start(service, mds, "beacon", mds.beacon.run, name="beacon")
    await nursery.start(service, mds, "tick", partial(_tick_loop, mds), name="tick")
    nursery.start_soon(_run_rank, mds, name="rank")


async def service(
    mds: MDSDaemon,
    name: str,
    run: Callable[..., Awaitable[object]],
    *,
    task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run one service of the tree; the flight record has its start and its end."""
    mds.recorder.record("task.start", task=name)
    ended = "bug"
    try:
        await run(task_status=task_status)
        ended = "done"
    except trio.Cancelled:
        ended = "cancelled"
        raise
    finally:
        mds.recorder.record("task.end", task=name, how=ended)


async def _tick_loop(
    mds: MDSDaemon, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Calls `tick` when it is due; an event loop that stalls is seen by the heartbeat."""
    handle = mds.heartbeat.add_worker(HEARTBEAT_WORKER)
    try:
        task_status.started()
        while mds.tick_at is not None:
            grace = mds.config.get_float("mds_heartbeat_grace")
            mds.heartbeat.reset_timeout(handle, trio.current_time(), grace)
            # Pulse often enough for the grace, however seldom the ticks are.
            pulse = trio.current_time() + max(grace / 3, 0.05)
            await trio.sleep_until(min(mds.tick_at, pulse))
            if mds.tick_at is not None and trio.current_time() >= mds.tick_at:
                mds.tick()
    finally:
        mds.heartbeat.remove_worker(handle)


async def _run_rank(mds: MDSDaemon) -> None:
    await mds.rank_created.wait()
    assert mds.mds_rank is not None
    await service(mds, "rank", mds.mds_rank.run)


async def _leave(mds: MDSDaemon) -> None:
    """What suicide has to wait for, each part bounded; respawn waits for nothing."""
    assert mds.outcome is not None
    if mds.outcome.end is End.RESPAWN:
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_say_goodbye, mds)
        if mds.mgrc_started:
            nursery.start_soon(_bounded, mds, "manager session", mds.mgrc.shutdown, GOODBYE)
    if mds.mds_rank is not None:
        await _bounded(mds, "rank", mds.mds_rank.shutdown, RANK_SHUTDOWN)


async def _say_goodbye(mds: MDSDaemon) -> None:
    """Tell the monitors, if we are in the map: they drop beacons of daemons that are not."""
    if not mds.mdsmap.is_dne_gid(mds.gid) and mds.beacon.want_state == State.DNE:
        acked = await mds.beacon.send_and_wait(GOODBYE)
        mds.log.debug("goodbye %s by the monitors", "acknowledged" if acked else "not answered")
    mds.beacon.shutdown()


async def _bounded(
    mds: MDSDaemon, what: str, stop: Callable[[], Awaitable[None]], limit: float
) -> None:
    with trio.move_on_after(limit) as scope:
        await stop()
    if scope.cancelled_caught:
        mds.log.warning("%s did not stop within %g s", what, limit)
