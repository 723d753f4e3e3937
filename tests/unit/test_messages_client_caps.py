"""Capabilities, leases, claims after a failover, snapshots, quotas: what hangs together."""

import struct
from typing import Any

import pytest

from mdsdaemon.encoding import DecodeError, decode, encode, wire_codec
from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.messages.client_caps import (
    CapItem,
    CapPeer,
    MClientCapRelease,
    MClientCaps,
    MClientLease,
)
from mdsdaemon.messages.client_misc import (
    CapReconnectV1,
    CapReconnectV2,
    MClientMetrics,
    MClientQuota,
    MClientReclaim,
    MClientReclaimReply,
    MClientReconnect,
    MClientSnap,
    OldSnapRealmReconnect,
    SnapRealmReconnect,
    old_reconnect_version,
)
from mdsdaemon.types import features as f
from mdsdaemon.types.caps import CapReconnect, CapReconnectBody
from mdsdaemon.types.client_locks import (
    LOCK_EXCL,
    LOCK_SHARED,
    OWNER_IS_ALL,
    FileLock,
    LockState,
    ReconnectLocks,
)
from mdsdaemon.types.client_metrics import CapInfoMetric, ClientMetric, OpenedFilesMetric
from mdsdaemon.types.client_ops import CapOp, LeaseOp, SnapOp
from mdsdaemon.types.client_stat import encode_xattrs
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.stats import QuotaInfo

T = 1_700_000_000_123_456_789
HEAD_SIZE = 92
BODY_SIZE = 84


def round_trip(msg: Any, features: int = f.FEATURES_PACIFIC) -> Any:
    version, compat, front = encode_message(msg, features)
    return decode_message(msg.TYPE, version, compat, front, msg.middle, msg.data, features)


def caps(op: CapOp, **fields: Any) -> MClientCaps:
    return MClientCaps(
        op,
        ino=1 << 40,
        realm=1,
        cap_id=5,
        seq=6,
        issue_seq=4,
        caps=0x155,
        wanted=0x3FFF,
        dirty=1,
        migrate_seq=2,
        snap_follows=3,
        tid=9,
        **fields,
    )


FILE = {
    "size": 1,
    "max_size": 2,
    "truncate_size": 3,
    "truncate_seq": 4,
    "mtime": T,
    "atime": T + 1,
    "ctime": T + 2,
    "layout": FileLayout(1 << 16, 1, 1 << 20, 3),
    "time_warp_seq": 5,
}


def test_caps_message() -> None:
    middle = encode_xattrs({"user.a": b"v"})
    msg = caps(
        CapOp.GRANT,
        **FILE,
        middle=middle,
        snapbl=b"realms",
        xattr_version=7,
        btime=T,
        change_attr=8,
        nfiles=9,
        nsubdirs=10,
        pool_ns="ns",
        osd_epoch_barrier=11,
        inline_version=0,
    )
    version, compat, front = encode_message(msg, f.FEATURES_PACIFIC)
    assert (version, compat) == (11, 1)
    assert front[HEAD_SIZE + BODY_SIZE :].startswith(b"realms")
    again = round_trip(msg)
    assert again == msg
    assert (again.snap_trace_len, again.xattr_len) == (6, len(middle))
    assert again.dirstat_is_valid
    assert str(msg).startswith("client_caps(grant ino 0x10000000000 5 seq 6 tid 9 caps=pAsLsXsFs ")


def test_what_the_head_says_of_the_xattrs_is_checked() -> None:
    """Ceph takes it on trust, and ends when it is wrong."""
    version, compat, front = encode_message(caps(CapOp.GRANT, middle=b"xyz"), f.FEATURES_PACIFIC)
    for middle in (b"", b"xy", b"wxyz"):
        with pytest.raises(DecodeError, match="3 bytes of xattrs"):
            decode_message(0x310, version, compat, front, middle, b"", f.FEATURES_PACIFIC)


def test_capabilities_handed_on() -> None:
    peer = CapPeer(1, 2, 3, 4, 1)
    export = caps(CapOp.EXPORT, export_peer=peer)
    again = round_trip(export)
    assert again.peer == peer
    assert again == export
    front = encode_message(export, f.FEATURES_PACIFIC)[2]
    assert front[HEAD_SIZE : HEAD_SIZE + 21] == struct.pack("<QIIIB", 1, 2, 3, 4, 1)
    assert len(front) == len(encode_message(caps(CapOp.GRANT), f.FEATURES_PACIFIC)[2])
    taken = caps(CapOp.IMPORT, import_peer=peer, **FILE)
    assert round_trip(taken).peer == peer
    assert len(encode_message(taken, f.FEATURES_PACIFIC)[2]) == len(front) + 21


@pytest.mark.parametrize("version", range(1, 13))
def test_caps_of_every_version(version: int) -> None:
    """Older messages end sooner, and what they have not has its default."""
    fresh = MClientCaps(CapOp.UPDATE)
    msg = caps(CapOp.UPDATE, **FILE, pool_ns="ns", caller_uid=3, flags=1, nfiles=4, change_attr=5)
    front = encode(wire_codec(MClientCaps), msg, f.FEATURES_PACIFIC, version=version)
    again = decode_message(0x310, version, 1, front, b"", b"", f.FEATURES_PACIFIC)
    assert isinstance(again, MClientCaps)
    assert (again.size, again.ctime, again.layout.pool_id) == (1, T + 2, 3)
    for name, since in (
        ("caller_uid", 7),
        ("pool_ns", 8),
        ("change_attr", 9),
        ("flags", 10),
        ("nfiles", 11),
    ):
        expected = getattr(msg if version >= since else fresh, name)
        assert getattr(again, name) == expected
    for size in range(0, len(front), 3):
        with pytest.raises(DecodeError):
            decode_message(0x310, version, 1, front[:size], b"", b"", f.FEATURES_PACIFIC)


def test_releases_and_leases() -> None:
    release = MClientCapRelease([CapItem(1, 2, 3, 4)], 9)
    front = encode_message(release, f.FEATURES_PACIFIC)[2]
    assert front == struct.pack("<IQQIII", 1, 1, 2, 3, 4, 9)
    assert round_trip(release) == release
    old = decode_message(0x313, 1, 1, front[:-4], b"", b"", f.FEATURES_PACIFIC)
    assert isinstance(old, MClientCapRelease)
    assert old.osd_epoch_barrier == 0
    lease = MClientLease(LeaseOp.REVOKE, mask=1, ino=1, seq=2, duration_ms=3, dname="a\udcff")
    assert round_trip(lease) == lease
    assert str(lease).startswith("client_lease(a=revoke seq 2 mask 1 0x1/a")


# -- claims after a failover ---------------------------------------------------------------------

LOCKS = ReconnectLocks([FileLock(0, 10, 3, 4 | OWNER_IS_ALL, 5, LOCK_EXCL)], [FileLock(type=1)])
BODY = CapReconnectBody(1, 2, 3, 4, 5, encode(ReconnectLocks, LOCKS))


def test_claims() -> None:
    msg = MClientReconnect(
        caps={9: CapReconnect("a/b", BODY, 7)}, realms=[SnapRealmReconnect(1, 2, 3)], more=True
    )
    version, compat, front = encode_message(msg, f.FEATURES_PACIFIC)
    assert (version, compat, front) == (5, 4, b"")
    again = decode_message(23, version, compat, b"", b"", msg.data, f.FEATURES_PACIFIC)
    assert again == msg
    assert decode(ReconnectLocks, again.caps[9].body.flocks) == LOCKS
    four = decode_message(23, 4, 4, b"", b"", msg.data[:-1], f.FEATURES_PACIFIC)
    assert isinstance(four, MClientReconnect)
    assert (four.caps, four.realms, four.more) == (msg.caps, msg.realms, False)
    with pytest.raises(DecodeError):
        decode_message(23, 5, 4, b"", b"", msg.data[:-1], f.FEATURES_PACIFIC)
    with pytest.raises(DecodeError):
        decode_message(23, 5, 4, msg.data, b"", b"", f.FEATURES_PACIFIC)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_claims_of_old_clients(version: int) -> None:
    realms = [OldSnapRealmReconnect(1, 2, 3), OldSnapRealmReconnect(4, 5, 6)]
    msg = MClientReconnect(
        caps_v1={9: CapReconnectV1("a", 1, 2, 3, 0, 0, 0, 4, 5)},
        caps_v2={9: CapReconnectV2("a", BODY)},
        caps={9: CapReconnect("a", BODY, 7)},
        old_realms=realms,
    )
    data = encode(wire_codec(MClientReconnect), msg, 0, version=version)
    again = decode_message(23, version, 0, b"", b"", data, 0)
    assert isinstance(again, MClientReconnect)
    assert again.realms == [SnapRealmReconnect(1, 2, 3), SnapRealmReconnect(4, 5, 6)]
    (cap,) = again.caps.values()
    assert (cap.path, cap.body.cap_id, cap.body.pathbase) == ("a", 1, 5)
    assert cap.snap_follows == (7 if version == 3 else 0)
    assert bool(cap.body.flocks) == (version > 1)
    assert not again.caps_v1
    assert not again.caps_v2
    for size in range(len(data)):
        if (len(data) - size) % 24:
            with pytest.raises(DecodeError):
                decode_message(23, version, 0, b"", b"", data[:size], 0)


def test_which_old_form() -> None:
    assert old_reconnect_version(f.FEATURES_PACIFIC) == 3
    assert old_reconnect_version(f.FEATURES_PACIFIC & ~f.MDSENC) == 2
    assert old_reconnect_version(0) == 1


# -- the rest ------------------------------------------------------------------------------------


def test_snapshots_come_and_go() -> None:
    msg = MClientSnap(
        op=SnapOp.SPLIT, split=9, split_inos=[1, 2, 3], split_realms=[4], trace=b"realms"
    )
    front = encode_message(msg, f.FEATURES_PACIFIC)[2]
    assert front == struct.pack("<IQIIIQQQQ", 3, 9, 3, 1, 6, 1, 2, 3, 4) + b"realms"
    again = round_trip(msg)
    assert again == msg
    assert str(again) == "client_snap(split split=0x9 tracelen=6)"
    for at in (12, 16, 20):
        bad = front[:at] + b"\xff\xff\xff\x7f" + front[at + 4 :]
        with pytest.raises(DecodeError):
            decode_message(0x312, 1, 1, bad, b"", b"", f.FEATURES_PACIFIC)


def test_quotas_metrics_and_reclaims() -> None:
    quota = MClientQuota(ino=1, rctime=T, rbytes=2, rfiles=3, rsubdirs=4, quota=QuotaInfo(5, 6))
    assert round_trip(quota) == quota
    metrics = MClientMetrics(
        [ClientMetric(CapInfoMetric(1, 2, 3)), ClientMetric(OpenedFilesMetric(4))]
    )
    assert round_trip(metrics) == metrics
    assert round_trip(MClientReclaim("who", 1)) == MClientReclaim("who", 1)
    assert round_trip(MClientReclaimReply(-2, 7)) == MClientReclaimReply(-2, 7)


def test_file_locks() -> None:
    lock = FileLock(1, 2, 3, 4 | OWNER_IS_ALL, 5, LOCK_SHARED)
    assert encode(FileLock, lock) == struct.pack("<QQQQQB", 1, 2, 3, 4 | OWNER_IS_ALL, 5, 1)
    assert lock.same_owner(FileLock(9, 9, 3, 4 | OWNER_IS_ALL, 77))
    assert not lock.same_owner(FileLock(1, 2, 8, 4 | OWNER_IS_ALL, 5))
    old = FileLock(client=3, owner=4, pid=5)
    assert old.same_owner(FileLock(client=3, owner=4, pid=5))
    assert not old.same_owner(FileLock(client=3, owner=4, pid=6))
    state = LockState([(1, lock)], {3: 1})
    assert decode(LockState, encode(LockState, state)) == state
