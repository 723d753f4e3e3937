"""The objecter against a real OSD, beside librados."""

from __future__ import annotations

import errno
import json
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.objecter_kit import ObjecterClient, Op, a_pool, objecter

from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.clients.objecter_session import Outcome
from mdsdaemon.types.osd_op import Cmp

NewCluster = Callable[[RealCluster], RealCluster]
LIMIT = 60


def osd_up(cluster: RealCluster) -> bool:
    return bool(cluster.mon("osd dump")["osds"][0]["up"])


async def make_op(me: ObjecterClient, pool: int, oid: str, op: ObjectOperation) -> str:
    """The errno's name of a request's failure, "" when it went well."""
    try:
        await me.objecter.operate(pool, oid, op)
    except RadosError as exc:
        return errno.errorcode.get(exc.errno or 0, str(exc.errno))
    return ""


async def test_every_operation_beside_librados(osd_cluster: RealCluster) -> None:
    with trio.fail_after(LIMIT), a_pool(osd_cluster, "every") as peer:
        async with objecter(osd_cluster) as me:
            pool = me.pool("every")

            async def do(op: ObjectOperation, oid: str = "o", space: str = "") -> Any:
                return await me.objecter.operate(pool, oid, op, namespace=space)

            def seen(oid: str = "o", space: str = "") -> Any:
                return peer.look(oid, space)

            first = await do(Op().create(True))
            assert seen()["size"] == 0
            assert first.version == seen()["version"]
            assert await make_op(me, pool, "o", Op().create(True)) == "EEXIST"
            await do(Op().write(0, b"hello").append(b" world"))
            assert seen()["data"] == "hello world"
            await do(Op().write(6, b"W").zero(0, 1).truncate(8))
            assert seen()["data"] == "\0ello Wo"
            await do(Op().write_full(b"abcdefgh"))
            assert seen()["data"] == "abcdefgh"
            # both ways: truncate_seq above the object's own cuts first
            await do(Op().write(6, b"XY", truncate_size=4, truncate_seq=1))
            assert seen()["data"] == "abcd\0\0XY"

            op = Op()
            read, tail, stat, sparse = op.read(0, 4), op.read(6, 0), op.stat(), op.sparse_read(0, 8)
            got = await do(op)
            assert (got[read], got[tail], got[stat].size) == (b"abcd", b"XY", 8)
            assert abs(got[stat].mtime / 1e9 - time.time()) < 60
            assert got[sparse].data == b"abcd\0\0XY"
            assert sum(got[sparse].extents.values()) == 8
            assert got.version == seen()["version"]

            await do(Op().setxattr("a", b"1").setxattr("b", b"\0\xff").setxattr("n", b"17"))
            assert seen()["xattrs"] == {"a": "1", "b": "\0ÿ", "n": "17"}
            await do(Op().rmxattr("a"))
            peer.run("o", "set_xattr", "theirs", b"x")
            op = Op()
            one, every = op.getxattr("b"), op.getxattrs()
            got = await do(op)
            assert got[one] == b"\0\xff"
            assert got[every] == {"b": b"\0\xff", "n": b"17", "theirs": b"x"}
            assert await make_op(me, pool, "o", Op().cmpxattr("n", Cmp.EQ, b"17")) == ""
            assert await make_op(me, pool, "o", Op().cmpxattr("n", Cmp.GT, 18)) == ""
            assert await make_op(me, pool, "o", Op().cmpxattr("n", Cmp.GT, 17)) == "ECANCELED"
            op = Op()
            missing = op.getxattr("no")
            with pytest.raises(RadosError) as caught:
                await do(op)
            assert (caught.value.errno, caught.value.op) == (errno.ENODATA, "getxattr")
            op.failok()
            got = await do(op)
            with pytest.raises(RadosError):
                got[missing]

            values = {f"k{n:02}": bytes([n]) * n for n in range(20)} | {"ü": b"", "z": b"z"}
            await do(Op().omap_set(values).omap_set_header(b"head"))
            assert seen()["omap"] == {k: v.decode("latin-1") for k, v in values.items()}
            await do(Op().omap_rm_keys(["k00", "k01"]).omap_rm_range("k02", "k05"))
            left = {k: v for k, v in values.items() if not "k00" <= k < "k05"}
            assert seen()["omap"] == {k: v.decode("latin-1") for k, v in left.items()}
            peer.run("o", "set_omap", ["theirs"], ["t"])
            op = Op()
            keys, some = op.omap_get_keys("k10", 3), op.omap_get_vals("", "k1")
            chosen, header = op.omap_get_vals_by_keys(["z", "none", "theirs"]), op.omap_get_header()
            got = await do(op)
            assert (got[keys].keys, got[keys].more) == (["k11", "k12", "k13"], True)
            assert list(got[some].vals) == [f"k1{n}" for n in range(10)]
            assert not got[some].more
            assert got[chosen] == {"z": b"z", "theirs": b"t"}
            assert got[header] == b"head"
            assert await make_op(me, pool, "o", Op().omap_cmp({"z": (b"z", Cmp.EQ)})) == ""
            assert await make_op(me, pool, "o", Op().omap_cmp({"z": (b"y", Cmp.EQ)})) == "ECANCELED"
            await do(Op().omap_clear())
            assert seen()["omap"] == {}

            # all or nothing
            bad = Op().write_full(b"never").setxattr("x", b"y").assert_version(1)
            assert await make_op(me, pool, "o", bad) == "ERANGE"
            assert seen()["data"] == "abcd\0\0XY"
            current = seen()["version"]
            await do(Op().assert_version(current).write_full(b"now"))
            assert seen()["data"] == "now"
            assert await make_op(me, pool, "o", Op().cmpext(0, b"now").append(b"!")) == ""
            op = Op().cmpext(0, b"noX").append(b"!")
            assert await make_op(me, pool, "o", op) == str(4095 + 2)
            assert await make_op(me, pool, "no", Op().assert_exists().write(0, b"x")) == "ENOENT"
            assert seen("no") is None

            await do(Op().write_full(b"spaced"), space="blue")
            assert seen("o", "blue")["data"] == "spaced"
            op = Op()
            out = op.call("version", "read")
            assert len((await do(op))[out]) > 0
            op = Op()
            snaps = op.list_snaps()
            with pytest.raises(RadosError):  # needs SNAPDIR
                await do(op)
            got = await me.objecter.operate(pool, "o", op, snapid=2**64 - 1)
            assert got[snaps].clones[-1].size == 4
            await do(Op().remove())
            assert seen() is None
            assert await make_op(me, pool, "o", Op().remove()) == "ENOENT"
            assert await make_op(me, 4711, "o", Op().remove()) == "ENOENT"

            assert me.count("op_active") == 0
            assert me.objecter.op_throttle_ops.current == 0
            assert me.objecter.op_throttle_bytes.current == 0
            json.dumps(me.objecter.dump_requests())


async def test_names_of_counters_and_requests(osd_cluster: RealCluster) -> None:
    """The same as ceph-mds has, with a request in flight in both."""
    with trio.fail_after(LIMIT), a_pool(osd_cluster, "names"):
        osd_cluster.new_fs()
        real = osd_cluster.start_real_mds("real")
        real.wait_state("up:active", 30)
        theirs = real.asok("perf dump")
        async with objecter(osd_cluster) as me:
            ours = me.perf.dump()
            for group in ("objecter", "throttle-objecter_bytes", "throttle-objecter_ops"):
                assert list(ours[group]) == list(theirs[group])
            osd_cluster.mon("osd set", key="pause")
            await me.objecter.wait_for_latest_map()
            op = Op().setxattr("name", b"xyz").write(0, b"data")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(me.objecter.operate, me.pool("names"), "o", op)
                real_ops = await trio.to_thread.run_sync(
                    lambda: wait_for(
                        lambda: real.asok("objecter_requests")["ops"], 30, "ceph-mds has a request"
                    )
                )
                dump = me.objecter.dump_requests()
                ours_op, theirs_op = dump["ops"][0], real_ops[0]
                assert list(dump) == list(real.asok("objecter_requests"))
                assert list(ours_op) == list(theirs_op)
                assert [type(v) for v in ours_op.values()] == [type(v) for v in theirs_op.values()]
                assert ours_op["paused"] == theirs_op["paused"] == 1
                assert ours_op["osd_ops"] == ["setxattr name (3) in=7b", "write 0~4 in=4b"]
                osd_cluster.mon("osd unset", key="pause")


async def test_writes_in_order_while_the_cluster_changes(new_cluster: NewCluster) -> None:
    """Appends to some objects, several in flight; pools come, flags and the OSD go and return."""
    cluster = new_cluster(RealCluster(osd=True, options={"paxos_propose_interval": "0.1"}))
    with trio.fail_after(LIMIT), a_pool(cluster, "busy") as peer:
        async with objecter(cluster) as me:
            pool, written = me.pool("busy"), {f"o{n}": bytearray() for n in range(6)}
            done, failures, stop = 0, [], False
            rng = random.Random(1)

            def finish(outcome: Outcome) -> None:
                nonlocal done
                done += 1
                if isinstance(outcome, RadosError):
                    failures.append(outcome)

            async def write() -> None:
                number = 0
                while not stop:
                    await me.objecter.room()
                    oid, number = rng.choice(list(written)), number + 1
                    piece = f"{number} ".encode()
                    written[oid] += piece
                    me.objecter.submit(pool, oid, Op().append(piece), finish)
                    await trio.sleep(0.001)

            async def more_done(count: int = 20) -> None:
                target = done + count
                while done < target:  # noqa: ASYNC110
                    await trio.sleep(0.01)

            async def mon(prefix: str, **arguments: Any) -> None:
                await trio.to_thread.run_sync(lambda: cluster.mon(prefix, **arguments))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await more_done()
                for n in range(3):
                    await mon("osd pool create", pool=f"other{n}", pg_num=2)
                    await more_done()
                await mon("osd set", key="pause")
                await me.objecter.wait_for_latest_map()
                while any(not op.target.paused for op in me.objecter.state.active):  # noqa: ASYNC110
                    await trio.sleep(0.01)
                before = done
                await trio.sleep(0.3)
                assert done == before
                await mon("osd unset", key="pause")
                await more_done()
                await mon("osd pool set", pool="busy", var="pg_num", val="16")
                await more_done(200)
                # replies get lost: the OSD is killed in the middle, and comes back empty-handed
                osd = cluster.daemons["osd.0"]
                osd.signal(signal.SIGSTOP)
                await trio.sleep(0.3)
                for con in me.messenger.connections:
                    if con.session == 0:
                        me.messenger.mark_down_addrs(con.peer_addrs)
                osd.signal(signal.SIGCONT)
                await more_done(200)
                stop = True
            while me.objecter.state.active:  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert not failures
            for oid, data in written.items():
                seen = await trio.to_thread.run_sync(peer.look, oid)
                assert (seen or {}).get("data", "").encode() == bytes(data), oid
            assert me.count("op_resend") > 0


async def test_osd_restarted_under_load(new_cluster: NewCluster) -> None:
    """A stopped OSD's requests wait without one, and go on when it is back."""
    # a slow shutdown tells the monitor, and lets memstore keep its objects
    options = {"paxos_propose_interval": "0.1", "osd_fast_shutdown": "false"}
    cluster = new_cluster(RealCluster(osd=True, options=options))
    with trio.fail_after(LIMIT), a_pool(cluster, "restart") as peer:
        async with objecter(cluster) as me:
            pool = me.pool("restart")
            await me.objecter.operate(pool, "o", Op().write_full(b""))
            osd = cluster.daemons["osd.0"]
            async with trio.open_nursery() as nursery:
                osd.terminate()
                await trio.to_thread.run_sync(osd.wait_exit, 20)
                await trio.to_thread.run_sync(
                    lambda: wait_for(
                        lambda: not cluster.mon("osd dump")["osds"][0]["up"], 20, "down"
                    )
                )
                await me.objecter.wait_for_latest_map()
                for n in range(5):
                    nursery.start_soon(me.objecter.operate, pool, "o", Op().append(b"%d" % n))
                await trio.testing.wait_all_tasks_blocked(0.1)
                assert len(me.objecter.state.homeless.ops) == 5
                cluster._spawn("osd.0", "ceph-osd", "-f", "-i", "0")
            seen = await trio.to_thread.run_sync(peer.look, "o")
            assert seen is not None
            assert sorted(seen["data"]) == list("01234")


async def test_blocklisted_while_writing(osd_cluster: RealCluster) -> None:
    """Every request ends with EBLOCKLISTED, and nothing is written any more."""
    with trio.fail_after(LIMIT), a_pool(osd_cluster, "fenced") as peer:
        async with objecter(osd_cluster) as me:
            pool = me.pool("fenced")
            outcomes: list[Outcome] = []
            told = trio.Event()
            me.objecter.on_blocklisted = told.set
            number = 0

            async def write() -> None:
                nonlocal number
                while not told.is_set():
                    await me.objecter.room()
                    number += 1
                    op = Op().omap_set({f"{number:08}": b"x"})
                    me.objecter.submit(pool, "o", op, outcomes.append)
                    await trio.sleep(0.002)

            address = str(me.messenger.my_addrs.addrs[0]).partition(":")[2]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await trio.sleep(0.3)
                await trio.to_thread.run_sync(
                    lambda: osd_cluster.mon("osd blocklist", blocklistop="add", addr=address)
                )
                await told.wait()
            assert me.objecter.blocklisted
            assert len(outcomes) == number
            kept = [n for n, o in enumerate(outcomes, 1) if not isinstance(o, RadosError)]
            failed = [o for o in outcomes if isinstance(o, RadosError)]
            assert failed or me.count("op_active") == 0
            assert {o.errno for o in failed} <= {EBLOCKLISTED}
            with pytest.raises(RadosError, match="EBLOCKLISTED"):
                await me.objecter.operate(pool, "o", Op().write_full(b"late"))
            seen = await trio.to_thread.run_sync(peer.look, "o")
            assert seen is not None
            assert {f"{n:08}" for n in kept} <= set(seen["omap"])
            assert seen["data"] == ""
            assert seen == await trio.to_thread.run_sync(peer.look, "o")


async def test_full_pool_and_deleted_pool(osd_cluster: RealCluster) -> None:
    with trio.fail_after(LIMIT), a_pool(osd_cluster, "small"):
        async with objecter(osd_cluster) as me:
            pool = me.pool("small")
            await me.objecter.operate(pool, "o", Op().write_full(b"x"))
            osd_cluster.mon("osd pool create", pool="gone", pg_num=1)
            await me.objecter.wait_for_latest_map()
            gone = me.pool("gone")
            osd_cluster.mon("osd set", key="pause")
            await me.objecter.wait_for_latest_map()
            osd_cluster.mon("config set", who="mon", name="mon_allow_pool_delete", value="true")
            failed: list[RadosError] = []

            async def write(to: int) -> None:
                with pytest.raises(RadosError) as caught:
                    await me.objecter.operate(to, "o", Op().write_full(b"x"))
                failed.append(caught.value)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, gone)
                await trio.testing.wait_all_tasks_blocked(0.05)
                osd_cluster.mon(
                    "osd pool delete", pool="gone", pool2="gone", yes_i_really_really_mean_it=True
                )
            assert failed[0].errno == errno.ENOENT
            osd_cluster.mon("osd unset", key="pause")
            osd_cluster.mon("osd set", key="pause")
            await me.objecter.wait_for_latest_map()
            with pytest.raises(RadosError, match="ETIMEDOUT"):
                await me.objecter.operate(pool, "o", Op().write_full(b"x"), timeout=0.2)
            osd_cluster.mon("osd unset", key="pause")
            await me.objecter.operate(pool, "o", Op().write_full(b"y"))
