"""heap and cpu_profiler: real figures of this process, and of what it does."""

import errno
import math
import re
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from mdsdaemon.daemon.cpu_profiler import MAX_DEPTH, CpuProfiler, Sampler, folded, stack_of
from mdsdaemon.daemon.heap import HeapProfiler, process_figures


def spend(seconds: float) -> float:
    """Use processor time."""
    end, x = time.thread_time() + seconds, 0.0
    while time.thread_time() < end:
        x += math.sqrt(x + 1)
    return x


def test_figures_of_the_process() -> None:
    figures = process_figures()
    assert 1 << 20 < figures["VmRSS"] <= figures["VmHWM"] < 1 << 40


def test_heap_profile(tmp_path: Path) -> None:
    heap = HeapProfiler("mds.a", str(tmp_path / "mds.a"))
    r, text = heap.command("stats")
    assert (r, "resident: " in text, "profiler: not running" in text) == (0, True, True)
    assert heap.command("dump") == (0, "heap profiler not running; can't dump")
    assert heap.command("start_profiler") == (0, "mds.a started profiler")
    kept = [bytes(1000) for _ in range(3000)]
    r, text = heap.command("dump")
    assert r == 0
    assert "test_daemon_profilers.py" in text
    profile = (tmp_path / "mds.a.0001.heap").read_text()
    assert re.search(r"\n[0-9]{7} bytes in 30\d\d blocks\n", profile)
    assert (tmp_path / "mds.a.0001.heap").stat().st_mode & 0o777 == 0o600
    assert heap.command("stop_profiler") == (0, "mds.a stopped profiler")
    assert not tracemalloc.is_tracing()
    del kept
    r, text = heap.command("release")
    assert r == 0
    assert "releasing free RAM back to system" in text


def test_heap_commands_that_fail(tmp_path: Path) -> None:
    heap = HeapProfiler("mds.a", "/nonexistent/mds.a")
    for command in ("get_release_rate", "set_release_rate"):
        assert heap.command(command, "5")[0] == -errno.EOPNOTSUPP
    assert heap.command("nonsense") == (-errno.EINVAL, "unknown command nonsense")
    heap.command("start_profiler")
    r, text = heap.command("dump")
    assert (r, "cannot write /nonexistent/mds.a.0001.heap" in text) == (-errno.ENOENT, True)
    heap.close()
    assert not tracemalloc.is_tracing()


def test_a_profile_that_somebody_else_started_goes_on() -> None:
    tracemalloc.start()
    try:
        heap = HeapProfiler("mds.a", "x")
        heap.command("start_profiler")
        assert "did not start" in heap.command("stop_profiler")[1]
        heap.close()
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_cpu_profile(tmp_path: Path) -> None:
    path = tmp_path / "mds.a.cpu"
    profiler = CpuProfiler(str(path), lambda: 1_700_000_000.0)
    assert "nothing to flush" in profiler.command("flush")[1]
    r, text = profiler.command("status")
    assert r == 0
    assert text.startswith(
        f"cpu_profiler enabled start_time 1700000000 profile_name {path} samples"
    )
    spend(0.3)
    time.sleep(0.05)
    r, text = profiler.command("flush")
    assert r == 0
    used = re.search(r"flushed \d+ samples, ([0-9.]+) s of processor time", text)
    assert used is not None
    assert 0.2 < float(used[1]) < 1.5
    assert ":spend\n" in text
    stacks = path.read_text().splitlines()
    times = [int(line.rpartition(" ")[2]) for line in stacks if ":spend " in line]
    assert sum(times) > 150_000
    assert "nothing to flush" in profiler.command("flush")[1]
    assert profiler.command("x")[0] == -errno.EINVAL


def test_waiting_costs_nothing_in_the_profile() -> None:
    sampler = Sampler(threading.get_ident(), interval=0.002)
    sampler.start()
    time.sleep(0.2)
    sampler.stop()
    assert sampler.samples > 5
    assert sum(sampler.stacks.values()) < 100_000_000


def test_it_ends_by_itself_and_with_its_owner() -> None:
    sampler = Sampler(threading.get_ident(), interval=0.001, limit=0.01)
    sampler.start()
    sampler._thread.join(10)
    assert not sampler.running
    profiler = CpuProfiler("/nonexistent/x", time.time)
    profiler.command("status")
    assert profiler.command("flush")[0] == -errno.ENOENT
    profiler.command("status")
    profiler.close()
    assert "cpu_profiler" not in [thread.name for thread in threading.enumerate()]


def test_of_a_thread_that_is_gone() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    ident = thread.ident
    assert ident is not None
    ready = threading.Event()
    other = threading.Thread(target=ready.wait)
    other.start()
    assert other.ident is not None
    sampler = Sampler(other.ident, interval=0.001)
    sampler.start()
    ready.set()
    other.join()
    sampler._thread.join(10)
    assert not sampler.running


def test_stacks_are_bounded() -> None:
    def deep(n: int) -> int:
        import sys

        return deep(n - 1) if n else len(stack_of(sys._getframe()))

    assert deep(MAX_DEPTH + 50) == MAX_DEPTH
    code = test_stacks_are_bounded.__code__
    assert folded({(code,): 5000, (code, code): 10}) == [
        "test_daemon_profilers.py:test_stacks_are_bounded 5"
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_profiles_are_numbered(tmp_path: Path, count: int) -> None:
    heap = HeapProfiler("mds.a", str(tmp_path / "p"))
    heap.command("start_profiler")
    for _ in range(count):
        heap.command("dump")
    heap.close()
    assert len(list(tmp_path.iterdir())) == count
