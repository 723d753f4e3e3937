"""A journal whose bytes are wrong: found as damage in words, or of no consequence."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.server_kit import ServerKit
from tests.unit.tables_kit import in_trio

from mdsdaemon.clients.journaler import Entry
from mdsdaemon.encoding import encode
from mdsdaemon.rank.log.events import encode_event
from mdsdaemon.rank.log.mdlog import MDLog
from mdsdaemon.rank.log.replay import CorruptJournal
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.journal import ESubtreeMap
from mdsdaemon.types.stats import FNode


class Journal:
    """A journal of these payloads."""

    expire_pos = read_pos = 0

    def __init__(self, payloads: list[bytes]) -> None:
        self.write_pos = sum(map(len, payloads))
        self._payloads = payloads

    async def read_batches(self, **_: Any) -> AsyncGenerator[list[Entry], None]:
        at, batch = 0, []
        for payload in self._payloads:
            batch.append(Entry(at, at + len(payload), payload))
            at += len(payload)
        yield batch


def a_journal() -> list[bytes]:
    """Of a few of each kind of operation."""
    kit = ServerKit()
    one = kit.client()
    for n in range(4):
        assert one.mkdir(f"/d{n}").errno == 0
        assert one.create(f"/d0/f{n}").errno == 0
    assert one.setxattr("/d0", "user.x", b"1").errno == 0
    assert one.link("/d0/f0", "/d1/l").errno == 0
    assert one.rename("/d0/f1", "/d1/f1").errno == 0
    assert one.unlink("/d0/f2").errno == 0
    assert one.rmdir("/d2").errno == 0
    events = [ESubtreeMap(event_seq=1), *(event for _, event in kit.mdlog.events)]
    return [encode_event(event) for event in events]


async def replayed(payloads: list[bytes], skip: bool = False) -> ServerKit:
    """A rank that has replayed these.

    Raises:
        CorruptJournal: they are no journal.
    """
    kit = ServerKit()
    if skip:
        kit.kit.config.set_val("mds_log_skip_corrupt_events", True)
    log = MDLog(kit.rank)
    log.journaler = cast("Any", Journal(payloads))
    kit.rank.mdlog = log
    await log.replay()
    return kit


def names(kit: ServerKit) -> set[str]:
    """All paths in the cache that lead somewhere."""
    cache = kit.rank.cache
    return {cache.path_of(inode) for inode in cache.inodes.values()}


PAYLOADS: list[bytes] = []


def payloads() -> list[bytes]:
    if not PAYLOADS:
        made: list[bytes] = []

        async def make() -> None:
            made.extend(a_journal())

        trio.run(make)
        PAYLOADS.extend(made)
    return PAYLOADS


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_wrong_bytes_are_damage_or_nothing(data: st.DataObject) -> None:
    journal = list(payloads())
    number = data.draw(st.integers(0, len(journal) - 1))
    payload = bytearray(journal[number])
    if data.draw(st.booleans()):
        del payload[data.draw(st.integers(0, len(payload) - 1)) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(payload) - 1))
            payload[at] = data.draw(st.integers(0, 255))
    journal[number] = bytes(payload)
    with suppress(CorruptJournal):
        trio.run(replayed, journal)


def with_a_bad_header(payload: bytes) -> bytes:
    """The first header of a fragment in an event is of a version that nobody knows."""
    head = encode(FNode, FNode(), FEATURES_PACIFIC)[:6]
    at = payload.index(head)
    return payload[:at] + b"\xff\xff" + payload[at + 2 :]


@in_trio
async def test_a_bad_header_is_damage() -> None:
    journal = payloads()
    with pytest.raises(CorruptJournal, match=r"corrupt .*: FNode at byte \d+: needs version 255"):
        await replayed([*journal[:-1], with_a_bad_header(journal[-1])])


@in_trio
async def test_an_event_with_a_bad_header_can_be_skipped() -> None:
    journal = payloads()
    wanted = await replayed(journal[:-1])
    found = await replayed([*journal[:-1], with_a_bad_header(journal[-1])], skip=True)
    assert names(found) == names(wanted)
    assert any("corrupt journal event" in text for _, text in found.kit.said)
