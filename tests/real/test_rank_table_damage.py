"""A table that is missing, empty or corrupt: ours ends as ceph-mds does; it is not written over."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import trio
from tests.real.cache_kit import omap
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.objecter_kit import objecter
from tests.real.test_rank_sessions import Site

from mdsdaemon.clients.objecter_ops import ObjectOperation

TABLES = ("mds0_inotable", "mds0_sessionmap", "mds_snaptable", "mds0_openfiles.0", "500.00000000")
MISSING, EMPTY, GARBAGE = "missing", "empty", "garbage"
EXPECTED = {
    ("mds0_inotable", MISSING): "damaged",
    ("mds0_inotable", EMPTY): "damaged",
    ("mds0_inotable", GARBAGE): "damaged",
    ("mds0_sessionmap", MISSING): "damaged",
    ("mds0_sessionmap", EMPTY): "damaged",
    ("mds0_sessionmap", GARBAGE): "damaged",
    ("mds_snaptable", MISSING): "damaged",
    ("mds_snaptable", EMPTY): "damaged",
    ("mds_snaptable", GARBAGE): "damaged",
    ("mds0_openfiles.0", MISSING): "active",
    ("mds0_openfiles.0", EMPTY): "active",
    ("mds0_openfiles.0", GARBAGE): "active",
    ("500.00000000", MISSING): "active",
    ("500.00000000", EMPTY): "read-only",
    ("500.00000000", GARBAGE): "read-only",
}
"""How the start ends, on ceph-mds 16.2.15 except for what STOCK_DIFFERS has."""
STOCK_DIFFERS = {
    # an omap without a header is taken for the format of old, and that must not be empty
    ("mds0_sessionmap", EMPTY): "crashed",
    # it takes such a journal for an empty one, whatever lies in its other objects
    ("500.00000000", EMPTY): "active",
}


class Kept:
    """An object as it was."""

    def __init__(self, cluster: RealCluster, pool: str, name: str) -> None:
        self.cluster, self.pool, self.name = cluster, pool, name
        self.data, self.header, self.values = trio.run(self._read)

    async def _read(self) -> tuple[bytes, bytes, dict[str, bytes]]:
        async with objecter(self.cluster) as client:
            pool = client.pool(self.pool)
            op = ObjectOperation()
            part = op.read(0, 0)
            done = await client.objecter.operate(pool, self.name, op)
            return done[part], *await omap(client, pool, self.name)

    def _write(self, *ops: ObjectOperation) -> None:
        async def main() -> None:
            async with objecter(self.cluster) as client:
                for op in ops:
                    await client.objecter.operate(client.pool(self.pool), self.name, op)

        trio.run(main)

    def spoil(self, how: str) -> None:
        if how == MISSING:
            self._write(ObjectOperation().remove())
            return
        garbage = b"" if how == EMPTY else b"deadbeef" * 8
        op = ObjectOperation()
        if self.header or self.values:
            op.omap_clear().omap_set_header(garbage)
        else:
            op.write_full(garbage)
        self._write(op)

    def restore(self) -> None:
        op = ObjectOperation().create().write_full(self.data).omap_clear()
        if self.header or self.values:
            op.omap_set_header(self.header).omap_set(self.values)
        self._write(op)


def outcome(site: Site, mds: Mds) -> str | None:
    """How the start ends, None: not yet."""
    mdsmap = next(
        fs["mdsmap"]
        for fs in site.cluster.fs_dump()["filesystems"]
        if fs["mdsmap"]["fs_name"] == site.fs
    )
    if mdsmap["damaged"]:
        return "damaged"
    if not mds.running:
        return "crashed"
    states = [info["state"] for info in mdsmap["info"].values() if info["name"] == mds.name]
    if states != ["up:active"]:
        return None
    health = json.dumps(site.cluster.mon("health", detail="detail"))
    return "read-only" if "MDS_READ_ONLY" in health else "active"


def settled(site: Site, mds: Mds) -> str:
    first = str(wait_for(lambda: outcome(site, mds), 60, "the start has an end"))
    if first == "active":
        # that it is read-only is told at the next tick
        time.sleep(6.5)
        first = str(outcome(site, mds))
    return first


@pytest.fixture(params=("real", "ours"))
def site(osd_cluster: RealCluster, request: pytest.FixtureRequest) -> Iterator[Site]:
    with closing(Site(osd_cluster, request.param)) as made:
        yield made


def test_tables_that_cannot_be_read(site: Site) -> None:
    client = site.client()
    assert client.call("mkdir", "/d", 0o755)[0] == 0
    assert client.call("open", "f", "/f", os.O_CREAT | os.O_RDWR, 0o644)[0] == 0
    site.mds.asok("flush journal")
    site.mds.asok("flush journal")
    assert client.call("close", "f")[0] == 0
    assert client.call("unmount")[0] == 0
    site.mds.asok("flush journal")
    site.mds.kill()
    cluster = site.cluster
    cluster.mon("fs fail", fs_name=site.fs)
    kept: dict[str, Any] = {name: Kept(cluster, f"{site.fs}.meta", name) for name in TABLES}
    found: dict[tuple[str, str], str] = {}
    for name, how in EXPECTED:
        kept[name].spoil(how)
        cluster.mon("fs set", fs_name=site.fs, var="joinable", val="true")
        mds = cluster.start_mds(site.kind, "b")
        found[name, how] = settled(site, mds)
        if found[name, how] == "damaged":
            _is_untouched(cluster, site, name, how)
        mds.kill()
        cluster.mon("fs fail", fs_name=site.fs)
        if found[name, how] == "damaged":
            cluster.mon("mds repaired", role=f"{site.fs}:0")
        kept[name].restore()
    assert found == EXPECTED | (STOCK_DIFFERS if site.kind == "real" else {})
    cluster.mon("fs set", fs_name=site.fs, var="joinable", val="true")
    mds = cluster.start_mds(site.kind, "c")
    assert settled(site, mds) == "active"


def _is_untouched(cluster: RealCluster, site: Site, name: str, how: str) -> None:
    """What could not be read was not written over."""
    pool = f"{site.fs}.meta"
    if how == MISSING:
        assert name not in cluster.run("rados", "-c", str(cluster.conf), "-p", pool, "ls").split()
        return
    now = Kept(cluster, pool, name)
    garbage = b"" if how == EMPTY else b"deadbeef" * 8
    assert garbage in (now.data, now.header)
    assert not now.values
