"""The journal: appending, committing and replaying; in memory, and on a real OSD if one can run.

nox -s bench -- journal        or: python -m bench.journal [--memory]
"""

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import trio
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import RealCluster, missing_programs
from tests.real.objecter_kit import objecter
from tests.trio.object_world import POOL, Objects, a_journaler, objects

from mdsdaemon.clients.journaler import Journaler, journal_layout
from mdsdaemon.clients.journaler_pointer import LOG_INO
from mdsdaemon.host import Host
from mdsdaemon.rank.log.events import decode_event, encode_event

MAGIC = "ceph fs volume v011"
BENCH_INO = 0x2FF
COMMITTERS = (1, 16, 256)

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


@dataclass(frozen=True)
class Row:
    """One figure: entries and bytes per second, and what else is worth saying."""

    name: str
    entries: float
    size: float
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name:44}{self.entries:12.0f}{self.size / 1e6:10.1f}  {self.note}"


def table(rows: Sequence[Row]) -> str:
    """For people."""
    head = f"{'journal':44}{'entries/s':>12}{'MB/s':>10}"
    return "\n".join([head, *map(str, rows)])


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """For machines."""
    return [vars(row) for row in rows]


async def appended(journal: Journaler, name: str, count: int, size: int) -> Row:
    """`count` entries appended as fast as possible, a flush for every hundred."""
    payload, begun = bytes(size), time.perf_counter()
    for n in range(count):
        journal.append_entry(payload)
        if n % 100 == 99:
            journal.flush()
            if not journal.has_room:
                await journal.room()
            await trio.lowlevel.checkpoint()
    appending = time.perf_counter() - begun
    journal.flush()
    await journal.wait_for_safe()
    took = time.perf_counter() - begun
    return Row(name, count / took, count * size / took, f"all appended after {appending:.2f} s")


async def append_only(size: int) -> Row:
    """The cost of append_entry itself: nothing is written meanwhile."""
    async with objects(latency=(0, 0)) as world:
        journal = a_journaler(world)
        journal.create(journal_layout(POOL))
        payload, count = bytes(size), 3_000_000 // size
        begun = time.perf_counter()
        for _ in range(count):
            journal.append_entry(payload)
        took = time.perf_counter() - begun
        return Row(f"append_entry, {size} B", count / took, count * size / took)


async def replayed(journal: Journaler, name: str, by_batch: bool = True) -> Row:
    """All entries from expire_pos on."""
    begun, count = time.perf_counter(), 0
    await journal.recover()
    recovering = time.perf_counter() - begun
    begun, size = time.perf_counter(), journal.write_pos - journal.read_pos
    if by_batch:
        async for batch in journal.read_batches():
            count += len(batch)
    else:
        async for _ in journal.entries():
            count += 1
    took = time.perf_counter() - begun
    note = f"{count} entries; recovered in {recovering * 1e3:.1f} ms"
    return Row(name, count / took, size / took, note)


async def committed(journal: Journaler, name: str, tasks: int, count: int, size: int) -> Row:
    """As many tasks as `tasks` append, flush and wait, each for its own entry."""
    payload, times = bytes(size), list[float]()

    async def commit() -> None:
        while len(times) < count:
            begun = time.perf_counter()
            end = journal.append_entry(payload)
            journal.flush()
            await journal.wait_for_safe(end)
            times.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(commit)
    took = time.perf_counter() - begun
    note = f"median {statistics.median(times) * 1e3:.2f} ms"
    return Row(name, len(times) / took, len(times) * size / took, note)


async def in_memory() -> list[Row]:
    """Without a network: what the journaler itself costs."""
    rows = [await append_only(100), await append_only(2000)]
    for size in (100, 2000):
        async with objects(latency=(0, 0)) as world:
            journal = a_journaler(world)
            journal.create(journal_layout(POOL))
            await journal.write_head()
            count = 60_000_000 // (size + 200)
            rows.append(await appended(journal, f"written to memory, {size} B", count, size))
            rows += [await memory_replay(world, size, by_batch) for by_batch in (True, False)]
    return rows


async def memory_replay(world: Objects, size: int, by_batch: bool) -> Row:
    how = "batches" if by_batch else "one by one"
    return await replayed(a_journaler(world), f"read from memory, {size} B, {how}", by_batch)


def a_real_journal(cluster: RealCluster, files: int) -> None:
    """A file system whose ceph-mds was killed with its events in the journal."""
    cluster.new_fs()
    cluster.start_real_mds("a").wait_state("up:active", 30)
    cluster.run(SYSTEM_PYTHON, "-c", LOAD, str(cluster.conf), str(files))
    for mds in cluster.mdss:
        mds.kill()
    cluster.mon("fs fail", fs_name="cephfs")


async def on_an_osd(cluster: RealCluster) -> list[Row]:
    """On one OSD that keeps its objects in memory, over loopback."""
    rows = []
    async with objecter(cluster) as me:
        pool = me.pool("cephfs.meta")

        def journaler(ino: int) -> Journaler:
            log = logging.getLogger("bench.journal")
            host, io = Host.system(), me.objecter
            return Journaler(objecter=io, pool=pool, ino=ino, magic=MAGIC, host=host, log=log)

        theirs = journaler(LOG_INO)
        rows.append(await replayed(theirs, "journal of ceph-mds, read"))
        payloads = [entry.payload async for entry in theirs.entries(theirs.expire_pos)]
        size, begun = sum(map(len, payloads)), time.perf_counter()
        for payload in payloads:
            decode_event(payload)
        took = time.perf_counter() - begun
        rows.append(Row("… its events decoded", len(payloads) / took, size / took))
        events, begun = list(map(decode_event, payloads)), time.perf_counter()
        for event in events:
            encode_event(event)
        took = time.perf_counter() - begun
        rows.append(Row("… and encoded", len(payloads) / took, size / took))
        ours = journaler(BENCH_INO)
        ours.create(journal_layout(pool))
        await ours.write_head()
        rows.append(await appended(ours, "written to an OSD, 2000 B", 50_000, 2000))
        for tasks in COMMITTERS:
            name = f"committed by {tasks} tasks, 2000 B"
            rows.append(await committed(ours, name, tasks, 500 if tasks == 1 else 5000, 2000))
        rows.append(await replayed(journaler(BENCH_INO), "read from an OSD, 2000 B"))
        await ours.erase()
    return rows


def measure(*, memory: bool = False, files: int = 3000) -> list[Row]:
    """All figures; those of a real OSD are left out if Ceph's programs are missing."""
    rows = trio.run(in_memory)
    if memory or missing_programs():
        return rows
    with RealCluster(osd=True) as cluster:
        a_real_journal(cluster, files)
        return rows + trio.run(on_an_osd, cluster)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.journal", description=__doc__)
    parser.add_argument("--memory", action="store_true", help="without a real OSD")
    parser.add_argument("--files", type=int, default=3000, help="files that ceph-mds makes")
    asked = parser.parse_args()
    sys.stdout.write(table(measure(memory=asked.memory, files=asked.files)) + "\n")


if __name__ == "__main__":
    main()
