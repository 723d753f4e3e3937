"""The journal: appending, committing and replaying; in memory, and on a real OSD if one can run."""

import logging
import time
from collections.abc import Callable

import trio
from bench.figures import LOOP, OURS, Sheet
from bench.machine import pass_seconds
from bench.plan import Plan
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster, missing_programs
from tests.real.objecter_kit import objecter
from tests.trio.object_world import POOL, a_journaler, objects

from mdsdaemon.clients.journaler import Journaler, journal_layout
from mdsdaemon.clients.journaler_pointer import LOG_INO
from mdsdaemon.host import Host
from mdsdaemon.rank.log.events import decode_event, encode_event

MAGIC = "ceph fs volume v011"
BENCH_INO = 0x2FF
COMMITTERS = (1, 16, 256)
FILES = 3000
"""That ceph-mds makes for its journal."""

LOAD = """
import cephfs, os, sys
fs = cephfs.LibCephFS(conffile=sys.argv[1])
fs.mount()
fs.mkdir("/bench", 0o755)
for n in range(int(sys.argv[2])):
    fd = fs.open(f"/bench/{n}", os.O_CREAT | os.O_WRONLY, 0o644)
    fs.write(fd, b"x" * 10, 0)
    fs.close(fd)
fs.sync_fs()
fs.unmount()
"""


Clock = Callable[[], float]
"""Within one process the thread's, which does not count what other processes take."""


async def appended(
    journal: Journaler, count: int, size: int, clock: Clock = time.perf_counter
) -> float:
    """`count` entries appended as fast as possible, a flush for every hundred."""
    payload, begun = bytes(size), clock()
    for n in range(count):
        journal.append_entry(payload)
        if n % 100 == 99:
            journal.flush()
            if not journal.has_room:
                await journal.room()
            await trio.lowlevel.checkpoint()
    journal.flush()
    await journal.wait_for_safe()
    return count / (clock() - begun)


async def append_only(size: int) -> float:
    """The cost of append_entry itself: nothing is written meanwhile."""
    async with objects(latency=(0, 0)) as world:
        journal = a_journaler(world)
        journal.create(journal_layout(POOL))
        payload, count = bytes(size), 3_000_000 // size
        begun = time.thread_time()
        for _ in range(count):
            journal.append_entry(payload)
        return count / (time.thread_time() - begun)


async def replayed(
    journal: Journaler, by_batch: bool = True, clock: Clock = time.perf_counter
) -> float:
    """All entries from expire_pos on."""
    await journal.recover()
    begun, count = clock(), 0
    if by_batch:
        async for batch in journal.read_batches():
            count += len(batch)
    else:
        async for _ in journal.entries():
            count += 1
    return count / (clock() - begun)


async def committed(journal: Journaler, tasks: int, count: int, size: int) -> float:
    """As many tasks as `tasks` append, flush and wait, each for its own entry."""
    payload, done = bytes(size), 0

    async def commit() -> None:
        nonlocal done
        while done < count:
            end = journal.append_entry(payload)
            journal.flush()
            await journal.wait_for_safe(end)
            done += 1

    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(commit)
    return done / (time.perf_counter() - begun)


class Rates:
    """Entries a second into a sheet, each beside the calibrating loop's passes."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def add(self, name: str, rate: float) -> None:
        for kind, value in ((LOOP, 1 / pass_seconds()), (OURS, rate)):
            self._sheet.add(name, kind, value, "/s", better="higher")


async def in_memory(rates: Rates, plan: Plan) -> None:
    """Without a network: what the journaler itself costs."""
    for size in (100, 2000):
        rates.add(f"append_entry, {size} bytes", await append_only(size))
    for size in (100, 2000):
        async with objects(latency=(0, 0)) as world:
            journal = a_journaler(world)
            journal.create(journal_layout(POOL))
            await journal.write_head()
            count = plan.pick(20_000_000, 5_000_000) // (size + 200)
            rates.add(
                f"written to memory, {size} bytes",
                await appended(journal, count, size, time.thread_time),
            )
            for how, by_batch in (("in batches", True), ("one by one", False)):
                rate = await replayed(a_journaler(world), by_batch, time.thread_time)
                rates.add(f"read from memory, {size} bytes, {how}", rate)


def a_real_journal(cluster: RealCluster, files: int) -> None:
    """A file system whose ceph-mds was killed with its events in the journal."""
    cluster.new_fs()
    cluster.start_real_mds("a").wait_state("up:active", 30)
    cluster.run(SYSTEM_PYTHON, "-c", LOAD, str(cluster.conf), str(files))
    for mds in cluster.mdss:
        mds.kill()
    cluster.mon("fs fail", fs_name="cephfs")


async def on_an_osd(cluster: RealCluster, rates: Rates) -> None:
    """On one OSD that keeps its objects in memory, over loopback."""
    async with objecter(cluster) as me:
        pool = me.pool("cephfs.meta")

        def journaler(ino: int) -> Journaler:
            log = logging.getLogger("bench.journal")
            host, io = Host.system(), me.objecter
            return Journaler(objecter=io, pool=pool, ino=ino, magic=MAGIC, host=host, log=log)

        theirs = journaler(LOG_INO)
        rates.add("journal of ceph-mds, read", await replayed(theirs))
        payloads = [entry.payload async for entry in theirs.entries(theirs.expire_pos)]
        begun = time.perf_counter()
        events = list(map(decode_event, payloads))
        rates.add("… its events decoded", len(payloads) / (time.perf_counter() - begun))
        begun = time.perf_counter()
        for event in events:
            encode_event(event)
        rates.add("… and encoded", len(payloads) / (time.perf_counter() - begun))
        ours = journaler(BENCH_INO)
        ours.create(journal_layout(pool))
        await ours.write_head()
        rates.add("written to an OSD, 2000 bytes", await appended(ours, 20_000, 2000))
        for tasks in COMMITTERS:
            rate = await committed(ours, tasks, 500 if tasks == 1 else 3000, 2000)
            rates.add(f"committed by {tasks} tasks, 2000 bytes", rate)
        rates.add("read from an OSD, 2000 bytes", await replayed(journaler(BENCH_INO)))
        await ours.erase()


def measure(sheet: Sheet, plan: Plan) -> None:
    """All figures; those of a real OSD are left out if Ceph's programs are missing."""
    rates = Rates(sheet)
    for _ in range(plan.pick(5, 3)):
        trio.run(in_memory, rates, plan)
    if plan.quick or missing_programs():
        return
    with RealCluster(osd=True) as cluster:
        a_real_journal(cluster, FILES)
        for _ in range(3):
            trio.run(on_an_osd, cluster, rates)
