"""What stock libcephfs says is decoded to the last byte, and what our schemas say it understands.

A rank of the tests (`fake_rank`) serves a tree of its own in a real cluster; libcephfs mounts it.
"""

import errno
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
from tests.real.cephfs_calls import CallError, CephFSPeer
from tests.real.cluster import RealCluster
from tests.real.fake_fs import ROOT, FileSystem
from tests.real.fake_rank import FakeRank

import mdsdaemon.net.connection
from mdsdaemon.config import load_config
from mdsdaemon.daemon.embed import MDS, open_mds
from mdsdaemon.encoding import decode, encode, wire_codec
from mdsdaemon.messages.base import Message, decode_message
from mdsdaemon.messages.client_caps import MClientCapRelease, MClientCaps, MClientLease
from mdsdaemon.messages.client_misc import MClientMetrics, MClientReconnect
from mdsdaemon.messages.client_request import MClientRequest, SnapPayload
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.types.client_args import OpenArgs, SetattrArgs
from mdsdaemon.types.client_caps import CAP_FILE_BUFFER, CAP_FILE_WR, CAP_PIN, STAT_CAP_INODE_ALL
from mdsdaemon.types.client_locks import LOCK_EXCL, LOCK_FLOCK, LOCK_UNLOCK, ReconnectLocks
from mdsdaemon.types.client_ops import (
    O_CREAT,
    O_RDWR,
    READDIR_REPLY_BITFLAGS,
    SETATTR_ATIME,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    CapOp,
    LeaseOp,
    MdsOp,
    SessionOp,
)
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.name_hash import STR_HASH_RJENKINS, dentry_hash
from mdsdaemon.types.release import REEF_FEATURES

QUICK_MDS = ["--mds-tick-interval", "0.2"]
OF_CLIENTS = (*range(22, 30), *range(0x310, 0x315))


def whole(message: Message, raw: bytes, features: int) -> None:
    """The message says all that its bytes say: written again it gives the same."""
    if isinstance(message, MClientMetrics):
        features |= REEF_FEATURES  # 16.2.15 writes the later form to everyone
    again = encode(wire_codec(type(message)), message, features, version=message.header_version)
    assert again == raw, message


@pytest.fixture(autouse=True)
def every_byte_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def checked(
        kind: int, v: int, compat: int, front: bytes, middle: bytes, data: bytes, features: int
    ) -> Message:
        message = decode_message(kind, v, compat, front, middle, data, features)
        if kind in OF_CLIENTS and not isinstance(message, MClientReconnect):
            whole(message, front, features)
        return message

    monkeypatch.setattr(mdsdaemon.net.connection, "decode_message", checked)


@asynccontextmanager
async def serving(cluster: RealCluster, fs: FileSystem) -> AsyncIterator[MDS]:
    """mds.a in this process, up:active, with `fs` for its file system."""
    config = load_config(["-i", "a", "-c", str(cluster.conf), *QUICK_MDS], {})
    async with (
        trio.open_nursery() as nursery,
        open_mds(config, rank_factory=partial(FakeRank, fs)) as mds,
    ):
        await nursery.start(mds.run)
        with trio.fail_after(20):
            await mds.wait_for_state("up:standby")
            await trio.to_thread.run_sync(cluster.new_fs)
            await mds.wait_for_state("up:active")
        yield mds
        await mds.stop()


@asynccontextmanager
async def mounted(cluster: RealCluster, **options: str) -> AsyncIterator[CephFSPeer]:
    with CephFSPeer(cluster.conf, client_mount_timeout="20", **options) as peer:
        with trio.fail_after(30):
            await peer.acall("mount")
        yield peer


def only(messages: list[Any]) -> Any:
    """The last of them, taken out of the list of what was seen."""
    assert messages
    return messages[-1]


async def test_mount_and_stat_show_what_was_sent(osd_cluster: RealCluster) -> None:
    fs = FileSystem()
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        st = await peer.acall("stat", "/")
        assert (st["st_ino"], st["st_mode"]) == (1, stat.S_IFDIR | 0o755)
        assert int(st["st_mtime"]) == ROOT.mtime // 10**9
        assert int(st["st_ctime"]) == ROOT.ctime // 10**9
        await peer.acall("unmount")
    opened = fs.received(MClientSession)[0]
    assert opened.op == SessionOp.REQUEST_OPEN
    assert opened.metadata["entity_id"] == "admin"
    assert opened.metadata["root"] == "/"
    assert opened.metadata["ceph_version"].startswith("ceph version ")
    can = set(opened.supported_features.bits())
    assert can >= set(CEPHFS_FEATURES_SUPPORTED.bits())
    if "version 16.2." in opened.metadata["ceph_version"]:
        # what libcephfs can do is what ceph-mds of the same release can do
        assert can == set(CEPHFS_FEATURES_SUPPORTED.bits())
    assert [m.op for m in fs.received(MClientSession)][-1] == SessionOp.REQUEST_CLOSE
    root = only(fs.requests(MdsOp.GETATTR))
    assert root.path == FilePath(1, "")
    assert root.args.mask == STAT_CAP_INODE_ALL


async def test_requests_say_what_was_called(osd_cluster: RealCluster) -> None:
    fs = FileSystem()
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        await peer.acall("mkdir", "/d", 0o750)
        made = only(fs.requests(MdsOp.MKDIR))
        assert (made.path, made.args.mode & 0o7777) == (FilePath(1, "d"), 0o750)
        assert (made.caller_uid, made.caller_gid) == (0, 0)
        # what the client had to give up for it comes along
        assert [(r.ino, r.caps & 0x100) for r in made.releases] == [(1, 0)]
        d = fs.root.children["d"].stat.ino
        assert (await peer.acall("stat", "/d"))["st_ino"] == d

        fd = await peer.acall("open", "/d/f", os.O_CREAT | os.O_RDWR, 0o640)
        created = only(fs.requests(MdsOp.CREATE))
        assert created.path == FilePath(d, "f")
        assert created.args == OpenArgs(O_CREAT | O_RDWR, stat.S_IFREG | 0o640, pool=-1)
        f = fs.root.children["d"].children["f"].stat.ino
        await peer.acall("flock", fd, 2, 123)
        lock = only(fs.requests(MdsOp.SETFILELOCK))
        assert (lock.args.rule, lock.args.type, lock.args.wait) == (LOCK_FLOCK, LOCK_EXCL, 1)
        assert lock.args.owner & 0xFFFFFFFF == 123
        await peer.acall("flock", fd, 8, 123)
        assert only(fs.requests(MdsOp.SETFILELOCK)).args.type == LOCK_UNLOCK
        await peer.acall("close", fd)

        await peer.acall("symlink", "where/to", "/d/l")
        link = only(fs.requests(MdsOp.SYMLINK))
        assert (link.path, link.path2.path) == (FilePath(d, "l"), "where/to")
        assert await peer.acall("readlink", "/d/l", 100) == "where/to"
        await peer.acall("link", "/d/f", "/d/g")
        hard = only(fs.requests(MdsOp.LINK))
        assert (hard.path, hard.path2) == (FilePath(d, "g"), FilePath(f, ""))
        await peer.acall("rename", "/d/g", "/d/h")
        moved = only(fs.requests(MdsOp.RENAME))
        assert (moved.path, moved.path2) == (FilePath(d, "h"), FilePath(d, "g"))
        await peer.acall("unlink", "/d/h")
        assert only(fs.requests(MdsOp.UNLINK)).path == FilePath(d, "h")
        await peer.acall("mknod", "/d/p", stat.S_IFIFO | 0o600, 5)
        node = only(fs.requests(MdsOp.MKNOD))
        assert (node.args.mode, node.args.rdev) == (stat.S_IFIFO | 0o600, 5)
        await peer.acall("mkdir", "/d/e", 0o755)
        await peer.acall("rmdir", "/d/e")
        assert only(fs.requests(MdsOp.RMDIR)).path == FilePath(d, "e")
    sent = fs.received(MClientRequest)
    assert [m.tid for m in sent] == list(range(1, len(sent) + 1))
    assert all(m.stamp > 10**18 and m.oldest_client_tid <= m.tid for m in sent)
    # the head that is asked for by feature "32bits_retry_fwd"
    assert {m.head_version for m in sent} == {2}
    assert {m.header_version for m in sent} in ({5}, {6})


async def test_attributes_and_xattrs_both_ways(osd_cluster: RealCluster) -> None:
    fs = FileSystem()
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        fd = await peer.acall("open", "/f", os.O_CREAT | os.O_RDWR, 0o640)
        await peer.acall("close", fd)
        await peer.acall("chmod", "/f", 0o604)
        assert only(fs.requests(MdsOp.SETATTR)).args == SetattrArgs(mode=0o604, mask=SETATTR_MODE)
        await peer.acall("chown", "/f", 7, 8)
        both = SETATTR_UID | SETATTR_GID
        assert only(fs.requests(MdsOp.SETATTR)).args == SetattrArgs(uid=7, gid=8, mask=both)
        await peer.acall("truncate", "/f", 5 << 32)
        args = only(fs.requests(MdsOp.SETATTR)).args
        assert args == SetattrArgs(size=5 << 32, mask=SETATTR_SIZE)
        await peer.acall("utimes", "/f", [1000.5, 2000.25])
        args = only(fs.requests(MdsOp.SETATTR)).args
        assert (args.atime, args.mtime) == (1000_500_000_000, 2000_250_000_000)
        assert args.mask == SETATTR_MTIME | SETATTR_ATIME
        st = await peer.acall("stat", "/f")
        shown = [st[f"st_{name}"] for name in ("mode", "uid", "gid", "size", "atime", "mtime")]
        assert shown == [stat.S_IFREG | 0o604, 7, 8, 5 << 32, 1000, 2000]

        await peer.acall("setxattr", "/f", "user.a", b"\0value\xff", 0)
        put = only(fs.requests(MdsOp.SETXATTR))
        assert (put.path2.path, put.data, put.args.flags) == ("user.a", b"\0value\xff", 0)
        assert await peer.acall("getxattr", "/f", "user.a") == "\0value\xff"
        await peer.acall("removexattr", "/f", "user.a")
        assert only(fs.requests(MdsOp.RMXATTR)).path2.path == "user.a"
        with pytest.raises(CallError) as e:
            await peer.acall("getxattr", "/f", "user.a")
        assert e.value.errno == errno.ENODATA
        with pytest.raises(CallError):
            await peer.acall("getxattr", "/f", "ceph.not.known.here")
        assert only(fs.requests(MdsOp.GETVXATTR)).path2.path == "ceph.not.known.here"


@pytest.mark.parametrize("limit", [7, 1000], ids=["pieces", "whole"])
async def test_listings(osd_cluster: RealCluster, limit: int) -> None:
    """Names in any bytes; the client takes up a listing where it ended."""
    fs = FileSystem()
    fs.listing_limit = limit
    names = [f"name {i} ".encode() + b"\xff\n"[: i % 3] for i in range(40)]
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        for name in names:
            await peer.acall("mkdir", b"/" + name, 0o755)
        # a second client has not seen them being made
        async with mounted(osd_cluster) as other:
            listed = await other.acall("listing", "/")
    assert sorted(entry[0].encode("latin-1") for entry in listed) == sorted([b".", b"..", *names])
    requests = fs.requests(MdsOp.READDIR)
    assert len(requests) == -(-len(names) // limit)
    assert [bool(r.path2.path) for r in requests] == [False] + [True] * (len(requests) - 1)
    assert all(r.args.flags == READDIR_REPLY_BITFLAGS for r in requests)
    # the place that the client gives to a name has its hash, as the client reckons it
    for name, _, _, offset in listed[2:]:
        text = name.encode("latin-1").decode("utf-8", "surrogateescape")
        assert offset >> 28 & 0xFFFFFF == dentry_hash(STR_HASH_RJENKINS, text) & 0xFFFFFF


async def test_dirty_data_is_flushed_with_its_caps(osd_cluster: RealCluster) -> None:
    fs = FileSystem()
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        fd = await peer.acall("open", "/f", os.O_CREAT | os.O_RDWR, 0o640)
        f = fs.root.children["f"].stat
        pool = osd_cluster.fs_dump()["filesystems"][0]["mdsmap"]["data_pools"][0]
        assert f.layout.pool_id == pool
        await peer.acall("write", fd, b"x" * 1000, 24)
        await peer.acall("fsync", fd, 0)
        flush = only([m for m in fs.received(MClientCaps) if m.dirty])
        await peer.acall("close", fd)
        st = await peer.acall("stat", "/f")
        assert (st["st_size"], st["st_ino"]) == (1024, f.ino)
    assert (flush.op, flush.ino, flush.size) == (CapOp.UPDATE, f.ino, 1024)
    assert flush.dirty & CAP_FILE_WR or flush.dirty & CAP_FILE_BUFFER
    assert flush.tid > 0
    assert flush.mtime > 10**18
    assert flush.nfiles == -1


async def test_snapshot_requests(osd_cluster: RealCluster) -> None:
    fs = FileSystem()
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        await peer.acall("mkdir", "/d", 0o755)
        for call in (
            ("mksnap", "/d", "s1", 0o700, {"why": "test"}),
            ("listing", "/d/.snap"),
            ("stat", "/d/.snap/s0"),
        ):
            with suppress(CallError):  # the fake rank has no snapshots
                await peer.acall(*call)
    d = fs.root.children["d"].stat.ino
    made = only(fs.requests(MdsOp.MKSNAP))
    # the name without letters is that of the folder of snapshots
    assert made.path.bits() == ["", "s1"]
    assert decode(SnapPayload, made.data).metadata == {"why": "test"}
    assert only(fs.requests(MdsOp.LSSNAP)).path == FilePath(d, "")
    assert only(fs.requests(MdsOp.LOOKUPSNAP)).path.bits() == ["", "s0"]


async def test_metrics(osd_cluster: RealCluster) -> None:
    fs = FileSystem()
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        await peer.acall("stat", "/")
        got = await fs.wait_for(lambda: fs.received(MClientMetrics))
    kinds = {type(update.payload).__name__ for update in got[0].updates}
    assert {"CapInfoMetric", "ReadLatencyMetric", "MetadataLatencyMetric"} <= kinds
    assert "UnknownMetric" not in kinds


@pytest.mark.parametrize("last", [8, 9, 11, 15, 18], ids=lambda bit: f"up to feature {bit}")
async def test_a_server_of_fewer_features(osd_cluster: RealCluster, last: int) -> None:
    """The client writes to a server of an older release as that reads it."""
    fs = FileSystem()
    fs.features = FeatureBitset.of(range(last + 1))
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        await peer.acall("mkdir", "/d", 0o750)
        st = await peer.acall("stat", "/d")
        assert st["st_mode"] == stat.S_IFDIR | 0o750
        fd = await peer.acall("open", "/d/f", os.O_CREAT | os.O_RDWR, 0o640)
        await peer.acall("close", fd)
    heads = {m.head_version for m in fs.received(MClientRequest)}
    assert heads == ({2} if last >= 18 else {1})


@pytest.mark.parametrize("last", [11, 18], ids=["old form", "new form"])
async def test_reconnect(osd_cluster: RealCluster, last: int) -> None:
    """After a failover the client claims what it holds: capabilities, locks, realms."""
    fs = FileSystem()
    fs.features = FeatureBitset.of(range(last + 1))
    async with serving(osd_cluster, fs) as mds, mounted(osd_cluster) as peer:
        await peer.acall("mkdir", "/d", 0o755)
        fd = await peer.acall("open", "/d/f", os.O_CREAT | os.O_RDWR, 0o640)
        await peer.acall("flock", fd, 2, 77)
        d, f = (node.stat.ino for node in (fs.root.children["d"], fs.inodes[max(fs.inodes)]))
        await trio.to_thread.run_sync(partial(osd_cluster.mon, "mds fail", role_or_gid="a"))
        claim = (await fs.wait_for(lambda: fs.received(MClientReconnect)))[0]
        with trio.fail_after(20):
            await mds.wait_for_life(2)
            await mds.wait_for_state("up:active")
            assert (await peer.acall("stat", "/d/f"))["st_ino"] == f
            await peer.acall("mkdir", "/after", 0o755)
    assert claim.header_version == (5 if last >= 12 else 3)
    assert set(claim.caps) == {1, d, f}
    cap = claim.caps[f]
    assert cap.body.cap_id == f
    assert cap.body.snaprealm == 1
    assert cap.body.issued & STAT_CAP_INODE_ALL
    locks = decode(ReconnectLocks, cap.body.flocks)
    assert [(lock.type, lock.owner & 0xFFFF) for lock in locks.flock] == [(LOCK_EXCL, 77)]
    assert locks.fcntl == []
    # in the old form libcephfs leaves them out, though it has a place for them
    assert [(r.ino, r.seq) for r in claim.realms] == ([(1, 1)] if last >= 12 else [])
    assert not claim.more


async def test_what_is_asked_back_comes_back(osd_cluster: RealCluster) -> None:
    """A capability revoked, a lease revoked, capabilities given back for want of room."""
    fs = FileSystem()
    async with serving(osd_cluster, fs), mounted(osd_cluster) as peer:
        con = fs.received(MClientSession)[0].connection
        for i in range(20):
            await peer.acall("mkdir", f"/d{i}", 0o755)
        d = fs.root.children["d3"].stat.ino
        cap = fs.cap_id
        await peer.acall("stat", "/d3")
        con.send_message(
            MClientCaps(
                CapOp.REVOKE,
                ino=d,
                realm=1,
                cap_id=d,
                seq=cap + 1,
                caps=CAP_PIN,
                mode=stat.S_IFDIR | 0o711,
                nlink=1,
                inline_version=0,
            )
        )
        answer = only(
            await fs.wait_for(lambda: [m for m in fs.received(MClientCaps) if m.ino == d])
        )
        assert (answer.op, answer.caps, answer.seq) == (CapOp.UPDATE, CAP_PIN, cap + 1)
        assert (await peer.acall("stat", "/d3"))["st_ino"] == d

        con.send_message(MClientLease(LeaseOp.REVOKE, mask=1, ino=1, seq=1, dname="d3"))
        lease = only(await fs.wait_for(lambda: fs.received(MClientLease)))
        assert (lease.action, lease.ino, lease.dname) == (LeaseOp.RELEASE, 1, "d3")

        con.send_message(MClientSession(SessionOp.RECALL_STATE, max_caps=5))
        released = await fs.wait_for(lambda: fs.received(MClientCapRelease))
        items = [item for m in released for item in m.caps]
        assert {item.ino for item in items} <= set(fs.inodes)
        assert all(item.cap_id == item.ino for item in items)
        assert len(items) >= 10
