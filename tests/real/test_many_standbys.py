"""Two hundred standbys in one process, for a minute, at the monitor's and the daemons' defaults."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for

COUNT, SECONDS = 200, 60
MIB = 1 << 20


class Crowd:
    """The process that holds the standbys."""

    def __init__(self, cluster: RealCluster, names: list[str]) -> None:
        self.stderr = cluster.root / "log" / "crowd.err"
        program = Path(__file__).with_name("many_standbys.py")
        with self.stderr.open("wb") as errors:
            self.proc = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *(sys.executable, str(program), str(cluster.conf), *names),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=cluster.env,
                text=True,
            )

    def phase(self, name: str) -> dict[str, Any]:
        """Its next line, which must be of that phase."""
        assert self.proc.stdout is not None
        line = self.proc.stdout.readline()
        assert line, f"the process ended before {name!r}:\n{self.stderr.read_text()}"
        told: dict[str, Any] = json.loads(line)
        assert told["phase"] == name
        return told

    def end(self) -> dict[str, Any]:
        assert self.proc.stdin is not None
        self.proc.stdin.close()
        told = self.phase("end")
        assert self.proc.wait(30) == 0, self.stderr.read_text()
        return told


@contextmanager
def crowd(cluster: RealCluster, names: list[str]) -> Iterator[Crowd]:
    made = Crowd(cluster, names)
    try:
        yield made
    finally:
        made.proc.kill()
        made.proc.wait()
        for pipe in (made.proc.stdin, made.proc.stdout):
            assert pipe is not None
            pipe.close()


def test_two_hundred_standbys_for_a_minute(
    new_cluster: Callable[[RealCluster], RealCluster],
    record_property: Callable[[str, object], None],
) -> None:
    # A monitor is patient with daemons in its first minute; that would hide beacons missed.
    cluster = new_cluster(RealCluster(options={"mds_beacon_mon_down_grace": "0"}))
    names = [f"s{n}" for n in range(COUNT)]
    with crowd(cluster, names) as process:
        first = process.phase("first")
        joined = process.phase("all")
        gids = joined["gids"]
        assert sorted(gids) == sorted(names)
        wait_for(lambda: len(cluster.mds_infos()) == COUNT, 10, "all are in the map")
        end = time.monotonic() + SECONDS

        def over() -> bool:
            infos = cluster.mds_infos()
            assert {info["name"]: info["gid"] for info in infos} == gids
            assert {info["state"] for info in infos} == {"up:standby"}
            assert not [info["name"] for info in infos if "laggy_since" in info]
            return time.monotonic() > end

        wait_for(over, SECONDS + 30, "the minute is over", every=0.5)
        last = process.end()
    assert last["gids"] == gids
    assert last["lives"] == COUNT
    each = (last["resident"] - first["resident"]) / (COUNT - 1)
    share = (last["cpu"] - joined["cpu"]) / (last["seconds"] - joined["seconds"])
    figures = {
        "standbys": COUNT,
        "seconds to join": round(joined["seconds"] - first["seconds"], 2),
        "MiB with one": round(first["resident"] / MIB, 1),
        "KiB for each more": round(each / 1024),
        "CPU share of one core": f"{share:.1%}",
    }
    record_property("figures", ", ".join(f"{what} {value}" for what, value in figures.items()))
    assert each <= MIB
