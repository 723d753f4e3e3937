"""The `cpu_profiler` command: a sampling profile of the thread that runs the daemon.

A thread of its own looks a hundred times per second at what the daemon's thread is doing, and how
much processor time that has used meanwhile, which is what the stack gets credited with: so waiting
costs nothing in the profile, as with gperftools, which ceph-mds uses. `status` starts the sampling
and tells how far it is, `flush` writes it and stops. It stops by itself after ten minutes.

The file has one line per stack, `outer;…;inner MICROSECONDS`: flamegraph.pl and speedscope read it.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType

INTERVAL = 0.01
LIMIT = 600.0
MAX_DEPTH = 96
MAX_STACKS = 20_000
_SHOWN = 15

Stack = tuple[CodeType, ...]


class Sampler:
    """Samples one thread from another.

    Args:
        thread: ident of the thread to look at.
        interval, limit: seconds between samples, and of the whole.
    """

    def __init__(self, thread: int, interval: float = INTERVAL, limit: float = LIMIT) -> None:
        self._target = thread
        self._interval = interval
        self._limit = limit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu_profiler", daemon=True)
        self.stacks: dict[Stack, int] = {}
        """Stack, outermost first → nanoseconds of processor time."""
        self.samples = 0
        self.lost_ns = 0
        """Processor time of stacks that were too many to keep."""

    @property
    def running(self) -> bool:
        """It is still sampling."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End the sampling; returns when the thread is gone, after one interval at most."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        clock = _cpu_clock(self._target)
        end = time.monotonic() + self._limit
        used = clock()
        while not self._stop.wait(self._interval) and time.monotonic() < end:
            frame = sys._current_frames().get(self._target)
            if frame is None:
                return
            stack = stack_of(frame)
            del frame
            now = clock()
            self._count(stack, now - used)
            used = now

    def _count(self, stack: Stack, ns: int) -> None:
        self.samples += 1
        if stack in self.stacks or len(self.stacks) < MAX_STACKS:
            self.stacks[stack] = self.stacks.get(stack, 0) + ns
        else:
            self.lost_ns += ns


def stack_of(frame: FrameType | None) -> Stack:
    """The code objects from the outermost to `frame`, at most the MAX_DEPTH innermost."""
    codes: list[CodeType] = []
    while frame is not None and len(codes) < MAX_DEPTH:
        codes.append(frame.f_code)
        frame = frame.f_back
    return tuple(reversed(codes))


def _cpu_clock(thread: int) -> Callable[[], int]:
    """Processor time of a thread in nanoseconds."""
    clock = time.pthread_getcpuclockid(thread)

    def read() -> int:
        try:
            return time.clock_gettime_ns(clock)
        except OSError:
            return 0  # the thread has ended

    return read


def code_name(code: CodeType) -> str:
    """`module.py:qualified.name`, without what would break the file's format."""
    name = f"{os.path.basename(code.co_filename)}:{code.co_qualname}"
    return name.replace(";", ",").replace(" ", "_")


class CpuProfiler:
    """Serves `cpu_profiler` for one daemon. To be made in the thread that runs it.

    Args:
        path: where the profile goes.
        wall: seconds since the epoch, for the status.
    """

    def __init__(self, path: str, wall: Callable[[], float]) -> None:
        self._path = path
        self._wall = wall
        self._thread = threading.get_ident()
        self._sampler: Sampler | None = None
        self._started = 0.0

    def command(self, arg: str) -> tuple[int, str]:
        """Run `status` or `flush`.

        Returns:
            0 or a negative errno, and the text.
        """
        match arg:
            case "status":
                return 0, self._status()
            case "flush":
                return self._flush()
        return -errno.EINVAL, (
            f"cpu_profiler: unrecognized command {arg}; expected one of status, flush."
        )

    def close(self) -> None:
        """End the sampling and forget it."""
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None

    def _status(self) -> str:
        if self._sampler is None:
            self._sampler = Sampler(self._thread)
            self._started = self._wall()
            self._sampler.start()
        state = "enabled" if self._sampler.running else "not enabled"
        return (
            f"cpu_profiler {state} start_time {self._started:.0f} profile_name {self._path} "
            f"samples {self._sampler.samples}"
        )

    def _flush(self) -> tuple[int, str]:
        sampler = self._sampler
        if sampler is None:
            return 0, "cpu_profiler: nothing to flush; `cpu_profiler status` starts it"
        self.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            with open(os.open(self._path, flags, 0o600), "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in folded(sampler.stacks))
        except OSError as e:
            return -(e.errno or errno.EIO), f"cannot write {self._path}: {e.strerror or e}"
        total = sum(sampler.stacks.values()) + sampler.lost_ns
        text = (
            f"cpu_profiler: flushed {sampler.samples} samples, {total / 1e9:.3f} s of processor "
            f"time, to {self._path}\n"
        )
        return 0, text + "".join(f"{line}\n" for line in top(sampler.stacks, total))


def folded(stacks: dict[Stack, int]) -> list[str]:
    """`outer;…;inner MICROSECONDS` for each stack that used any time."""
    lines: dict[str, int] = {}
    for stack, ns in stacks.items():
        if ns >= 1000:
            name = ";".join(map(code_name, stack))
            lines[name] = lines.get(name, 0) + ns // 1000
    return [f"{name} {us}" for name, us in sorted(lines.items())]


def top(stacks: dict[Stack, int], total: int) -> list[str]:
    """The functions that used most time themselves: share, milliseconds, name."""
    own: dict[CodeType, int] = {}
    for stack, ns in stacks.items():
        if stack:
            own[stack[-1]] = own.get(stack[-1], 0) + ns
    ranked = sorted(own.items(), key=lambda item: -item[1])[:_SHOWN]
    return [
        f"{ns / max(total, 1):7.1%} {ns / 1e6:10.1f} ms  {code_name(code)}" for code, ns in ranked
    ]
