"""This daemon beside ceph-mds: the same cluster, the same minute, one after the other in turns."""

import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.real.cluster import Mds, RealCluster

# The monitor gathers map changes for up to a second by default; here it does not, so that the times
# are those of the daemons.
OPTIONS = {"paxos_propose_interval": "0.02", "mds_beacon_interval": "4"}

QUANTITIES: dict[str, str] = {
    "start": "exec to up:standby in the map, s",
    "memory": "resident as standby, MiB",
    "cpu": "CPU as standby, % of one core",
    "tell": "tell status over an open connection, ms",
    "socket": "status by admin socket, ms",
    "tool": "`ceph tell mds.x status` as a whole, s",
    "stop": "SIGTERM to exit, s",
}


@dataclass
class Figures:
    """All samples of one daemon, by quantity."""

    kind: str
    samples: dict[str, list[float]] = field(default_factory=lambda: {q: [] for q in QUANTITIES})

    def median(self, quantity: str) -> float:
        return statistics.median(self.samples[quantity])


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def one_life(cluster: RealCluster, figures: Figures, idle: float) -> None:
    """Start a daemon, look at it as a standby for ``idle`` seconds, end it."""
    mds: Mds = cluster.start_mds(figures.kind, "a")
    mds.wait_standby(20)
    samples = figures.samples
    samples["start"].append(time.monotonic() - mds.started)

    def status() -> None:
        assert cluster.tell("a", "status").r == 0

    status()  # the first one connects
    samples["tell"] += [1000 * timed(status) for _ in range(30)]
    samples["socket"] += [1000 * timed(lambda: mds.asok("status")) for _ in range(30)]
    samples["tool"].append(timed(lambda: cluster.ceph("tell", "mds.a", "status")))
    before, begun = mds.cpu_seconds(), time.monotonic()
    time.sleep(idle)
    samples["cpu"].append(100 * (mds.cpu_seconds() - before) / (time.monotonic() - begun))
    samples["memory"].append(mds.resident() / (1 << 20))
    mds.signal(signal.SIGTERM)
    status_code, seconds = mds.wait_gone(20)
    assert status_code == 0, f"{mds.label} exited with {status_code}"
    samples["stop"].append(seconds)
    cluster.reset()


def measure(rounds: int, idle: float, kinds: tuple[str, ...] = ("ours", "real")) -> list[Figures]:
    """``rounds`` lives of each daemon in turns: A B A B."""
    figures = [Figures(kind) for kind in kinds]
    with RealCluster(options=OPTIONS) as cluster:
        for _ in range(rounds):
            for each in figures:
                one_life(cluster, each, idle)
    return figures


def table(figures: list[Figures]) -> str:
    """Medians in columns; the last one is ours divided by ceph-mds's."""
    names = {"ours": "mdsdaemon", "real": "ceph-mds"}
    head = [f"{'median':44}", *(f"{names[f.kind]:>12}" for f in figures)]
    lines = ["".join([*head, f"{'ratio':>8}"])]
    for quantity, title in QUANTITIES.items():
        medians = [f.median(quantity) for f in figures]
        ratio = f"{medians[0] / medians[1]:8.2f}" if len(medians) > 1 and medians[1] else ""
        lines.append(f"{title:44}" + "".join(f"{m:12.3f}" for m in medians) + ratio)
    return "\n".join(lines)


def as_json(figures: list[Figures]) -> dict[str, object]:
    return {
        quantity: {
            f.kind: {"median": f.median(quantity), "samples": f.samples[quantity]} for f in figures
        }
        for quantity in QUANTITIES
    }
