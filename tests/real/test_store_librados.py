"""Programs on stock librados, run against the embedded object store and against a real OSD.

Every case must give the same on both: results, errors, data, order of listings. The second half
sends raw requests from our own client, for what no stock client asks for: the same request twice,
sparse reads, and random operations from a seed.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster
from tests.real.conftest import started
from tests.real.embedded_cluster import EmbeddedCluster
from tests.real.osd_script import Step, explain, run_script, script, shared
from tests.real.raw_osd import DEFAULT_FLAGS, RawOSDClient, seen

from mdsdaemon.types.osd_op import NO_ARGS, XATTR, Flag, Op, OSDOp

HERE = Path(__file__).parent
OPTIONS = {"osd_pool_default_pg_autoscale_mode": "off", "mon_allow_pool_delete": "true"}
REAL_OPTIONS = OPTIONS | {"paxos_propose_interval": "0.01", "paxos_min_wait": "0.01"}
POOLS = ("p", "p-snaps", "c", "raw", "seeds", "snaps")

PYTHON_CASES = (
    *("data", "compound", "xattrs", "omaps", "listing", "locators", "snapshots"),
    *("self_managed_snapshots", "locks", "classes", "watching", "asynchronous"),
)
C_CASES = (
    *("comparisons_of_xattrs", "assertions", "all_or_nothing", "listing_by_cursor", "checksums"),
    *("class_cephfs", "one_after_the_other", "capabilities", "blocklisted"),
)

Both = tuple[RealCluster, RealCluster]
Answers = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module", params=["memory", "data"])
def both(real_ceph: None, request: pytest.FixtureRequest) -> Iterator[Both]:
    """The embedded cluster, in memory or on SQLite, and one of Ceph's own daemons."""
    durable = request.param == "data"
    with (
        started(EmbeddedCluster(data=durable, options=OPTIONS)) as ours,
        started(RealCluster(osd=True, options=REAL_OPTIONS)) as real,
    ):
        for cluster in (ours, real):
            for pool in POOLS:
                cluster.mon("osd pool create", pool=pool, pg_num=8)
        yield ours, real


def answers(both: Both, program: str, pool: str) -> Answers:
    """What the program prints on either."""
    ours, real = (
        json.loads(each.run(SYSTEM_PYTHON, str(HERE / program), str(each.conf), pool, timeout=120))
        for each in both
    )
    return ours, real


@pytest.fixture(scope="module")
def from_python(both: Both) -> Answers:
    return answers(both, "rados_program.py", "p")


@pytest.fixture(scope="module")
def from_c(both: Both) -> Answers:
    return answers(both, "rados_c_program.py", "c")


@pytest.mark.parametrize("case", PYTHON_CASES)
def test_python_rados_finds_no_difference(from_python: Answers, case: str) -> None:
    ours, real = from_python
    assert ours[case]
    assert ours[case] == real[case]


@pytest.mark.parametrize("case", C_CASES)
def test_librados_finds_no_difference(from_c: Answers, case: str) -> None:
    ours, real = from_c
    assert ours[case]
    assert ours[case] == real[case]


def test_no_case_is_forgotten(from_python: Answers, from_c: Answers) -> None:
    for (ours, real), cases in ((from_python, PYTHON_CASES), (from_c, C_CASES)):
        assert set(ours) == set(real) == set(cases)


# -- raw requests -------------------------------------------------------------------------------


def on_both(both: Both, body: Callable[[RawOSDClient, int], Any]) -> tuple[Any, Any]:
    """What `body` returns with a client of either and the pool `raw`."""

    async def run(conf: Path) -> Any:
        with trio.fail_after(30):
            async with RawOSDClient.connect(conf) as client:
                return await body(client, await client.pool("raw"))

    ours, real = (trio.run(run, each.conf) for each in both)
    return ours, real


def test_sparse_reads(both: Both) -> None:
    """The same content; which holes are told is the store's own affair."""

    async def body(client: RawOSDClient, pool: int) -> list[Any]:
        await client.do(pool, "s", OSDOp.extent(Op.WRITE, 10_000, 0, b"data"))
        await client.do(pool, "s", OSDOp.extent(Op.WRITE, 500_000, 0, b"end"))
        got = []
        for offset, length in ((0, 1_000_000), (10_002, 1), (9_000, 2_000), (600_000, 10)):
            for name in "s", "none":
                op = OSDOp.extent(Op.SPARSE_READ, offset, length)
                got.append(shared(seen(await client.do(pool, name, op))))
        return got

    ours, real = on_both(both, body)
    assert ours == real


def test_the_same_request_twice_is_done_once(both: Both) -> None:
    """A resent write is answered as the first was, and not done again; also a failed one."""

    async def body(client: RawOSDClient, pool: int) -> list[Any]:
        first = client.request(pool, "d", [OSDOp.extent(Op.APPEND, 0, 0, b"once,")], tid=501)
        got = [seen(await client.send(first))]
        again = client.request(
            pool, "d", [OSDOp.extent(Op.APPEND, 0, 0, b"once,")], tid=501, retry_attempt=1
        )
        got.append(seen(await client.send(again)))
        await client.do(pool, "d", OSDOp.extent(Op.APPEND, 0, 0, b"other,"))
        third = client.request(
            pool, "d", [OSDOp.extent(Op.APPEND, 0, 0, b"once,")], tid=501, retry_attempt=2
        )
        got.append(seen(await client.send(third)))
        for attempt in range(2):
            fields: dict[str, Any] = {
                "tid": 777,
                "retry_attempt": attempt,
                "flags": DEFAULT_FLAGS | Flag.RETURNVEC,
            }
            refused = [OSDOp(Op.CREATE, 1), OSDOp.extent(Op.APPEND, 0, 0, b"never")]
            got.append(seen(await client.send(client.request(pool, "d", refused, **fields))))
        got.append(seen(await client.do(pool, "d", OSDOp.extent(Op.READ, 0, 100))))
        return got

    ours, real = on_both(both, body)
    assert ours == real
    assert ours[-1][1][0][3] == b"once,other,"


GARBAGE = [
    b"",
    b"\x01",
    b"\xff\xff\xff\xff",
    b"\x01\x00\x00\x00\xff\xff\xff\x7f",
    b"\x02" + bytes(40),
]


def test_malformed_requests_are_refused_as_by_a_real_osd(both: Both) -> None:
    """Input that ends early or says it is huge, and operations that there are not."""

    async def body(client: RawOSDClient, pool: int) -> list[Any]:
        await client.do(pool, "m", OSDOp.extent(Op.WRITEFULL, 0, 0, b"data"))
        got: list[Any] = []
        for op in (
            *(Op.OMAPSETVALS, Op.OMAPRMKEYS, Op.OMAPGETKEYS, Op.OMAPGETVALS),
            *(Op.OMAPGETVALSBYKEYS, Op.OMAP_CMP, Op.OMAPRMKEYRANGE),
        ):
            for data in GARBAGE:
                reply = await client.do(pool, "m", OSDOp(op, 0, NO_ARGS, data))
                got.append((op.name, data, reply.result))
        read = seen(await client.do(pool, "m", OSDOp.extent(Op.READ, 0, 100)))
        return [*got, read[1]]

    ours, real = on_both(both, body)
    assert [(a, b) for a, b in zip(ours, real, strict=True) if a != b] == []
    assert sum(1 for each in ours if each[-1] == -errno.EINVAL) > 10


def test_a_name_that_ends_early(both: Both) -> None:
    """Of an xattr: EINVAL; 16.2.15's OSD never answers."""

    async def run(conf: Path) -> list[int]:
        async with RawOSDClient.connect(conf) as client:
            pool = await client.pool("raw")
            await client.do(pool, "m", OSDOp.extent(Op.WRITEFULL, 0, 0, b"data"))
            results = []
            for op in (Op.GETXATTR, Op.SETXATTR, Op.CMPXATTR, Op.RMXATTR):
                args = XATTR.pack(50, 0, 1, 1)
                results.append((await client.do(pool, "m", OSDOp(op, 0, args, b"ab"))).result)
            return results

    assert set(trio.run(run, both[0].conf)) == {-errno.EINVAL}


def difference(steps: list[Step], ours: list[Any], real: list[Any]) -> str:
    """The first step that was answered differently."""
    for number, (step, mine, other) in enumerate(zip(steps, ours, real, strict=True)):
        if mine != other:
            return f"step {number} {explain(step)}\n  ours {mine}\n  real {other}"
    return ""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pool", ["seeds", "snaps"])
def test_random_requests(both: Both, pool: str, seed: int) -> None:
    """One seed, one script; in the pool `snaps` with self-managed snapshots on the way."""
    with_snaps = pool == "snaps"
    steps = script(seed, 120, with_snaps=with_snaps)
    if with_snaps:
        for cluster in both:  # its first snapshot makes the pool one of self-managed ones
            cluster.run(SYSTEM_PYTHON, "-c", FIRST_SNAP, str(cluster.conf))
    for step in steps:
        step.name = f"{step.name}.{seed}"
    ours, real = (trio.run(run_script, each.conf, pool, steps) for each in both)
    assert not (text := difference(steps, ours, real)), text


FIRST_SNAP = """
import rados, sys
with rados.Rados(conffile=sys.argv[1], rados_id="admin") as cluster:
    with cluster.open_ioctx("snaps") as io:
        io.create_self_managed_snap()
"""
