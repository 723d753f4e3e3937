"""A daemon as a program: signals, service manager, exit status, re-execution.

Behaviour: ceph/ceph, src/ceph_mds.cc; src/mds/MDSDaemon.cc, respawn (Pacific)
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

import trio

from mdsdaemon import collector
from mdsdaemon.daemon.assembly import Surroundings
from mdsdaemon.daemon.commands.context_commands import LogHooks
from mdsdaemon.daemon.embed import MDS
from mdsdaemon.daemon.outcome import End, Outcome
from mdsdaemon.daemon.sd_notify import SdNotifier
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.host import Host
from mdsdaemon.log import flight_record_path
from mdsdaemon.maps.mds_states import State, state_name

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.log import DaemonLogging
    from mdsdaemon.recorder import FlightRecorder

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_daemon(
    config: Config, *, recorder: FlightRecorder, argv: Sequence[str], logs: DaemonLogging
) -> int:
    """Run the daemon that `config` describes until it leaves.

    Args:
        argv: the command line to execute for a respawn, interpreter included (`sys.orig_argv`).

    Returns:
        ExitStatus.OK. A respawn does not return: the process executes itself anew.

    Raises:
        FatalError: the daemon could not join.
        Exception: a bug; one that tasks were in comes without the groups around it.
    """
    record_path = flight_record_path(config)
    around = Surroundings(
        config=config,
        host=Host.system(),
        log=logs.logger,
        recorder=recorder,
        admin_socket=True,
        log_hooks=LogHooks(
            flush=logs.flush,
            reopen=logs.reopen,
            dump=lambda: recorder.dump_file(record_path, "log dump"),
        ),
    )
    collector.tune()
    try:
        ended = trio.run(_program, MDS(around, respawn=False), logs)
    except BaseExceptionGroup as group:
        raise _innermost(group) from None
    gc.freeze()
    if isinstance(ended, FatalError):
        raise ended
    if ended.end is End.RESPAWN:
        try:
            recorder.dump_file(record_path, f"respawn: {ended.reason}")
        except OSError as e:
            logs.logger.error("cannot write the flight record %s: %s", record_path, e.strerror)
        if not config.get_bool("mds_valgrind_exit"):
            re_execute(argv, logs)
    return ExitStatus.OK


def _innermost(error: BaseException) -> BaseException:
    """The first error that is no group: with tasks in nurseries the others follow from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def re_execute(argv: Sequence[str], logs: DaemonLogging) -> NoReturn:
    """Execute this program anew in this process: same pid, arguments and environment."""
    log = logs.logger
    # The interpreter by its own path, so that its virtual environment is found again; the very
    # file that runs now, should the path be gone.
    exe = sys.executable
    if not exe or not os.access(exe, os.X_OK):
        exe = "/proc/self/exe"
    log.info("respawning: %s with %s", exe, " ".join(argv[1:]))
    with suppress(OSError):
        logs.flush()
    # The new program has no handler at first, and a log rotation must not end it. It inherits this.
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        os.execv(exe, list(argv))
    except OSError as e:
        signal.signal(signal.SIGHUP, handler)
        raise FatalError(
            f"respawn execv {exe} failed: {e.strerror}",
            ExitStatus.SOFTWARE,
            "start the daemon again",
        ) from e


async def _program(mds: MDS, logs: DaemonLogging) -> Outcome | FatalError:
    notifier = SdNotifier.from_env(os.environ)
    ended: Outcome | FatalError
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_handle_signals, mds, logs, signals)
            if notifier.enabled:
                nursery.start_soon(_notify, mds, notifier)
                if notifier.watchdog_interval is not None:
                    nursery.start_soon(_watchdog, mds, notifier, notifier.watchdog_interval)
            try:
                ended = await mds.run()
            except FatalError as e:
                ended = e
            if isinstance(ended, FatalError) or ended.end is End.EXIT:
                notifier.stopping("leaving")
            nursery.cancel_scope.cancel()
    notifier.close()
    return ended


async def _handle_signals(mds: MDS, logs: DaemonLogging, signals: AsyncIterator[int]) -> None:
    async for signum in signals:
        if signum == signal.SIGHUP:
            logs.logger.info("reopening the log on SIGHUP")
            logs.reopen()
        else:
            mds.handle_signal(signum)


async def _notify(mds: MDS, notifier: SdNotifier) -> None:
    """READY once the map has us, STATUS with every change of state; `_program` says STOPPING."""
    ready = False
    said = ""
    while not mds.is_leaving:
        state = mds.state
        status = f"{state_name(state)} gid {mds.gid}" if state != State.NULL else "joining"
        if mds.rank is not None:
            status += f" rank {mds.rank.whoami}"
        if state != State.NULL and not ready:
            ready = True
            notifier.ready(status)
        elif status != said:
            notifier.status(status)
        said = status
        await mds.wait_for_news()


async def _watchdog(mds: MDS, notifier: SdNotifier, interval: float) -> None:
    """Signs of life, as long as no part of the daemon is stuck."""
    while True:
        if mds.is_healthy():
            notifier.watchdog()
        await trio.sleep(interval)
