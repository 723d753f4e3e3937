"""The objecter's decisions, with explicit time and without a network."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from tests.unit.objecter_io_world import ME, World
from tests.unit.objecter_world import POOL, Maps, osd_addrs

from mdsdaemon.clients.objecter_dump import dump_requests, op_description
from mdsdaemon.clients.objecter_errors import EBLOCKLISTED
from mdsdaemon.clients.objecter_ops import ObjectOperation, Result
from mdsdaemon.clients.objecter_requests import REOPEN_PAUSE
from mdsdaemon.clients.objecter_session import op_budget
from mdsdaemon.clients.objecter_target import hobject_key, splits_or_merges
from mdsdaemon.maps.osd_map import FLAG_FULL, FLAG_PAUSERD, FLAG_PAUSEWR
from mdsdaemon.maps.placement import raw_pg_to_pg
from mdsdaemon.messages.osd import MOSDBackoff, MOSDOp, MOSDOpReply, OpResults
from mdsdaemon.messages.ping import MPing
from mdsdaemon.types.entity import EntityAddr
from mdsdaemon.types.osd import PG, HObject, RequestRedirect
from mdsdaemon.types.osd_op import Cmp, Flag, Op, OSDOp
from mdsdaemon.types.pool import FLAG_FULL as POOL_FULL


def read() -> ObjectOperation:
    op = ObjectOperation()
    op.read(0, 10)
    return op


def test_request_and_reply() -> None:
    w = World.with_map()
    op = w.do()
    ((osd, msg),) = w.sent
    assert isinstance(msg, MOSDOp)
    assert w.opened == [(0, osd_addrs(0))]
    assert (osd, msg.tid, msg.oid, msg.osdmap_epoch, msg.data) == (0, 1, "o", 1, b"w")
    assert msg.flags == Flag.WRITE | Flag.ONDISK | Flag.KNOWN_REDIR
    # an id of all zeros makes the OSD take our name, incarnation and tid
    assert (msg.reqid.name.type, msg.reqid.name.num, msg.reqid.tid, msg.reqid.inc) == (0, 0, 0, -1)
    assert msg.pgid.pgid.seed == w.maps.seed_of("o") == msg.hash % 4
    w.reply(0, 1, user_version=7)
    outcome = w.outcomes["w"]
    assert isinstance(outcome, Result)
    assert outcome.version == 7
    assert op.finished
    assert not w.state.active
    w.reply(0, 1)  # a second one is nobody's
    assert w.state.counters.op_reply.value == 1


def test_without_a_map_requests_wait_for_the_first() -> None:
    w = World()
    w.do("a")
    w.do("b")
    assert w.wanted[-1] == (0, True)
    assert not w.sent
    w.got(w.maps.since(1))
    assert w.requests() == [(0, 1, 0), (0, 2, 0)]


@pytest.mark.parametrize(
    ("change", "resent"),
    [
        (lambda m: m.move([1]), True),
        (lambda m: m.move([0, 1]), False),  # the same primary
        (lambda m: m.move([1, 0]), True),
        (lambda m: m.change(), False),
        (lambda m: m.set_pool(8), True),
        (lambda m: m.set_pool(2), True),
        (lambda m: m.set_pool(flags=POOL_FULL), True),
        (lambda m: m.set_pool(number=5), False),
    ],
)
def test_new_map(change: Any, resent: bool) -> None:
    w = World.with_map()
    w.do(oid="o")
    w.requests()
    # both halves of a split, both sides of a merge: the group of "o" takes part in each of these
    w.got(change(w.maps))
    osd = w.maps.current.client.pg_temp[PG(POOL, w.maps.seed_of("o"))][0]
    full = w.maps.current.pools[POOL].flags & POOL_FULL
    expected = [(osd, 1, 1)] if resent and not full else []
    assert w.requests() == expected
    assert w.state.active


def test_order_is_kept_when_requests_move() -> None:
    w = World.with_map()
    for n in range(20):
        w.do(f"w{n}", "o" if n % 2 else f"o{n}")
    w.requests()
    w.got(w.maps.move([2]))
    assert w.requests() == [(2, n, 1) for n in range(1, 21)]
    w.got(w.maps.move([]))
    assert w.requests() == []
    assert len(w.state.homeless.ops) == 20
    w.do("late", "o")
    w.got(w.maps.move([1]))
    assert w.requests() == [(1, n, 2) for n in range(1, 21)] + [(1, 21, 0)]


def test_reply_to_an_earlier_attempt_is_not_taken() -> None:
    w = World.with_map()
    w.do()
    w.got(w.maps.move([1]))
    w.reply(0, 1, 0)
    w.reply(1, 1, 0)
    assert not w.outcomes
    w.reply(1, 1, 1)
    assert isinstance(w.outcomes["w"], Result)


def test_maps_in_order_and_gaps() -> None:
    w = World.with_map()
    w.do()
    w.maps.move([1])
    w.maps.move([2])
    late = w.maps.since(3)
    w.got(late)
    assert (w.state.maps.epoch, w.wanted[-1]) == (1, (2, True))
    w.requests()
    w.got(w.maps.since(2))
    assert w.state.maps.epoch == 3
    assert w.requests() == [(2, 1, 1)]
    w.got(late)
    assert w.requests() == []


def test_epochs_that_are_gone_are_jumped_over() -> None:
    w = World.with_map()
    w.do()
    w.requests()
    for _ in range(5):
        w.maps.change()
    msg = w.maps.whole()
    msg.oldest_map = 6
    w.got(msg)
    # what happened in between is not known: the OSD may have forgotten the request
    assert w.requests() == [(0, 1, 1)]


def test_spoilt_map_is_replaced_by_a_whole_one() -> None:
    w = World.with_map()
    w.do("a")
    w.requests()
    bad = w.maps.change()
    bad.incremental_maps = {2: bad.incremental_maps[2][:-3]}
    w.got(bad)
    assert w.state.maps.epoch == 1
    w.maps.history.clear()
    w.got(w.maps.whole())
    assert w.state.maps.epoch == 2


def test_half_applied_map_is_not_used() -> None:
    w = World.with_map()
    w.do("a")
    w.requests()
    w.state.maps.spoilt = True
    w.do("b")
    assert w.requests() == []
    assert w.wanted[-1] == (0, True)
    w.now += 5
    w.state.tick(w.now)
    w.maps.change()
    w.got(w.maps.whole())
    assert w.requests() == [(0, 1, 1), (0, 2, 0)]


@pytest.mark.parametrize(
    ("flag", "op", "waits"),
    [
        (FLAG_PAUSEWR, None, True),
        (FLAG_PAUSEWR, read(), False),
        (FLAG_PAUSERD, read(), True),
        (FLAG_PAUSERD, None, False),
        (FLAG_FULL, None, True),
        (FLAG_FULL, read(), False),
    ],
)
def test_flags_hold_requests_back(flag: int, op: ObjectOperation | None, waits: bool) -> None:
    w = World.with_map()
    w.got(w.maps.flags(flag))
    assert w.wanted[-1] == (3, False)  # all that come
    w.do(op=op)
    assert bool(w.requests()) is not waits
    w.got(w.maps.flags(0))
    assert bool(w.requests()) is waits


@pytest.mark.parametrize(("honor", "flags"), [(False, 0), (True, Flag.FULL_TRY)])
def test_full_pool_does_not_hold_everybody_back(honor: bool, flags: int) -> None:
    w = World.with_map()
    w.state.maps.honor_pool_full = honor
    w.got(w.maps.set_pool(flags=POOL_FULL))
    w.do(flags=flags)
    ((_, msg),) = w.sent
    assert isinstance(msg, MOSDOp)
    assert bool(msg.flags & Flag.FULL_FORCE) is not honor
    w.reply(0, 1, result=-errno.ENOSPC)
    assert w.error() == errno.ENOSPC


def test_barrier() -> None:
    w = World.with_map()
    w.state.set_epoch_barrier(3)
    w.do()
    w.got(w.maps.change())
    assert w.requests() == []
    w.got(w.maps.change())
    assert w.requests() == [(0, 1, 0)]


def test_deleted_pool() -> None:
    w = World.with_map()
    w.do("a")
    w.got(w.maps.delete_pool())
    assert w.error("a") == errno.ENOENT
    w.do("b")
    assert not w.outcomes.get("b")
    (op,) = w.checks
    w.state.version_known(op, 2)
    w.drain()
    assert w.error("b") == errno.ENOENT


def test_pool_that_we_do_not_know_yet() -> None:
    w = World.with_map()
    w.do(pool=5)
    (op,) = w.checks
    w.maps.change()
    w.maps.set_pool(number=5)
    w.state.version_known(op, 3)
    assert not w.outcomes
    assert w.wanted[-1] == (2, True)
    w.got(w.maps.since(2))
    assert w.requests() == [(0, 1, 0)]


def test_blocklisted() -> None:
    w = World.with_map()
    w.do("a")
    w.got(w.maps.move([]))
    w.do("b")
    w.got(w.maps.blocklist(EntityAddr.parse("v2:10.0.2.1:6800/78")))
    assert not w.outcomes
    fence = EntityAddr(EntityAddr.TYPE_ANY, ME.nonce, ME.host, ME.port)
    w.got(w.maps.blocklist(fence))
    w.do("c")
    assert [w.error(n) for n in "abc"] == [EBLOCKLISTED] * 3
    assert "EBLOCKLISTED" in str(w.outcomes["a"])
    assert w.state.counters.op_active.value == 0


def test_reset_sends_again_in_order() -> None:
    w = World.with_map()
    for n in range(5):
        w.do(f"w{n}")
    w.requests()
    w.now += 1
    w.state.handle_reset(0, w.now)
    assert len(w.opened) == 2
    assert w.requests() == [(0, n, 1) for n in range(1, 6)]
    # at once again: not in a loop without a pause
    w.state.handle_reset(0, w.now)
    w.do("w5")
    assert w.requests() == []
    assert w.state.next_deadline() == w.now + REOPEN_PAUSE
    w.now += REOPEN_PAUSE
    w.state.tick(w.now)
    assert w.requests() == [*((0, n, 2) for n in range(1, 6)), (0, 6, 0)]
    w.state.handle_reset(1, w.now)  # no session


def test_osd_goes_and_comes_elsewhere() -> None:
    w = World.with_map()
    w.do()
    w.requests()
    w.got(w.maps.down(0))
    assert w.closed == [0]
    w.state.handle_reset(0, w.now)
    assert w.requests() == []
    w.got(w.maps.up(0))
    assert w.opened[-1] == (0, osd_addrs(0, 2))
    assert w.requests() == [(0, 1, 1)]
    # both in one message, without a primary that changes
    w.got(w.maps.up(0, life=3))
    assert w.opened[-1] == (0, osd_addrs(0, 3))
    assert w.requests() == [(0, 1, 2)]


def test_eagain_is_done_anew_and_redirects_are_refused() -> None:
    w = World.with_map()
    w.do("a")
    w.requests()
    w.reply(0, 1, result=-errno.EAGAIN)
    assert w.requests() == [(0, 2, 1)]
    w.reply(0, 2, 1, do_redirect=True, redirect=RequestRedirect())
    assert w.error("a") == errno.EOPNOTSUPP


def test_errors_name_object_and_operation() -> None:
    w = World.with_map()
    w.do(op=ObjectOperation().assert_exists().omap_set({"a": b"b"}))
    msg = MOSDOpReply(
        result=-2, results=OpResults([OSDOp(Op.STAT, rval=-2), OSDOp(Op.OMAPSETVALS)], 0)
    )
    msg.tid = 1
    w.state.handle_reply(0, msg, w.now)
    w.drain()
    assert str(w.outcomes["w"]) == "stat on object o in pool 1: No such file or directory (ENOENT)"


def hobject(seed: int, end: bool = False) -> HObject:
    return HObject(hash=seed, pool=POOL, snap=0, max=end)


def test_backoff() -> None:
    w = World.with_map()
    seed = w.maps.seed_of("o")
    w.do("a")
    ((_, sent),) = w.sent
    assert isinstance(sent, MOSDOp)
    w.sent.clear()
    whole: dict[str, Any] = {"begin": HObject(pool=POOL), "end": hobject(0, True)}
    block = MOSDBackoff(pgid=sent.pgid, map_epoch=1, op=1, id=9, **whole)
    w.state.handle_backoff(0, block, w.now)
    ((_, ack),) = w.sent
    assert isinstance(ack, MOSDBackoff)
    assert (ack.op, ack.id, ack.pgid, ack.map_epoch) == (2, 9, sent.pgid, 1)
    w.sent.clear()
    w.do("b")
    other = next(f"x{n}" for n in range(99) if w.maps.seed_of(f"x{n}") != seed)
    w.do("c", other)
    assert w.requests() == [(0, 3, 0)]
    w.state.handle_backoff(0, MOSDBackoff(pgid=sent.pgid, op=3, id=8, **whole), w.now)
    assert w.requests() == []
    w.state.handle_backoff(0, MOSDBackoff(pgid=sent.pgid, op=3, id=9, **whole), w.now)
    assert w.requests() == [(0, 1, 1), (0, 2, 0)]


def test_backoff_of_one_object_and_its_end_with_the_connection() -> None:
    w = World.with_map()
    a = w.do("a", "o")
    own = a.target.hobject()
    w.requests()
    block = MOSDBackoff(pgid=a.target.actual_pgid, op=1, id=1, begin=own, end=own)
    w.state.handle_backoff(0, block, w.now)
    w.do("b", "o")
    assert w.requests() == []
    w.now += 1
    w.state.handle_reset(0, w.now)
    assert w.requests() == [(0, 1, 1), (0, 2, 0)]


def test_hobjects_are_ordered_by_the_hash_from_its_lowest_bit_on() -> None:
    seeds = sorted(range(8), key=lambda s: hobject_key(hobject(s)))
    assert seeds == [0, 4, 2, 6, 1, 5, 3, 7]
    assert hobject_key(hobject(7)) < hobject_key(hobject(0, True))


@pytest.mark.parametrize(("old", "new"), [(4, 8), (4, 5), (5, 7), (8, 4), (7, 5), (1, 2), (3, 3)])
def test_splits_and_merges(old: int, new: int) -> None:
    """A group takes part exactly if some object moves into or out of it."""
    a, b = Maps.pool(old), Maps.pool(new)
    moved: set[int] = set()
    for seed in range(64):
        before, after = (raw_pg_to_pg(p, PG(1, seed)).seed for p in (a, b))
        if before != after:
            moved |= {before, after}
    for seed in range(min(old, new)):
        assert splits_or_merges(PG(1, seed), old, new) is (seed in moved)


def test_timeouts_and_cancelling() -> None:
    w = World.with_map()
    w.do("a", deadline=w.now + 3)
    w.do("b", deadline=w.now + 1)
    c = w.do("c")
    assert w.state.next_deadline() == w.now + 1
    w.now += 1
    w.state.tick(w.now)
    w.drain()
    assert w.error("b") == errno.ETIMEDOUT
    assert w.state.next_deadline() == w.now + 2
    w.state.cancel(c, errno.ECANCELED)
    w.state.cancel(c, errno.ECANCELED)
    w.drain()
    assert w.error("c") == errno.ECANCELED
    assert w.state.cancel_all(errno.ENOSPC, writes_only=True) == 1
    w.drain()
    assert w.error("a") == errno.ENOSPC
    w.reply(0, 1)


def test_tick_finds_silent_osds() -> None:
    w = World.with_map()
    w.do()
    w.sent.clear()
    w.now += 5
    w.state.tick(w.now)
    assert not w.sent
    w.now += 6
    w.state.tick(w.now)
    assert [type(m) for _, m in w.sent] == [MPing]
    assert w.wanted[-1] == (2, True)
    assert w.state.counters.op_laggy.value == 1


def test_stop() -> None:
    w = World.with_map()
    w.do("a")
    w.state.stop()
    w.do("b")
    assert [w.error(n) for n in "ab"] == [errno.ESHUTDOWN] * 2
    assert "stopped" in str(w.outcomes["a"])
    assert w.closed == [0]


def test_removed_snapshots_leave_the_context() -> None:
    w = World.with_map()
    op = w.do(snap_seq=9, snaps=[9, 5, 3])
    w.got(w.maps.change(new_removed_snaps={POOL: {4: 3}}))
    assert op.snaps == [9, 3]


def test_budget() -> None:
    op = ObjectOperation().write(0, bytes(100)).setxattr("ab", b"cde")
    op.read(0, 1000)
    assert op_budget(op.ops) == 1105


def test_dump() -> None:
    w = World.with_map()
    w.do(op=ObjectOperation().write(3, b"xyz"), snap_seq=4, snaps=[4])
    (shown,) = dump_requests(w.state, w.now + 1)["ops"]
    assert shown["osd_ops"] == ["write 3~3 in=3b"]
    assert (shown["age"], shown["snap_context"], shown["object_locator"]) == (1, "4=[4]", "@1")


def test_descriptions() -> None:
    op = ObjectOperation().truncate(5).cmpxattr("a", Cmp.EQ, b"bc").create().assert_version(3)
    op.call("version", "read", b"12")
    op.omap_get_header()
    op.read(1, 2)
    op.set_last_op_flags(0x24)
    assert [op_description(one) for one in op.ops] == [
        "truncate 5",
        "cmpxattr a (2) op 1 mode 1 in=3b",
        "create",
        "assert-version v3",
        "call version.read in=13b",
        "omap-get-header",
        "read 1~2 [fadvise_random+fadvise_dontneed]",
    ]
