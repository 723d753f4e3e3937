"""The embedded monitor's OSDMap epochs: made, kept, trimmed, sent, loaded, gone back from."""

import random
import uuid

import pytest
from tests.unit.embedded_osdmap_kit import ADDRS, OSD_UUID, START, Kit, RecordingSession

from mdsdaemon.embedded.monitor.osd_history import SLACK, MapHistory
from mdsdaemon.embedded.monitor.osd_pending import Pending, copy_map
from mdsdaemon.errors import FatalError
from mdsdaemon.maps.osd_map import OSDMap, decode_osd_map
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import Incremental, decode_incremental
from mdsdaemon.messages.cmdparse import CommandError
from mdsdaemon.messages.osd import MOSDMap
from mdsdaemon.messages.pool import EpochRange, MMonGetOSDMap
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.pool import PGPool


def change_at_random(kit: Kit, rng: random.Random) -> None:
    """One of many changes."""
    pools = sorted(kit.osd.map.client.pool_name.values())
    some = rng.choice(pools) if pools else ""
    choice = rng.randrange(8)
    if choice == 0 or not pools:
        kit.ok("osd pool create", pool=f"p{rng.randrange(1000)}", pg_num=rng.choice((1, 2, 8)))
    elif choice == 1:
        kit.ok("osd pool rm", pool=some, pool2=some, yes_i_really_really_mean_it=True)
    elif choice == 2:
        until = kit.clock.now + rng.randrange(1, 1000)
        kit.osd.blocklist(EntityAddrVec.parse(f"v2:10.0.0.{rng.randrange(9)}:0/{choice}"), until)
    elif choice == 3:
        kit.ok(rng.choice(("osd set", "osd unset")), key="noscrub")
    elif choice == 4:
        kit.ok("osd pool application enable", pool=some, app="rbd", yes_i_really_mean_it=True)
    elif choice == 5:
        kit.ok("osd pool set", pool=some, var="pg_num", val=str(rng.choice((1, 4, 16))))
    elif choice == 6:
        kit.ok("osd pool mksnap", pool=some, snap=f"s{rng.randrange(4)}")
    else:
        name = f"r{rng.randrange(5)}"
        kit.ok("osd crush rule create-replicated", name=name, root="default", type="host")
    kit.clock.now += 1


def replay(kit: Kit, start: int = 0) -> OSDMap:
    """The newest map, from the oldest whole one and every incremental."""
    history = kit.osd.history
    first = start or history.oldest
    full = history.full(first)
    assert full is not None
    found = decode_osd_map(full)
    for epoch in range(first + 1, history.newest + 1):
        step = history.incremental(epoch)
        assert step is not None
        inc = decode_incremental(step)
        assert inc.epoch == epoch
        found = apply_incremental(copy_map(found), inc)
        whole = history.full(epoch)
        assert whole is not None
        assert decode_osd_map(whole).crc == inc.full_crc
    return found


def same(a: OSDMap, b: OSDMap) -> bool:
    return a.client == b.client and a.osd == b.osd


@pytest.mark.parametrize("seed", range(4))
def test_every_epoch_is_there_by_both_ways(seed: int) -> None:
    kit, rng = Kit(), random.Random(seed)
    published: list[tuple[OSDMap, Incremental]] = []
    kit.osd.on_map(lambda new, inc: published.append((new, inc)))
    maps = {kit.osd.map.epoch: kit.osd.map}
    for _ in range(40):
        change_at_random(kit, rng)
        maps[kit.osd.map.epoch] = kit.osd.map
    assert same(replay(kit), kit.osd.map)
    # maps that were given out have not changed since
    for epoch, then in maps.items():
        whole = kit.osd.history.full(epoch)
        assert whole is not None
        again = decode_osd_map(whole)
        assert same(again, then)
        assert again.crc == then.crc
    epochs = [inc.epoch for _, inc in published]
    assert epochs == list(range(epochs[0], kit.osd.map.epoch + 1))
    assert all(new.epoch == inc.epoch for new, inc in published)


@pytest.mark.parametrize("seed", range(2))
def test_a_restart_finds_the_same_epochs(seed: int) -> None:
    kit, rng = Kit(mon_min_osdmap_epochs="5"), random.Random(seed)
    for _ in range(SLACK + 30):
        change_at_random(kit, rng)
    newest = kit.osd.map.epoch
    assert kit.osd.history.newest == newest
    # trimmed in the meantime, to no fewer than asked for
    assert 5 <= newest - kit.osd.history.oldest + 1 <= 5 + SLACK
    again = Kit(storage=kit.storage, clock=kit.clock, osd=False)
    assert again.osd.history.oldest == kit.osd.history.oldest
    # the OSD of the former run is down, in one epoch more
    assert again.osd.map.epoch == newest + 1
    assert not again.osd.map.is_up(0)
    assert same(replay(again), again.osd.map)
    before = again.osd.history.map(newest)
    assert before is not None
    assert same(before, kit.osd.map)
    assert again.boot(EntityAddrVec.parse("v2:127.0.0.1:7000/9")) == newest + 2
    assert str(again.osd.map.get_addrs(0)) == "v2:127.0.0.1:7000/9"
    assert again.osd.map.osd.osd_info[0].last_clean_end == newest + 1


def test_history_that_outgrows_its_bytes_loses_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsdaemon.embedded.monitor.osd_history.MAX_BYTES", 20_000)
    kit = Kit()
    for number in range(200):
        kit.osd.blocklist(EntityAddrVec.parse(f"v2:10.0.0.1:0/{number}"), START + 1000)
    history = kit.osd.history
    assert sum(len(history.incremental(e) or b"") for e in range(history.oldest, 202)) < 20_000
    assert history.oldest > 1
    assert same(replay(kit), kit.osd.map)


def test_damaged_records_are_refused() -> None:
    kit = Kit()
    kit.pool("a")
    records = {key: value for key, value in kit.osd.records() if key != "state"}
    MapHistory().load(records)
    full = bytearray(records["full"])
    full[40] ^= 1
    with pytest.raises(FatalError, match="stored OSDMap"):
        MapHistory().load({**records, "full": bytes(full)})
    with pytest.raises(FatalError, match="stored OSDMap"):
        MapHistory().load({key: value for key, value in records.items() if key != "base"})
    with pytest.raises(FatalError, match="stored OSDMap"):
        MapHistory().load({k: v for k, v in records.items() if not k.endswith("2")})


def test_the_first_map() -> None:
    kit = Kit(osd=False)
    client, rest = kit.osd.map.client, kit.osd.map.osd
    assert kit.osd.map.epoch == 1
    assert client.flags == 5799936  # of a new 16.2.15 cluster
    assert (rest.require_osd_release, rest.require_min_compat_client) == (16, 12)
    assert client.erasure_code_profiles == {
        "default": {"k": "2", "m": "2", "plugin": "jerasure", "technique": "reed_sol_van"}
    }
    assert (client.max_osd, client.pools, client.pool_max) == (0, {}, 0)
    assert client.crush.rule_name_map == {0: "replicated_rule"}
    assert kit.boot() == 2
    assert kit.osd.map.is_up(0)
    assert kit.osd.map.client.osd_weight == [0x10000]
    assert kit.osd.map.osd.osd_uuid == [OSD_UUID]
    assert client.created == rest.blocklist.get(ADDRS.addrs[0], client.created)


# -- changes ----------------------------------------------------------------------------------


def test_changes_of_one_block_are_one_epoch() -> None:
    kit = Kit()
    number = kit.pool("a")
    before = kit.osd.map.epoch
    with kit.osd.change() as outer:
        epoch = kit.osd.blocklist(EntityAddrVec.parse("v2:1.2.3.4:5/6"), START + 60)
        kit.osd.enable_application(number, "cephfs", "data", "x")
        with kit.osd.change() as inner:
            assert inner is outer
        assert kit.osd.map.epoch == before
    assert kit.osd.map.epoch == before + 1 == epoch
    assert kit.osd.is_blocklisted(EntityAddrVec.parse("v2:1.2.3.4:5/6"))
    assert kit.osd.map.pools[number].application_metadata == {"cephfs": {"data": "x"}}


def test_nothing_changed_is_no_epoch() -> None:
    kit = Kit()
    before = kit.osd.map.epoch
    with kit.osd.change():
        pass
    with kit.osd.change() as pending:
        pending.flip_state(0, 1)
        pending.flip_state(0, 1)
    kit.tick()
    assert kit.osd.map.epoch == before
    assert kit.osd.blocklist(EntityAddrVec(), START) == before


def test_an_exception_leaves_no_trace() -> None:
    kit = Kit()
    number, before = kit.pool("a"), kit.osd.map

    def resize(size: int, error: type[Exception] | None = None) -> None:
        with kit.osd.change() as pending:
            pending.pool(number).size = size
            if error:
                raise error

    with pytest.raises(ZeroDivisionError):
        resize(3, ZeroDivisionError)
    assert kit.osd.map is before
    with pytest.raises(CommandError, match="does not fit"):
        resize(300)
    assert kit.osd.map is before
    kit.ok("osd set", key="noout")
    assert kit.osd.map.epoch == before.epoch + 1


def test_pending_does_not_touch_its_base() -> None:
    base = OSDMap()
    base.client.pools[3] = PGPool(size=2)
    pending = Pending(base)
    pending.pool(3).snaps[1] = None  # type: ignore[assignment]
    pending.pool(3).application_metadata["a"] = {}
    pending.crush().rule_name_map[9] = "x"
    assert base.client.pools[3] == PGPool(size=2)
    assert base.client.crush.rule_name_map == {}


# -- subscriptions ----------------------------------------------------------------------------


def summary(session: RecordingSession) -> list[tuple[list[int], list[int]]]:
    """(whole maps, incrementals) of each message."""
    out = []
    for msg in session.take():
        assert isinstance(msg, MOSDMap)
        out.append((sorted(msg.maps), sorted(msg.incremental_maps)))
    return out


def test_subscriptions_get_whole_maps_or_steps() -> None:
    kit = Kit()
    for name in "abc":
        kit.pool(name)
    newest = kit.osd.map.epoch
    session = kit.session()
    kit.subscribe(session, 0)
    assert summary(session) == [([newest], [])]
    kit.pool("d")
    assert summary(session) == [([], [newest + 1])]
    other = kit.session("client.y")
    kit.subscribe(other, 2)
    assert summary(other) == [([], list(range(2, newest + 2)))]
    # what a session has got is not sent again
    kit.subscribe(other, 3)
    assert summary(other) == []
    assert other.subs["osdmap"].next == newest + 2
    late = kit.session("client.z")
    kit.subscribe(late, newest + 2)
    assert summary(late) == []
    kit.pool("e")
    assert summary(late) == [([], [newest + 2])]


def test_a_onetime_subscription_ends_with_its_answer() -> None:
    kit = Kit()
    session = kit.session()
    kit.subscribe(session, 0, onetime=True)
    assert summary(session) == [([2], [])]
    assert session.subs == {}
    kit.subscribe(session, 3, onetime=True)
    assert (summary(session), len(session.subs)) == ([], 1)
    kit.pool("a")
    assert (summary(session), len(session.subs)) == ([([], [3])], 0)


def test_steps_come_in_pieces_and_from_the_oldest_whole_map() -> None:
    kit = Kit(osd_map_message_max="10", mon_min_osdmap_epochs="20")
    while kit.osd.history.oldest == 1:
        kit.ok(f"osd {'set' if kit.osd.map.epoch % 2 else 'unset'}", key="noout")
    oldest, newest = kit.osd.history.oldest, kit.osd.history.newest
    assert newest - oldest + 1 == 20
    session = kit.session()
    kit.subscribe(session, 1)
    steps = list(range(oldest + 1, newest + 1))
    assert summary(session) == [
        ([oldest], []),
        ([], steps[:10]),
        ([], steps[10:]),
    ]
    other = kit.session("client.y")
    kit.subscribe(other, oldest + 1, onetime=True)
    assert summary(other) == [([], steps[:10])]


def test_a_client_can_follow() -> None:
    kit, rng = Kit(), random.Random(9)
    session = kit.session()
    kit.subscribe(session, 0)
    (first,) = session.take()
    ((_, data),) = first.maps.items()
    mine = decode_osd_map(data)
    for _ in range(30):
        change_at_random(kit, rng)
        for msg in session.take():
            assert (msg.oldest_map, msg.newest_map) == (1, kit.osd.map.epoch)
            for _, step in sorted(msg.incremental_maps.items()):
                mine = apply_incremental(mine, decode_incremental(step))
    assert same(mine, kit.osd.map)


def test_maps_by_number() -> None:
    kit = Kit(osd_map_message_max="4")
    for name in "abc":
        kit.pool(name)
    session = kit.session()
    kit.osd.handle_get_osdmap(session, MMonGetOSDMap(full=EpochRange(0, 2), inc=EpochRange(2, 99)))
    (msg,) = session.take()
    assert (sorted(msg.maps), sorted(msg.incremental_maps)) == ([1, 2], [2, 3])
    assert (msg.oldest_map, msg.newest_map) == (1, 5)
    assert kit.osd.get_version("osdmap") == (5, 1)
    assert kit.osd.get_version("mdsmap") is None
    nobody = kit.session("client.n", "allow profile mds")
    kit.osd.handle_get_osdmap(nobody, MMonGetOSDMap(inc=EpochRange(1, 2)))


# -- going back -------------------------------------------------------------------------------


def test_restore_goes_on_from_the_newest_epoch() -> None:
    kit = Kit()
    first = kit.pool("first")
    kit.ok("osd pool application enable", pool="first", app="rbd")
    state = kit.osd.snapshot()
    kit.osd.blocklist(EntityAddrVec.parse("v2:1.1.1.1:0/1"), START + 600)
    second = kit.pool("second")
    kit.ok("osd pool rm", pool="first", pool2="first", yes_i_really_really_mean_it=True)
    kit.ok("osd set", key="noout")
    kit.boot(EntityAddrVec.parse("v2:127.0.0.1:7777/7"))
    session = kit.session()
    kit.subscribe(session, kit.osd.map.epoch + 1)
    newest = kit.osd.map.epoch
    with kit.mon.transactions.transaction():
        kit.osd.restore(state)
    new = kit.osd.map
    assert new.epoch == newest + 1
    assert new.client.pool_name == {first: "first"}
    assert new.pools[first].application_metadata == {"rbd": {}}
    assert not new.test_flag(1 << 7)
    # what must not go back: the OSD's place, fences, numbers that were given
    assert str(new.get_addrs(0)) == "v2:127.0.0.1:7777/7"
    assert new.is_up(0)
    assert kit.osd.is_blocklisted(EntityAddrVec.parse("v2:1.1.1.1:0/1"))
    assert kit.pool("third") == second + 1
    # subscribers and a later start see the same
    assert same(replay(kit), kit.osd.map)
    for msg in session.take():
        for epoch, step in msg.incremental_maps.items():
            assert decode_incremental(step).epoch == epoch
    again = Kit(storage=kit.storage, clock=kit.clock, osd=False)
    assert again.osd.map.client.pool_name == kit.osd.map.client.pool_name


def test_restore_to_before_there_was_an_osd() -> None:
    kit = Kit(osd=False)
    state = kit.osd.snapshot()
    kit.boot()
    kit.pool("a")
    with kit.mon.transactions.transaction():
        kit.osd.restore(state)
    assert kit.osd.map.pools == {}
    assert kit.osd.map.is_up(0)
    kit.pool("b")
    found = kit.json("osd map", pool="b", object="x")
    assert found["up"] == [0]


def test_restore_in_a_loop_does_not_grow() -> None:
    kit = Kit(mon_min_osdmap_epochs="10")
    kit.pool("a")
    state = kit.osd.snapshot()
    for _ in range(100):
        kit.pool("b")
        with kit.mon.transactions.transaction():
            kit.osd.restore(state)
    history = kit.osd.history
    assert history.newest - history.oldest <= 10 + SLACK
    assert len(list(kit.osd.records())) <= 10 + SLACK + 4
    assert sorted(kit.osd.map.client.pool_name.values()) == ["a"]


# -- osd.0 ------------------------------------------------------------------------------------


def test_an_osd_marked_down_comes_back_unless_told_not_to() -> None:
    kit = Kit()
    assert kit.ok("osd down", ids=["0"]) == "marked down osd.0. "
    assert not kit.osd.map.is_up(0)
    kit.tick()
    assert kit.osd.map.is_up(0)
    kit.ok("osd set", key="noup")
    kit.ok("osd down", ids=["0"])
    kit.tick()
    assert not kit.osd.map.is_up(0)
    kit.ok("osd unset", key="noup")
    kit.tick()
    assert kit.osd.map.is_up(0)
    kit.osd.osd_is_gone()
    kit.tick()
    assert not kit.osd.map.is_up(0)


def test_a_boot_at_another_address_is_seen_as_down_and_up() -> None:
    kit = Kit()
    before = kit.osd.map
    epoch = kit.boot(EntityAddrVec.parse("v2:127.0.0.1:9999/3"))
    assert epoch == before.epoch + 2
    between = kit.osd.history.map(epoch - 1)
    assert between is not None
    assert not between.is_up(0)
    info = kit.osd.map.osd.osd_info[0]
    assert (info.up_from, info.down_at) == (epoch, epoch - 1)
    assert before.is_up(0)


def test_fences_end_in_time() -> None:
    kit = Kit()
    addr = EntityAddrVec.parse("v2:10.9.8.7:0/5")
    kit.osd.blocklist(addr, START + 10)
    kit.ok("osd blocklist", range="range", blocklistop="add", addr="10.1.0.0/16", expire=20.0)
    assert kit.osd.is_blocklisted(EntityAddrVec.parse("v2:10.1.77.3:1234/99"))
    kit.tick(9)
    assert kit.osd.is_blocklisted(addr)
    kit.tick(2)
    assert not kit.osd.is_blocklisted(addr)
    assert kit.osd.map.osd.range_blocklist
    kit.tick(10)
    assert kit.osd.map.osd.range_blocklist == {}
    assert same(replay(kit), kit.osd.map)


def test_another_identity_of_the_osd_is_noted() -> None:
    kit = Kit()
    other = uuid.UUID(int=5)
    kit.osd.boot_osd(ADDRS, capacity=1 << 30, identity=other, metadata={"hostname": "elsewhere"})
    assert kit.osd.map.osd.osd_uuid == [other]
    # the CRUSH map stays as it was made
    assert kit.json("osd find", id=0)["crush_location"] == {"host": "box", "root": "default"}


def test_changes_made_by_a_watcher_are_told_after_the_one_it_was_told() -> None:
    kit = Kit()
    first, seen = kit.osd.map.epoch, list[int]()

    def changes_too(osd_map: OSDMap, _: object) -> None:
        if osd_map.epoch < first + 4:
            kit.ok(f"osd {'set' if osd_map.epoch % 2 else 'unset'}", key="noscrub")

    session = kit.session()
    kit.subscribe(session, first)
    session.take()
    kit.osd.on_map(changes_too)
    kit.osd.on_map(lambda osd_map, _: seen.append(osd_map.epoch))
    kit.ok("osd set", key="noout")
    assert len(seen) >= 2
    assert seen == list(range(first + 1, first + 1 + len(seen)))
    got = [epoch for msg in session.take() for epoch in sorted(msg.incremental_maps)]
    assert got == seen
