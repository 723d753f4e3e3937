"""The one-process cluster beside Ceph's own daemons, in the same run: objects, start, memory.

Objects go through the stock `rados bench`; the real store is a memstore OSD. The start is from the
execution of `python -m mdsdaemon` to its ready file, in turns with that of a real cluster
(monitor, manager, OSD, metadata server; default options) until all four serve.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster

SIZES = {"4 KiB": 4096, "4 MiB": 4 << 20}
DEPTHS = {"4 KiB": (1, 16), "4 MiB": (1, 4)}
SECONDS = 2
OPTIONS = {"osd_pool_default_pg_autoscale_mode": "off", "mon_allow_pool_delete": "true"}

START = "cold exec to ready, s"
CPU = "CPU time until ready, s"
MEMORY = "resident when ready, MiB"
STOP = "SIGTERM to the end, s"


@dataclass
class Sheet:
    """Samples by quantity, of ours and of the real cluster."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, quantity: str, kind: str, value: float) -> None:
        kinds = self.samples.setdefault(quantity, {})
        kinds.setdefault(kind, []).append(value)

    def medians(self) -> Iterator[tuple[str, dict[str, float]]]:
        for quantity, kinds in self.samples.items():
            yield quantity, {kind: statistics.median(values) for kind, values in kinds.items()}


def bench_iops(cluster: RealCluster, *words: str) -> float:
    """Operations a second that `rados bench` has measured."""
    argv = ["rados", "-c", str(cluster.conf), "-p", "bench", "bench", str(SECONDS), *words]
    done = subprocess.run(argv, env=cluster.env, capture_output=True, text=True, check=True)
    total = re.search(r"Total (?:writes|reads) made:\s+(\d+)", done.stdout)
    seconds = re.search(r"Total time run:\s+([\d.]+)", done.stdout)
    assert total, done.stdout
    assert seconds, done.stdout
    return int(total[1]) / float(seconds[1])


def objects(rounds: int) -> Sheet:
    """Writes and reads of both sizes, in turns; also a store on disk, which the real one is not."""
    sheet = Sheet()
    with (
        EmbeddedCluster(options=OPTIONS) as ours,
        EmbeddedCluster(data=True, options=OPTIONS) as durable,
        RealCluster(osd=True, options=OPTIONS | {"paxos_propose_interval": "0.02"}) as real,
    ):
        clusters = {"mdsdaemon": ours, "with --data": durable, "memstore OSD": real}
        for _ in range(rounds):
            for size, length in SIZES.items():
                for depth in DEPTHS[size]:
                    for kind, cluster in clusters.items():
                        _one_round(sheet, cluster, kind, size, length, depth)
    return sheet


def _one_round(
    sheet: Sheet, cluster: RealCluster, kind: str, size: str, length: int, depth: int
) -> None:
    cluster.mon("osd pool create", pool="bench", pg_num=8)
    common = ("-t", str(depth), "--run-name", "b")
    written = bench_iops(cluster, "write", "-b", str(length), "--no-cleanup", *common)
    sheet.add(f"{size} writes/s, {depth} at a time", kind, written)
    sheet.add(f"{size} reads/s, {depth} at a time", kind, bench_iops(cluster, "seq", *common))
    cluster.mon("osd pool rm", pool="bench", pool2="bench", yes_i_really_really_mean_it=True)


def starts(rounds: int, real_rounds: int | None = None) -> Sheet:
    """Lives of either, in turns; of the real one fewer, if so told."""
    sheet = Sheet()
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="mdsdaemon-bench-") as folder:
            _our_life(sheet, Path(folder))
        if number < (rounds if real_rounds is None else real_rounds):
            _real_life(sheet)
    return sheet


def _our_life(sheet: Sheet, folder: Path) -> None:
    ready = folder / "ready"
    env = {**os.environ, "TMPDIR": str(folder)}
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "mdsdaemon", "--ready-file", str(ready)],
        env=env, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(ready.exists, 60, "ready", every=0.002)
        sheet.add(START, "mdsdaemon", time.monotonic() - begun)
        assert json.loads(ready.read_text())["pid"] == process.pid
        sheet.add(CPU, "mdsdaemon", sum(map(_cpu_seconds, family(process.pid))))
        sheet.add(MEMORY, "mdsdaemon", sum(map(_resident, family(process.pid))) / (1 << 20))
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        sheet.add(STOP, "mdsdaemon", time.monotonic() - begun)
    finally:
        process.kill()
        process.wait()


def _real_life(sheet: Sheet) -> None:
    begun = time.monotonic()
    with _real() as cluster:
        cluster.start_real_mds("real").wait_standby(30)
        wait_for(lambda: cluster.mon("mgr stat")["available"], 60, "the manager serves", every=0.05)
        sheet.add(START, "mon+mgr+OSD+MDS", time.monotonic() - begun)
        daemons = [*cluster.daemons.values(), *cluster.mdss]
        sheet.add(CPU, "mon+mgr+OSD+MDS", sum(_cpu_seconds(d.pid) for d in daemons))
        sheet.add(MEMORY, "mon+mgr+OSD+MDS", sum(d.resident() for d in daemons) / (1 << 20))


@contextmanager
def _real() -> Iterator[RealCluster]:
    with RealCluster(osd=True, mgr=True) as cluster:
        yield cluster


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def _cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    """Proportional resident memory in bytes: pages that a fork shares count once."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def table(sheet: Sheet) -> str:
    """Medians in columns; the last ones are ours divided by the real one's."""
    kinds = list(dict.fromkeys(kind for each in sheet.samples.values() for kind in each))
    real = kinds[-1]
    head = f"{'median':36}" + "".join(f"{kind:>17}" for kind in kinds)
    lines = [head + "".join(f"{'ratio':>9}" for _ in kinds[:-1])]
    for quantity, medians in sheet.medians():
        cells = "".join(f"{medians.get(kind, float('nan')):17.2f}" for kind in kinds)
        ratios = "".join(
            f"{medians[kind] / medians[real]:9.3f}"
            for kind in kinds[:-1]
            if kind in medians and real in medians
        )
        lines.append(f"{quantity:36}{cells}{ratios}")
    return "\n".join(lines)


def as_json(*sheets: Sheet) -> dict[str, object]:
    """All samples."""
    return {quantity: kinds for sheet in sheets for quantity, kinds in sheet.samples.items()}
