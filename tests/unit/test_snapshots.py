"""Snapshots of a tree: what they see stays, whatever becomes of the tree."""

from __future__ import annotations

import errno

from tests.unit.server_kit import Client, in_trio
from tests.unit.snap_kit import SnapKit
from tests.unit.tree_kit import Tree

from mdsdaemon.encoding import encode
from mdsdaemon.maps.mds_map import FLAG_ALLOW_SNAPS
from mdsdaemon.messages.client_misc import MClientSnap
from mdsdaemon.messages.client_reply import decode_snap_trace
from mdsdaemon.rank.server.snapops import SnapPayload
from mdsdaemon.types.client_args import MkdirArgs
from mdsdaemon.types.client_ops import SETATTR_MODE, MdsOp
from mdsdaemon.types.osd import NOSNAP


def grown(kit: SnapKit) -> Client:
    """/d with a file, a directory with a file, a link and a hard link; snapshot s1 of /d."""
    one = kit.one
    one.mkdir("/d")
    one.mkdir("/d/sub")
    one.mknod("/d/file", 0o100600)
    one.mknod("/d/sub/deep", 0o100640)
    one.symlink("there", "/d/link")
    one.link("/d/file", "/d/hard")
    assert kit.mksnap("/d", "s1").result == 0
    return one


@in_trio
def test_a_snapshot_is_made_listed_and_seen_from_below() -> None:
    kit = SnapKit()
    grown(kit)
    assert kit.lssnap("/d") == ["s1"]
    ino = kit.find("/d").ino
    assert kit.lssnap("/d/sub") == [f"_s1_{ino}"]
    assert kit.lssnap("/") == []
    assert kit.listing("/d", "s1") == ["file", "hard", "link", "sub"]
    assert kit.listing("/d/sub", f"_s1_{ino}") == ["deep"]
    assert kit.stat("/d", "none") == errno.ENOENT
    assert kit.events()[-4:] == ["ETableServer", "mksnap", "ETableServer", "ETableClient"]


@in_trio
def test_what_it_sees_stays() -> None:
    kit = SnapKit()
    one = grown(kit)
    before = {rest: kit.stat("/d", "s1", rest) for rest in ("", "file", "sub", "sub/deep", "link")}
    one.setattr("/d/file", SETATTR_MODE, mode=0o777)
    one.setattr("/d/sub", SETATTR_MODE, mode=0o700)
    one.setattr("/d/sub/deep", SETATTR_MODE, mode=0o444)
    one.setxattr("/d/sub/deep", "user.a", b"b")
    one.unlink("/d/link")
    one.rename("/d/sub/deep", "/d/deeper")
    one.mknod("/d/sub/new")
    one.mknod("/d/link")
    for rest, seen in before.items():
        now = kit.stat("/d", "s1", rest)
        assert (now.ino, now.mode, now.ctime, now.symlink) == (
            seen.ino,
            seen.mode,
            seen.ctime,
            seen.symlink,
        ), rest
        assert now.xattrbl == seen.xattrbl, rest
    assert kit.listing("/d", "s1") == ["file", "hard", "link", "sub"]
    assert kit.listing("/d", "s1", "sub") == ["deep"]
    assert kit.stat("/d", "s1", "sub/new") == errno.ENOENT
    assert kit.stat("/d", "s1", "deeper") == errno.ENOENT
    assert one.names("/d") == ["deeper", "file", "hard", "link", "sub"]


@in_trio
def test_a_removed_directory_is_still_there() -> None:
    kit = SnapKit()
    one = grown(kit)
    one.unlink("/d/sub/deep")
    assert one.rmdir("/d/sub").result == 0
    assert kit.listing("/d", "s1", "sub") == ["deep"]
    assert kit.stat("/d", "s1", "sub/deep").mode == 0o100640
    assert one.mkdir("/d/sub").result == 0
    assert kit.listing("/d", "s1", "sub") == ["deep"]
    assert one.names("/d/sub") == []


@in_trio
def test_several_snapshots_see_several_versions() -> None:
    kit = SnapKit()
    one = kit.one
    one.mkdir("/d")
    one.mknod("/d/f", 0o100600)
    for number, mode in enumerate((0o601, 0o602, 0o603)):
        assert kit.mksnap("/d", f"s{number}").result == 0
        one.setattr("/d/f", SETATTR_MODE, mode=mode)
    one.unlink("/d/f")
    assert [kit.stat("/d", f"s{n}", "f").mode & 0o777 for n in range(3)] == [0o600, 0o601, 0o602]
    assert kit.rmsnap("/d", "s1").result == 0
    assert kit.lssnap("/d") == ["s0", "s2"]
    assert kit.stat("/d", "s2", "f").mode & 0o777 == 0o602
    assert kit.stat("/d", "s1", "f") == errno.ENOENT


@in_trio
def test_a_moved_directory_takes_its_snapshots_along() -> None:
    kit = SnapKit()
    one = grown(kit)
    one.mkdir("/other")
    ino = kit.find("/d").ino
    assert one.rename("/d/sub", "/other/sub").result == 0
    assert kit.lssnap("/other/sub") == [f"_s1_{ino}"]
    assert kit.listing("/other/sub", f"_s1_{ino}") == ["deep"]
    assert kit.listing("/d", "s1", "sub") == ["deep"]
    assert kit.rmsnap("/d", "s1").result == 0
    assert kit.lssnap("/other/sub") == []


@in_trio
def test_a_hard_link_is_seen_by_snapshots_of_each_of_its_names() -> None:
    kit = SnapKit()
    one = kit.one
    one.mkdir("/a")
    one.mkdir("/b")
    one.mknod("/a/f", 0o100600)
    one.link("/a/f", "/b/g")
    assert kit.mksnap("/b", "s").result == 0
    one.setattr("/a/f", SETATTR_MODE, mode=0o777)
    assert kit.stat("/b", "s", "g").mode & 0o777 == 0o600
    one.unlink("/a/f")
    one.unlink("/b/g")
    assert kit.stat("/b", "s", "g").mode & 0o777 == 0o600


@in_trio
def test_snapshots_are_refused_where_ceph_mds_refuses_them() -> None:
    kit = SnapKit(mds_max_snaps_per_dir="2")
    one = grown(kit)
    assert kit.mksnap("/d", "s1").errno == errno.EEXIST
    assert kit.mksnap("/d", "_s").errno == errno.EINVAL
    assert kit.mksnap("/d/file", "s").errno == errno.ENOTDIR
    assert kit.rmsnap("/d", "s2").errno == errno.ENOENT
    assert kit.rmsnap("/d", "_s1_1").errno == errno.EINVAL
    assert one.rmdir("/d").errno == errno.ENOTEMPTY
    assert kit.mksnap("/d", "s2").result == 0
    assert kit.mksnap("/d", "s3").errno == errno.EMLINK
    rename = MdsOp.RENAMESNAP
    assert one.ask(rename, kit.path("/d", "s2"), kit.path("/d", "s1")).errno == errno.EEXIST
    assert one.ask(rename, kit.path("/d", "x"), kit.path("/d/sub", "s1")).errno == errno.EINVAL
    assert one.ask(rename, kit.path("/d", "x"), kit.path("/d", "y")).errno == errno.ENOENT
    assert one.ask(rename, kit.path("/d", "new"), kit.path("/d", "s1")).result == 0
    assert kit.lssnap("/d") == ["new", "s2"]
    reader = kit.client("allow rw")
    reader.uid = 0
    where = kit.path("/d/sub", "s")
    assert reader.ask(MdsOp.MKSNAP, where, args=MkdirArgs(0o755)).errno == errno.EACCES
    kit.rank.mdsmap.flags &= ~FLAG_ALLOW_SNAPS
    assert kit.mksnap("/d/sub", "s").errno == errno.EPERM


@in_trio
def test_nothing_in_a_snapshot_can_be_changed() -> None:
    kit = SnapKit()
    one = grown(kit)
    inside = kit.inside("/d", "s1", "file")
    assert one.setattr(inside, SETATTR_MODE, mode=0o777).errno == errno.EROFS
    assert one.unlink(inside).errno == errno.EROFS
    assert one.mkdir(kit.inside("/d", "s1", "new")).errno == errno.EROFS
    assert one.setxattr(inside, "user.a", b"b").errno == errno.EROFS
    assert one.open(inside, 0o2).errno == errno.EROFS
    assert one.open(inside).result == 0


@in_trio
def test_what_is_noted_with_a_snapshot_is_told() -> None:
    kit = SnapKit()
    kit.one.mkdir("/d")
    payload = encode(SnapPayload, SnapPayload({"why": "because"}))
    assert kit.mksnap("/d", "s", data=payload).result == 0
    seen = kit.stat("/d", "s")
    assert seen.snap_metadata == {"why": "because"}
    assert seen.snap_btime > 0
    assert kit.find("/d").inode.rstat.rsnaps == 1


@in_trio
def test_clients_below_learn_of_it_before_it_is_answered() -> None:
    kit = SnapKit()
    one = grown(kit)
    other = kit.client()
    other.open("/d/sub/deep", 0o2)
    before = len(other.con.sent)
    assert kit.mksnap("/d", "s2").result == 0
    told = [m for m in other.con.sent[before:] if isinstance(m, MClientSnap)]
    realms = {realm.ino: realm for msg in told for realm in decode_snap_trace(msg.trace)}
    assert realms[kit.find("/d").ino].my_snaps == [3, 2]
    assert realms[3].my_snaps == [3, 2]
    one.mkdir("/e")
    assert kit.mksnap("/e", "s").result == 0
    trace = decode_snap_trace(kit.rank.snaps.realm_trace(kit.find("/d/sub")))
    assert [realm.ino for realm in trace] == [kit.find("/d").ino, 1]


@in_trio
def test_sums_hold_beside_snapshots() -> None:
    kit = SnapKit()
    one = grown(kit)
    one.unlink("/d/file")
    one.mknod("/d/more")
    one.mkdir("/d/sub/x")
    stat = kit.find("/d").inode
    assert (stat.dirstat.nfiles, stat.dirstat.nsubdirs) == (3, 1)
    assert (kit.find("/d/sub").inode.dirstat.nsubdirs, stat.rstat.rsnaps) == (1, 1)


def loaded_copies(kit: SnapKit) -> list[int]:
    """Of which snapshots another rank, which reads what this one has stored, finds /d/file."""
    Tree(kit.kit).commit()
    others: list[SnapKit] = []

    @in_trio
    def begin() -> None:
        others.append(SnapKit(objects=kit.kit.objecter, root=False))

    begin()
    (other,) = others
    other.rank.snaps.table.state = kit.rank.snaps.table.state
    other.rank.snaps.table.on_change()
    other.kit.trio(other.rank.store.load_base)
    (directory,) = other.kit.run(lambda: other.rank.store.all_dirs(other.find("/d")))
    other.kit.run(lambda: other.rank.store.need_complete(directory))
    return sorted(dn.last for dn in directory.all_items() if dn.name == "file")


def test_what_only_a_removed_snapshot_saw_is_not_loaded() -> None:
    kits: list[SnapKit] = []

    @in_trio
    def begin() -> None:
        kit = SnapKit()
        kit.one.mkdir("/d")
        kit.one.mknod("/d/file")
        for name in "s1", "s2":
            assert kit.mksnap("/d", name).result == 0
            kit.one.setattr("/d/file", SETATTR_MODE, mode=0o640)
        kits.append(kit)

    begin()
    (kit,) = kits
    assert loaded_copies(kit) == [2, 3, NOSNAP]

    @in_trio
    def remove() -> None:
        assert kit.rmsnap("/d", "s1").result == 0

    remove()
    assert loaded_copies(kit) == [3, NOSNAP]
