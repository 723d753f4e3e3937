"""The monitor's FSMap: what beacons do to it, and what they are answered."""

from __future__ import annotations

import pytest
from tests.unit.embedded_fs_kit import FSID, Cluster, addrs_of

from mdsdaemon.embedded.monitor.mds_state import Answer
from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_all
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec
from mdsdaemon.types.health import HealthStatus, MDSHealthMetric


def test_boot_makes_a_standby() -> None:
    c = Cluster()
    reply = c.boot(1, "a")
    assert (reply.answer, reply.changed) == (Answer.ACK, True)
    info = c.info(1)
    assert (info.name, info.state, info.rank, info.state_seq) == ("a", State.STANDBY, -1, 1)
    assert info.addrs == addrs_of(1)
    assert c.map.epoch == 2
    assert c.map.standby_epochs == {1: 2}
    assert c.state.metadata == {1: {"hostname": "here"}}


def test_the_ack_of_a_change_is_left_to_the_new_epoch_and_of_none_is_the_effective_one() -> None:
    c = Cluster()
    c.boot(1)
    c.boot(2)
    assert c.map.epoch == 3
    reply = c.say(1, State.STANDBY)
    assert (reply.answer, reply.epoch, reply.changed) == (Answer.ACK, 2, False)


def test_a_name_is_unique_the_newer_daemon_wins() -> None:
    c = Cluster()
    c.active_fs(1)
    c.boot(2, "m1")
    assert c.fenced == [1]  # it held a rank
    assert c.roles() == {2: "0:replay"}
    assert "daemon mds.m1 restarted" in c.log
    assert c.mds_map().last_failure_osd_epoch == 101
    c.boot(3, "m1")
    assert c.fenced == [1, 2]


def test_a_standby_of_the_same_name_goes_without_being_fenced() -> None:
    c = Cluster()
    c.boot(1, "a")
    c.boot(2, "a")
    assert c.roles() == {2: "standby"}
    assert c.fenced == []


def test_names_need_not_be_unique_by_configuration() -> None:
    c = Cluster(enforce_unique_name=False)
    c.boot(1, "a")
    c.boot(2, "a")
    assert c.roles() == {1: "standby", 2: "standby"}


@pytest.mark.parametrize("state", [State.STANDBY, State.ACTIVE, State.DNE, State.REPLAY])
def test_a_stranger_who_does_not_boot_gets_the_empty_map(state: State) -> None:
    c = Cluster()
    reply = c.say(99, state)
    assert (reply.answer, reply.epoch, reply.changed) == (Answer.NULL_MAP, 1, False)
    assert c.map.epoch == 1


def test_a_second_boot_beacon_is_not_answered_when_the_map_has_been_seen() -> None:
    c = Cluster()
    c.boot(1)
    epoch = c.edit.effective_epoch(1)
    assert c.say(1, State.BOOT, version=epoch).answer is Answer.NOTHING
    # and acknowledged, without effect, before that
    reply = c.say(1, State.BOOT, version=0)
    assert (reply.answer, reply.changed) == (Answer.ACK, False)


def test_a_beacon_without_a_port_is_ignored() -> None:
    c = Cluster()
    addrs = EntityAddrVec((EntityAddr(EntityAddr.TYPE_MSGR2, 1, "127.0.0.1", 0),))
    beacon = MMDSBeacon(version=0, fsid=FSID, global_id=1, state=State.BOOT, seq=1, name="a")
    assert c.state.beacon(beacon, addrs, c.now).answer is Answer.NOTHING
    assert c.roles() == {}


def test_old_sequence_numbers_are_ignored() -> None:
    c = Cluster()
    c.active_fs(1)
    reply = c.say(1, State.STOPPING, seq=1)
    assert (reply.answer, reply.changed) == (Answer.NOTHING, False)
    assert c.roles() == {1: "0:active"}


def test_a_request_that_does_not_know_the_newest_map_is_acknowledged_without_effect() -> None:
    c = Cluster()
    c.boot(1)
    c.new_fs()
    assert c.roles() == {1: "0:creating"}
    reply = c.say(1, State.ACTIVE, version=c.mds_map().epoch - 1)
    assert (reply.answer, reply.changed) == (Answer.ACK, False)
    assert reply.epoch == c.mds_map().epoch
    assert c.roles() == {1: "0:creating"}


# -- transitions --------------------------------------------------------------------------------


def test_creating_to_active() -> None:
    c = Cluster()
    c.boot(1)
    c.new_fs()
    mds_map = c.mds_map()
    assert c.info(1).inc == mds_map.epoch
    assert (mds_map.in_, mds_map.up, mds_map.failed) == ({0}, {0: 1}, set())
    c.up_to_active(1)
    assert c.roles() == {1: "0:active"}
    assert "daemon mds.m1 is now active in filesystem cephfs as rank 0" in c.log


VALID = {
    State.CREATING: {State.ACTIVE},
    State.STARTING: {State.ACTIVE},
    State.REPLAY: {State.RESOLVE, State.RECONNECT},
    State.RESOLVE: {State.RECONNECT},
    State.RECONNECT: {State.REJOIN},
    State.REJOIN: {State.CLIENTREPLAY, State.ACTIVE},
    State.CLIENTREPLAY: {State.ACTIVE},
    State.ACTIVE: {State.STOPPING},
    State.STOPPING: set(),
}
ENDS = {State.STOPPED, State.DAMAGED, State.DNE, State.BOOT}


@pytest.mark.parametrize("old", VALID)
@pytest.mark.parametrize("new", [s for s in State if s not in ENDS] + [77, -77])
def test_transitions_of_a_rank(old: State, new: int) -> None:
    c = Cluster()
    c.active_fs(1)
    c.info(1).state = old
    reply = c.say(1, new)
    if new == old:
        assert (reply.answer, reply.changed) == (Answer.ACK, False)
    elif new in VALID[old]:
        assert reply.answer is Answer.ACK
        assert c.info(1).state == new
    else:  # whoever asks for what cannot be is put out
        assert reply.answer is Answer.NULL_MAP
        assert c.roles() == {}
        assert c.fenced == [1]
        assert c.mds_map().failed == (set() if old == State.CREATING else {0})


@pytest.mark.parametrize(
    "state", [State.ACTIVE, State.REPLAY, State.CREATING, State.STANDBY_REPLAY, State.DAMAGED]
)
def test_a_standby_cannot_change_its_state(state: State) -> None:
    c = Cluster()
    c.boot(1)
    assert c.say(1, state).answer is Answer.NULL_MAP
    assert c.roles() == {}
    assert c.fenced == []


def test_going_says_goodbye() -> None:
    """DNE: whatever it knows of maps, the daemon is out, its rank failed and fenced."""
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    reply = c.say(1, State.DNE, version=0, seq=0)
    assert reply.answer is Answer.NULL_MAP
    assert c.fenced == [1]
    assert c.roles() == {2: "0:replay"}
    assert c.say(2, State.DNE).answer is Answer.NULL_MAP
    assert c.roles() == {}
    assert c.mds_map().failed == {0}


def test_going_while_creating_leaves_no_rank() -> None:
    c = Cluster()
    c.boot(1)
    c.new_fs()
    c.say(1, State.DNE)
    mds_map = c.mds_map()
    assert (mds_map.in_, mds_map.up, mds_map.failed) == (set(), {}, set())
    c.boot(2)
    assert c.roles() == {2: "0:creating"}


def test_changing_compat_is_illegal() -> None:
    c = Cluster()
    c.active_fs(1)
    more = get_compat_set_all()
    more.incompat.insert(40, "from the future")
    reply = c.say(1, State.ACTIVE, compat=more, health=[MDSHealthMetric(1)])
    assert (reply.answer, reply.changed) == (Answer.NOTHING, True)
    assert c.fenced == [1]
    assert "daemon mds.m1 compat changed unexpectedly" in c.log


def test_beacons_of_old_releases_say_nothing_of_compat() -> None:
    c = Cluster()
    c.boot(1, compat=CompatSet())
    assert c.info(1).compat == get_compat_set_all()
    c.new_fs()
    reply = c.say(1, State.ACTIVE, compat=CompatSet())
    assert (reply.answer, c.info(1).state) == (Answer.ACK, State.ACTIVE)


# -- stopping and damage ------------------------------------------------------------------------


def test_a_stopped_rank_is_remembered_and_started_again() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.mds_map().max_mds = 2
    c.settle()
    c.up_to_active(2)
    c.mds_map().max_mds = 1
    c.settle()
    assert c.roles() == {1: "0:active", 2: "1:stopping"}
    assert "stopping daemon mds.m2" in c.log
    reply = c.say(2, State.STOPPED)
    assert reply.answer is Answer.NULL_MAP
    mds_map = c.mds_map()
    assert (mds_map.in_, mds_map.stopped, mds_map.failed) == ({0}, {1}, set())
    assert c.fenced == []  # it went in peace
    assert "daemon mds.m2 finished stopping rank 1 in filesystem cephfs (now has 1 ranks)" in c.log
    mds_map.max_mds = 2
    c.boot(3)
    assert c.roles() == {1: "0:active", 3: "1:starting"}
    assert mds_map.stopped == set()
    c.up_to_active(3)


def test_who_followed_a_stopped_rank_goes_too() -> None:
    c = Cluster()
    c.active_fs(1)
    c.mds_map().flags |= 1 << 5
    c.boot(2)
    assert c.roles() == {1: "0:active", 2: "0:standby-replay"}
    c.info(1).state = State.STOPPING
    c.say(1, State.STOPPED)
    assert c.roles() == {}
    assert c.mds_map().stopped == {0}


def test_damage() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    reply = c.say(1, State.DAMAGED)
    assert reply.answer is Answer.ACK  # the daemon waits for it before it dies
    mds_map = c.mds_map()
    assert (mds_map.damaged, mds_map.failed, mds_map.up) == ({0}, set(), {})
    assert mds_map.last_failure_osd_epoch == 101
    assert c.fenced == [1]
    assert c.roles() == {2: "standby"}  # nobody takes a damaged rank
    c.wait(60, 2)
    assert c.roles() == {2: "standby"}
    assert c.edit.undamaged(c.fs(), 0)
    assert not c.edit.undamaged(c.fs(), 0)
    c.settle()
    assert c.roles() == {2: "0:replay"}


def test_damage_found_by_the_follower_fences_the_holder() -> None:
    c = Cluster()
    c.active_fs(1)
    c.mds_map().flags |= 1 << 5
    c.boot(2)
    assert c.say(2, State.DAMAGED).answer is Answer.ACK
    assert c.fenced == [1]
    assert c.roles() == {}
    assert c.mds_map().damaged == {0}


def test_damage_of_a_rank_that_nobody_holds_any_more() -> None:
    c = Cluster()
    c.active_fs(1)
    c.mds_map().flags |= 1 << 5
    c.boot(2)
    c.info(2).flags = 1  # frozen: it does not take the rank
    c.state.fail_gid(1, c.now)
    c.settle()
    assert c.roles() == {2: "0:standby-replay"}
    c.say(2, State.DAMAGED)
    assert c.mds_map().damaged == {0}
    assert c.roles() == {}


# -- health, preferences, targets ---------------------------------------------------------------


def test_health_of_beacons_is_kept_until_it_changes() -> None:
    c = Cluster()
    c.active_fs(1)
    trim = MDSHealthMetric(1, HealthStatus.WARN, "Behind on trimming (9/1)")
    epoch = c.map.epoch
    assert c.say(1, State.ACTIVE, health=[trim]).changed
    assert c.map.epoch == epoch + 1
    assert not c.say(1, State.ACTIVE, health=[trim]).changed
    assert c.state.health[1].metrics == [trim]
    assert c.say(1, State.ACTIVE).changed
    assert "MDS health message cleared (mds.m1): Behind on trimming (9/1)" in c.log
    c.state.fail_gid(1, c.now)
    assert (c.state.health, c.state.metadata) == ({}, {})


def test_the_preferred_file_system_may_change() -> None:
    c = Cluster()
    c.boot(1, fs="two")
    assert c.info(1).join_fscid == -1  # there is none of that name
    c.new_fs("one")
    c.up_to_active(1)
    c.new_fs("two")
    c.boot(2)
    c.up_to_active(2)
    c.boot(3, fs="two")
    c.settle()
    assert c.info(3).join_fscid == c.fs("two").fscid
    assert c.say(3, c.info(3).state, fs="").changed
    assert c.info(3).join_fscid == -1


def test_export_targets() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    assert c.state.offload_targets(1, {1})
    assert not c.state.offload_targets(1, {1})
    assert not c.state.offload_targets(2, {1})
    assert not c.state.offload_targets(99, {1})
    assert c.info(1).export_targets == {1}
