"""Recovering and reading a journal: read-ahead, torn ends, corruption, following its writer."""

from __future__ import annotations

import errno
from contextlib import aclosing
from typing import Any

import pytest
import trio
from tests.trio.object_world import (
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

from mdsdaemon.clients.journaler import Journaler, JournalError
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED
from mdsdaemon.encoding import encode
from mdsdaemon.types.journal_store import JournalHeader, StreamFormat
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.osd_op import Op

HEAD = "200.00000000"


def name(pos: int) -> str:
    return f"200.{pos // K:08x}"


async def written(world: Objects, count: int, size: int = 20000) -> tuple[Journaler, list[int]]:
    """A journal with entries of `size` bytes, and where they end; its header says K."""
    journal = await a_new_journal(world)
    ends = [journal.append_entry(b"%d" % n + b"x" * size) for n in range(count)]
    journal.flush()
    await journal.wait_for_safe()
    return journal, ends


async def fails(journal: Journaler, code: int, match: str = "journal") -> list[bytes]:
    """What is read before this error."""
    found = list[bytes]()

    async def read() -> None:
        async for entry in journal.entries():
            found.append(entry.payload)

    with pytest.raises(JournalError, match=match) as caught:
        await read()
    assert caught.value.errno == code
    return found


async def test_the_end_is_found_behind_the_header(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal, ends = await written(world, 200)
        assert journal.last_committed.write_pos == K
        other = await recovered(world)
        assert (other.write_pos, other.read_pos, other.safe_pos) == (ends[-1], K, ends[-1])
        assert [e.end async for e in other.entries()] == ends
        assert other.read_pos == ends[-1]
        blind = a_journaler(world)
        await blind.recover(probe=False)
        assert blind.write_pos == K


@pytest.mark.parametrize("count", [1, 2, 5, 9])
async def test_an_end_between_objects(autojump_clock: MockClock, count: int) -> None:
    async with objects() as world:
        journal = await a_new_journal(world)
        for _ in range(count):
            journal.append_entry(b"x" * (K - 20))
        await journal.wait_for_safe()
        assert (await recovered(world)).write_pos == (count + 1) * K


async def test_objects_are_read_ahead_in_order(autojump_clock: MockClock) -> None:
    async with objects(latency=(1, 3)) as world:
        await written(world, 200)
        other, world.most_at_once = await recovered(world, prefetch_periods=10), 0
        began, found = trio.current_time(), 0
        async for batch in other.read_batches():
            found += len(batch)
            assert other.read_pos == batch[-1].end
        assert found == 200
        assert 10 <= world.most_at_once <= 11
        # 61 objects, 3 s and its answer's way each at most, ten at a time
        assert trio.current_time() - began < 4 * 61 / 10 + 4


async def test_reading_may_end_early(autojump_clock: MockClock) -> None:
    async with objects() as world:
        _, ends = await written(world, 100)
        other = await recovered(world)
        async with aclosing(other.entries()) as entries:
            async for entry in entries:
                if entry.end == ends[4]:
                    break
        assert world.cancelled > 3
        assert (other.read_pos, world.under_way) == (ends[4], 0)
        assert [e.end async for e in other.entries()] == ends[5:]
        assert [e.end async for e in other.entries(ends[97])] == ends[98:]


async def test_entries_longer_than_periods(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal = await a_new_journal(world)
        sent = [b"a" * (5 * K), b"b", b"c" * (12 * K), b"d" * (K - 21)]
        for payload in sent:
            journal.append_entry(payload)
        journal.flush()
        await journal.wait_for_safe()
        assert await payloads(await recovered(world)) == sent


async def test_the_old_format(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal = a_journaler(world)
        journal.create(SMALL, stream_format=StreamFormat.LEGACY)
        await journal.write_head()
        sent = [b"%d" % n * 3000 for n in range(50)]
        for payload in sent:
            journal.append_entry(payload)
        journal.flush()
        await journal.wait_for_safe()
        del world.data[name(journal.write_pos)][-1:]
        other = await recovered(world)
        assert await payloads(other) == sent[:-1]
        assert (other.stream_format, other.envelope_size) == (StreamFormat.LEGACY, 4)
        assert other.cut_bytes == 4 + len(sent[-1]) - 1


async def test_cut_at_every_byte_of_the_last_entries(autojump_clock: MockClock) -> None:
    """All whole entries are there; what is written then follows them, and nothing stale."""
    async with objects() as world:
        _, ends = await written(world, 5, 60)
        body = bytes(world.data[name(K)])
        for size in range(ends[1] - K, len(body) + 1):
            world.data = {HEAD: world.data[HEAD], name(K): bytearray(body[:size])}
            other = await recovered(world)
            whole = [end for end in ends if end <= K + size]
            assert [e.end async for e in other.entries()] == whole
            assert (other.write_pos, other.cut_bytes) == (whole[-1], K + size - whole[-1])
            other.set_writeable()
            end = other.append_entry(b"new")
            other.flush()
            await other.wait_for_safe()
            assert [e.end async for e in (await recovered(world)).entries()] == [*whole, end]


async def test_an_entry_torn_over_objects(autojump_clock: MockClock) -> None:
    """The middle of a long entry is missing, and its end is there."""
    async with objects() as world:
        journal = await a_new_journal(world)
        first = journal.append_entry(b"first")
        journal.append_entry(b"long" * K)
        journal.flush()
        await journal.wait_for_safe()
        del world.data[name(3 * K)]
        other = await recovered(world)
        assert other.write_pos == 3 * K
        assert await payloads(other) == [b"first"]
        assert (other.write_pos, other.cut_bytes) == (first, 3 * K - first)
        other.set_writeable()
        for _ in range(8):
            other.append_entry(b"new" * 10000)
            other.flush()
            await other.wait_for_safe()
        assert await payloads(await recovered(world)) == [b"first"] + [b"new" * 10000] * 8


@pytest.mark.parametrize("entry", [0, 3, 9])
@pytest.mark.parametrize("at", [0, 7, 8, 11, -8, -1])
async def test_corruption_ends_reading(autojump_clock: MockClock, entry: int, at: int) -> None:
    """Also where a length was changed so that the entry seems to be torn."""
    async with objects() as world:
        _, ends = await written(world, 10)
        starts = [K, *ends]
        pos = starts[entry] + at if at >= 0 else starts[entry + 1] + at
        world.data[name(pos)][pos % K] ^= 0x10
        other = await recovered(world)
        found = await fails(other, errno.EINVAL, f"journal 0x200 at {starts[entry]}")
        assert (len(found), other.write_pos) == (entry, ends[-1])
        assert len(await fails(other, errno.EINVAL)) == 0
        lenient = await recovered(world)
        found = [e.payload async for e in lenient.entries(skip_corrupt=True)]
        assert [int(p.rstrip(b"x")) for p in found] == [n for n in range(10) if n != entry]
        assert lenient.write_pos == (ends[8] if entry == 9 else ends[-1])


async def test_an_object_is_missing(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal, ends = await written(world, 100)
        await journal.write_head()
        missing = world.data.pop(name(5 * K))
        found = await fails(await recovered(world), errno.ENOENT, name(5 * K))
        assert len(found) == sum(end <= 5 * K for end in ends)
        world.data[name(5 * K)] = missing[:-1]
        await fails(await recovered(world), errno.EINVAL, name(5 * K))
        world.data[name(5 * K)] = missing
        world.fault = lambda oid, op: errno.EIO if oid == name(7 * K) and op == Op.READ else 0
        await fails(await recovered(world), errno.EIO, name(7 * K))
        world.fault = lambda oid, op: EBLOCKLISTED if oid == name(7 * K) and op == Op.READ else 0
        await fails(await recovered(world), EBLOCKLISTED)


def a_header(**changes: Any) -> JournalHeader:
    header = JournalHeader(MAGIC, K, K, K, K, SMALL, StreamFormat.RESILIENT)
    for field, value in changes.items():
        setattr(header, field, value)
    return header


GOOD = a_header()
BAD_HEADERS = {
    "nothing": b"",
    "garbage": b"\xff" * 100,
    "cut": encode(JournalHeader, GOOD)[:-3],
    "magic": a_header(magic="ceph mds purge queue v011"),
    "expire behind write": a_header(expire_pos=2 * K),
    "trimmed behind expire": a_header(trimmed_pos=2 * K, write_pos=4 * K),
    "in the header": a_header(trimmed_pos=K - 1),
    "pool": a_header(layout=FileLayout(K, 1, K, POOL + 1)),
    "layout": a_header(layout=FileLayout(K, 0, K, POOL)),
    "format": a_header(stream_format=2),
    "huge": a_header(write_pos=1 << 63),
}


@pytest.mark.parametrize("what", BAD_HEADERS)
async def test_bad_headers(autojump_clock: MockClock, what: str) -> None:
    async with objects() as world:
        bad = BAD_HEADERS[what]
        raw = bad if isinstance(bad, bytes) else encode(JournalHeader, bad)
        world.data[HEAD] = bytearray(raw)
        journal = a_journaler(world)
        with pytest.raises(JournalError, match=HEAD) as caught:
            await journal.recover()
        assert caught.value.errno == errno.EINVAL
        assert not journal.is_active
        world.data[HEAD] = bytearray(encode(JournalHeader, GOOD))
        await journal.recover()
        assert journal.is_active


async def test_no_header(autojump_clock: MockClock) -> None:
    async with objects() as world:
        for code in (errno.ENOENT, errno.EIO, EBLOCKLISTED):
            with pytest.raises(JournalError) as caught:
                await recovered(world)
            assert caught.value.errno == code
            after = EBLOCKLISTED if code == errno.EIO else errno.EIO
            world.fault = lambda *_, after=after: after


async def test_a_journal_shorter_than_its_header_says(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal, ends = await written(world, 10)
        await journal.write_head()
        body = world.data[name(ends[-1])]
        del body[-1:]
        with pytest.raises(JournalError, match="were written") as caught:
            await recovered(world)
        assert caught.value.errno == errno.EINVAL
        body += bytes(K)
        with pytest.raises(JournalError, match="more than its layout says"):
            await recovered(world)
        world.fault = lambda _, op: errno.EIO if op == Op.STAT else 0
        with pytest.raises(JournalError) as caught:
            await recovered(world)
        assert caught.value.errno == errno.EIO


async def test_reading_what_is_being_written(autojump_clock: MockClock) -> None:
    """As the purge queue does: it reads its own journal while it goes on appending."""
    async with objects() as world:
        journal, found = await a_new_journal(world), list[bytes]()
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                while len(found) < 300:
                    async for entry in journal.entries():
                        found.append(entry.payload)
                    await trio.sleep(0.001)

            nursery.start_soon(read)
            for n in range(300):
                journal.append_entry(b"%d" % n * 500)
                if n % 7 == 0:
                    await trio.sleep(0.002)
        assert found == [b"%d" % n * 500 for n in range(300)]


async def test_reading_after_writing_was_forbidden(autojump_clock: MockClock) -> None:
    """What is under way is read, and what nobody will write is not waited for."""
    async with objects() as world:
        journal = await a_new_journal(world)
        journal.set_writeable()
        await trio.sleep(1)  # zeroed
        end = journal.append_entry(b"a")
        journal.flush()
        journal.set_readonly()
        with trio.fail_after(5):
            assert await payloads(journal) == [b"a"]
        journal.set_writeable()
        journal.append_entry(b"b")
        journal.set_readonly()
        with trio.fail_after(5):
            assert await payloads(journal) == []
        assert (journal.read_pos, journal.safe_pos) == (end, end)


async def test_what_was_given_up_is_given_up_in_the_header_first(
    autojump_clock: MockClock,
) -> None:
    async with objects() as world:
        journal, ends = await written(world, 10)
        await journal.write_head()
        world.data[name(ends[6])][ends[6] % K] ^= 1
        for n in range(7, 10):
            world.data[name(ends[n])][ends[n] % K - 1] ^= 1
        lenient = await recovered(world)
        assert [e.end async for e in lenient.entries(skip_corrupt=True)] == ends[:7]
        world.log.clear()
        lenient.set_writeable()
        end = lenient.append_entry(b"new")
        lenient.flush()
        await lenient.wait_for_safe()
        assert world.log[0] == (HEAD, Op.WRITEFULL)
        assert lenient.last_committed.write_pos == ends[6]
        assert [e.end async for e in (await recovered(world)).entries()] == [*ends[:7], end]


async def test_following_another_daemon(autojump_clock: MockClock) -> None:
    """Standby-replay: read to the end, look for more, over and over, while it is trimmed."""
    async with objects() as world:
        journal = await a_new_journal(world)
        follower, seen = await recovered(world), list[int]()
        sent = list[int]()
        for n in range(60):
            for _ in range(world.rng.randrange(6)):
                sent.append(journal.append_entry(b"x" * world.rng.randrange(30000)))
            journal.flush()
            if n % 3 == 0:
                await journal.wait_for_safe()
            if n % 10 == 9 and seen:
                journal.set_expire_pos(seen[-1])
                await journal.write_head()
                journal.trim()
            await follower.reread_head_and_probe()
            assert follower.expire_pos == journal.last_committed.expire_pos
            seen += [e.end async for e in follower.entries()]
        await journal.wait_for_safe()
        await follower.reread_head_and_probe()
        seen += [e.end async for e in follower.entries()]
        assert seen == sent
        assert journal.trimmed_pos > 10 * K
        # takes over
        follower.set_writeable()
        end = follower.append_entry(b"mine")
        follower.flush()
        await follower.wait_for_safe()
        assert (await recovered(world)).write_pos == end
        with pytest.raises(ValueError, match="being written by ourselves"):
            await follower.reread_head()


async def test_follower_that_fell_behind(autojump_clock: MockClock) -> None:
    async with objects() as world:
        journal, ends = await written(world, 60)
        follower = await recovered(world)
        journal.set_expire_pos(ends[40])
        journal.trim()
        await trio.sleep(1)
        await fails(follower, errno.ENOENT)
        await follower.reread_head_and_probe()
        assert follower.expire_pos == ends[40] > follower.read_pos
        await journal.erase()
        with pytest.raises(JournalError) as caught:
            await follower.reread_head()
        assert caught.value.errno == errno.ENOENT
        replaced = a_journaler(world)
        replaced.create(FileLayout(2 * K, 1, 2 * K, POOL))
        await replaced.write_head()
        with pytest.raises(JournalError, match="another journal"):
            await follower.reread_head()
