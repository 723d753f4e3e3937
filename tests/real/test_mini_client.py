"""Stock ceph-mds under our own client: its replies and messages are our schemas, byte for byte."""

import errno
import stat
from functools import partial
from typing import Any

import pytest
import trio
from tests.real.admin import asok
from tests.real.cluster import RealCluster
from tests.real.mini_client import Answer, MiniClient, mini_client

import mdsdaemon.net.connection
from mdsdaemon.encoding import encode, wire_codec
from mdsdaemon.messages.base import Message, decode_message
from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.messages.client_misc import MClientQuota, MClientSnap
from mdsdaemon.messages.client_reply import (
    Listing,
    ListingWriter,
    OpencResponse,
    decode_snap_trace,
    encode_listing,
    encode_snap_trace,
    encode_trace,
)
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.net.policy import Policy
from mdsdaemon.types import features as f
from mdsdaemon.types.client_args import (
    FilelockArgs,
    GetattrArgs,
    LookupinoArgs,
    MkdirArgs,
    MknodArgs,
    OpenArgs,
    SetattrArgs,
    SetxattrArgs,
)
from mdsdaemon.types.client_caps import (
    CAP_FILE_EXCL,
    CAP_FILE_WR,
    STAT_CAP_INODE_ALL,
    caps_for_mode,
    ccap_string,
)
from mdsdaemon.types.client_locks import LOCK_EXCL, LOCK_FCNTL, LOCK_UNLOCK, OWNER_IS_ALL
from mdsdaemon.types.client_ops import (
    MDS_FLAG_WANT_DENTRY,
    O_CREAT,
    O_RDWR,
    SETATTR_MODE,
    SETATTR_SIZE,
    XATTR_CREATE,
    CapOp,
    MdsOp,
    SessionOp,
    SnapOp,
)
from mdsdaemon.types.client_stat import INFINITE_LEASE, inode_stat_room
from mdsdaemon.types.feature_bitset import (
    CEPHFS_FEATURES_SUPPORTED,
    METRIC_FEATURES_SUPPORTED,
    FeatureBitset,
)
from mdsdaemon.types.frag import Frag
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.name_hash import STR_HASH_LINUX, STR_HASH_RJENKINS, dentry_hash

OF_SERVERS = (*range(22, 30), *range(0x310, 0x315))
NO_STRUCTS = FeatureBitset.of(range(9))


@pytest.fixture(autouse=True)
def every_byte_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came, written again, gives the bytes that came."""

    def checked(
        kind: int, v: int, compat: int, front: bytes, middle: bytes, data: bytes, features: int
    ) -> Message:
        message = decode_message(kind, v, compat, front, middle, data, features)
        if kind in OF_SERVERS:
            codec = wire_codec(type(message))
            assert encode(codec, message, features, version=v) == front, message
            if isinstance(message, MClientCaps | MClientSession):
                written = codec.pick(features)
                if codec.by_value is not None:
                    written = codec.by_value(message, *written)
                assert written == (v, compat), message
        return message

    monkeypatch.setattr(mdsdaemon.net.connection, "decode_message", checked)


def serve(cluster: RealCluster, *args: str) -> RealCluster:
    """ceph-mds, up:active, with snapshots allowed."""
    mds = cluster.start_real_mds("a", *args)
    mds.wait_standby()
    cluster.new_fs()
    mds.wait_state("up:active", 20)
    cluster.mon("fs set", fs_name="cephfs", var="allow_new_snaps", val="true")
    return cluster


@pytest.fixture
def stock(osd_cluster: RealCluster) -> RealCluster:
    return serve(osd_cluster)


def same_bytes(client: MiniClient, answer: Answer) -> Answer:
    """What we would write for the decoded reply is what the server wrote."""
    assert client.encoding is not None
    assert encode_trace(client.encoding, answer.trace) == answer.told.trace
    assert encode_snap_trace(answer.realms) == answer.told.snapbl
    if isinstance(answer.extra, Listing):
        assert encode_listing(client.encoding, answer.extra) == answer.told.extra
    return answer


@pytest.mark.parametrize("structs", [True, False], ids=["structs", "bare fields"])
async def test_operations(stock: RealCluster, structs: bool) -> None:
    features = CEPHFS_FEATURES_SUPPORTED if structs else NO_STRUCTS
    async with mini_client(stock, features=features) as client:

        async def ask(op: int, path: str = "", **fields: Any) -> Answer:
            return same_bytes(client, await client.request(op, path, **fields))

        root = (await ask(MdsOp.GETATTR, args=GetattrArgs(STAT_CAP_INODE_ALL))).target
        assert (root.ino, root.mode & 0o170000, root.dir_pin) == (
            1,
            stat.S_IFDIR,
            -1 if structs else -errno.ENODATA,
        )
        made = await ask(MdsOp.MKDIR, "dir", args=MkdirArgs(0o750), caller_uid=7, caller_gid=8)
        d = made.target.ino
        assert made.trace.dname == "dir"
        assert made.trace.dir is not None
        assert made.trace.dir.nsubdirs == 1
        shown = (made.target.mode, made.target.uid, made.target.gid, made.target.rsubdirs)
        assert shown == (stat.S_IFDIR | 0o750, 7, 8, 1)
        opened = await ask(
            MdsOp.CREATE, "file", ino=d, args=OpenArgs(O_CREAT | O_RDWR, 0o640), gid_list=[3, 4]
        )
        if structs:
            assert isinstance(opened.extra, OpencResponse)
            assert sum(opened.extra.delegated_inos.values()) > 0
        file = opened.target.ino
        assert file in (getattr(opened.extra, "ino", 0), getattr(opened.extra, "created_ino", 0))
        assert opened.target.cap.wanted & ~caps_for_mode(3) == 0, ccap_string(
            opened.target.cap.wanted
        )
        assert opened.target.cap.caps & (CAP_FILE_WR | CAP_FILE_EXCL)
        assert opened.target.max_size > 0
        link = await ask(MdsOp.SYMLINK, "link", ino=d, path2="where/to")
        assert link.target.symlink == "where/to"
        hard = await ask(MdsOp.LINK, "hard", ino=d, ino2=file)
        assert (hard.target.ino, hard.target.nlink) == (file, 2)
        moved = await ask(MdsOp.RENAME, "moved", ino=d, path2="hard", ino2=d)
        assert moved.trace.dname == "moved"
        node = await ask(MdsOp.MKNOD, "pipe", ino=d, args=MknodArgs(stat.S_IFIFO | 0o600, 9))
        assert (node.target.mode, node.target.rdev) == (stat.S_IFIFO | 0o600, 9)
        assert (await ask(MdsOp.UNLINK, "pipe", ino=d)).trace.target is None
        await ask(MdsOp.MKDIR, "sub", ino=d, args=MkdirArgs(0o700))
        assert (await ask(MdsOp.RMDIR, "sub", ino=d)).result == 0
        assert (await ask(MdsOp.RMDIR, "sub", ino=d)).result == -errno.ENOENT
        wanted = {"args": GetattrArgs(), "flags": MDS_FLAG_WANT_DENTRY}
        gone = await ask(MdsOp.LOOKUP, "sub", ino=d, **wanted)
        assert (gone.result, gone.trace.dname, gone.trace.target) == (-errno.ENOENT, "sub", None)

        args = SetattrArgs(mode=0o604, size=1 << 33, mask=SETATTR_MODE | SETATTR_SIZE)
        changed = (await ask(MdsOp.SETATTR, ino=file, args=args)).target
        assert (changed.mode, changed.size) == (stat.S_IFREG | 0o604, 1 << 33)
        put = SetxattrArgs(XATTR_CREATE)
        await ask(MdsOp.SETXATTR, ino=file, path2="user.a", args=put, data=b"\0v\xff")
        again = await ask(MdsOp.SETXATTR, ino=file, path2="user.a", args=put, data=b"w")
        assert again.result == -errno.EEXIST
        got = await ask(MdsOp.GETATTR, ino=file, args=GetattrArgs(STAT_CAP_INODE_ALL))
        assert got.target.xattrs() == {"user.a": b"\0v\xff"}
        await ask(MdsOp.RMXATTR, ino=file, path2="user.a")
        assert (await ask(MdsOp.LOOKUPINO, ino=file, args=LookupinoArgs())).target.ino == file
        up = await ask(MdsOp.LOOKUPPARENT, ino=file, args=GetattrArgs())
        assert up.target.ino == d
        names = (await client.readdir(d)).names
        assert sorted(names) == ["file", "link", "moved"]


async def test_what_a_session_is_told(stock: RealCluster) -> None:
    async with mini_client(stock) as client:
        (opened,) = client.received(MClientSession)
        assert opened.supported_features == CEPHFS_FEATURES_SUPPORTED
        assert opened.metric_spec.metric_flags == METRIC_FEATURES_SUPPORTED
        assert (opened.header_version, opened.flags) == (5, 0)


@pytest.mark.parametrize("lacking", [0, f.MDS_QUOTA, f.MDS_INLINE_DATA, f.DIRLAYOUTHASH])
async def test_bare_fields_depend_on_the_connection(stock: RealCluster, lacking: int) -> None:
    """Old clients are written to as the feature bits of their connection say."""
    policy = Policy(features_supported=f.FEATURES_PACIFIC & ~lacking)
    async with mini_client(stock, features=NO_STRUCTS, policy=policy) as client:
        root = same_bytes(client, await client.getattr()).target
        assert (root.ino, root.dir_pin) == (1, -errno.ENODATA)
        assert (root.dir_layout.dir_hash == 0) == bool(lacking & f.DIRLAYOUTHASH)
        same_bytes(client, await client.request(MdsOp.MKDIR, "d", args=MkdirArgs(0o755)))
        assert (await client.readdir(1)).names == ["d"]


@pytest.mark.parametrize("number", [STR_HASH_LINUX, STR_HASH_RJENKINS], ids=["linux", "rjenkins"])
async def test_names_lie_where_their_hash_says(osd_cluster: RealCluster, number: int) -> None:
    """A listing's order and a directory's fragments are ceph-mds's reading of the hash."""
    stock = serve(osd_cluster, "--mds-default-dir-hash", str(number))
    names = [f"{'x' * (i % 27)}{i}" for i in range(150)] + ["größer", "\udcff\udc80", "ab" * 120]
    async with mini_client(stock) as client:
        made = await client.request(MdsOp.MKDIR, "dir", args=MkdirArgs(0o755))
        assert made.target.dir_layout.dir_hash == number
        d = made.target.ino
        tids = [client.start(MdsOp.MKDIR, n, ino=d, args=MkdirArgs(0o755)) for n in names]
        for tid in tids:
            await client.reply(tid, safe=True)

        def place(name: str) -> tuple[int, bytes]:
            return dentry_hash(number, name) & 0xFFFFFF, name.encode("utf-8", "surrogateescape")

        listing = same_bytes(client, await client.readdir(d))
        assert listing.names == sorted(names, key=place)
        # going on after a name of the middle
        middle = listing.names[70]
        assert (await client.readdir(d, after=middle)).names == listing.names[71:]
        split = partial(asok, stock.mdss[-1].asok_path, "dirfrag split", bits=3)
        await trio.to_thread.run_sync(partial(split, path="/dir", frag="0/0"))
        shown = await client.wait_until(
            lambda: client.getattr(ino=d), lambda a: len(a.target.dirfragtree.splits) == 1
        )
        assert shown.target.dirfragtree.splits == {Frag(): 3}
        for piece in range(8):
            frag = Frag.of(piece << 21, 3)
            part = same_bytes(client, await client.readdir(d, frag.enc))
            assert part.listing.dirfrag.frag == frag
            expected = [n for n in listing.names if frag.contains(place(n)[0])]
            assert part.names == expected


async def test_a_listing_is_cut_where_ours_would_be(stock: RealCluster) -> None:
    """`inode_stat_room` and `ListingWriter` reckon as ceph-mds does how much fits."""
    async with mini_client(stock) as client:
        d = (await client.request(MdsOp.MKDIR, "dir", args=MkdirArgs(0o755))).target.ino
        for i in range(24):
            name = "n" * (1 + 7 * i % 40) + str(i)
            await client.request(MdsOp.SYMLINK, name, ino=d, path2="t" * (i * i % 90))
        everything = await client.readdir(d)
        assert len(everything.names) == 24
        client.release([entry.inode.ino for entry in everything.listing.entries])
        assert client.encoding is not None
        snaps = len(everything.reply.snapbl)
        for max_bytes in range(700, 9000, 397):
            got = await client.readdir(d, max_bytes=max_bytes)
            writer = ListingWriter(client.encoding, got.listing.dirfrag)
            left = max_bytes - writer.head_bytes - snaps
            for entry in everything.listing.entries:
                raw = entry.dname.encode()
                if writer.body_bytes + len(raw) + 4 + LEASE_ROOM > left:
                    break
                writer.add(entry.dname, entry.lease, entry.inode)
                before = writer.before_inode_bytes
                if inode_stat_room(entry.inode) > left - before:
                    writer.drop_last()
                    break
            assert len(got.names) == writer.count, max_bytes


LEASE_ROOM = 48
"""Bytes that ceph-mds reckons for a lease: the size of its C++ class."""


async def test_snapshots(stock: RealCluster) -> None:
    async with mini_client(stock) as client:
        d = (await client.request(MdsOp.MKDIR, "d", args=MkdirArgs(0o755))).target.ino
        await client.request(MdsOp.MKDIR, "in", ino=d, args=MkdirArgs(0o755))
        made = await client.request(MdsOp.MKSNAP, "/s1", ino=d, args=MkdirArgs(0o755))
        snapid = made.target.snapid
        assert made.target.ino == d
        listed = same_bytes(client, await client.request(MdsOp.LSSNAP, ino=d))
        assert listed.names == ["s1"]
        assert listed.listing.entries[0].lease == INFINITE_LEASE
        assert listed.listing.entries[0].inode.snapid == snapid
        found = await client.request(MdsOp.LOOKUPSNAP, "/s1", ino=d, args=GetattrArgs(1))
        assert (found.target.ino, found.target.snapid) == (d, snapid)
        assert found.target.snap_btime > 10**18
        assert FilePath(d, "/s1/in").bits() == ["", "s1", "in"]
        inside = await client.request(MdsOp.GETATTR, "/s1/in", ino=d, args=GetattrArgs(1))
        assert inside.target.snapid == snapid
        realms = (await client.getattr(ino=d)).realms
        assert [(r.ino, r.my_snaps) for r in realms] == [(d, [snapid]), (1, [])]
        moved = await client.request(MdsOp.RENAMESNAP, "/s2", ino=d, path2="/s1", ino2=d)
        assert moved.result == 0
        assert (await client.request(MdsOp.RMSNAP, "/s2", ino=d)).result == 0
        told = client.snaps()
        assert {SnapOp(m.op) for m in told} == {SnapOp.UPDATE, SnapOp.SPLIT, SnapOp.DESTROY}
        split = next(m for m in told if m.op == SnapOp.SPLIT)
        assert split.split == d
        assert decode_snap_trace(split.trace)[0].ino == d
        assert all(isinstance(m, MClientSnap) for m in told)


async def test_vxattrs_and_quotas(stock: RealCluster) -> None:
    async with mini_client(stock) as client, mini_client(stock) as other:
        d = (await client.request(MdsOp.MKDIR, "d", args=MkdirArgs(0o755))).target.ino
        assert (await other.getattr("d")).target.cap.caps
        pin = await client.request(MdsOp.GETVXATTR, ino=d, path2="ceph.dir.pin")
        assert pin.extra.value == "-1"
        nothing = await client.request(MdsOp.GETVXATTR, ino=d, path2="ceph.nothing")
        assert (nothing.result, nothing.extra) == (-errno.ENODATA, None)
        await client.request(
            MdsOp.SETXATTR, ino=d, path2="ceph.quota.max_bytes", args=SetxattrArgs(), data=b"12345"
        )
        assert (await client.getattr(ino=d)).target.quota.max_bytes == 12345
        # others with a capability on the directory are told
        told: list[MClientQuota] = await other.wait_for(other.quotas)
        assert (told[-1].ino, told[-1].quota.max_bytes) == (d, 12345)


async def test_file_locks(stock: RealCluster) -> None:
    async with mini_client(stock) as client:
        created = await client.request(MdsOp.CREATE, "f", args=OpenArgs(O_CREAT | O_RDWR, 0o640))
        file = created.target.ino

        def lock(kind: int, owner: int) -> FilelockArgs:
            return FilelockArgs(LOCK_FCNTL, kind, owner | OWNER_IS_ALL, 77, 3, 10)

        first = await client.request(MdsOp.SETFILELOCK, ino=file, args=lock(LOCK_EXCL, 5))
        assert (first.result, first.trace.target) == (0, None)
        other = await client.request(MdsOp.SETFILELOCK, ino=file, args=lock(LOCK_EXCL, 6))
        assert other.result == -errno.EAGAIN
        asked = await client.request(MdsOp.GETFILELOCK, ino=file, args=lock(LOCK_EXCL, 6))
        held = asked.extra
        assert (held.start, held.length, held.type, held.pid) == (3, 10, LOCK_EXCL, 77)
        assert held.owner == 5 | OWNER_IS_ALL
        await client.request(MdsOp.SETFILELOCK, ino=file, args=lock(LOCK_UNLOCK, 5))
        free = await client.request(MdsOp.GETFILELOCK, ino=file, args=lock(LOCK_EXCL, 6))
        assert free.extra.type == LOCK_UNLOCK


async def test_capabilities_between_two_clients(stock: RealCluster) -> None:
    """A grant, a revocation and its answer, a flush and its acknowledgement."""
    async with mini_client(stock) as one, mini_client(stock) as two:
        opened = await one.request(MdsOp.CREATE, "f", args=OpenArgs(O_CREAT | O_RDWR, 0o640))
        file, cap = opened.target.ino, opened.target.cap
        assert cap.caps & CAP_FILE_WR
        flush = MClientCaps(
            CapOp.UPDATE,
            ino=file,
            realm=cap.realm,
            cap_id=cap.cap_id,
            seq=cap.seq,
            caps=cap.caps,
            wanted=cap.wanted,
            dirty=CAP_FILE_WR,
            migrate_seq=cap.mseq,
            size=4711,
            truncate_size=opened.target.truncate_size,
            truncate_seq=opened.target.truncate_seq,
            mtime=opened.target.mtime + 10**9,
            atime=opened.target.atime,
            ctime=opened.target.ctime + 10**9,
            layout=opened.target.layout,
            mode=opened.target.mode,
            nlink=1,
            inline_version=opened.target.inline_version,
            oldest_flush_tid=1,
            tid=1,
        )
        one.send(flush)
        one.send(MClientSession(SessionOp.REQUEST_FLUSH_MDLOG))

        def acked() -> MClientCaps | None:
            acks = [m for m in one.received(MClientCaps) if m.op == CapOp.FLUSH_ACK]
            return acks[0] if acks else None

        ack = await one.wait_for(acked)
        assert (ack.ino, ack.dirty, ack.tid) == (file, CAP_FILE_WR, 1)
        seen = await two.getattr("f")
        assert seen.target.size == 4711
        revoked = [m for m in one.received(MClientCaps) if m.op == CapOp.REVOKE and m.ino == file]
        assert revoked
        assert revoked[0].caps & cap.caps != cap.caps
        assert revoked[-1].size == 4711
        one.release([file])
