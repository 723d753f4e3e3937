"""A journal being written: flushes, headers, zeroing, trimming, errors."""

from __future__ import annotations

import errno

import pytest
import trio
from tests.trio.object_world import (
    INO,
    MAGIC,
    POOL,
    SMALL,
    K,
    Objects,
    a_journaler,
    a_new_journal,
    objects,
    payloads,
    recovered,
)
from trio.testing import MockClock

from mdsdaemon.clients.journaler import JournalError
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.encoding import decode
from mdsdaemon.types.journal_store import JournalHeader, StreamFormat
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.osd_op import Op

HEAD = "200.00000000"


def head(world: Objects) -> JournalHeader:
    return decode(JournalHeader, bytes(world.data[HEAD]))


async def test_a_new_journal(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal = await a_new_journal(world)
        assert head(world) == JournalHeader(MAGIC, K, K, K, K, SMALL, StreamFormat.RESILIENT)
        assert (journal.read_pos, journal.write_pos, journal.safe_pos) == (K, K, K)
        assert await payloads(journal) == []
        assert await payloads(await recovered(world)) == []


async def test_appending_and_safe(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal, seen = await a_new_journal(world), list[int]()
        journal.on_safe = seen.append
        ends = [journal.append_entry(b"entry %d" % n) for n in range(3)]
        assert ends[0] == K + 27
        assert (journal.write_pos, journal.flush_pos) == (ends[2], K)
        journal.flush()
        with trio.fail_after(1):
            await journal.wait_for_safe(ends[0])
        assert seen == [ends[2]]
        await journal.wait_for_safe()
        assert bytes(world.data["200.00000001"]).count(b"entry") == 3
        other = await recovered(world)
        assert [e.end async for e in other.entries()] == ends


async def test_flushes_while_others_are_under_way_go_together(autojump_clock: MockClock) -> None:
    async with objects(latency=(0.01, 0.01)) as world:
        journal = await a_new_journal(world, writes_at_once=4)
        journal.set_writeable()
        await trio.sleep(1)  # zeroed
        world.log.clear()
        for n in range(1000):
            journal.append_entry(b"%d" % n)
            journal.flush()
        assert world.under_way == 4 + 1  # and one more object to be zeroed
        await journal.wait_for_safe()
        assert world.log == [("200.00000001", Op.WRITE)] * 5
        assert await payloads(await recovered(world)) == [b"%d" % n for n in range(1000)]


async def test_objects_are_zeroed_ahead(autojump_clock: MockClock) -> None:
    """What an earlier life of the journal left behind its end is never found again."""
    async with objects() as world:
        for n in range(1, 12):
            world.data[f"200.{n:08x}"] = bytearray(b"\xee" * K)
        world.data["200.00000001"][100:] = b"\xee" * (K - 100)
        journal = await a_new_journal(world, prezero_periods=3)
        journal.append_entry(b"x" * 80)
        assert len(world.data) == 12
        journal.flush()
        await journal.wait_for_safe()
        assert journal.prezero_pos >= 3 * K
        await trio.sleep(1)
        assert world.names()[:2] == [HEAD, "200.00000001"]
        assert len(world.data["200.00000001"]) == 100
        assert world.names()[2:] == [f"200.{n:08x}" for n in range(5, 12)]
        assert await payloads(await recovered(world)) == [b"x" * 80]


async def test_striped_journal(autojump_clock: MockClock) -> None:
    async with objects() as world:
        layout = FileLayout(K, 3, 2 * K, POOL)
        journal, sent = await a_new_journal(world, layout), [b"%d" % n * 5000 for n in range(200)]
        assert journal.write_pos == 6 * K
        for payload in sent:
            journal.append_entry(payload)
        journal.flush()
        await journal.wait_for_safe()
        other = await recovered(world)
        assert (other.write_pos, other.layout) == (journal.write_pos, layout)
        assert await payloads(other) == sent
        journal.set_expire_pos(journal.write_pos)
        journal.trim()
        await trio.sleep(1)
        assert world.names()[0] == HEAD
        first = int(world.names()[1][-8:], 16)
        assert first // 3 == journal.write_pos // (6 * K)


async def test_trimming(autojump_clock: MockClock) -> None:
    """Periods go once the header says that they may, and never before."""
    async with objects(latency=(0.1, 0.1)) as world:
        journal = await a_new_journal(world)
        ends = [journal.append_entry(b"x" * 20000) for _ in range(30)]
        journal.flush()
        await journal.wait_for_safe()
        count = len(world.data)
        journal.set_expire_pos(ends[14])
        assert ends[14] // K == 5
        journal.trim()
        while journal.last_committed.expire_pos != ends[14]:
            assert len(world.data) == count
            await trio.sleep(0.01)
        assert journal.expiring_pos == ends[14]
        await trio.sleep(5)
        assert world.names()[:2] == [HEAD, "200.00000005"]
        assert (journal.trimmed_pos, journal.trimming_pos) == (5 * K, 5 * K)
        assert head(world).trimmed_pos == K
        await journal.write_head()
        assert head(world).trimmed_pos == 5 * K
        other = await recovered(world)
        assert [e.end async for e in other.entries()] == ends[15:]
        with pytest.raises(ValueError, match="nothing was written before"):
            journal.set_expire_pos(journal.write_pos + 1)
        journal.set_expire_pos(K)
        assert journal.expire_pos == ends[14]


async def test_headers_by_age(autojump_clock: MockClock) -> None:
    async with objects() as world, trio.open_nursery() as nursery:
        journal = await a_new_journal(world)
        await nursery.start(journal.run)
        world.log.clear()
        end = journal.append_entry(b"x")
        await trio.sleep(3)  # the service flushes what nobody flushed
        assert journal.safe_pos == end
        assert (HEAD, Op.WRITEFULL) not in world.log
        await trio.sleep(20)
        assert world.log.count((HEAD, Op.WRITEFULL)) == 1
        assert head(world).write_pos == end
        await trio.sleep(100)
        assert world.log.count((HEAD, Op.WRITEFULL)) == 1
        nursery.cancel_scope.cancel()


async def test_headers_asked_for_together(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal = await a_new_journal(world)
        world.log.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(journal.write_head)
        assert 1 <= world.log.count((HEAD, Op.WRITEFULL)) <= 2


@pytest.mark.parametrize("code", [EBLOCKLISTED, errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("what", ["data", "zero", "head", "trim"])
async def test_a_write_error_is_told_once(autojump_clock: MockClock, code: int, what: str) -> None:
    async with objects() as world:
        journal, told = await a_new_journal(world), list[RadosError]()
        journal.on_error = told.append
        ends = [journal.append_entry(b"x" * 20000) for _ in range(20)]
        journal.flush()
        await journal.wait_for_safe()
        hit = {"data": Op.WRITE, "zero": Op.DELETE, "trim": Op.DELETE, "head": Op.WRITEFULL}[what]
        world.fault = lambda _, op: code if op == hit else 0
        async with trio.open_nursery() as nursery:
            raised = list[JournalError]()

            async def waits() -> None:
                with pytest.raises(JournalError) as caught:
                    await (journal.write_head() if what == "head" else journal.wait_for_safe())
                raised.append(caught.value)

            journal.append_entry(b"never safe")
            if what in ("data", "zero"):
                for _ in range(40):
                    journal.append_entry(b"y" * 20000)
                journal.flush()
            elif what == "trim":
                journal.set_expire_pos(ends[-1])
                journal.trim()
            nursery.start_soon(waits)
            nursery.start_soon(waits)
        assert [e.errno for e in told] == [code]
        assert {e.errno for e in raised} == {code}
        await trio.sleep(1)
        safe, writes = journal.safe_pos, len(world.log)
        world.fault = None
        end = journal.append_entry(b"nobody writes this")
        assert end == journal.write_pos
        journal.flush()
        journal.trim()
        await trio.sleep(30)
        assert (journal.safe_pos, len(told)) == (safe, 1)
        assert len([op for _, op in world.log[writes:] if op == hit]) == 0
        with pytest.raises(JournalError):
            await journal.wait_for_safe(end)
        with pytest.raises(JournalError):
            await journal.write_head()


async def test_an_error_among_several_writes(autojump_clock: MockClock) -> None:
    """safe_pos does not pass a write that failed, though later ones succeed."""
    async with objects(latency=(0.01, 0.02)) as world:
        journal, seen = await a_new_journal(world), list[int]()
        journal.set_writeable()
        await trio.sleep(1)
        world.fault = lambda oid, op: errno.EIO if oid.endswith("2") and op == Op.WRITE else 0
        journal.on_safe = seen.append
        end = journal.append_entry(b"x" * 20000)
        journal.flush()
        await journal.wait_for_safe()
        for _ in range(12):
            journal.append_entry(b"x" * 20000)
        journal.flush()
        await trio.sleep(1)
        assert journal.error is not None
        assert ("200.00000003", Op.WRITE) in world.log
        assert end <= journal.safe_pos < 2 * K
        assert seen[-1] == journal.safe_pos


async def test_shutdown(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal = await a_new_journal(world)
        async with trio.open_nursery() as nursery:
            service = trio.CancelScope()

            async def run() -> None:
                with service:
                    await journal.run()

            async def waits() -> None:
                with pytest.raises(JournalError) as caught:
                    await journal.wait_for_safe()
                assert caught.value.errno == errno.EAGAIN

            nursery.start_soon(run)
            journal.append_entry(b"x")
            nursery.start_soon(waits)
            await trio.testing.wait_all_tasks_blocked()
            service.cancel()
        world.log.clear()
        journal.flush()
        with pytest.raises(JournalError):
            journal.append_entry(b"y")
        await trio.sleep(30)
        assert not [op for _, op in world.log if op == Op.WRITE]


async def test_read_only(autojump_clock: MockClock) -> None:
    async with objects() as world:
        await a_new_journal(world)
        journal = await recovered(world)
        assert journal.is_readonly
        for act in (lambda: journal.append_entry(b"x"), journal.flush, journal.trim):
            with pytest.raises(ValueError, match="read-only"):
                act()
        with pytest.raises(ValueError, match="read-only"):
            await journal.write_head()
        journal.set_writeable()
        journal.append_entry(b"x")
        blind = a_journaler(world)
        await blind.recover(probe=False)
        with pytest.raises(ValueError, match="end is not known"):
            blind.set_writeable()


async def test_room(autojump_clock: MockClock) -> None:
    async with objects(latency=(0.01, 0.02)) as world:
        journal, most = await a_new_journal(world, max_unsafe=5 * K), 0
        for _ in range(300):
            await journal.room()
            journal.append_entry(b"x" * 5000)
            most = max(most, journal.write_pos - journal.safe_pos)
        assert 4 * K < most <= 5 * K + 5020
        journal.flush()
        await journal.wait_for_safe()
        assert len(await payloads(await recovered(world))) == 300


async def test_erase(autojump_clock: MockClock) -> None:
    async with objects() as world:
        world.data["1.00000000"] = bytearray(b"of somebody else")
        journal = await a_new_journal(world)
        for _ in range(50):
            journal.append_entry(b"x" * 20000)
        journal.flush()
        await journal.wait_for_safe()
        other = await recovered(world)
        world.fault = lambda oid, _: errno.EIO if oid.endswith("7") else 0
        with pytest.raises(JournalError) as caught:
            await other.erase()
        assert caught.value.errno == errno.EIO
        assert HEAD in world.data
        world.fault = None
        await other.erase()
        assert world.names() == ["1.00000000"]
        with pytest.raises(JournalError) as caught:
            await recovered(world)
        assert caught.value.errno == errno.ENOENT


async def test_what_create_refuses(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal = a_journaler(world)
        for layout in (FileLayout(K, 1, K, POOL + 1), FileLayout(K, 0, K, POOL), FileLayout()):
            with pytest.raises(ValueError, match="no layout"):
                journal.create(layout)
        with pytest.raises(ValueError, match="no journal format 7"):
            journal.create(SMALL, stream_format=7)
        with pytest.raises(ValueError, match="neither created nor recovered"):
            journal.append_entry(b"x")
        assert (journal.write_pos, INO, world.data) == (0, journal.ino, {})
