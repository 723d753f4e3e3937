"""The FSMap's service: who is sent which map, what an acknowledgement names, what is kept."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.embedded_fs_mon import Daemon, FakeMon

from mdsdaemon.embedded.monitor.records import pack
from mdsdaemon.encoding import decode
from mdsdaemon.errors import FatalError
from mdsdaemon.maps.compat_set import CompatSet
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.base import Message, decode_message, encode_message
from mdsdaemon.messages.fs_map import MFSMap, MFSMapUser, MMDSLoadTargets
from mdsdaemon.messages.mds import MMDSBeacon, MMDSMap
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.health import MDSHealth, MDSHealthMetric


def new_fs(mon: FakeMon, name: str = "cephfs", number: int = 1) -> None:
    result = mon.ask("fs new", fs_name=name, metadata=f"m{number}", data=f"d{number}")
    assert result.r == 0


def maps(sent: list[Message]) -> list[MDSMap]:
    found = [msg for msg in sent if isinstance(msg, MMDSMap)]
    decoded = [decode(MDSMap, msg.encoded) for msg in found]
    assert [m.epoch for m in decoded] == [msg.epoch for msg in found]
    assert [m.fs_name for m in decoded] == [msg.map_fs_name for msg in found]
    return decoded


def kinds(sent: list[Message]) -> list[str]:
    return [type(msg).__name__ for msg in sent]


# -- what daemons are sent ----------------------------------------------------------------------


def test_a_booting_daemon_is_told_of_itself_and_then_acknowledged() -> None:
    mon = FakeMon()
    other = mon.daemon(1)
    other.sent  # noqa: B018
    daemon = mon.daemon(2)
    sent = daemon.sent
    # the first map is that of before it came: empty, and of the FSMap's epoch
    assert kinds(sent) == ["MMDSMap", "MMDSMap", "MMDSBeacon"]
    before, own = maps(sent)
    assert (before.epoch, before.mds_info) == (2, {})
    assert (own.epoch, list(own.mds_info)) == (3, [2])
    assert own.mds_info[2].state == State.STANDBY
    ack = sent[-1]
    assert isinstance(ack, MMDSBeacon)
    assert (ack.version, ack.seq, ack.state, ack.name) == (3, 1, State.BOOT, "m2")
    assert other.sent == []  # a standby sees nothing of others


def test_a_daemon_with_a_rank_sees_its_file_system_only() -> None:
    mon = FakeMon()
    first, second = mon.daemon(1), mon.daemon(2)
    new_fs(mon, "one")
    new_fs(mon, "two", 2)
    first.sent, second.sent  # noqa: B018
    second.up()  # serves "one"
    assert kinds(second.sent) == ["MMDSMap", "MMDSBeacon"]
    assert first.sent == []
    first.up()
    seen = maps(first.sent)[-1]
    assert (seen.fs_name, list(seen.mds_info), seen.up) == ("two", [1], {0: 1})
    assert second.sent == []


def test_every_step_is_a_map_of_its_own() -> None:
    """A standby that gets a rank at once is told first that it is a standby."""
    mon = FakeMon()
    new_fs(mon)
    daemon = mon.daemon(1)
    states = [m.mds_info[1].state for m in maps(daemon.sent) if 1 in m.mds_info]
    assert states == [State.STANDBY, State.CREATING]


def test_maps_say_what_old_readers_look_for() -> None:
    mon = FakeMon()
    daemon = mon.daemon(1)
    new_fs(mon)
    daemon.up()
    last = maps(daemon.sent)[-1]
    assert last.inc == {0: last.epoch}
    assert last.enabled
    assert (last.data_pools, last.metadata_pool) == ([2], 1)
    assert last.compat.incompat.names[7] == "mds uses inline data"


def test_a_stranger_gets_the_empty_map() -> None:
    mon = FakeMon()
    daemon = Daemon(mon, 9, "x")
    daemon.sent  # noqa: B018
    daemon.say(State.ACTIVE, version=5)
    (null,) = maps(daemon.sent)
    assert (null.epoch, null.mds_info, null.compat) == (1, {}, CompatSet())


def test_goodbye_is_answered_by_the_empty_map() -> None:
    mon = FakeMon()
    daemon = mon.daemon(1)
    daemon.sent  # noqa: B018
    daemon.say(State.DNE)
    got = maps(daemon.sent)
    assert all(m.mds_info == {} for m in got)
    assert got[-1].epoch == mon.mds.fsmap.epoch == 3


@pytest.mark.parametrize("caps", ["allow r", "allow profile osd"])
def test_beacons_need_caps(caps: str) -> None:
    mon = FakeMon()
    daemon = Daemon(mon, 1, "a")
    daemon.session.caps = mon.session("mds.b", 2, caps).caps
    daemon.sent  # noqa: B018
    daemon.say(State.BOOT, version=0)
    assert daemon.sent == []
    assert mon.mds.fsmap.mds_roles == {}


def test_beacons_of_another_cluster_are_ignored() -> None:
    mon = FakeMon()
    daemon = Daemon(mon, 1, "a")
    other = FakeMon()
    other.fsid = type(other.fsid)(int=8)
    other.mds.handle_beacon(
        daemon.session,
        MMDSBeacon(version=0, fsid=mon.fsid, global_id=1, state=State.BOOT, seq=1, name="a"),
    )
    assert other.mds.fsmap.mds_roles == {}


def test_load_targets() -> None:
    mon = FakeMon()
    daemon = mon.daemon(1)
    new_fs(mon)
    daemon.up()
    msg = MMDSLoadTargets(global_id=1, targets={0, 2})
    version, compat, front = encode_message(msg, FEATURES_PACIFIC)
    again = decode_message(msg.TYPE, version, compat, front, b"", b"", FEATURES_PACIFIC)
    assert again == msg
    mon.mds.handle_load_targets(daemon.session, msg)
    assert maps(daemon.sent)[-1].mds_info[1].export_targets == {0, 2}
    mon.mds.handle_load_targets(daemon.session, msg)
    assert daemon.sent == []


# -- what clients are sent ----------------------------------------------------------------------


def taken(session: Any) -> list[Message]:
    return list(session.con.take())


def test_clients_and_the_default_file_system() -> None:
    mon = FakeMon()
    client = mon.session("client.x")
    mon.subscribe(client, "mdsmap")
    assert taken(client) == []  # there is none
    new_fs(mon, "one")
    assert [m.fs_name for m in maps(taken(client))] == ["one"]
    new_fs(mon, "two", 2)
    assert taken(client) == []
    mon.ask("fs set-default", fs_name="two")
    assert [m.fs_name for m in maps(taken(client))] == ["two"]


def test_clients_choose_a_file_system_by_its_number() -> None:
    mon = FakeMon()
    new_fs(mon, "one")
    new_fs(mon, "two", 2)
    client = mon.session("client.x")
    for what in ("mdsmap.2", "mdsmap.77", "mdsmap.x", "mdsmap."):
        mon.subscribe(client, what)
    assert [m.fs_name for m in maps(taken(client))] == ["two"]
    mon.ask("fs set", fs_name="one", var="balancer", val="b")
    assert taken(client) == []
    mon.ask("fs set", fs_name="two", var="balancer", val="b")
    assert [m.balancer for m in maps(taken(client))] == ["b"]


def test_clients_that_want_a_later_map_wait() -> None:
    mon = FakeMon()
    new_fs(mon)
    epoch = mon.mds.fsmap.epoch
    client = mon.session("client.x")
    mon.subscribe(client, "mdsmap.1", epoch + 1, onetime=True)
    assert taken(client) == []
    mon.ask("fs set", fs_name="cephfs", var="balancer", val="b")
    assert len(maps(taken(client))) == 1
    assert client.subs == {}  # it was for once


def test_the_whole_fsmap_and_the_names() -> None:
    mon = FakeMon()
    new_fs(mon, "one")
    new_fs(mon, "two", 2)
    client = mon.session("client.x")
    mon.subscribe(client, "fsmap")
    mon.subscribe(client, "fsmap.user")
    whole, names = taken(client)
    assert isinstance(whole, MFSMap)
    assert isinstance(names, MFSMapUser)
    assert [fs.mds_map.fs_name for fs in whole.fsmap.filesystems] == ["one", "two"]
    assert {f.cid: f.name for f in names.fsmap.filesystems} == {1: "one", 2: "two"}
    assert names.fsmap.legacy_client_fscid == 1
    for msg in (whole, names):
        version, compat, front = encode_message(msg, FEATURES_PACIFIC)
        assert decode_message(msg.TYPE, version, compat, front, b"", b"", -1) == msg
    mon.daemon(1)
    later = taken(client)
    assert {type(msg) for msg in later} == {MFSMap, MFSMapUser}
    assert whole.fsmap.standby_daemons == {}  # what was sent is not changed later


def test_caps_confine_what_clients_see() -> None:
    mon = FakeMon()
    new_fs(mon, "one")
    new_fs(mon, "two", 2)
    client = mon.session("client.x", caps="allow r fsname=two")
    for what in ("fsmap.user", "fsmap", "mdsmap.1", "mdsmap", "mdsmap.2"):
        mon.subscribe(client, what)
    names, whole, two = taken(client)
    assert isinstance(names, MFSMapUser)
    assert isinstance(whole, MFSMap)
    assert [f.name for f in names.fsmap.filesystems] == ["two"]
    assert [fs.fscid for fs in whole.fsmap.filesystems] == [2]
    assert maps([two])[0].fs_name == "two"


def test_versions() -> None:
    mon = FakeMon()
    new_fs(mon)
    assert mon.mds.get_version("mdsmap") == (mon.mds.fsmap.epoch, 1)
    assert mon.mds.get_version("fsmap") == (mon.mds.fsmap.epoch, 1)
    assert mon.mds.get_version("osdmap") is None


# -- records ------------------------------------------------------------------------------------


def reloaded(mon: FakeMon) -> FakeMon:
    return FakeMon(mon.transactions.tables)


def test_everything_survives_a_restart() -> None:
    mon = FakeMon()
    mon.daemon(1)
    daemon = mon.daemon(2)
    new_fs(mon)
    daemon.up()
    daemon.say(State.ACTIVE, health=MDSHealth([MDSHealthMetric(1, 1, "slow")]))
    again = reloaded(mon)
    assert again.mds.fsmap == mon.mds.fsmap
    assert again.mds.state.health == mon.mds.state.health
    assert again.mds.state.metadata == mon.mds.state.metadata
    assert again.text("fs dump") == mon.text("fs dump")
    # and what daemons knew is still right
    survivor = Daemon(again, 2, "m2")
    survivor.seq = 100
    survivor.sent  # noqa: B018
    survivor.say(State.ACTIVE, health=MDSHealth([MDSHealthMetric(1, 1, "slow")]))
    assert kinds(survivor.sent) == ["MMDSBeacon"]
    mon.ask("mds fail", role_or_gid="m2")
    assert set(reloaded(mon).mds.state.metadata) == {1}


def test_old_epochs() -> None:
    mon = FakeMon()
    mon.config.set_val("mon_max_mdsmap_epochs", "10")
    new_fs(mon)
    for number in range(30):
        mon.ask("fs set", fs_name="cephfs", var="balancer", val=str(number))
    first, last = mon.mds.first_committed, mon.mds.fsmap.epoch
    assert last - first == 10
    shown = mon.json("fs dump", epoch=last - 3)["filesystems"][0]["mdsmap"]
    assert (shown["balancer"], shown["epoch"]) == ("26", last - 3)
    assert mon.ask("fs dump", epoch=first - 1).r == -2
    assert mon.ask("fs dump", epoch=last + 1).r == -2
    again = reloaded(mon)
    assert (again.mds.first_committed, again.mds.fsmap.epoch) == (first, last)
    assert again.json("fs dump", epoch=first)["epoch"] == first


def test_a_damaged_record_is_named() -> None:
    mon = FakeMon()
    table = mon.transactions.tables["mon_mds"]
    for value in (b"\xff", pack(b"short"), pack({"a": 1})):
        table["epoch/0000000001"] = value
        with pytest.raises(FatalError):
            reloaded(mon)


# -- snapshots ----------------------------------------------------------------------------------


def test_restore_brings_the_file_systems_back_and_daemons_begin_anew() -> None:
    mon = FakeMon()
    first, second = mon.daemon(1), mon.daemon(2)
    new_fs(mon)
    second.up()
    mon.ask("fs set", fs_name="cephfs", var="session_timeout", val="77")
    snapshot = mon.mds.snapshot()
    mon.ask("fs set", fs_name="cephfs", var="session_timeout", val="99")
    new_fs(mon, "later", 2)  # the standby serves it
    first.up()
    epoch = mon.mds.fsmap.epoch
    first.sent, second.sent  # noqa: B018
    mon.mds.restore(snapshot)
    fsmap = mon.mds.fsmap
    assert fsmap.epoch > epoch
    (fs,) = fsmap.filesystems
    assert (fs.mds_map.fs_name, fs.mds_map.session_timeout) == ("cephfs", 77)
    assert (fs.mds_map.failed, fs.mds_map.up) == ({0}, {})
    # both served other objects than those that are back: they are fenced, and told to go
    assert mon.osd.fenced == [1, 2]
    assert all(m.mds_info == {} for m in maps(first.sent) + maps(second.sent)[-1:])
    third = mon.daemon(3)
    assert maps(third.sent)[-1].mds_info[3].state == State.REPLAY
    third.up()
    # numbers that were given out are not given out again
    new_fs(mon, "again", 2)
    assert [f.fscid for f in mon.mds.fsmap.filesystems] == [1, 3]


def test_restore_keeps_standbys() -> None:
    mon = FakeMon()
    holder = mon.daemon(1)
    new_fs(mon)
    holder.up()
    snapshot = mon.mds.snapshot()
    mon.daemon(2)
    mon.mds.restore(snapshot)
    assert mon.text("mds stat") == "cephfs:1/1 {0=m2=up:replay}\n"
    mon.mds.restore(snapshot)
    assert mon.text("mds stat") == "cephfs:0/1, 1 failed\n"


def test_restore_to_nothing() -> None:
    mon = FakeMon()
    empty = mon.mds.snapshot()
    holder = mon.daemon(1)
    mon.daemon(2)
    new_fs(mon)
    holder.say(State.STANDBY, fs="cephfs")
    mon.mds.restore(empty)
    assert mon.mds.fsmap.filesystems == []
    assert mon.mds.fsmap.legacy_client_fscid == -1
    assert {info.join_fscid for info in mon.mds.state.edit.infos().values()} <= {-1}
    new_fs(mon)
    assert mon.mds.fsmap.filesystems[0].fscid == 2


def test_restore_survives_a_restart() -> None:
    mon = FakeMon()
    new_fs(mon)
    snapshot = mon.mds.snapshot()
    mon.ask("fs fail", fs_name="cephfs")
    mon.mds.restore(snapshot)
    assert reloaded(mon).mds.fsmap == mon.mds.fsmap
