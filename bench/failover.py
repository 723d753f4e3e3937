"""Failover and memory of ceph-mds and of mdsdaemon, in turns, on one real cluster.

In each life a daemon gets a file system, a client fills it, and the daemon is failed and takes its
rank again: once with all of it in the journal (a replay), once after the journal was flushed; then
the tree is listed, which tells what a cached inode takes.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass, field

from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for

OPTIONS = {
    "paxos_propose_interval": "0.02",
    "mds_log_max_segments": "1000",  # nothing is trimmed before the failure
    "mds_reconnect_timeout": "3",
}

FILL = """
import cephfs, sys
conf, files = sys.argv[1], int(sys.argv[2])
fs = cephfs.LibCephFS(conffile=conf)
fs.mount(filesystem_name=b"cephfs")
for n in range(files):
    if n % 1000 == 0:
        fs.mkdir(f"/d{n // 1000}", 0o755)
    fs.close(fs.open(f"/d{n // 1000}/f{n}", "w", 0o644))
fs.sync_fs()
fs.unmount()
"""

LIST = """
import cephfs, sys
fs = cephfs.LibCephFS(conffile=sys.argv[1])
fs.mount(filesystem_name=b"cephfs")
for n in range(-(-int(sys.argv[2]) // 1000)):
    handle = fs.opendir(f"/d{n}")
    while fs.readdir(handle):
        pass
    fs.closedir(handle)
fs.unmount()
"""

ACTIVE = "mds fail to up:active, journal full, s"
EVENTS = "replayed, events/s (failed to active as a whole)"
BARE = "mds fail to up:active, journal flushed, s"
INODE = "resident per cached inode, bytes"
QUANTITIES = (ACTIVE, EVENTS, BARE, INODE)


@dataclass
class Figures:
    """All samples of one daemon, by quantity."""

    kind: str
    samples: dict[str, list[float]] = field(default_factory=lambda: {q: [] for q in QUANTITIES})


def _client(cluster: RealCluster, program: str, files: int) -> None:
    argv = [SYSTEM_PYTHON, "-c", program, str(cluster.conf), str(files)]
    subprocess.run(argv, check=True, env=cluster.env, timeout=600)


def _fail(cluster: RealCluster, mds: Mds) -> float:
    """Seconds from `mds fail` until a daemon of another gid is active."""
    gid = mds.gid()
    begun = time.monotonic()
    cluster.mon("mds fail", role_or_gid=str(gid))
    mds.wait_state("up:active", 120, not_gid=gid)
    return time.monotonic() - begun


def one_life(cluster: RealCluster, figures: Figures, files: int) -> None:
    """Fill, fail with a full journal, flush, fail, list."""
    mds = cluster.start_mds(figures.kind, "a")
    mds.wait_standby(20)
    cluster.new_fs()
    mds.wait_state("up:active", 30)
    _client(cluster, FILL, files)
    wait_for(lambda: not mds.asok("session ls"), 60, "the client's session is closed")
    seconds = _fail(cluster, mds)
    events = mds.asok("perf dump")["mds_log"]["replayed"]
    figures.samples[ACTIVE].append(seconds)
    figures.samples[EVENTS].append(events / seconds)
    mds.asok("flush journal")
    figures.samples[BARE].append(_fail(cluster, mds))
    before = mds.resident()
    _client(cluster, LIST, files)
    figures.samples[INODE].append((mds.resident() - before) / files)
    cluster.reset()


def measure(rounds: int, files: int = 20_000) -> list[Figures]:
    """`rounds` lives of each daemon, in turns, each with as many files."""
    figures = [Figures("ours"), Figures("real")]
    with RealCluster(osd=True, options=OPTIONS) as cluster:
        for _ in range(rounds):
            for each in figures:
                one_life(cluster, each, files)
    return figures


def table(figures: list[Figures]) -> str:
    """Medians; the last column is ours divided by ceph-mds's."""
    lines = [f"{'median':52}{'mdsdaemon':>12}{'ceph-mds':>12}{'ratio':>8}"]
    for quantity in QUANTITIES:
        ours, real = (statistics.median(f.samples[quantity]) for f in figures)
        lines.append(f"{quantity:52}{ours:12.2f}{real:12.2f}{ours / real:8.2f}")
    return "\n".join(lines)


def as_json(figures: list[Figures]) -> dict[str, object]:
    return {quantity: {f.kind: f.samples[quantity] for f in figures} for quantity in QUANTITIES}
