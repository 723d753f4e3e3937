"""The beacon's state on explicit time."""

import uuid

import pytest

from mdsdaemon.daemon.beacon_state import MAX_UNACKED, BeaconState
from mdsdaemon.daemon.heartbeat import HeartbeatMap
from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.maps.compat_set import CompatSet, get_compat_set_all
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.types.features import FEATURES_ADVERTISED
from mdsdaemon.types.health import MDSHealthMetric

FSID = uuid.UUID("17843ff7-cab6-4512-8f9f-ba0ccc564ce6")


def a_beacon(interval: float = 4.0, grace: float = 15.0) -> BeaconState:
    return BeaconState("a", interval=interval, grace=lambda: grace)


def send(beacon: BeaconState, now: float) -> MMDSBeacon:
    return beacon.make_beacon(
        now, fsid=FSID, gid=4107, fs="cephfs", sys_info=lambda: {"hostname": "h"}
    )


def test_first_beacon_boots_with_sys_info() -> None:
    beacon = a_beacon()
    assert beacon.wait_before_send(100.0) == 0.0
    msg = send(beacon, 100.0)
    assert (msg.seq, msg.state, msg.version, msg.fs) == (1, State.BOOT, 0, "cephfs")
    assert msg.sys_info == {"hostname": "h"}
    assert msg.compat == get_compat_set_all()
    assert msg.mds_features == FEATURES_ADVERTISED


def test_later_beacons_have_no_sys_info_and_the_maps_epoch() -> None:
    beacon = a_beacon()
    assert beacon.set_want_state(7, State.STANDBY)
    assert not beacon.set_want_state(8, State.STANDBY)
    msg = send(beacon, 1.0)
    assert (msg.state, msg.version, msg.sys_info) == (State.STANDBY, 8, {})


def test_epochs_do_not_fall() -> None:
    beacon = a_beacon()
    beacon.notify_mdsmap(8)
    beacon.notify_mdsmap(8)
    with pytest.raises(ValueError, match="epoch 7 after 8"):
        beacon.notify_mdsmap(7)


def test_state_null_is_never_asked_for() -> None:
    beacon = a_beacon()
    beacon.set_want_state(1, State.NULL)
    with pytest.raises(ValueError, match="null"):
        send(beacon, 1.0)


def test_due_after_nine_tenths_of_the_interval() -> None:
    beacon = a_beacon(interval=4.0)
    send(beacon, 10.0)
    assert beacon.wait_before_send(11.0) == 3.0
    assert beacon.wait_before_send(13.5) == 0.5
    assert beacon.wait_before_send(13.7) == 0.0


def test_ack_counts_from_the_sending_of_that_beacon() -> None:
    beacon = a_beacon()
    for now in (10.0, 14.0, 18.0):
        send(beacon, now)
    ack = beacon.handle_ack(2, 19.0)
    assert ack is not None
    assert (ack.rtt, ack.no_longer_laggy) == (5.0, False)
    assert beacon.last_acked_stamp == 14.0
    assert list(beacon.seq_stamp) == [3]
    assert beacon.is_waiting_for(3)
    assert beacon.handle_ack(2, 19.5) is None, "answered before"
    assert beacon.handle_ack(9, 19.5) is None, "never sent"
    assert beacon.handle_ack(3, 20.0) is not None
    assert not beacon.is_waiting_for(3)


def test_laggy_after_the_grace_and_no_more_after_a_quick_ack() -> None:
    beacon = a_beacon(grace=15.0)
    assert beacon.is_laggy(0.0), "nobody has answered yet"
    send(beacon, 1.0)
    beacon.handle_ack(1, 1.1)
    beacon.laggy = False
    assert not beacon.is_laggy(16.0)
    assert beacon.is_laggy(16.1)
    send(beacon, 20.0)
    slow = beacon.handle_ack(2, 36.0)
    assert slow is not None
    assert not slow.no_longer_laggy
    assert beacon.laggy
    send(beacon, 40.0)
    quick = beacon.handle_ack(3, 41.0)
    assert quick is not None
    assert quick.no_longer_laggy
    assert (beacon.laggy, beacon.last_laggy) == (False, 41.0)


def test_grace_is_read_anew() -> None:
    grace = 15.0
    beacon = BeaconState("a", interval=4.0, grace=lambda: grace)
    send(beacon, 0.0)
    beacon.handle_ack(1, 0.0)
    assert not beacon.is_laggy(10.0)
    grace = 5.0
    assert beacon.is_laggy(10.0)


def test_unanswered_beacons_are_forgotten_after_a_while() -> None:
    beacon = a_beacon()
    for now in range(MAX_UNACKED + 100):
        send(beacon, float(now))
    assert len(beacon.seq_stamp) == MAX_UNACKED
    assert beacon.handle_ack(100, 1e6) is None
    assert beacon.handle_ack(101, 1e6) is not None


def test_health_rides_on_every_beacon() -> None:
    beacon = a_beacon()
    metric = MDSHealthMetric(type=9, sev=1, message="MDS in read-only mode")
    beacon.notify_health([metric])
    assert send(beacon, 1.0).health.metrics == [metric]
    beacon.notify_health([])
    assert send(beacon, 2.0).health.metrics == []


@pytest.mark.parametrize("state", [State.BOOT, State.STANDBY, State.DNE])
def test_wire_form(state: int) -> None:
    beacon = a_beacon()
    beacon.set_want_state(5, state)
    msg = send(beacon, 1.0)
    version, compat, front = encode_message(msg, FEATURES_ADVERTISED)
    assert (version, compat) == (8, 6)
    # paxos head, fsid, gid, state as u32, seq, name
    assert front[:18] == b"\5" + bytes(7) + b"\xff\xff" + bytes(8)
    assert front[18:34] == FSID.bytes
    assert front[34:42] == (4107).to_bytes(8, "little")
    assert front[42:46] == (state & 0xFFFFFFFF).to_bytes(4, "little")
    again = decode_message(100, version, compat, front, b"", b"", FEATURES_ADVERTISED)
    assert again == msg
    for cut in range(len(front) - 1):
        with pytest.raises(DecodeError):
            decode_message(100, version, compat, front[:cut], b"", b"", FEATURES_ADVERTISED)


def test_compat_set_has_bit_zero_clear_on_the_wire() -> None:
    from mdsdaemon.encoding import encode

    raw = encode(CompatSet, get_compat_set_all())
    assert decode(CompatSet, raw) == get_compat_set_all()
    incompat_mask = int.from_bytes(raw[24:32], "little")
    assert incompat_mask == 0x7FE


def test_heartbeat() -> None:
    beats = HeartbeatMap()
    assert beats.is_healthy(0.0), "nobody is expected to beat"
    one, two = beats.add_worker("one"), beats.add_worker("two")
    beats.reset_timeout(one, 10.0, 15.0)
    assert beats.is_healthy(25.0)
    assert not beats.is_healthy(25.1)
    assert [w.name for w in beats.unhealthy(25.1)] == ["one"]
    beats.clear_timeout(one)
    assert beats.is_healthy(1e9)
    beats.reset_timeout(two, 10.0, 1.0)
    beats.remove_worker(two)
    assert beats.is_healthy(1e9)
    assert beats.counts() == (1, 0)
    beats.inject_failure(50.0)
    assert not beats.is_healthy(49.0)
    assert beats.is_healthy(50.0)
