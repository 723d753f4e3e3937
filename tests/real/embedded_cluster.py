"""The one-process cluster, in a process of its own, as a cluster that the tests of real ones use.

As a program: `embedded_cluster.py WHERE_TO_SAY DATA_OR_- NAME=VALUE …` serves until it is killed.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

sys.path[:0] = [str(Path(__file__).parents[2])]

from tests.real.admin import AdminConnection  # noqa: E402
from tests.real.cluster import Mds, RealCluster  # noqa: E402
from tests.real.daemons import Daemon, wait_for  # noqa: E402
from tests.real.keys import ENTITIES  # noqa: E402

import mdsdaemon  # noqa: E402

MDS_NAMES = (*"abcdefgh", "real")


class EmbeddedCluster(RealCluster):
    """A `RealCluster` whose monitor and OSD are ours, without metadata servers at first.

    ``options`` are those of all daemons. With ``data=True`` the state outlives `restart`.
    """

    def __init__(
        self,
        *,
        data: bool = False,
        options: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        super().__init__(options=options, python=python)
        self._data = data

    def _start(self) -> None:
        base = os.environ.get("MDSDAEMON_TEST_DIR")
        self.root = Path(tempfile.mkdtemp(prefix="mdsdaemon-", dir=base))
        self.conf, self.keyring = self.root / "ceph.conf", self.root / "keyring"
        for folder in ("run", "log"):
            (self.root / folder).mkdir()
        self._serve()

    def _serve(self) -> None:
        """Start the process; when it serves, write ceph.conf and a keyring with every key."""
        said = self.root / "said"
        said.unlink(missing_ok=True)
        data = str(self.root / "data") if self._data else "-"
        argv = [self.python, __file__, str(said), data]
        argv += [f"{name}={value}" for name, value in self._options.items()]
        log = self.root / "log"
        env = {**self.env, "TMPDIR": str(self.root)}
        daemon = Daemon("mon.a", argv, env, log / "mon.a.err", log / "mon.a.log")
        self.daemons["mon.a"] = daemon

        def conf() -> str:
            assert daemon.running, f"the embedded cluster ended: {daemon.logged()}"
            return said.read_text() if said.exists() else ""

        theirs = Path(wait_for(conf, 60, "the embedded cluster is ready"))
        text = theirs.read_text()
        self.fsid, self.mon_addrs = _option(text, "fsid"), {"a": _option(text, "mon host")}
        self.write_conf(self.conf)
        self.keyring.write_text((theirs.parent / "keyring").read_text())
        self._admin = AdminConnection(
            self.conf, "client.admin", self.env, self.root / "log" / "admin.err"
        )
        with self.keyring.open("a") as ring:
            for name in MDS_NAMES:
                caps = [word for pair in ENTITIES[f"mds.{name}"].items() for word in pair]
                (found,) = self.mon("auth get-or-create", entity=f"mds.{name}", caps=caps)
                ring.write(f"[mds.{name}]\n\tkey = {found['key']}\n")

    def restart(self) -> None:
        """`kill -9`, and start on the same data."""
        self.admin.close()
        self.daemons.pop("mon.a").kill()
        self._serve()


def _option(text: str, name: str) -> str:
    match = re.search(rf"^{name} = (.*)$", text, re.MULTILINE)
    assert match is not None, name
    return match[1]


def info_of(cluster: RealCluster, name: str) -> dict[str, Any]:
    """The map's entry of a daemon."""
    (info,) = (info for info in cluster.mds_infos() if info["name"] == name)
    return info


def active(cluster: RealCluster, *names: str) -> list[Mds]:
    """A file system that the first of these stock daemons serves; the others stand by."""
    made = []
    for number, name in enumerate(names):
        mds = cluster.start_real_mds(name)
        mds.wait_standby()
        made.append(mds)
        if not number:
            cluster.new_fs()
            mds.wait_state("up:active", 20)
    return made


async def serve(said: Path, data: str | None, settings: dict[str, str]) -> None:
    """Write where ceph.conf lies into the file `said` once the cluster is ready, and serve."""
    async with (
        trio.open_nursery() as nursery,
        mdsdaemon.open_cluster(data=data, mds=0, settings=settings) as cluster,
    ):
        await nursery.start(cluster.run)
        said.with_suffix(".new").write_text(str(cluster.conf_path))
        said.with_suffix(".new").rename(said)
        await trio.sleep_forever()


if __name__ == "__main__":
    where, folder, *words = sys.argv[1:]
    given = dict(word.split("=", 1) for word in words)
    trio.run(serve, Path(where), None if folder == "-" else folder, given)
