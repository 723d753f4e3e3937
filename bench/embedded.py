"""The one-process cluster beside Ceph's own daemons, in the same run: objects, start, memory.

Objects go through the stock `rados bench`; the real store is a memstore OSD. The start is from the
execution of `python -m mdsdaemon` to its ready file, in turns with that of a real cluster
(monitor, manager, OSD, metadata server; default options) until all four serve.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bench.figures import OURS, REAL, Sheet
from bench.plan import Plan
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster

SIZES = {"4 KiB": 4096, "4 MiB": 4 << 20}
DEPTHS = {"4 KiB": (1, 16), "4 MiB": (1, 4)}
SECONDS = 1
"""Of each measurement."""
OPTIONS = {"osd_pool_default_pg_autoscale_mode": "off", "mon_allow_pool_delete": "true"}

LIFE, IN_MEMORY, ON_DISK = "start and end", "objects in memory", "objects kept on disk (ours)"
START = "cold exec to ready"
CPU = "processor until ready"
MEMORY = "resident when ready"
STOP = "SIGTERM to the end"


def bench_iops(cluster: RealCluster, *words: str) -> float:
    """Operations a second that `rados bench` has measured."""
    argv = ["rados", "-c", str(cluster.conf), "-p", "bench", "bench", str(SECONDS), *words]
    done = subprocess.run(argv, env=cluster.env, capture_output=True, text=True, check=True)
    total = re.search(r"Total (?:writes|reads) made:\s+(\d+)", done.stdout)
    seconds = re.search(r"Total time run:\s+([\d.]+)", done.stdout)
    assert total, done.stdout
    assert seconds, done.stdout
    return int(total[1]) / float(seconds[1])


def objects(sheet: Sheet, rounds: int, python: str) -> None:
    """Writes and reads of both sizes, in turns; also a store on disk, which the real one is not."""
    with (
        EmbeddedCluster(options=OPTIONS, python=python) as ours,
        EmbeddedCluster(data=True, options=OPTIONS, python=python) as durable,
        RealCluster(osd=True, options=OPTIONS | {"paxos_propose_interval": "0.02"}) as real,
    ):
        for _ in range(rounds):
            for size, length in SIZES.items():
                for depth in DEPTHS[size]:
                    words = (f"{size}, {depth} at a time", length, depth)
                    one_round(sheet, ours, OURS, (IN_MEMORY,), *words)
                    one_round(sheet, durable, OURS, (ON_DISK,), *words)
                    one_round(sheet, real, REAL, (IN_MEMORY, ON_DISK), *words)


def one_round(
    sheet: Sheet,
    cluster: RealCluster,
    kind: str,
    into: tuple[str, ...],
    what: str,
    length: int,
    depth: int,
) -> None:
    """Write objects of a length into a new pool, and read them; a sample for each table."""
    cluster.mon("osd pool create", pool="bench", pg_num=8)
    common = ("-t", str(depth), "--run-name", "b")
    written = bench_iops(cluster, "write", "-b", str(length), "--no-cleanup", *common)
    read = bench_iops(cluster, "seq", *common)
    for name, value in (("writes", written), ("reads", read)):
        for table in into:
            sheet.add(f"{name}, {what}", kind, value, "/s", better="higher", table=table)
    cluster.mon("osd pool rm", pool="bench", pool2="bench", yes_i_really_really_mean_it=True)


def our_life(sheet: Sheet, folder: Path, python: str) -> None:
    """From the execution to the ready file, and to the end."""
    ready = folder / "ready"
    env = {**os.environ, "TMPDIR": str(folder)}
    begun = time.monotonic()
    process = subprocess.Popen(
        [python, "-m", "mdsdaemon", "--ready-file", str(ready)],
        env=env, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(ready.exists, 60, "ready", every=0.002)
        sheet.add(START, OURS, time.monotonic() - begun, "s", table=LIFE)
        assert json.loads(ready.read_text())["pid"] == process.pid
        sheet.add(CPU, OURS, sum(map(cpu_seconds, family(process.pid))), "s", table=LIFE)
        memory = sum(map(resident, family(process.pid))) / (1 << 20)
        sheet.add(MEMORY, OURS, memory, "MiB", table=LIFE)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        sheet.add(STOP, OURS, time.monotonic() - begun, "s", table=LIFE)
    finally:
        process.kill()
        process.wait()


def real_life(sheet: Sheet) -> None:
    """A monitor, a manager, an OSD, a metadata server, until all of them serve."""
    begun = time.monotonic()
    with RealCluster(osd=True, mgr=True) as cluster:
        cluster.start_real_mds("real").wait_standby(30)
        wait_for(lambda: cluster.mon("mgr stat")["available"], 60, "the manager serves", every=0.05)
        sheet.add(START, REAL, time.monotonic() - begun, "s", table=LIFE)
        daemons = [*cluster.daemons.values(), *cluster.mdss]
        sheet.add(CPU, REAL, sum(cpu_seconds(d.pid) for d in daemons), "s", table=LIFE)
        memory = sum(d.resident() for d in daemons) / (1 << 20)
        sheet.add(MEMORY, REAL, memory, "MiB", table=LIFE)


def measure(sheet: Sheet, plan: Plan) -> None:
    """Lives of either in turns; then objects, in a full run."""
    for _ in range(plan.pick(plan.rounds, 1)):
        with tempfile.TemporaryDirectory(prefix="mdsdaemon-bench-") as folder:
            our_life(sheet, Path(folder), plan.python)
        real_life(sheet)
    if not plan.quick:
        objects(sheet, min(plan.rounds, 2), plan.python)


def family(pid: int) -> list[int]:
    """The process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """User and system time of the process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Proportional resident memory in bytes: pages that a fork shares count once."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) << 10 if found else 0
