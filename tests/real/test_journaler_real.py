"""Journals exchanged with ceph-mds and cephfs-journal-tool, on a real OSD."""

from __future__ import annotations

import errno
import logging
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from tests.real.admin import SYSTEM_PYTHON
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.objecter_kit import ObjecterClient, Op, objecter

from mdsdaemon.clients.journaler import (
    Entry,
    Journaler,
    JournalerOptions,
    JournalError,
    journal_layout,
)
from mdsdaemon.clients.journaler_extents import object_name
from mdsdaemon.clients.journaler_pointer import LOG_INO, PURGE_QUEUE_INO, load_pointer
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.host import Host
from mdsdaemon.rank.log.events import EventType, decode_event, encode_event, event_type
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.journal import ENoOp, ESubtreeMap

LIMIT = 120
MAGIC = "ceph fs volume v011"

LOAD = r"""
import cephfs, os, sys
conf, top, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
fs = cephfs.LibCephFS(conffile=conf)
fs.mount()
fs.mkdir(top, 0o755)
for n in range(count):
    path = f"{top}/f{n}"
    fd = fs.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
    fs.write(fd, b"x" * (n + 1), 0)
    fs.close(fd)
    if n % 5 == 0:
        fs.rename(path, path + ".renamed")
    elif n % 5 == 1:
        fs.unlink(path)
    elif n % 5 == 2:
        fs.setxattr(path, "user.n", b"%d" % n, 0)
    elif n % 5 == 3:
        fs.link(path, path + ".link")
        fs.mkdir(path + ".d", 0o700)
fs.mkdir(f"{top}/.snap/one", 0o755)
fs.sync_fs()
fs.unmount()
"""

LIST = r"""
import cephfs, sys
fs = cephfs.LibCephFS(conffile=sys.argv[1])
fs.mount()
names, handle = [], fs.opendir(sys.argv[2])
while entry := fs.readdir(handle):
    names.append(entry.d_name.decode())
fs.closedir(handle)
fs.unmount()
print(" ".join(sorted(names)))
"""

COUNT = 300
EXPECTED = sorted(
    [".", ".."]
    + [f"f{n}.renamed" for n in range(0, COUNT, 5)]
    + [f"f{n}" for n in range(COUNT) if n % 5 > 1]
    + [f"f{n}{suffix}" for n in range(3, COUNT, 5) for suffix in (".link", ".d")]
)


def stock(cluster: RealCluster, name: str) -> Mds:
    """ceph-mds with the file system's rank; it waits 2 s for clients of the journal's sessions."""
    mds = cluster.start_real_mds(name, "--mds_reconnect_timeout=2")
    mds.wait_state("up:active", 30)
    return mds


def without_mds(cluster: RealCluster) -> None:
    """Nobody writes the journal any more."""
    for mds in cluster.mdss:
        mds.kill()
    cluster.mon("fs fail", fs_name="cephfs")


def loaded(cluster: RealCluster, top: str = "/top", flush: bool = False) -> None:
    """A file system with files that ceph-mds has in its journal, and which it lets go of."""
    cluster.new_fs()
    mds = stock(cluster, "a")
    cluster.run(SYSTEM_PYTHON, "-c", LOAD, str(cluster.conf), top, str(COUNT))

    def purged() -> bool:
        return int(mds.asok("perf dump")["purge_queue"]["pq_executed"]) >= COUNT // 5

    wait_for(purged, 30, "unlinked files are purged")
    if flush:
        mds.asok("flush journal")
    without_mds(cluster)


def taken_over(cluster: RealCluster, top: str = "/top") -> None:
    """ceph-mds replays the journal, and has every file."""
    cluster.mon("fs set", fs_name="cephfs", var="joinable", val="true")
    stock(cluster, "b")
    names = cluster.run(SYSTEM_PYTHON, "-c", LIST, str(cluster.conf), top)
    assert names.split() == EXPECTED


def tool(cluster: RealCluster, *words: str) -> str:
    return cluster.run("cephfs-journal-tool", "-c", str(cluster.conf), "--rank=cephfs:0", *words)


def events_of_tool(cluster: RealCluster) -> list[tuple[int, str]]:
    """(position, type) of each event as cephfs-journal-tool sees it."""
    text = tool(cluster, "event", "get", "list")
    found = re.findall(r"^\S+ (0x\w+) (\w+):", text, re.MULTILINE)
    return [(int(pos, 16), kind) for pos, kind in found]


class Kit:
    """An objecter, and journalers on the metadata pool."""

    def __init__(self, me: ObjecterClient) -> None:
        self.me = me
        self.pool = me.pool("cephfs.meta")

    def journaler(self, ino: int = LOG_INO, **options: int) -> Journaler:
        return Journaler(
            objecter=self.me.objecter,
            pool=self.pool,
            ino=ino,
            magic=MAGIC,
            host=Host.system(),
            log=logging.getLogger("test.journaler"),
            options=JournalerOptions(**options),
        )

    async def recovered(self, ino: int = LOG_INO, **options: int) -> Journaler:
        journal = self.journaler(ino, **options)
        await journal.recover()
        return journal


@asynccontextmanager
async def a_kit(cluster: RealCluster) -> AsyncIterator[Kit]:
    with trio.fail_after(LIMIT):
        async with objecter(cluster) as me:
            yield Kit(me)


async def read(journal: Journaler) -> list[Entry]:
    return [entry async for entry in journal.entries()]


async def sync(cluster: RealCluster, *words: str) -> str:
    return await trio.to_thread.run_sync(tool, cluster, *words)


async def write(journal: Journaler, *payloads: bytes) -> None:
    for payload in payloads:
        journal.append_entry(payload)
    journal.flush()
    await journal.wait_for_safe()


async def test_journal_of_ceph_mds(osd_cluster: RealCluster) -> None:
    """Every event is read where the tool finds it, and comes back byte for byte."""
    loaded(osd_cluster)
    async with a_kit(osd_cluster) as kit:
        pointer = await load_pointer(kit.me.objecter, kit.pool, 0)
        assert (pointer.front, pointer.back) == (LOG_INO, 0)
        journal = await kit.recovered(pointer.front)
        entries = await read(journal)
        events = [decode_event(entry.payload) for entry in entries]
        ours = [(e.start, event_type(ev).name) for e, ev in zip(entries, events, strict=True)]
        assert ours == await trio.to_thread.run_sync(events_of_tool, osd_cluster)
        kinds = Counter(kind for _, kind in ours)
        assert kinds["UPDATE"] > 2 * COUNT
        assert {"SUBTREEMAP", "SESSION", "TABLESERVER", "PURGED"} <= set(kinds)
        assert (journal.cut_bytes, entries[-1].end) == (0, journal.write_pos)
        for event, entry in zip(events, entries, strict=True):
            assert encode_event(event, FEATURES_PACIFIC) == entry.payload
        queue = await kit.recovered(PURGE_QUEUE_INO)
        assert queue.write_pos > queue.layout.period
        whole = [e.end async for e in queue.entries(queue.layout.period)]
        assert (len(whole), whole[-1]) == (COUNT // 5, queue.write_pos)
        with pytest.raises(JournalError) as caught:
            await kit.recovered(LOG_INO + 1)
        assert caught.value.errno == errno.ENOENT


async def test_ceph_mds_goes_on_with_what_we_append(osd_cluster: RealCluster) -> None:
    loaded(osd_cluster)
    async with a_kit(osd_cluster) as kit:
        journal = await kit.recovered()
        before = await read(journal)
        journal.set_writeable()
        last = max(
            (decode_event(e.payload) for e in before),
            key=lambda ev: ev.event_seq if isinstance(ev, ESubtreeMap) else -1,
        )
        assert isinstance(last, ESubtreeMap)
        for n in range(300):  # over several objects, one entry longer than an object
            pad = 5 << 20 if n == 150 else n * 300
            journal.append_entry(encode_event(ENoOp(pad=bytes(pad))))
            if n % 7 == 0:
                journal.flush()
            await journal.room()
        last.event_seq += 10000
        last.expire_pos = journal.expire_pos
        await write(journal, encode_event(last))
        again = await read(await kit.recovered())
        assert len(again) == len(before) + 301
        assert "integrity: OK" in await sync(osd_cluster, "journal", "inspect")
        theirs = await trio.to_thread.run_sync(events_of_tool, osd_cluster)
        assert [pos for pos, _ in theirs] == [e.start for e in again]
        assert Counter(kind for _, kind in theirs)["NOOP"] == 300
        await journal.write_head()
        assert str(journal.write_pos) in await sync(osd_cluster, "header", "get")
    taken_over(osd_cluster)


async def test_a_journal_of_ours(osd_cluster: RealCluster) -> None:
    """Erased and made anew, with a subtree map; trimmed while it is written."""
    loaded(osd_cluster, flush=True)
    async with a_kit(osd_cluster) as kit:
        old = await kit.recovered()
        entries = await read(old)
        maps = [ev for e in entries if isinstance(ev := decode_event(e.payload), ESubtreeMap)]
        await old.erase()
        with pytest.raises(JournalError) as caught:
            await kit.recovered()
        assert caught.value.errno == errno.ENOENT
        journal = kit.journaler()
        journal.create(old.layout)
        await journal.write_head()
        for _ in range(40):
            await write(journal, encode_event(ENoOp(pad=bytes(500_000))))
        subtrees, start = maps[-1], journal.write_pos
        subtrees.event_seq, subtrees.expire_pos = 99_999, start
        await write(journal, encode_event(subtrees))
        journal.set_expire_pos(start)
        journal.trim()
        while journal.trimmed_pos != start - start % journal.layout.period:  # noqa: ASYNC110
            await trio.sleep(0.01)
        await journal.write_head()
        assert "integrity: OK" in await sync(osd_cluster, "journal", "inspect")
        assert await trio.to_thread.run_sync(events_of_tool, osd_cluster) == [(start, "SUBTREEMAP")]
        for number in range(1, start // journal.layout.period + 8):
            op = Op()
            op.stat()
            if number == start // journal.layout.period:
                await kit.me.objecter.operate(kit.pool, object_name(LOG_INO, number), op)
            else:
                with pytest.raises(RadosError, match="ENOENT"):
                    await kit.me.objecter.operate(kit.pool, object_name(LOG_INO, number), op)
    taken_over(osd_cluster)


async def test_torn_anywhere(osd_cluster: RealCluster) -> None:
    """Cut at random: the whole entries are read, ours follow them, and ceph-mds agrees."""
    loaded(osd_cluster)
    rng = random.Random(7)
    async with a_kit(osd_cluster) as kit:
        journal = await kit.recovered()
        entries, period = await read(journal), journal.layout.period
        assert journal.write_pos < 2 * period, "one object, so that it can be put back at once"
        oid, op = object_name(LOG_INO, 1), Op()
        data = op.read(0, 0)
        body = (await kit.me.objecter.operate(kit.pool, oid, op))[data]
        head = journal.last_committed.write_pos
        for n in range(60):
            size = rng.randrange(head - period, len(body))
            if n == 59:
                size = entries[-40].end - period - 5
            await kit.me.objecter.operate(kit.pool, oid, Op().write_full(body[:size]))
            torn = await kit.recovered()
            whole = [e for e in entries if e.end <= period + size]
            assert await read(torn) == whole
            assert torn.write_pos == (whole[-1].end if whole else torn.expire_pos)
            assert torn.cut_bytes == period + size - torn.write_pos
        torn.set_writeable()
        noop = encode_event(ENoOp(pad=b"\xff" * 100))
        await write(torn, noop)
        assert await read(await kit.recovered()) == [
            *entries[:-40],
            Entry(torn.write_pos - len(noop) - 20, torn.write_pos, noop),
        ]
        assert "integrity: OK" in await sync(osd_cluster, "journal", "inspect")
        theirs = await trio.to_thread.run_sync(events_of_tool, osd_cluster)
        assert theirs[-1][1] == EventType.NOOP.name
        assert len(theirs) == len(entries) - 39
    osd_cluster.mon("fs set", fs_name="cephfs", var="joinable", val="true")
    stock(osd_cluster, "b")


async def test_a_journal_reset_by_the_tool(osd_cluster: RealCluster) -> None:
    """It begins anew in an object of its own, with an event of no content."""
    loaded(osd_cluster)
    tool(osd_cluster, "journal", "reset")
    async with a_kit(osd_cluster) as kit:
        journal = await kit.recovered()
        (entry,) = await read(journal)
        assert event_type(decode_event(entry.payload)) == EventType.RESETJOURNAL
        assert journal.expire_pos == journal.trimmed_pos == entry.start
        assert entry.start % journal.layout.period == 0
        journal.set_writeable()
        await write(journal, encode_event(ENoOp()))
        assert [kind for _, kind in await trio.to_thread.run_sync(events_of_tool, osd_cluster)] == [
            "RESETJOURNAL",
            "NOOP",
        ]


async def test_killed_by_the_monitor_in_the_middle(osd_cluster: RealCluster) -> None:
    """Fenced while it writes: told once, and what was safe is what the next one finds."""
    osd_cluster.new_fs()
    async with a_kit(osd_cluster) as kit, trio.open_nursery() as nursery:
        journal = kit.journaler(0x2FF)
        layout = journal_layout(kit.pool)
        journal.create(layout)
        await journal.write_head()
        await nursery.start(journal.run)
        told, ended = list[RadosError](), trio.Event()

        def failed(error: RadosError) -> None:
            told.append(error)
            ended.set()

        journal.on_error = failed
        address = str(kit.me.messenger.my_addrs.addrs[0]).partition(":")[2]

        async def fence() -> None:
            await trio.sleep(0.3)
            await trio.to_thread.run_sync(
                lambda: osd_cluster.mon("osd blocklist", blocklistop="add", addr=address)
            )

        nursery.start_soon(fence)
        count = 0
        while not ended.is_set():
            journal.append_entry(b"%d" % count)
            count += 1
            journal.flush()
            await trio.sleep(0.0005)
        assert [e.errno for e in told] == [EBLOCKLISTED]
        with pytest.raises(JournalError):
            await journal.wait_for_safe()
        safe = journal.safe_pos
        await trio.sleep(0.2)
        async with a_kit(osd_cluster) as other:
            found = await other.recovered(0x2FF)
            entries = await read(found)
            assert found.write_pos >= safe > layout.period
            assert [e.payload for e in entries] == [b"%d" % n for n in range(len(entries))]
        nursery.cancel_scope.cancel()
