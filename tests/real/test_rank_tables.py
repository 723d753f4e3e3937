"""A rank's tables and a stock ceph-mds on the same objects: what it wrote, and what we write."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from tests.real.cache_kit import omap, stock_tree
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.objecter_kit import ObjecterClient, objecter
from tests.unit.rank_kit import make_rank
from tests.unit.tables_kit import TablesKit, tables_kit

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import decode
from mdsdaemon.rank.sessions.dump import dump_session
from mdsdaemon.rank.tables.openfiles_format import AnchorValue
from mdsdaemon.types.journal_store import PurgeAction, PurgeItem
from mdsdaemon.types.layout import FileLayout

FADING = (
    "recall_caps",
    "release_caps",
    "recall_caps_throttle",
    "recall_caps_throttle2o",
    "session_cache_liveness",
    "cap_acquisition",
)
LIVE = ("uptime", "request_load_avg", "num_leases", "num_caps", *FADING)
"""What a session that was read has not."""


@asynccontextmanager
async def our_tables(
    cluster: RealCluster, fs: str = "cephfs"
) -> AsyncIterator[tuple[TablesKit, ObjecterClient]]:
    """Tables of our own on the file system's pools; the rank is in no map."""
    async with objecter(cluster) as client:
        names = (f"{fs}.meta", f"{fs}.data", f"{fs}.extra")
        pools = tuple(pool for name in names if (pool := client.pool(name)) >= 0)
        kit = tables_kit(make_rank(real=client.objecter, pools=pools, root=False))
        rank = kit.kit.rank
        async with trio.open_nursery() as nursery:
            rank.nursery = nursery
            nursery.start_soon(rank.queue.run)
            nursery.start_soon(rank.leisure.run)
            yield kit, client
            nursery.cancel_scope.cancel()


async def load_all(kit: TablesKit) -> None:
    rank = kit.rank
    for load in (rank.inotable.load, rank.sessionmap.load, rank.snaps.table.load):
        await load()
    await rank.openfiles.load()
    await rank.purge_queue.open()
    assert rank.damages == []
    assert rank.write_errors == []


def shown(cluster: RealCluster, fs: str, table: str) -> Any:
    """What cephfs-table-tool shows."""
    made = json.loads(
        cluster.run("cephfs-table-tool", "-c", str(cluster.conf), f"{fs}:0", "show", table)
    )
    result = made if table == "snap" else made["0"]
    assert result["result"] == 0
    return result if table == "snap" else result["data"]


def shown_session(cluster: RealCluster, fs: str, client: int) -> Any:
    """One session, as cephfs-table-tool shows it."""
    return next(s for s in shown(cluster, fs, "session")["sessions"] if s["id"] == client)


def test_what_stock_wrote(osd_cluster: RealCluster) -> None:
    cluster = osd_cluster
    with stock_tree(cluster, "tables1") as (mds, writer):
        mds.asok("flush journal")
        (live,) = mds.asok("session ls")
        snaps = mds.asok("dump snaps", server="--server")
        client_snaps = mds.asok("dump snaps")
        mds.kill()
        writer.kill()

    async def main() -> None:
        async with our_tables(cluster, "tables1") as (kit, client):
            rank = kit.rank
            await load_all(kit)
            # inotable
            tool = shown(cluster, "tables1", "inode")
            assert {"version": rank.inotable.version, **rank.inotable.dump()} == tool
            # sessions: as the daemon showed them, as the tool shows them
            session = rank.sessionmap.get_session(live["id"])
            ours = json.loads(json.dumps(dump_session(session)))
            theirs = shown_session(cluster, "tables1", live["id"])
            assert list(ours) == list(theirs) == list(live)
            for key in ours:
                if key in FADING:
                    assert ours[key]["halflife"] == live[key]["halflife"]
                elif (
                    key not in LIVE and not key.startswith("last_trim") and key != "delegated_inos"
                ):
                    assert ours[key] == theirs[key] == live[key], key
            assert not rank.inotable.intersects_free(session.prealloc_inos.as_dict())
            # snapshots
            table = rank.snaps.table
            assert table.dump() == snaps
            assert {"version": table.version, "snapserver": table.dump(), "result": 0} == shown(
                cluster, "tables1", "snap"
            )
            assert rank.snaps.dump_client() == client_snaps
            assert rank.snaps.any_snapshots
            # open files
            pool = rank.metadata_pool
            _, keys = await omap(client, pool, "mds0_openfiles.0")
            assert set(rank.openfiles.loaded) == {int(key, 16) for key in keys}
            for key, value in keys.items():
                anchor = rank.openfiles.loaded[int(key, 16)]
                assert decode(AnchorValue, value).anchor == anchor
            by_name = {anchor.d_name: anchor for anchor in rank.openfiles.loaded.values()}
            assert by_name["deep"].dirino == 1
            # a purge queue whose items are all done
            header = json.loads(
                cluster.run(
                    "cephfs-journal-tool",
                    "-c",
                    str(cluster.conf),
                    "--rank=tables1:0",
                    "--journal=purge_queue",
                    "header",
                    "get",
                )
            )
            assert rank.purge_queue.journaler.expire_pos == header["expire_pos"]

    trio.run(main)


def test_what_we_write(osd_cluster: RealCluster) -> None:
    """Stock tools show our tables as we do, and a stock daemon goes on with them."""
    cluster = osd_cluster
    with stock_tree(cluster, "tables2") as (mds, writer):
        mds.asok("flush journal")
        writer.kill()
        mds.kill()
        cluster.mon("fs fail", fs_name="tables2")

        async def main() -> None:
            async with our_tables(cluster, "tables2") as (kit, _):
                rank = kit.rank
                await load_all(kit)
                session = max(rank.sessionmap, key=lambda s: s.client)
                rank.inotable.alloc(rank.inotable.free.first + 5)
                session.replay_add_prealloc(rank.inotable.free.take(70))
                session.add_completed_request(1 << 33, 0x10000000000)
                rank.sessionmap.mark_dirty(session)
                rank.openfiles.loaded.popitem()
                rank.openfiles._dirty |= set(list(rank.openfiles.loaded)[:3])
                for table in rank.tables.values():
                    await table.save()
                await rank.openfiles.commit(5)
                tool = shown(cluster, "tables2", "inode")
                assert {"version": rank.inotable.version, **rank.inotable.dump()} == tool
                theirs = shown_session(cluster, "tables2", session.client)
                ours = json.loads(json.dumps(dump_session(session)))
                for key in ours:
                    if key not in LIVE and not key.startswith("last_trim"):
                        assert ours[key] == theirs[key], key
                assert shown(cluster, "tables2", "snap")["snapserver"] == rank.snaps.table.dump()

        trio.run(main)
        cluster.mon("fs set", fs_name="tables2", var="joinable", val="true")
        stock = cluster.start_real_mds("b", "--mds_reconnect_timeout=2")
        stock.wait_state("up:active", 90)
        assert stock.asok("damage ls") == []


def test_purging_as_stock_does(osd_cluster: RealCluster) -> None:
    """Our items in the queue: stock tools read them, and a stock daemon executes them; so do we."""
    cluster = osd_cluster
    cluster.new_fs("purged")
    mds = cluster.start_real_mds("a")
    mds.wait_state("up:active", 20)
    mds.kill()
    cluster.mon("fs fail", fs_name="purged")

    async def main(active: bool) -> None:
        async with our_tables(cluster, "purged") as (kit, client):
            rank = kit.rank
            await rank.purge_queue.open()
            data = rank.default_data_pool
            layout = FileLayout(4 << 20, 1, 4 << 20, data)
            for ino in range(0x20000000000, 0x20000000010):
                for number in range(3):
                    op = ObjectOperation().write_full(b"data")
                    await client.objecter.operate(data, f"{ino:x}.{number:08x}", op)
                item = PurgeItem(
                    action=PurgeAction.PURGE_FILE, ino=ino, size=10 << 20, layout=layout
                )
                rank.purge_queue.push(item, lambda: None)
            await rank.purge_queue.journaler.wait_for_safe()
            if active:
                await rank.purge_queue.drain()
                await kit.settle()
                await trio.sleep(0.5)
            else:
                await rank.purge_queue.journaler.write_head()

    def objects() -> list[str]:
        names = cluster.run("rados", "-c", str(cluster.conf), "-p", "purged.data", "ls").split()
        return [name for name in names if name.startswith("2000000")]

    trio.run(main, True)
    assert objects() == []
    tool = (
        "cephfs-journal-tool",
        "-c",
        str(cluster.conf),
        "--rank=purged:0",
        "--journal=purge_queue",
    )
    header = json.loads(cluster.run(*tool, "header", "get"))
    assert header["expire_pos"] == header["write_pos"] > 4 << 20
    trio.run(main, False)
    assert len(objects()) == 48
    assert "OK" in cluster.run(*tool, "journal", "inspect")
    cluster.mon("fs set", fs_name="purged", var="joinable", val="true")
    cluster.start_real_mds("b", "--mds_reconnect_timeout=2").wait_state("up:active", 60)
    wait_for(lambda: not objects() or None, 30, "the purge queue")
