"""The `heap` command: memory of the process, and a profile of who allocated it.

ceph-mds asks tcmalloc. Python has tracemalloc: `start_profiler` turns it on (the daemon is slower
and larger while it runs), `dump` writes where the live memory was allocated, `stop_profiler` ends
it. `stats` needs neither, `release` collects garbage and hands free pages back. The figures are
those of the process: daemons that share one see the same.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import tracemalloc

_FRAMES = 12
_TOP = 200
_SHOWN = 10


def process_figures() -> dict[str, int]:
    """Bytes of memory by /proc's names: VmRSS, VmHWM, VmSize, RssAnon, RssFile, VmData, …

    Empty where there is no /proc.
    """
    figures: dict[str, int] = {}
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return figures
    for line in lines:
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdecimal():
            figures[name] = int(words[0]) * 1024
    return figures


class HeapProfiler:
    """Serves `heap` for one daemon.

    Args:
        name: the daemon's, for the texts.
        prefix: path that the profiles' names begin with; `.0001.heap` and so on follow.
    """

    def __init__(self, name: str, prefix: str) -> None:
        self._name = name
        self._prefix = prefix
        self._dumps = 0
        self._started_here = False

    def command(self, heapcmd: str, value: str | None = None) -> tuple[int, str]:
        """Run one of Ceph's `heap` commands.

        Returns:
            0 or a negative errno, and the text.
        """
        match heapcmd:
            case "stats":
                return 0, f"{self._name} heap stats:\n{self.stats()}"
            case "start_profiler":
                return 0, self._start()
            case "stop_profiler":
                return 0, self._stop()
            case "dump":
                return self._dump()
            case "release":
                return 0, self._release()
            case "get_release_rate" | "set_release_rate":
                return -errno.EOPNOTSUPP, (
                    "Python's allocator has no release rate; `heap release` hands free memory back"
                )
        return -errno.EINVAL, f"unknown command {heapcmd}"

    def close(self) -> None:
        """End a profile that was started here."""
        if self._started_here:
            self._stop()

    def stats(self) -> str:
        """The figures, one per line."""
        figures = process_figures()
        generations = gc.get_stats()
        rows = [
            ("resident", figures.get("VmRSS")),
            ("resident, most ever", figures.get("VmHWM")),
            ("resident, without files", figures.get("RssAnon")),
            ("address space", figures.get("VmSize")),
        ]
        lines = [f"  {label}: {_mib(value)}" for label, value in rows if value is not None]
        lines.append(f"  blocks allocated by Python: {sys.getallocatedblocks()}")
        lines.append(f"  objects tracked for cycles: {sum(gc.get_count())} young")
        lines.append(
            "  garbage collections: "
            + ", ".join(f"{g['collections']} of generation {i}" for i, g in enumerate(generations))
        )
        if tracemalloc.is_tracing():
            current, peak = tracemalloc.get_traced_memory()
            lines.append(f"  traced since start_profiler: {_mib(current)}, at most {_mib(peak)}")
            lines.append(f"  memory of the profiler: {_mib(tracemalloc.get_tracemalloc_memory())}")
        else:
            lines.append("  profiler: not running")
        return "\n".join(lines) + "\n"

    def _start(self) -> str:
        if not tracemalloc.is_tracing():
            tracemalloc.start(_FRAMES)
            self._started_here = True
        return f"{self._name} started profiler"

    def _stop(self) -> str:
        if tracemalloc.is_tracing() and not self._started_here:
            return f"{self._name} did not start the profiler; it goes on"
        tracemalloc.stop()
        self._started_here = False
        return f"{self._name} stopped profiler"

    def _dump(self) -> tuple[int, str]:
        if not tracemalloc.is_tracing():
            return 0, "heap profiler not running; can't dump"
        snapshot = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(False, tracemalloc.__file__)]
        )
        stats = self.stats()
        places = snapshot.statistics("traceback")
        self._dumps += 1
        path = f"{self._prefix}.{self._dumps:04}.heap"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(stats)
                for place in places[:_TOP]:
                    file.write(f"\n{place.size} bytes in {place.count} blocks\n")
                    file.writelines(f"{line}\n" for line in place.traceback.format())
        except OSError as e:
            return -(e.errno or errno.EIO), f"cannot write {path}: {e.strerror or e}"
        text = f"{self._name} dumping heap profile now.\n{stats}  profile: {path}\n"
        for line in snapshot.statistics("lineno")[:_SHOWN]:
            frame = line.traceback[0]
            place_ = f"{os.path.basename(frame.filename)}:{frame.lineno}"
            text += f"  {line.size:>10} bytes  {line.count:>7} blocks  {place_}\n"
        return 0, text

    def _release(self) -> str:
        before = process_figures().get("VmRSS", 0)
        found = gc.collect()
        _malloc_trim()
        after = process_figures().get("VmRSS", 0)
        return (
            f"{self._name} releasing free RAM back to system: {_mib(max(before - after, 0))} less, "
            f"{found} objects were garbage."
        )


def _malloc_trim() -> None:
    """Let glibc hand free pages back; other C libraries have nothing of the kind."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
