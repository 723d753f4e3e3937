"""Files that are cut off, and files whose writer has died: in the journal and in the objects."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from tests.unit.locker_steps import cap_of, got, update
from tests.unit.rank_kit import DATA_POOL
from tests.unit.server_kit import ServerKit

from mdsdaemon.clients.journaler_extents import object_name
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.rejoin import Progress, rejoin
from mdsdaemon.types import client_caps as cc
from mdsdaemon.types.client_args import SetattrArgs
from mdsdaemon.types.client_ops import SETATTR_SIZE, CapOp, MdsOp

CREATE = 0o102


class DataKit(ServerKit):
    """A rank with files' data."""

    def write(self, path: str, at: int, length: int) -> None:
        """As the client does, behind the rank's back; within one object."""
        inode = self.find(path)
        number, offset = divmod(at, inode.inode.layout.object_size)
        op = ObjectOperation().write(offset, b"x" * length)
        self.kit.objecter.do(DATA_POOL, object_name(inode.ino, number), op)

    def size_of(self, path: str, number: int = 0) -> int:
        name = object_name(self.find(path).ino, number)
        return len(self.kit.objecter.read(name, DATA_POOL))


def with_tasks(test: Callable[[DataKit], Awaitable[None]]) -> Callable[[], None]:
    """A test of a rank whose tasks run."""

    def run() -> None:
        kit = DataKit()
        kit.kit.trio(lambda: test(kit))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def until(condition: Any) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 -- on virtual time
            await trio.sleep(0.01)


@with_tasks
async def test_a_file_is_cut_off_in_the_journal_first(kit: DataKit) -> None:
    client, other = kit.client(), kit.client()
    client.create("/f", CREATE)
    kit.write("/f", 0, 5000)
    update(kit, client, "/f", dirty=cc.CAP_FILE_WR, size=5000)
    other.lookup("/f")
    kit.mdlog.auto = False
    args = SetattrArgs(size=100, mask=SETATTR_SIZE)
    client.send(MdsOp.SETATTR, "/f", args=args)
    kit.settle()
    stored = kit.find("/f").inode
    assert (stored.size, stored.truncate_from, stored.truncate_pending) == (100, 5000, 1)
    segment = kit.mdlog.segment
    assert kit.find("/f") in segment.truncating
    await trio.sleep(1)
    assert kit.size_of("/f") == 5000
    assert not got(other, CapOp.TRUNC)
    kit.mdlog.auto = True
    kit.mdlog.make_safe()
    await until(lambda: not segment.truncating)
    assert kit.size_of("/f") == 100
    (told,) = got(other, CapOp.TRUNC)
    assert (told.size, told.truncate_size) == (100, 100)
    assert told.truncate_seq == stored.truncate_seq
    assert (stored.truncate_from, stored.truncate_pending) == (0, 0)
    assert kit.events()[-1] == "truncate finish"
    blob = kit.mdlog.events[-1][1].metablob
    assert blob.truncate_finish == {kit.find("/f").ino: segment.seq}


@with_tasks
async def test_the_next_truncation_waits_for_the_first(kit: DataKit) -> None:
    client = kit.client()
    client.create("/f", CREATE)
    update(kit, client, "/f", dirty=cc.CAP_FILE_WR, size=5000)
    kit.kit.objecter.hold = True
    for size in (100, 50):
        args = SetattrArgs(size=size, mask=SETATTR_SIZE)
        client.send(MdsOp.SETATTR, "/f", args=args)
        kit.settle()
    await trio.sleep(1)
    stored = kit.find("/f").inode
    assert stored.size == 100
    kit.kit.objecter.hold = False
    kit.kit.objecter.wake()
    await until(lambda: stored.size == 50 and not stored.truncate_pending)


@with_tasks
async def test_a_truncation_goes_on_after_a_failover(kit: DataKit) -> None:
    client = kit.client()
    client.create("/f", CREATE)
    kit.write("/f", 0, 300)
    inode = kit.find("/f")
    inode.inode.truncate_from, inode.inode.truncate_size = 300, 7
    inode.inode.truncate_seq, inode.inode.truncate_pending = 5, 1
    kit.mdlog.segment.truncating.add(inode)
    kit.rank.truncator.start_recovered()
    await until(lambda: not inode.inode.truncate_pending)
    assert kit.size_of("/f") == 7


@with_tasks
async def test_fenced_the_rank_leaves(kit: DataKit) -> None:
    client = kit.client()
    client.create("/f", CREATE)
    update(kit, client, "/f", dirty=cc.CAP_FILE_WR, size=5000)
    kit.kit.objecter.fault = lambda pool, oid, op: EBLOCKLISTED if pool == DATA_POOL else 0
    client.send(MdsOp.SETATTR, "/f", args=SetattrArgs(size=1, mask=SETATTR_SIZE))
    kit.settle()
    await until(lambda: kit.rank.write_errors)
    assert kit.find("/f").inode.truncate_pending == 1


@with_tasks
async def test_who_waits_for_a_truncation_hears_that_the_rank_is_read_only(kit: DataKit) -> None:
    client = kit.client()
    client.create("/f", CREATE)
    update(kit, client, "/f", dirty=cc.CAP_FILE_WR, size=5000)
    kit.kit.objecter.hold = True
    tids = []
    for size in (100, 50):
        args = SetattrArgs(size=size, mask=SETATTR_SIZE)
        tids.append(client.send(MdsOp.SETATTR, "/f", args=args))
        kit.settle()
    assert not client.replies(tids[1])
    kit.rank.force_readonly("a write has failed")
    kit.kit.objecter.hold = False
    kit.kit.objecter.wake()
    await until(lambda: client.replies(tids[1]))
    assert client.replies(tids[1])[0].result == -errno.EROFS
    assert kit.find("/f") in kit.mdlog.segment.truncating, "the next one does it again"


# -- dead writers ----------------------------------------------------------------------------


@with_tasks
async def test_what_a_dead_writer_has_written_is_found(kit: DataKit) -> None:
    writer, reader = kit.client(), kit.client()
    writer.create("/f", CREATE)
    writer.obedient = False
    kit.write("/f", 0, 12345)
    kit.kit.objecter.hold = True
    kit.rank.locker.remove_client(writer.session)
    tid = reader.send(MdsOp.OPEN, "/f")
    reader.send(MdsOp.GETATTR, "/f", args=None)
    await trio.sleep(1)
    cap = cap_of(kit, reader, "/f")
    assert not cap.pending & cc.CAP_FILE_RD, "nobody reads before the size is known"
    kit.kit.objecter.hold = False
    kit.kit.objecter.wake()
    await until(lambda: kit.find("/f").inode.size == 12345)
    assert not kit.find("/f").inode.client_ranges
    await until(lambda: cap.pending & cc.CAP_FILE_RD)
    assert kit.rank.locker.locks_of(kit.find("/f")).is_stable(st.FILE)
    assert reader.replies(tid)
    assert got(reader, CapOp.GRANT)[-1].size == 12345


@with_tasks
async def test_who_leaves_in_good_order_has_said_how_long_its_files_are(kit: DataKit) -> None:
    writer = kit.client()
    writer.create("/f", CREATE)
    kit.write("/f", 0, 12345)
    asked = len(kit.kit.objecter.requests)
    kit.rank.locker.remove_client(writer.session, kill=False)
    kit.settle()
    inode = kit.find("/f")
    assert not inode.inode.client_ranges
    assert inode.inode.size == 0
    assert len(kit.kit.objecter.requests) == asked, "nobody looks at the objects"


@with_tasks
async def test_after_a_failover_the_file_of_a_missing_writer_is_looked_at_first(
    kit: DataKit,
) -> None:
    writer, reader = kit.client(), kit.client()
    writer.create("/f", CREATE)
    kit.write("/f", 0, 777)
    inode = kit.find("/f")
    locker = kit.rank.locker
    locker.forget_cap(inode.caps[writer.number])
    inode.locks = None
    await rejoin(kit.rank, Progress())
    kit.kit.objecter.hold = True
    kit.rank.locker.reissue_all_caps()
    kit.rank.recovery.start_queued()
    reader.send(MdsOp.OPEN, "/f")
    await trio.sleep(1)
    assert not cap_of(kit, reader, "/f").pending & cc.CAP_ANY_FILE_RD
    kit.kit.objecter.hold = False
    kit.kit.objecter.wake()
    await until(lambda: inode.inode.size == 777)
    assert cap_of(kit, reader, "/f").pending & cc.CAP_FILE_RD or got(reader, CapOp.GRANT)


@with_tasks
async def test_objects_that_cannot_be_read_are_said(kit: DataKit) -> None:
    writer = kit.client()
    writer.create("/f", CREATE)
    kit.kit.objecter.fault = lambda pool, oid, op: 5 if pool == DATA_POOL else 0
    kit.rank.locker.remove_client(writer.session)
    await until(lambda: kit.rank.damages)
