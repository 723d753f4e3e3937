"""The monitor's FSMap as time goes by: laggy daemons, who replaces them, who follows whom."""

from __future__ import annotations

import pytest
from tests.unit.embedded_fs_kit import START, Cluster

from mdsdaemon.maps.compat_set import get_compat_set_all
from mdsdaemon.maps.mds_map import (
    FLAG_ALLOW_STANDBY_REPLAY,
    FLAG_NOT_JOINABLE,
    FLAG_REFUSE_STANDBY_FOR_ANOTHER_FS,
)
from mdsdaemon.maps.mds_states import State


def test_a_silent_rank_is_replaced_after_the_grace() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.wait(14, 2)
    assert c.roles() == {1: "0:active", 2: "standby"}
    assert not c.info(1).laggy
    c.wait(1, 2)
    assert c.roles() == {2: "0:replay"}
    assert c.fenced == [1]
    assert c.mds_map().last_failure_osd_epoch == 101
    assert "Replacing daemon mds.m1 as rank 0 with standby daemon mds.m2" in c.log
    assert "MDS daemon mds.m1 is removed because it is dead or otherwise unavailable." in c.log
    assert c.info(2).inc == c.mds_map().epoch
    c.up_to_active(2)


def test_a_silent_rank_without_a_replacement_stays_and_is_laggy() -> None:
    c = Cluster()
    c.active_fs(1)
    c.wait(30)
    assert c.roles() == {1: "0:active"}
    assert c.info(1).laggy_since == int((START + 15) * 1_000_000_000)
    assert c.fenced == []
    c.say(1, State.ACTIVE)  # it was only slow
    assert not c.info(1).laggy


def test_when_nobody_is_heard_nobody_is_removed() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2, 3)
    c.wait(60)
    assert c.roles() == {1: "0:active", 2: "standby", 3: "standby"}
    assert all(c.info(gid).laggy for gid in (1, 2, 3))
    # the first to be heard again takes over; who is still silent is removed
    c.say(3, State.STANDBY)
    assert c.roles() == {3: "0:replay"}
    assert c.fenced == [1]


def test_a_silent_standby_is_forgotten() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.wait(15, 1)
    assert c.roles() == {1: "0:active"}
    assert c.fenced == []


def test_a_laggy_standby_gets_no_rank() -> None:
    c = Cluster()
    c.boot(1)
    c.wait(15)
    assert c.info(1).laggy
    c.new_fs()
    assert c.roles() == {1: "standby"}
    c.say(1, State.STANDBY)
    assert c.roles() == {1: "0:creating"}


def test_a_slow_monitor_blames_itself() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.now += 20  # no tick for so long: beacons may lie unread
    c.settle()
    assert c.roles() == {1: "0:active", 2: "standby"}
    assert not c.info(1).laggy


def test_after_a_restart_everybody_has_the_full_grace() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.now += 1000
    c.state.restart(c.now)
    c.wait(14, 2)
    assert not c.info(1).laggy
    c.wait(1, 2)
    assert c.roles() == {2: "0:replay"}


def test_options_are_followed() -> None:
    c = Cluster(beacon_grace=3.0, beacon_interval=0.5, blocklist_interval=60.0)
    c.active_fs(1, "cephfs", 2)
    c.wait(2.5, 2, step=0.5)
    assert c.fenced == []
    c.wait(0.5, 2, step=0.5)
    assert c.fenced == [1]


def test_what_is_frozen_stays() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.info(1).flags = 1
    c.wait(60, 2)
    assert c.roles() == {1: "0:active", 2: "standby"}
    assert c.info(1).laggy


def test_what_is_not_joinable_is_not_given_out() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.mds_map().flags |= FLAG_NOT_JOINABLE
    c.wait(60, 2)
    assert c.roles() == {1: "0:active", 2: "standby"}  # laggy, but nobody may replace it
    c.state.fail_gid(1, c.now)
    c.settle()
    assert (c.roles(), c.mds_map().failed) == ({2: "standby"}, {0})
    c.mds_map().flags &= ~FLAG_NOT_JOINABLE
    c.settle()
    assert c.roles() == {2: "0:replay"}


# -- how many ranks -----------------------------------------------------------------------------


def test_more_ranks_one_at_a_time() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2, 3, 4)
    c.mds_map().max_mds = 3
    c.settle()
    assert c.roles() == {1: "0:active", 2: "standby", 3: "standby", 4: "1:creating"}
    assert "daemon mds.m4 assigned to filesystem cephfs as rank 1 (now has 2 ranks)" in c.log
    c.up_to_active(4)
    assert c.roles()[3] == "2:creating"
    c.up_to_active(3)
    assert c.roles() == {1: "0:active", 2: "standby", 3: "2:active", 4: "1:active"}


def test_no_resizing_while_degraded() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2, 3)
    c.say(1, State.DNE)
    c.mds_map().max_mds = 2
    c.settle()
    assert c.roles() == {2: "standby", 3: "0:replay"}
    c.up_to_active(3)
    assert c.roles() == {2: "1:creating", 3: "0:active"}


def test_fewer_ranks_from_the_top() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2, 3)
    c.mds_map().max_mds = 3
    c.settle()
    c.up_to_active(3)
    c.up_to_active(2)
    c.mds_map().max_mds = 1
    c.settle()
    assert c.roles() == {1: "0:active", 2: "2:stopping", 3: "1:active"}
    c.say(2, State.STOPPED)
    assert c.roles() == {1: "0:active", 3: "1:stopping"}


def test_max_mds_of_zero_stops_all() -> None:
    c = Cluster()
    c.active_fs(1)
    c.mds_map().max_mds = 0
    c.settle()
    assert c.roles() == {1: "0:stopping"}
    c.say(1, State.STOPPED)
    assert (c.roles(), c.mds_map().stopped) == ({}, {0})


# -- standby-replay -----------------------------------------------------------------------------


def following(*standbys: int) -> Cluster:
    c = Cluster()
    c.active_fs(1, "cephfs", *standbys)
    c.mds_map().flags |= FLAG_ALLOW_STANDBY_REPLAY
    c.settle()
    return c


def test_one_follower_for_each_rank() -> None:
    c = following(2, 3)
    # the standby with the highest gid is taken, as in Ceph
    assert c.roles() == {1: "0:active", 2: "standby", 3: "0:standby-replay"}
    assert c.mds_map().up == {0: 1}


def test_the_follower_takes_over_before_any_standby() -> None:
    c = following(2, 3)
    c.say(1, State.DNE)
    assert c.roles() == {2: "standby", 3: "0:replay"}
    # nobody follows a rank that still recovers
    c.up_to_active(3)
    assert c.roles() == {2: "0:standby-replay", 3: "0:active"}


def test_a_silent_follower_is_dropped_without_being_fenced() -> None:
    c = following(2)
    c.say(1, State.ACTIVE)
    before = c.mds_map().last_failure_osd_epoch = 55
    c.wait(15, 1)
    assert c.roles() == {1: "0:active"}
    assert c.fenced == []
    assert c.mds_map().last_failure_osd_epoch == before


def test_a_frozen_follower_keeps_its_rank_from_others() -> None:
    c = following(2, 3)
    c.info(3).flags = 1
    c.say(1, State.DNE)
    assert c.roles() == {2: "standby", 3: "0:standby-replay"}
    assert c.mds_map().failed == {0}


def test_followers_come_when_nothing_else_is_to_do() -> None:
    c = following(2, 3)
    c.mds_map().max_mds = 2
    c.settle()
    assert c.roles() == {1: "0:active", 2: "1:creating", 3: "0:standby-replay"}
    c.up_to_active(2)
    c.boot(4)
    assert c.roles()[4] == "1:standby-replay"


# -- preferences --------------------------------------------------------------------------------


def test_a_standby_that_prefers_this_file_system_comes_first() -> None:
    c = Cluster()
    c.active_fs(1, "one")
    c.boot(2)
    c.new_fs("two")
    c.up_to_active(2)
    c.boot(3, fs="one")
    c.boot(4)
    c.boot(5, fs="two")
    # each file system takes the standby that prefers it from the one that does not
    assert c.roles() == {3: "0:replay", 4: "standby", 5: "0:replay"}
    assert sorted(c.fenced) == [1, 2]
    assert any("Dropping low affinity active daemon mds.m1" in line for line in c.log)


def test_a_standby_of_another_file_system_is_the_last_resort() -> None:
    c = Cluster()
    c.active_fs(1, "one")
    c.boot(2, fs="one")
    c.up_to_active(2)
    c.new_fs("two")
    c.boot(3, fs="one")
    assert c.roles() == {2: "0:active", 3: "0:creating"}
    assert c.edit.fs_name_of_gid(3) == "two"


def test_another_file_systems_standby_may_be_refused() -> None:
    c = Cluster()
    c.active_fs(1, "one")
    c.boot(2, fs="one")
    c.up_to_active(2)
    c.new_fs("two").mds_map.flags |= FLAG_REFUSE_STANDBY_FOR_ANOTHER_FS
    c.boot(3, fs="one")
    assert c.roles() == {2: "0:active", 3: "standby"}


def test_a_follower_gives_way_to_one_that_prefers_the_file_system() -> None:
    c = following(2)
    c.info(1).join_fscid = c.fs().fscid
    assert c.roles() == {1: "0:active", 2: "0:standby-replay"}
    c.boot(3, fs="cephfs")
    assert c.roles() == {1: "0:active", 3: "0:standby-replay"}
    assert any("Dropping low affinity standby-replay daemon mds.m2" in line for line in c.log)
    assert c.fenced == []


def test_no_change_of_places_while_recovering() -> None:
    c = Cluster()
    c.active_fs(1, "one", 2)
    c.say(1, State.DNE)
    assert c.roles() == {2: "0:replay"}
    c.boot(3, fs="one")
    assert c.roles() == {2: "0:replay", 3: "standby"}
    for state in (State.RECONNECT, State.REJOIN):
        c.say(2, state)
    assert c.roles() == {2: "0:rejoin", 3: "standby"}
    c.say(2, State.ACTIVE)
    assert c.roles() == {3: "0:replay"}


# -- compat -------------------------------------------------------------------------------------


def newer() -> object:
    compat = get_compat_set_all()
    compat.incompat.insert(40, "from the future")
    return compat


def test_a_newer_daemon_upgrades_a_file_system_of_one_rank() -> None:
    c = Cluster()
    c.active_fs(1)
    c.boot(2, compat=newer())  # type: ignore[arg-type]
    c.say(1, State.DNE)
    assert c.roles() == {2: "0:replay"}
    assert c.mds_map().compat.incompat.names[40] == "from the future"
    # and an older one cannot serve it any more
    c.boot(3)
    c.say(2, State.DNE)
    assert c.roles() == {3: "standby"}
    assert c.mds_map().failed == {0}


def test_a_newer_daemon_is_not_taken_among_several_ranks() -> None:
    c = Cluster()
    c.active_fs(1, "cephfs", 2)
    c.mds_map().max_mds = 2
    c.settle()
    c.up_to_active(2)
    c.boot(3, compat=newer())  # type: ignore[arg-type]
    c.say(2, State.DNE)
    assert c.roles() == {1: "0:active", 3: "standby"}
    assert c.mds_map().failed == {1}


def test_a_newer_daemon_does_not_follow() -> None:
    c = Cluster()
    c.active_fs(1)
    c.mds_map().flags |= FLAG_ALLOW_STANDBY_REPLAY
    c.boot(2, compat=newer())  # type: ignore[arg-type]
    assert c.roles() == {1: "0:active", 2: "standby"}


# -- standbys wanted ----------------------------------------------------------------------------


def test_who_once_had_a_standby_wants_one() -> None:
    c = Cluster()
    c.boot(1)
    c.new_fs()
    assert c.mds_map().standby_count_wanted == -1
    c.up_to_active(1)
    assert c.mds_map().standby_count_wanted == -1
    c.boot(2)
    assert c.mds_map().standby_count_wanted == 1


@pytest.mark.parametrize("wanted", [0, 3])
def test_what_was_set_is_left(wanted: int) -> None:
    c = Cluster()
    c.active_fs(1)
    c.mds_map().standby_count_wanted = wanted
    c.boot(2)
    assert c.mds_map().standby_count_wanted == wanted
