"""Strays: what is unlinked is purged once nobody needs it, or taken in by a hard link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from tests.unit.rank_kit import DATA_POOL, METADATA_POOL, OTHER_POOL, make_rank
from tests.unit.tables_kit import TablesKit, in_trio, tables_rank

from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.rank.cache.dentry import CDentry
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.waiting import until_done
from mdsdaemon.types.inode import ClientWriteableRange, Inode
from mdsdaemon.types.journal import EPurged, EUpdate
from mdsdaemon.types.layout import FileLayout

MB = 1 << 20
FILE, DIR = 0o100644, 0o040755


async def ready(kit: TablesKit) -> None:
    await kit.rank.purge_queue.create()
    await kit.rank.strays.populate_mydir()
    await kit.settle()


def make(kit: TablesKit, name: str, mode: int = FILE, *, size: int = 0) -> CInode:
    """A new inode in the root, with its data."""
    rank = kit.rank
    mut = Mutation(rank, "mknod", stamp=rank.now())
    ino = rank.inotable.take_ino(mut, None)
    stored = Inode(ino=ino, mode=mode, nlink=1, size=size)
    stored.rstat.rfiles = stored.rstat.rbytes = 0
    if mode == DIR:
        stored.rstat.rsubdirs = 1
    else:
        stored.layout = FileLayout(4 * MB, 1, 4 * MB, DATA_POOL)
        stored.rstat.rfiles, stored.rstat.rbytes = 1, size
    inode: CInode = rank.cache.add_inode(CInode(ino, stored))
    directory = rank.store.dir_for(kit.kit.root, name)
    mut.link_primary(rank.cache.add_dentry(directory, name), inode)
    mut.backtrace(inode)
    if mode == DIR:
        mut.new_dir(rank.cache.add_dir(inode))
    mut.submit()
    for number in range(-(-size // (4 * MB))):
        op = ObjectOperation().write_full(b"data")
        kit.objecter.do(DATA_POOL, f"{ino:x}.{number:08x}", op)
    return inode


def unlink(kit: TablesKit, inode: CInode, *, nlink: int = 0) -> None:
    """As the server does."""
    rank = kit.rank
    name = f"{inode.ino:x}"
    directory = rank.store.dir_for(rank.strays.stray_dir_inode(), name)
    stray_dn = rank.cache.add_dentry(directory, name)
    mut = Mutation(rank, "unlink_local", stamp=rank.now())
    path = rank.cache.path_of(inode)
    assert inode.parent is not None
    mut.unlink(inode.parent)
    mut.link_primary(stray_dn, inode)
    stored = mut.inode(inode)
    stored.nlink, stored.stray_prior_path = nlink, path
    mut.backtrace(inode)
    mut.submit()
    rank.strays.eval_stray(inode)
    rank.end_of_dispatch()


def unlinked_but_for_a_link(kit: TablesKit, *, known: bool) -> tuple[CInode, CDentry]:
    """A file whose own name goes, and its hard link; `known`: that has found it already."""
    rank = kit.rank
    inode = make(kit, "a", size=MB)
    mut = Mutation(rank, "link_local", stamp=rank.now())
    dn: CDentry = rank.cache.add_dentry(rank.store.dir_for(kit.kit.root, "b"), "b")
    mut.link_remote(dn, inode.ino, inode.d_type, inode if known else None)
    mut.inode(inode).nlink = 2
    mut.submit()
    unlink(kit, inode, nlink=1)
    return inode, dn


@asynccontextmanager
async def successor(kit: TablesKit) -> AsyncIterator[TablesKit]:
    """All directories are stored; another rank finds them."""
    store = kit.rank.store
    for segment in list(kit.mdlog.segments.values()):
        for directory in list(segment.dirty_dirs):
            await store.commit_dir(directory)
        for inode in list(segment.dirty_bases):
            await store.commit_base(inode)
    async with tables_rank(make_rank(objects=kit.objecter, root=False)) as other:
        await other.rank.store.load_base()
        await other.rank.purge_queue.open()
        yield other


def data(kit: TablesKit) -> list[str]:
    names: list[str] = kit.objecter.names(DATA_POOL)
    return names


def purges(kit: TablesKit) -> list[Any]:
    return [e for _, e in kit.mdlog.events if isinstance(e, EUpdate) and e.type == "purge_stray"]


async def gone(kit: TablesKit) -> None:
    """Wait until nothing is left to be purged."""
    with trio.fail_after(100):
        while kit.rank.strays.num_strays or not kit.rank.purge_queue.is_idle():  # noqa: ASYNC110
            await trio.sleep(0.1)


async def done_at_leisure(kit: TablesKit) -> None:
    with trio.fail_after(100):
        while len(kit.rank.leisure):  # noqa: ASYNC110
            await trio.sleep(0.1)


@in_trio
async def test_an_unlinked_file_goes_with_its_data() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        inode = make(kit, "a", size=10 * MB)
        inode.inode.old_pools = [OTHER_POOL, DATA_POOL]
        kit.objecter.do(OTHER_POOL, f"{inode.ino:x}.00000000", ObjectOperation().create())
        assert len(data(kit)) == 3
        unlink(kit, inode)
        assert kit.rank.strays.num_strays == 1
        assert kit.rank.strays.is_purging(inode)
        await gone(kit)
        assert data(kit) == []
        assert kit.objecter.names(OTHER_POOL) == []
        assert kit.rank.cache.get_inode(inode.ino) is None
        (event,) = purges(kit)
        assert event.metablob.destroyed_inodes == [inode.ino]
        kit.rank.strays.count()
        counters = kit.rank.counters.cache
        assert counters.get("strays_created") == counters.get("strays_enqueued") == 1
        assert kit.kit.root.inode.rstat.rfiles == 0
        assert not any(inode in s.dirty_backtraces for s in kit.mdlog.segments.values())


@in_trio
async def test_objects_up_to_the_largest_size_it_ever_had() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        inode = make(kit, "a", size=20 * MB)
        inode.inode.size, inode.inode.max_size_ever = 1, 9 * MB
        inode.inode.client_ranges = {5: ClientWriteableRange(0, 20 * MB, 1)}
        unlink(kit, inode)
        await gone(kit)
        assert data(kit) == []


@in_trio
async def test_nothing_is_deleted_before_the_journal_has_the_unlink() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        inode = make(kit, "a", size=MB)
        kit.mdlog.auto = False
        unlink(kit, inode)
        await trio.sleep(30)
        assert data(kit)
        assert not purges(kit)
        kit.mdlog.auto = True
        kit.mdlog.make_safe()
        await gone(kit)
        assert not data(kit)


@in_trio
async def test_who_has_it_open_keeps_it() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        inode = make(kit, "a", size=MB)
        inode.caps = {7: object()}
        unlink(kit, inode)
        await trio.sleep(30)
        assert kit.rank.strays.num_strays == 1
        assert not kit.rank.strays.delayed
        inode.caps = None
        kit.rank.strays.eval_stray(inode)
        await gone(kit)
        assert not data(kit)


@in_trio
async def test_what_is_busy_is_delayed() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        one, two = make(kit, "a", size=MB), make(kit, "b", size=MB)
        one.pins += 1
        two.locks = object()  # the request that unlinks it
        unlink(kit, one)
        kit.rank.queue.push(lambda: setattr(two, "locks", None))
        unlink(kit, two)
        assert kit.rank.strays.is_purging(two)
        assert list(kit.rank.strays.delayed) == [one]
        kit.rank.strays.count()
        assert kit.rank.counters.cache.get("num_strays_delayed") == 1
        kit.rank.strays.tick()
        assert not kit.rank.strays.is_purging(one)
        one.pins -= 1
        kit.rank.strays.tick()
        assert kit.rank.strays.is_purging(one)
        await gone(kit)


@in_trio
async def test_all_are_looked_at_again_once_however_many_snapshots_go() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        store, looked = kit.rank.store, list[int]()
        all_dirs = store.all_dirs

        def counted(inode: CInode) -> list[CDir]:
            if not looked:
                kit.rank.strays.look_again()  # while it looks
            looked.append(inode.ino)
            found: list[CDir] = all_dirs(inode)
            return found

        store.all_dirs = counted
        for _ in range(5):
            kit.rank.strays.look_again()
        await kit.settle()
        assert len(looked) == 2 * 10
        kit.rank.strays.look_again()
        await kit.settle()
        assert len(looked) == 3 * 10


@in_trio
async def test_an_unlinked_directory() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        inode = make(kit, "d", DIR)
        await kit.rank.store.commit_dir(inode.dirs[next(iter(inode.dirs))])
        oid = f"{inode.ino:x}.00000000"
        assert oid in kit.objecter.names(METADATA_POOL)
        unlink(kit, inode)
        await gone(kit)
        assert oid not in kit.objecter.names(METADATA_POOL)
        assert not [
            d for s in kit.mdlog.segments.values() for d in s.dirty_dirs if d.inode is inode
        ]


@in_trio
async def test_a_hard_link_takes_its_inode_in() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        rank = kit.rank
        inode, dn = unlinked_but_for_a_link(kit, known=True)
        assert inode.is_stray  # until there is time
        await done_at_leisure(kit)
        assert dn.inode is inode
        assert inode.parent is dn
        assert not inode.remote_parents
        assert inode.inode.nlink == 1
        assert inode.inode.stray_prior_path == ""
        assert rank.strays.num_strays == 0
        assert rank.counters.cache.get("strays_reintegrated") == 1
        assert data(kit)
        root = kit.kit.root
        assert sum(d.fnode.fragstat.nfiles for d in root.dirs.values()) == 1
        assert root.inode.rstat.rfiles == 1


@in_trio
async def test_a_link_that_is_met_later_takes_it_in() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        rank = kit.rank
        inode, dn = unlinked_but_for_a_link(kit, known=False)
        assert rank.strays.num_strays == 1
        rank.cache.found_remote(dn, inode)
        rank.strays.eval_remote(dn)
        await done_at_leisure(kit)
        assert dn.inode is inode
        assert rank.strays.num_strays == 0


@in_trio
async def test_strays_of_a_predecessor_are_found() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        kit.rank.strays.started = False  # it dies before it can purge
        kept, lost = make(kit, "a", size=MB), make(kit, "b", size=MB)
        unlink(kit, kept, nlink=1)
        unlink(kit, lost)
        await kit.settle()
        async with successor(kit) as other:
            await other.rank.strays.populate_mydir()
            with trio.fail_after(100):
                while other.rank.strays.num_strays > 1:  # noqa: ASYNC110
                    await trio.sleep(0.1)
            assert data(other) == [f"{kept.ino:x}.00000000"]
            assert not other.rank.damages


@in_trio
async def test_numbers_of_a_session_that_ended() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        client = kit.client()
        client.open()
        session = client.session
        session.replay_add_prealloc(kit.rank.inotable.free.take(20))
        given = session.delegate_inos(10)
        (first,) = given
        for number in (0, 3, 9):
            oid = f"{first + number:x}.00000000"
            kit.objecter.do(DATA_POOL, oid, ObjectOperation().write_full(b"async"))
        kit.rank.sessions.closing.kill(session)
        await kit.settle()
        assert data(kit) == []
        (event,) = [e for _, e in kit.mdlog.events if isinstance(e, EPurged)]
        assert event.inos == given
        assert event.inotablev == kit.rank.inotable.version
        assert all(number in kit.rank.inotable.free for number in range(first, first + 20))
        assert not any(segment.purging for segment in kit.mdlog.segments.values())


@in_trio
async def test_purges_that_a_predecessor_had_begun() -> None:
    async with tables_rank() as kit:
        numbers = kit.rank.inotable.free.take(5)
        (first,) = numbers
        kit.objecter.do(DATA_POOL, f"{first:x}.00000000", ObjectOperation().create())
        kit.mdlog.segment.purging.union({first: 5})
        await ready(kit)
        assert data(kit) == []
        assert not kit.mdlog.segment.purging
        assert first in kit.rank.inotable.free


@in_trio
async def test_nothing_goes_while_read_only() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        inode = make(kit, "a", size=MB)
        kit.rank.read_only = True
        unlink(kit, inode)
        await trio.sleep(10)
        assert data(kit)
        assert await until_done(lambda: kit.rank.store.need_inode(inode.ino)) is inode


@in_trio
async def test_strays_are_spread_over_ten_directories() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        used = set()
        for _ in range(10):
            used.add(kit.rank.strays.stray_dir_inode().ino)
            kit.rank.strays.advance_stray()
        assert used == set(range(0x600, 0x60A))


@in_trio
async def test_requests_wait_until_the_directories_are_open() -> None:
    async with tables_rank() as kit:
        await ready(kit)
        async with successor(kit) as other:
            found: list[int] = []
            other.rank.queue.attempt(lambda: found.append(other.rank.strays.stray_dir_inode().ino))
            await other.settle()
            assert not found
            await other.rank.strays.populate_mydir()
            other.rank.end_of_dispatch()
            assert found == [0x600]
