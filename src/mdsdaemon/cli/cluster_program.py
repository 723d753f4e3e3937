"""`python -m mdsdaemon`: the one-process cluster as a program.

Signals, service manager, ready file, banner and COMMAND are here; the cluster itself knows none of
them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import trio

from mdsdaemon import collector
from mdsdaemon.cli.cluster_banner import ReadyFile, banner, ready_text
from mdsdaemon.cli.cluster_command import HANDED_ON, Command, environment
from mdsdaemon.cluster.cluster import Cluster, open_cluster
from mdsdaemon.daemon.sd_notify import SdNotifier
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.log.levels import ROOT
from mdsdaemon.log.lines import JsonFormatter, LineFormatter
from mdsdaemon.recorder import FlightRecorder

if TYPE_CHECKING:
    from mdsdaemon.cli.cluster_args import ClusterArgs
    from mdsdaemon.cli.cluster_guard import Guard

EVENTS: Final = 2000
PARENT_INTERVAL: Final = 0.5
"""Seconds between looks at whether the process that started us is still there."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_cluster(args: ClusterArgs, guard: Guard, parent: int, began: float) -> int:
    """Run until told to end, or until the command ends.

    Args:
        began: time (of the monotonic clock) from which --timeout counts.
        parent: process id of the process that started us.

    Returns:
        The exit status; the command's if there is one, negative for the signal that ended it.

    Raises:
        FatalError: the cluster could not start or go on.
        Exception: a bug.
    """
    _set_up_log(args)
    ready_file = ReadyFile(args.ready_file)
    recorder = FlightRecorder(EVENTS, wall=time.time, name="cluster")
    program = _Program(args, guard, parent, began, ready_file, recorder)
    try:
        return trio.run(program.run)
    except FatalError:
        raise
    except Exception as e:
        raise FatalError(_crashed(e, recorder)) from e
    finally:
        ready_file.remove()


class _Program:
    def __init__(
        self,
        args: ClusterArgs,
        guard: Guard,
        parent: int,
        began: float,
        ready_file: ReadyFile,
        recorder: FlightRecorder,
    ) -> None:
        self.args, self.guard, self.parent, self.began = args, guard, parent, began
        self.ready_file, self.recorder = ready_file, recorder
        self.notifier = SdNotifier.from_env(os.environ)
        self.command: Command | None = None
        self.status: int = ExitStatus.OK
        self._phase = trio.CancelScope()
        self._asked_to_end = False

    async def run(self) -> int:
        args = self.args
        signals = {*_ENDING, *(HANDED_ON | {signal.SIGCHLD} if args.command else ())}
        # What is ignored stays so: nohup, or a shell's background job.
        wanted = [s for s in signals if signal.getsignal(s) is not signal.SIG_IGN]
        try:
            with trio.open_signal_receiver(*wanted) as received:
                async with trio.open_nursery() as watchers:
                    watchers.start_soon(self._signals, received)
                    if args.exit_with_parent or (args.command and signal.SIGHUP in wanted):
                        watchers.start_soon(self._parent)
                    await self._cluster()
                    watchers.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _innermost(group) from None
        finally:
            self.notifier.close()
        return self.status

    async def _cluster(self) -> None:
        args = self.args
        async with (
            trio.open_nursery() as nursery,
            open_cluster(
                data=args.data,
                fs=args.fs,
                mds=args.mds,
                pool_size=args.pool_size,
                mon_port=args.mon_port,
                settings=args.settings,
                recorder=self.recorder,
            ) as cluster,
        ):
            if args.data is None:
                self.guard.watch_folder(str(cluster.folder))
            await self._start(cluster, nursery)
            collector.tune()
            with trio.CancelScope() as self._phase:
                if not self._asked_to_end:
                    self._say_ready(cluster)
                    await self._serve(cluster)
            self.notifier.stopping("leaving")
            self.ready_file.remove()

    async def _start(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        with trio.CancelScope() as self._phase:
            if self._asked_to_end:
                return
            left = self.began + self.args.timeout - time.monotonic()
            with trio.move_on_after(max(left, 0.0)) as patience:
                await nursery.start(cluster.run)
            if patience.cancelled_caught:
                raise FatalError(
                    f"not ready within {self.args.timeout:g} s: still {cluster.step}",
                    ExitStatus.UNAVAILABLE,
                    "give it more with --timeout, or see with --verbose what it does",
                )

    def _say_ready(self, cluster: Cluster) -> None:
        if self.args.command:
            logging.getLogger(ROOT).info("the cluster is ready: %s", cluster.conf_path)
        else:
            _print(banner(cluster))
        self.ready_file.write(ready_text(cluster))
        self.notifier.ready(f"cluster {cluster.fsid} serves on {cluster.mon_addrs}")

    async def _serve(self, cluster: Cluster) -> None:
        async with trio.open_nursery() as nursery:
            if self.notifier.watchdog_interval is not None:
                nursery.start_soon(self._watchdog, self.notifier.watchdog_interval)
            if self.args.command:
                await self._run_command(cluster)
            else:
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()

    async def _watchdog(self, interval: float) -> None:
        while True:
            self.notifier.watchdog()
            await trio.sleep(interval)

    async def _run_command(self, cluster: Cluster) -> None:
        env = environment(os.environ, cluster.conf_path)
        try:
            command = self.command = Command(
                self.args.command, env, [self.guard.pid], self.guard.watch_group
            )
        except OSError as e:
            raise FatalError(
                f"cannot run {self.args.command[0]}: {e.strerror or e}", ExitStatus.NOT_FOUND
            ) from e
        try:
            self.status = await command.wait()
        finally:
            with trio.CancelScope(shield=True):  # `end_all` has deadlines of its own
                await command.end_all()
            self.guard.watch_group(0)

    # -- what makes it end ------------------------------------------------------------------

    async def _signals(self, received: AsyncIterator[int]) -> None:
        async for signum in received:
            if signum == signal.SIGCHLD:
                if self.command is not None:
                    self.command.child_changed()
            elif self.command is not None:
                self.command.hand_on(signum)
            elif signum in _ENDING:
                self._end(signum)

    async def _parent(self) -> None:
        """End with the process that started us."""
        while os.getppid() == self.parent:  # noqa: ASYNC110 -- nobody tells us
            await trio.sleep(PARENT_INTERVAL)
        logging.getLogger(ROOT).warning("the process that started this one is gone: ending")
        self._end(signal.SIGTERM)

    def _end(self, signum: int) -> None:
        """End the present phase; a command, should it run, is ended with the phase."""
        if self.args.command:
            self.status = -signum
        self._asked_to_end = True
        self._phase.cancel()


def _set_up_log(args: ClusterArgs) -> None:
    """Warnings on stderr, with --verbose more."""
    handler = logging.StreamHandler()
    formatter = _JsonLines if args.log_format == "json" else _Lines
    handler.setFormatter(formatter("cluster", ROOT))
    top = logging.getLogger(ROOT)
    top.addHandler(handler)
    top.setLevel(logging.INFO if args.verbose else logging.WARNING)
    top.propagate = False


class _Origin:
    """Which part a line is from: its logger is `mdsdaemon.mon.a.ms`, say."""

    def origin(self, record: logging.LogRecord) -> tuple[str, str]:
        """(part, subsystem)."""
        parts = record.name.split(".")
        if len(parts) < 3:
            return "cluster", ""
        return ".".join(parts[1:3]), ".".join(parts[3:]) or parts[1]


class _Lines(_Origin, LineFormatter):
    pass


class _JsonLines(_Origin, JsonFormatter):
    pass


def _crashed(error: BaseException, recorder: FlightRecorder) -> str:
    """The sentence for a bug; the flight record is the one file that we leave behind."""
    import tempfile

    logging.getLogger(ROOT).error("a bug ended the cluster", exc_info=error)
    path = os.path.join(tempfile.gettempdir(), f"mdsdaemon-crash-{os.getpid()}.flight")
    where = f"the flight record is in {path}"
    try:
        recorder.dump_file(path, f"crash: {type(error).__name__}: {error}")
    except OSError as e:
        where = f"no flight record could be written to {path}: {e.strerror}"
    return f"a bug ended the cluster: {type(error).__name__}: {error}; {where}"


def _innermost(error: BaseException) -> BaseException:
    """The first error that is no group, a FatalError before others."""
    while isinstance(error, BaseExceptionGroup):
        fatal = error.subgroup(FatalError)
        error = (fatal or error).exceptions[0]
    return error


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads it; the cluster serves all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
