"""Pools in use: quotas, snapshots, and who may change them."""

import errno
from typing import Any

import pytest
from tests.unit.embedded_osdmap_kit import FSID, Kit

from mdsdaemon.embedded.monitor.osd_usage import PoolUsage
from mdsdaemon.encoding import U64, decode
from mdsdaemon.messages.pool import (
    POOL_OP_AUID_CHANGE,
    POOL_OP_CREATE,
    POOL_OP_CREATE_SNAP,
    POOL_OP_CREATE_UNMANAGED_SNAP,
    POOL_OP_DELETE,
    POOL_OP_DELETE_SNAP,
    POOL_OP_DELETE_UNMANAGED_SNAP,
    MPoolOp,
    MRemoveSnaps,
)
from mdsdaemon.types.entity import EntityName
from mdsdaemon.types.interval_set import contains


@pytest.fixture(scope="module")
def _kit() -> Kit:
    kit = Kit(mon_max_pg_per_osd="250")
    kit.pool("p", pg_num=8)
    return kit


@pytest.fixture
def kit(_kit: Kit) -> Kit:
    return _kit


# -- quotas -----------------------------------------------------------------------------------


def test_quotas() -> None:
    kit = Kit()
    kit.pool("p")
    for what, val, r, text in (
        ("max_bytes", "10M", 0, "set-quota max_bytes = 10485760 for pool p"),
        (
            "max_objects",
            "1k",
            -22,
            "error parsing value '1k': strict_si_cast: unit prefix not recognized",
        ),
        (
            "max_bytes",
            "-5",
            -22,
            "error parsing value '-5': strict_iecstrtoll: value should not be negative",
        ),
        (
            "max_bytes",
            "1.5G",
            -22,
            "error parsing value '1.5G': strict_iecstrtoll: illegal prefix (length > 2)",
        ),
        ("max_objects", "2M", 0, "set-quota max_objects = 2000000 for pool p"),
    ):
        result = kit.run("osd pool set-quota", pool="p", field=what, val=val)
        assert (result.r, result.outs) == (r, text)
    assert kit.text("osd pool get-quota", pool="p") == (
        "quotas for pool 'p':\n  max objects: 2M objects  (current num objects: 0 objects)\n"
        "  max bytes  : 10 MiB  (current num bytes: 0 bytes)\n"
    )


def test_a_quota_that_is_reached_stops_the_pool_until_there_is_room() -> None:
    kit = Kit()
    number = kit.pool("p")
    kit.ok("osd pool application enable", pool="p", app="rbd")
    kit.ok("osd pool set-quota", pool="p", field="max_bytes", val="1K")
    kit.store.pools[number] = PoolUsage(objects=1, bytes=1023)
    kit.tick()
    assert kit.osd.map.pools[number].flags == 1
    kit.store.pools[number] = PoolUsage(objects=1, bytes=1024)
    kit.tick()
    assert kit.json("osd pool ls", detail="detail")[0]["flags_names"] == (
        "hashpspool,full,full_quota"
    )
    assert kit.health()["POOL_FULL"] == (
        "HEALTH_WARN",
        "1 pool(s) full",
        ("pool 'p' is full (running out of quota)",),
    )
    kit.ok("osd pool set-quota", pool="p", field="max_bytes", val="0")
    assert kit.osd.map.pools[number].flags == 1
    kit.ok("osd pool set-quota", pool="p", field="max_objects", val="1")
    assert kit.osd.map.pools[number].flags & 2


# -- snapshots --------------------------------------------------------------------------------


def pool_op(kit: Kit, op: int, pool: int = 0, name: str = "", snapid: int = 0, **more: Any) -> Any:
    """The reply to an MPoolOp of `session` (the administrator's unless given)."""
    session = more.pop("session", None) or kit.session()
    msg = MPoolOp(fsid=more.pop("fsid", FSID), pool=pool, op=op, name=name, snapid=snapid)
    msg.tid = 77
    with kit.mon.transactions.transaction():
        kit.osd.handle_pool_op(session, msg)
    (reply,) = session.take()
    assert reply.tid == 77
    assert reply.epoch == kit.osd.map.epoch
    return reply


def test_snapshots_of_the_pool() -> None:
    kit = Kit()
    number = kit.pool("p")
    assert kit.ok("osd pool mksnap", pool="p", snap="s1") == "created pool p snap s1"
    assert kit.ok("osd pool mksnap", pool="p", snap="s1") == "pool p snap s1 already exists"
    assert pool_op(kit, POOL_OP_CREATE_SNAP, number, "s2").reply_code == 0
    pool = kit.osd.map.pools[number]
    assert {snap.name: key for key, snap in pool.snaps.items()} == {"s1": 1, "s2": 2}
    assert (pool.snap_seq, pool.snap_epoch) == (2, kit.osd.map.epoch)
    assert kit.ok("osd pool rmsnap", pool="p", snap="s1") == "removed pool p snap s1"
    assert kit.ok("osd pool rmsnap", pool="p", snap="s1") == "pool p snap s1 does not exist"
    assert kit.osd.map.osd.removed_snaps_queue == {number: {1: 1}}
    assert pool_op(kit, POOL_OP_DELETE_SNAP, number, "s2").reply_code == 0
    assert kit.osd.map.osd.removed_snaps_queue == {number: {1: 2}}
    # the store has trimmed them
    kit.osd.snaps_purged({number: {1: 1}, 99: {1: 1}})
    assert kit.osd.map.osd.removed_snaps_queue == {number: {2: 1}}
    assert kit.osd.map.client.new_purged_snaps == {number: {1: 1}}
    kit.osd.snaps_purged({number: {1: 5}})
    assert kit.osd.map.osd.removed_snaps_queue == {}
    assert kit.osd.purged == {number: {1: 2}}
    # one kind of snapshots or the other
    reply = pool_op(kit, POOL_OP_CREATE_UNMANAGED_SNAP, number)
    assert reply.reply_code == -errno.EINVAL


def test_snapshots_that_clients_manage() -> None:
    kit = Kit()
    number = kit.pool("p")
    ids = []
    for _ in range(3):
        reply = pool_op(kit, POOL_OP_CREATE_UNMANAGED_SNAP, number)
        ids.append(decode(U64, reply.response_data))
    assert ids == [2, 3, 4]
    assert kit.osd.map.pools[number].snap_seq == 4
    assert pool_op(kit, POOL_OP_DELETE_UNMANAGED_SNAP, number, snapid=3).reply_code == 0
    assert kit.osd.map.osd.removed_snaps_queue == {number: {3: 1}}
    assert kit.osd.map.pools[number].snap_seq == 5
    assert contains(kit.osd.purged[number], 5)
    epoch = kit.osd.map.epoch
    assert pool_op(kit, POOL_OP_DELETE_UNMANAGED_SNAP, number, snapid=3).reply_code == 0
    assert kit.osd.map.epoch == epoch
    reply = pool_op(kit, POOL_OP_DELETE_UNMANAGED_SNAP, number, snapid=99)
    assert reply.reply_code == -errno.ENOENT
    assert pool_op(kit, POOL_OP_CREATE_SNAP, number, "x").reply_code == -errno.EINVAL
    result = kit.run("osd pool mksnap", pool="p", snap="x")
    assert (result.r, result.outs) == (-22, "pool p is in unmanaged snaps mode")
    fresh = kit.pool("q")
    reply = pool_op(kit, POOL_OP_DELETE_UNMANAGED_SNAP, fresh, snapid=1)
    assert reply.reply_code == -errno.EOPNOTSUPP
    # purged numbers go with their pool, and survive a start
    again = Kit(storage=kit.storage, clock=kit.clock)
    assert again.osd.purged == kit.osd.purged
    kit.ok("osd pool rm", pool="p", pool2="p", yes_i_really_really_mean_it=True)
    assert kit.osd.purged == {}


def test_pools_by_message() -> None:
    kit = Kit()
    assert pool_op(kit, POOL_OP_CREATE, name="p").reply_code == 0
    assert pool_op(kit, POOL_OP_CREATE, name="p").reply_code == 0
    assert kit.osd.map.client.pool_name == {1: "p"}
    assert pool_op(kit, POOL_OP_CREATE, name="").reply_code == -errno.EINVAL
    assert pool_op(kit, POOL_OP_CREATE_SNAP, 99, "x").reply_code == -errno.ENOENT
    assert pool_op(kit, POOL_OP_AUID_CHANGE, 1).reply_code == -errno.EOPNOTSUPP
    assert pool_op(kit, 0x99, 1).reply_code == -errno.EOPNOTSUPP
    other = pool_op(kit, POOL_OP_CREATE, name="z", fsid=type(FSID)(int=99))
    assert other.reply_code == -errno.EINVAL
    assert pool_op(kit, POOL_OP_DELETE, 1, "delete").reply_code == 0
    assert pool_op(kit, POOL_OP_DELETE, 1, "delete").reply_code == 0
    assert kit.osd.map.pools == {}


def test_caps_of_pool_operations() -> None:
    kit = Kit()
    number = kit.pool("p")
    reader = kit.session("client.reader", "allow r")
    for op in (POOL_OP_CREATE, POOL_OP_DELETE, POOL_OP_CREATE_SNAP):
        assert pool_op(kit, op, number, "s", session=reader).reply_code == -errno.EPERM
    unmanaged = POOL_OP_CREATE_UNMANAGED_SNAP
    assert pool_op(kit, unmanaged, number, session=reader).reply_code == -errno.EPERM
    for osd_caps, r in (
        ("allow rw pool=p", 0),
        ("allow rw pool=q", -errno.EPERM),
        ("allow r", -errno.EPERM),
        ("profile rbd pool=p", 0),
        ("allow *", 0),
        ("nonsense", -errno.EPERM),
    ):
        name = EntityName.parse("client.reader")
        kit.mon.auth.keys.entities.pop(name, None)
        kit.mon.auth.get_or_create(name, {"mon": "allow r", "osd": osd_caps})
        assert pool_op(kit, unmanaged, number, session=reader).reply_code == r, osd_caps


def test_the_metadata_server_removes_snapshots() -> None:
    kit = Kit()
    number = kit.pool("p")
    session = kit.session("mds.a", "allow profile mds")
    msg = MRemoveSnaps(snaps={number: [2, 3], 99: [1]})
    kit.osd.handle_remove_snaps(session, msg)
    (reply,) = session.take()
    assert reply.snaps == msg.snaps
    assert kit.osd.map.osd.removed_snaps_queue == {number: {2: 2}}
    pool = kit.osd.map.pools[number]
    assert (pool.snap_seq, pool.flags) == (3, 1 | 1 << 13)
    epoch = kit.osd.map.epoch
    kit.osd.handle_remove_snaps(session, msg)
    assert len(session.take()) == 1
    assert kit.osd.map.epoch == epoch
    stranger = kit.session("client.r", "allow r")
    kit.osd.handle_remove_snaps(stranger, MRemoveSnaps(snaps={number: [9]}))
    assert stranger.take() == []
    assert kit.osd.map.epoch == epoch
