"""Inode numbers of sessions that ended are freed once."""

from __future__ import annotations

from tests.unit.server_kit import ServerKit, in_trio

from mdsdaemon.rank.tables.purge_inos import purge_numbers
from mdsdaemon.types.journal import EPurged


@in_trio
def test_numbers_that_two_ask_to_be_purged_are_freed_once() -> None:
    kit = ServerKit()
    rank, segment = kit.rank, kit.mdlog.segment
    numbers = [rank.inotable.alloc() for _ in range(3)]
    version = rank.inotable.version
    segment.purging.union({numbers[0]: 3})
    purge_numbers(rank, {numbers[0]: 3}, segment)
    purge_numbers(rank, segment.purging.as_dict(), segment)
    kit.settle()
    events = [event for _, event in kit.mdlog.events if isinstance(event, EPurged)]
    assert [event.inos for event in events] == [{numbers[0]: 3}]
    assert rank.inotable.version == version + 1
    assert not segment.purging
    assert not segment.purges_begun


@in_trio
def test_nothing_is_deleted_before_the_session_has_ended() -> None:
    kit = ServerKit()
    rank, segment = kit.rank, kit.mdlog.segment
    kit.mdlog.auto = False
    rank.mdlog.submit(EPurged())
    purge_numbers(rank, {rank.inotable.alloc(): 1}, segment)
    before = len(rank.objecter.requests)
    kit.kit.settle()
    assert len(rank.objecter.requests) == before
    kit.mdlog.make_safe()
    kit.kit.settle()
    assert len(rank.objecter.requests) > before
