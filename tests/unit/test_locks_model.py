"""The pure model of an inode's locks: what may be held, that nothing clashes, that all ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from tests.unit.locks_world import World, clashes

from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.inode_locks import KNOWN, NEEDED, RUNNING, InodeLocks, Intent
from mdsdaemon.types import client_caps as cc

RD, WR, RDWR = cc.FILE_MODE_RD, cc.FILE_MODE_WR, cc.FILE_MODE_RDWR

# ceph-mds's table: (lock, from, to, role) -> bits; `src/mds/locks.c`
MOVES = [
    (st.FILE, st.EXCL, st.SYNC, "loner", "scr"),
    (st.FILE, st.EXCL, st.SYNC, "any", ""),
    (st.FILE, st.SYNC, st.EXCL, "loner", "scr"),
    (st.FILE, st.SYNC, st.EXCL, "any", ""),
    (st.FILE, st.SYNC, st.LOCK, "any", "c"),
    (st.FILE, st.EXCL, st.LOCK, "loner", "cb"),
    (st.FILE, st.MIX, st.LOCK, "any", ""),
    (st.FILE, st.MIX, st.SYNC, "any", "rl"),
    (st.FILE, st.SYNC, st.MIX, "any", "rl"),
    (st.FILE, st.EXCL, st.MIX, "loner", "rw"),
    (st.FILE, st.MIX, st.EXCL, "loner", "rw"),
    (st.FILE, st.LOCK, st.SYNC, "any", "c"),
    (st.FILE, st.LOCK, st.EXCL, "loner", "cb"),
    (st.FILE, st.EXCL, st.XSYN, "loner", "cb"),
    (st.FILE, st.XSYN, st.SYNC, "loner", "c"),
    (st.FILE, st.XSYN, st.EXCL, "loner", "cb"),
    (st.FILE, st.XSYN, st.MIX, "loner", ""),
    (st.AUTH, st.EXCL, st.SYNC, "loner", "s"),
    (st.AUTH, st.SYNC, st.EXCL, "loner", "s"),
    (st.AUTH, st.SYNC, st.EXCL, "any", ""),
    (st.AUTH, st.EXCL, st.LOCK, "loner", ""),
    (st.LINK, st.SYNC, st.LOCK, "any", ""),
    (st.XATTR, st.LOCK, st.SYNC, "any", ""),
]


@pytest.mark.parametrize(("lock", "old", "new", "role", "letters"), MOVES)
def test_what_may_be_kept_while_a_lock_moves(
    lock: int, old: int, new: int, role: str, letters: str
) -> None:
    table = st.LONER if role == "loner" else st.ANYBODY
    assert sorted(cc.gcap_string(table[lock][old][new])) == sorted(letters)


def test_at_rest_everybody_reads() -> None:
    assert cc.ccap_string(st.ALLOWED_AT_REST) == "pAsLsXsFscrl"
    locks = InodeLocks()
    assert locks.at_rest()
    assert not locks.evaluate({})
    assert locks.anybody == locks.loner_allowed == st.ALLOWED_AT_REST


# -- what clients see ------------------------------------------------------------------------


def test_one_writer_is_alone_with_the_file() -> None:
    world = World()
    world.open(1, RDWR)
    assert world.caps() == {1: "pAsxLsXsxFsxcrwb"}
    assert world.states() == "excl excl sync excl"
    assert world.locks.loner == 1


def test_a_reader_beside_a_writer_leaves_both_without_caches() -> None:
    world = World()
    world.open(1, RDWR)
    world.answer_all()
    world.open(2, RD)
    assert world.locks.name(st.FILE) == "excl->mix"
    assert world.caps()[1] == "pAsLsXsFrw"
    world.answer_all()
    assert world.states() == "mix sync sync sync"
    assert world.caps()[2].endswith("Fr") or world.caps()[2].endswith("Frw")


def test_two_writers_share() -> None:
    world = World()
    world.open(1, WR)
    world.answer_all()
    world.open(2, WR)
    world.answer_all()
    assert world.states().startswith("mix")
    assert all(
        "w" in caps and "b" not in caps and "c" not in caps for caps in world.caps().values()
    )


def test_readers_cache() -> None:
    world = World()
    world.open(1, RD)
    world.open(2, RD)
    world.answer_all()
    assert world.states() == "sync sync sync sync"
    assert set(world.caps().values()) == {"pAsLsXsFscr"}


def test_the_last_writer_is_alone_again_when_the_other_closes() -> None:
    world = World()
    for number in (1, 2):
        world.open(number, RDWR)
        world.answer_all()
    world.clients[2].messages.clear()
    world.want(2, 0)
    world.answer_all()
    assert world.locks.want_loner == 1
    world.drop(2)
    world.answer_all()
    assert world.caps() == {1: "pAsxLsXsxFsxcrwb"}


def test_a_stat_lets_the_writer_keep_its_buffers() -> None:
    world = World()
    world.open(1, RDWR)
    world.answer_all()
    intent = world.enter(st.FILE, st.RD, client=2)
    assert world.locks.name(st.FILE) == "excl->xsyn"
    assert world.caps()[1] == "pAsxLsXsxFcb"
    assert not world.serve()
    world.answer_all()
    assert world.locks.name(st.FILE) == "xsyn"
    assert world.serve() == [intent]
    world.answer_all()
    assert world.caps()[1] == "pAsxLsXsxFsxcrwb"


def test_whoever_is_alone_reading_waits_for_the_buffers() -> None:
    world = World()
    world.open(1, RDWR)
    world.answer_all()
    intent = Intent(1, 2, st.RD, alone=True)
    world.locks.enter(st.FILE, intent)
    world.settle()
    assert world.locks.name(st.FILE) == "excl->sync"


def test_chmod_takes_the_shared_bit_from_all_and_gives_it_back() -> None:
    world = World()
    world.open(1, RD)
    world.open(2, RD)
    world.answer_all()
    intent = world.enter(st.AUTH, st.X, client=2)
    assert set(world.caps().values()) == {"pLsXsFscr"}
    assert not world.serve()
    world.answer(1)
    assert not world.serve()
    world.answer_all()
    assert world.serve() == [intent]
    assert world.locks.name(st.AUTH) == "sync"


def test_entries_of_a_directory_change_under_its_loner() -> None:
    world = World(is_dir=True)
    world.clients.setdefault(1, world.open(1, cc.FILE_MODE_PIN))
    world.settle()
    assert world.locks.name(st.FILE) == "excl"
    assert world.locks.fits(st.FILE, st.WR, 1)
    assert not world.locks.fits(st.FILE, st.WR, 2)


def test_a_second_client_in_a_directory_ends_that() -> None:
    world = World(is_dir=True)
    world.open(1, cc.FILE_MODE_PIN)
    world.answer_all()
    assert world.caps() == {1: "pAsLsXsFsx"}
    world.open(2, cc.FILE_MODE_PIN)
    world.answer_all()
    assert world.states() == "sync sync sync sync"
    assert world.locks.loner == -1


def test_where_a_subtree_begins_entries_change_in_mix() -> None:
    world = World(is_dir=True, delegation=True)
    world.open(1, cc.FILE_MODE_PIN)
    world.answer_all()
    assert world.locks.loner == -1
    intent = world.enter(st.FILE, st.WR, client=1)
    world.answer_all()
    assert world.serve() == [intent]
    assert world.locks.name(st.FILE) == "mix"
    reader = world.enter(st.FILE, st.RD, client=1)
    world.answer_all()
    assert world.serve() == [reader]
    assert world.locks.name(st.FILE) == "sync"


def test_a_silent_client_is_no_loner() -> None:
    world = World()
    world.open(1, RDWR)
    world.answer_all()
    world.clients[1].stale = True
    world.open(2, RD)
    assert world.locks.want_loner == 2
    assert world.locks.loner == 1


def test_read_only_everything_is_sync() -> None:
    locks = InodeLocks()
    world = World()
    world.open(1, RDWR)
    world.answer_all()
    locks = world.locks
    locks.evaluate(world.clients, read_only=True)
    assert locks.target(st.FILE) == st.SYNC


# -- recovery --------------------------------------------------------------------------------


def test_the_file_lock_stands_still_while_the_size_is_looked_for() -> None:
    world = World()
    world.open(1, RDWR)
    world.open(2, RD)
    world.locks.recovery = NEEDED
    world.drop(1)
    assert world.locks.recover_now
    assert world.locks.recovery == RUNNING
    world.answer_all()
    assert not world.locks.is_stable(st.FILE)
    world.locks.recovery = KNOWN
    world.settle()
    world.answer_all()
    assert world.states() == "sync sync sync sync"


def test_after_a_failover_nobody_reads_before_the_size_is_known() -> None:
    world = World()
    world.locks.set_state(st.FILE, st.SCAN, st.LOCK)
    world.locks.recovery = NEEDED
    client = world.open(1, RD)
    assert not client.pending & cc.CAP_ANY_FILE_RD
    assert world.locks.recovery == RUNNING
    world.locks.recovery = KNOWN
    world.settle()
    world.answer_all()
    assert world.caps() == {1: "pAsLsXsFscr"}


def test_a_loner_asked_to_give_back_may_still_have_its_range_raised() -> None:
    world = World()
    world.open(1, RDWR)
    world.answer_all()
    assert world.locks.may_grow(1)
    world.enter(st.FILE, st.X, client=2)
    assert world.locks.name(st.FILE) == "excl->lock"
    assert world.locks.may_grow(1)
    assert not world.locks.may_grow(2)


# -- whatever happens ------------------------------------------------------------------------

CLIENTS = hst.integers(1, 4)
STEPS = hst.one_of(
    hst.tuples(hst.just("open"), CLIENTS, hst.sampled_from([RD, WR, RDWR, cc.FILE_MODE_LAZY])),
    hst.tuples(hst.just("want"), CLIENTS, hst.sampled_from([0, cc.CAP_ANY_SHARED, cc.CAP_ANY])),
    hst.tuples(hst.just("answer"), CLIENTS, hst.just(0)),
    hst.tuples(hst.just("drop"), CLIENTS, hst.just(0)),
    hst.tuples(hst.just("stale"), CLIENTS, hst.just(0)),
    hst.tuples(hst.just("enter"), CLIENTS, hst.integers(0, 11)),
    hst.tuples(hst.just("serve"), CLIENTS, hst.just(0)),
)


def play(world: World, steps: list[tuple[str, int, int]]) -> None:
    for what, number, arg in steps:
        if what == "open":
            world.open(number, arg)
        elif what == "want":
            world.want(number, arg)
        elif what == "enter":
            world.enter(arg % 4, arg // 4, client=number)
        elif what == "serve":
            world.serve()
        elif number not in world.clients:
            continue
        elif what == "answer":
            world.answer(number)
        elif what == "drop":
            world.drop(number)
        elif what == "stale":
            world.clients[number].stale ^= True
            world.settle()


@settings(max_examples=300, deadline=None)
@given(hst.lists(STEPS, max_size=40), hst.booleans(), hst.booleans())
def test_nothing_clashes_and_everything_ends(
    steps: list[tuple[str, int, int]], is_dir: bool, delegation: bool
) -> None:
    """`World.check` runs after every step. In the end all clients answer, and nobody waits."""
    world = World(is_dir=is_dir, delegation=is_dir and delegation)
    play(world, steps)
    for _ in range(200):
        world.answer_all()
        world.serve()
        if not world.queued and not any(client.messages for client in world.clients.values()):
            break
    assert not world.queued, f"{len(world.queued)} wait for ever: {world.locks}"
    for client in world.clients.values():
        assert client.issued == client.pending
    assert all(world.locks.is_stable(lock) for lock in st.LOCKS)


@settings(max_examples=100, deadline=None)
@given(hst.lists(STEPS, max_size=30), hst.integers(0, 11), hst.randoms())
def test_nobody_starves(steps: list[tuple[str, int, int]], wanted: int, rng: object) -> None:
    """A request is served though others come all the time, in the order of their coming."""
    world = World()
    play(world, steps)
    mine = world.enter(wanted % 4, wanted // 4, client=9)
    for number in range(100):
        world.open(1 + number % 3, RDWR if number % 2 else RD)
        world.enter(wanted % 4, number % 3, client=1 + number % 4)
        for client in list(world.clients):
            world.answer(client)
        if mine in world.serve():
            return
    raise AssertionError(f"not served: {world.locks}")


def test_clashes_sees_what_it_should() -> None:
    assert clashes(cc.CAP_FILE_EXCL, cc.CAP_FILE_SHARED)
    assert clashes(cc.CAP_FILE_WR, cc.CAP_FILE_CACHE)
    assert clashes(cc.CAP_AUTH_EXCL, cc.CAP_AUTH_SHARED)
    assert not clashes(cc.CAP_FILE_WR, cc.CAP_FILE_RD | cc.CAP_FILE_WR)
    assert not clashes(cc.CAP_AUTH_EXCL, cc.CAP_FILE_SHARED)
