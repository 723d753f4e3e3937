"""On what the figures were taken, and a loop that says how fast its Python is."""

from __future__ import annotations

import json
import os
import platform
import struct
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_PASSES = 2000


class _Thing:
    __slots__ = ("name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number

    def less(self, by: int) -> int:
        return self.number - by


def _loop(passes: int) -> int:
    """Calls, attributes, dictionaries, bytes: what a daemon in Python spends its time on."""
    pack, held, total = struct.Struct("<IQ").pack, dict[str, _Thing](), 0
    for n in range(passes):
        name = f"name{n & 127}"
        thing = held.get(name)
        if thing is None:
            thing = held[name] = _Thing(name, n)
        total += thing.less(n & 7) + len(pack(n, total & 0xFFFF)[4:])
    return total


def pass_seconds() -> float:
    """Processor seconds of one pass of the loop, now: the best of five of about a millisecond."""
    best = float("inf")
    for _ in range(5):
        begun = time.thread_time()
        _loop(_PASSES)
        best = min(best, time.thread_time() - begun)
    return best / _PASSES


def optimized() -> str:
    """Whether this interpreter was built with optimizations (PGO, LTO), as far as it tells.

    Debian builds with both, by other means than the arguments that are kept.
    """
    asked = sysconfig.get_config_var("CONFIG_ARGS") or ""
    if "--enable-optimizations" in asked:
        return "with optimizations"
    if "-dbmliborder" in asked and sysconfig.get_config_var("prefix") == "/usr":
        return "a distribution's build, with optimizations"
    return "built without optimizations"


def interpreter() -> dict[str, Any]:
    """Of the process that asks."""
    return {
        "python": platform.python_version(),
        "built": optimized(),
        "loop_ns": round(1e9 * min(pass_seconds() for _ in range(5)), 1),
    }


def environment(python: str) -> dict[str, Any]:
    """The interpreter `python`, the machine and what it was doing, Ceph's release, the day."""
    ask = "import json, bench.machine; print(json.dumps(bench.machine.interpreter()))"
    told: dict[str, Any] = json.loads(run_python(python, "-c", ask))
    return told | {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "ceph": _ceph(),
        "load": round(os.getloadavg()[0], 1),
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def run_python(python: str, *arguments: str) -> str:
    """What a program prints that `python` runs where it finds this folder and the tests."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    argv, env = [python, *arguments], {**os.environ, "PYTHONPATH": path}
    return subprocess.run(argv, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout


def _ceph() -> str:
    try:
        done = subprocess.run(["ceph-mds", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return done.stdout.split("(")[0].strip()
