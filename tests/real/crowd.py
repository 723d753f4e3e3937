"""Many standbys in a process of their own, watched for a minute at the monitor's defaults."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for

# A monitor is patient with daemons in its first minute; that would hide beacons missed.
IMPATIENT = {"mds_beacon_mon_down_grace": "0"}
KEY = "a"
"""Whose key all of them use; they are called otherwise in the map."""
JOINING = 0.3
"""Seconds for each, of which the monitor needs most: it tells all of every one."""


class Crowd:
    """The process that holds the standbys; see many_standbys.py."""

    def __init__(self, cluster: RealCluster, names: list[str]) -> None:
        self.stderr = cluster.root / "log" / "crowd.err"
        program = Path(__file__).with_name("many_standbys.py")
        argv = [cluster.python, str(program), str(_conf(cluster)), *names]
        with self.stderr.open("wb") as errors:
            self.proc = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
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
        assert line, f"the process ended before {name!r}:\n{self.stderr.read_text()[-4000:]}"
        told: dict[str, Any] = json.loads(line)
        assert told["phase"] == name
        return told

    def end(self, seconds: float) -> dict[str, Any]:
        """Let it end, with all of its daemons."""
        assert self.proc.stdin is not None
        self.proc.stdin.close()
        told = self.phase("end")
        assert self.proc.wait(seconds) == 0, self.stderr.read_text()[-4000:]
        return told


def _conf(cluster: RealCluster) -> Path:
    """ceph.conf with a keyring that has their key alone, as on other machines: each reads it."""
    keyring = cluster.root / "keyring.crowd"
    (entry,) = cluster.mon("auth get", entity=f"mds.{KEY}")
    keyring.write_text(f"[mds.{KEY}]\n\tkey = {entry['key']}\n")
    # Ceph's range of ports has room for five hundred; these are the kernel's choice.
    conf = cluster.root / "ceph.conf.crowd"
    return cluster.write_conf(conf, keyring=str(keyring), ms_bind_port_max="0")


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


def watch(cluster: RealCluster, count: int, seconds: float) -> Mapping[str, float]:
    """Start so many, and see that for so long each is in the map, a standby, never laggy.

    Returns what they take: `join` (seconds from the first to the last), `first` and `each`
    (resident bytes of the process with one, and of each more), `share` (of one core).

    Raises:
        AssertionError: one of them missed its beacons, or joined a second time.
    """
    names = [f"s{n}" for n in range(count)]
    with crowd(cluster, names) as process:
        first = process.phase("first")
        joined = process.phase("all")
        gids = joined["gids"]
        assert sorted(gids) == sorted(names)
        wait_for(lambda: len(cluster.mds_infos()) == count, 10 + JOINING * count, "all are there")
        end = time.monotonic() + seconds

        def over() -> bool:
            infos = cluster.mds_infos()
            assert {info["name"]: info["gid"] for info in infos} == gids
            assert {info["state"] for info in infos} == {"up:standby"}
            assert not [info["name"] for info in infos if "laggy_since" in info]
            return time.monotonic() > end

        wait_for(over, seconds + 60, "the time is over", every=0.5)
        last = process.end(30 + JOINING * count)
    assert last["gids"] == gids
    assert last["lives"] == count
    return {
        "join": joined["seconds"] - first["seconds"],
        "first": first["resident"],
        "each": (last["resident"] - first["resident"]) / (count - 1),
        "share": (last["cpu"] - joined["cpu"]) / (last["seconds"] - joined["seconds"]),
    }
