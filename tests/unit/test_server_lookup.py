"""lookup, getattr, readdir and finding inodes by number."""

from __future__ import annotations

import errno

import pytest
from tests.unit.server_kit import Client, ServerKit, in_trio

from mdsdaemon.messages.client_reply import decode_listing
from mdsdaemon.types.client_args import GetattrArgs, LookupinoArgs, ReaddirArgs
from mdsdaemon.types.client_caps import CAP_PIN, STAT_CAP_INODE_ALL
from mdsdaemon.types.client_ops import (
    LEASE_PRIMARY_LINK,
    LEASE_VALID,
    MDS_FLAG_WANT_DENTRY,
    READDIR_FRAG_COMPLETE,
    READDIR_FRAG_END,
    READDIR_HASH_ORDER,
    READDIR_OFFSET_HASH,
    MdsOp,
)
from mdsdaemon.types.client_stat import STRUCT_REPLIES
from mdsdaemon.types.frag import Frag
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.name_hash import STR_HASH_RJENKINS, dentry_hash


def tree(kit: ServerKit) -> Client:
    client = kit.client()
    client.mkdir("/d")
    client.mkdir("/d/e")
    client.create("/d/e/f", 0o100)
    client.link("/d/e/f", "/l")
    return client


@in_trio
def test_lookup_tells_of_directory_name_and_inode() -> None:
    kit = ServerKit()
    client = tree(kit)
    reply = client.lookup("/d/e/f")
    trace = reply.trace
    assert trace.dir is not None
    assert trace.dir.ino == kit.find("/d/e").ino
    assert trace.dname == "f"
    assert trace.lease is not None
    assert trace.dirfrag is not None
    assert trace.lease.mask in (0, LEASE_VALID | LEASE_PRIMARY_LINK)
    assert trace.dirfrag.auth == -1
    assert trace.target is not None
    assert trace.target.cap.caps & CAP_PIN
    assert reply.first.snapbl, "the realm"
    assert client.lookup("/l").ino == reply.ino
    top = client.lookup("/d").trace.dirfrag
    assert top is not None
    assert top.auth == 0, "where the subtree begins it is told whose it is"


@in_trio
def test_getattr_tells_of_the_inode_alone() -> None:
    kit = ServerKit()
    client = tree(kit)
    reply = client.getattr(1)
    assert reply.ino == 1
    assert reply.trace.dir is None
    assert client.getattr("/d/e/f").ino == kit.find("/d/e/f").ino


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (FilePath(1, ""), errno.EINVAL),
        (FilePath(1, "no"), errno.ENOENT),
        (FilePath(1, "no/no"), errno.ENOENT),
        (FilePath(1, "d/e/f/x"), errno.ENOTDIR),
        (FilePath(1, ".."), errno.ENOENT),
        (FilePath(1, "d/../d"), errno.ENOENT),
        (FilePath(1, "d//x"), errno.EINVAL),
        (FilePath(1, "/nosnap"), errno.ENOENT),
        (FilePath(1, "n" * 300), errno.ENAMETOOLONG),
        (FilePath(0, "d"), errno.ESTALE),
        (FilePath(0x10000000FFF, "d"), errno.ESTALE),
    ],
)
@in_trio
def test_what_is_not_found(path: FilePath, code: int) -> None:
    kit = ServerKit()
    client = tree(kit)
    assert client.lookup(path).errno == code


@in_trio
def test_a_missing_name_is_told_to_those_that_want_to_know() -> None:
    kit = ServerKit()
    client = tree(kit)
    plain = client.lookup("/d/no")
    assert plain.errno == errno.ENOENT
    assert plain.trace.dir is None
    told = client.lookup("/d/no", flags=MDS_FLAG_WANT_DENTRY)
    assert told.errno == errno.ENOENT
    assert told.trace.target is None
    assert told.trace.dname == "no"
    assert told.trace.dir is not None
    deeper = client.lookup("/no/no", flags=MDS_FLAG_WANT_DENTRY)
    assert deeper.errno == errno.ENOENT
    assert deeper.trace.dir is None


@in_trio
def test_inodes_by_number() -> None:
    kit = ServerKit()
    client = tree(kit)
    inode = kit.find("/d/e/f")
    assert client.lookup_ino(inode.ino).ino == inode.ino
    assert client.lookup_ino(1).ino == 1
    for ino in (0x100, 0x600, 0x200, 0x10000FFFFFF, 0, 1 << 63):
        assert client.lookup_ino(ino).errno == errno.ESTALE
    where = FilePath(inode.ino, "")
    parent = client.ask(MdsOp.LOOKUPPARENT, where, args=GetattrArgs(0))
    assert parent.ino == kit.find("/d/e").ino
    assert client.ask(MdsOp.LOOKUPPARENT, 1, args=GetattrArgs(0)).errno == errno.EINVAL
    named = client.ask(MdsOp.LOOKUPNAME, where, args=GetattrArgs(STAT_CAP_INODE_ALL))
    assert named.trace.dname == "f"
    assert named.ino == inode.ino
    below = FilePath(kit.find("/d").ino, "")
    assert client.ask(MdsOp.LOOKUPNAME, where, below, GetattrArgs(0)).errno == errno.ENOENT
    assert client.ask(MdsOp.LOOKUPHASH, where, args=GetattrArgs(0)).ino == inode.ino
    client.unlink("/l")
    client.unlink("/d/e/f")
    assert client.ask(MdsOp.LOOKUPPARENT, where, args=GetattrArgs(0)).errno == errno.ESTALE
    snap = LookupinoArgs(0, 1)
    assert client.ask(MdsOp.LOOKUPINO, where, args=snap).errno == errno.ESTALE


# -- readdir ---------------------------------------------------------------------------------


@in_trio
def test_readdir_lists_everything_with_inodes() -> None:
    kit = ServerKit()
    client = tree(kit)
    client.symlink("x", "/s")
    listing = client.readdir("/")
    assert sorted(e.dname for e in listing.entries) == ["d", "l", "s"]
    by_name = {e.dname: e for e in listing.entries}
    assert by_name["l"].inode.ino == kit.find("/d/e/f").ino
    assert not by_name["l"].lease.mask & LEASE_PRIMARY_LINK
    assert by_name["d"].lease.mask in (0, LEASE_VALID | LEASE_PRIMARY_LINK)
    assert by_name["d"].inode.cap.caps & CAP_PIN, "capabilities come with it"
    flags = listing.flags
    assert flags & READDIR_FRAG_END
    assert flags & READDIR_FRAG_COMPLETE
    assert flags & READDIR_HASH_ORDER
    assert flags & READDIR_OFFSET_HASH
    assert client.readdir("/", flags=0).flags == READDIR_FRAG_END | READDIR_FRAG_COMPLETE
    assert client.readdir("/d/e").entries[0].dname == "f"


@in_trio
def test_readdir_errors() -> None:
    kit = ServerKit()
    client = tree(kit)
    assert client.ask(MdsOp.READDIR, "/l", args=ReaddirArgs()).errno == errno.ENOTDIR
    assert client.ask(MdsOp.READDIR, "/no", args=ReaddirArgs()).errno == errno.ENOENT
    assert client.ask(MdsOp.READDIR, 0x1000000ABCD, args=ReaddirArgs()).errno == errno.ESTALE


@in_trio
def test_portions_in_the_order_of_hashes() -> None:
    kit = ServerKit()
    client = kit.client()
    names = [f"file{n}" for n in range(50)]
    for name in names:
        client.create(f"/{name}", 0o100)
    for name in names[:5]:
        client.unlink(f"/{name}")
    expected = sorted((dentry_hash(STR_HASH_RJENKINS, name) & 0xFFFFFF, name) for name in names[5:])
    found: list[str] = []
    offset = ""
    for _ in range(20):
        part = client.readdir("/", offset, max_entries=7)
        assert len(part.entries) <= 7
        found += [e.dname for e in part.entries]
        if part.flags & READDIR_FRAG_END:
            break
        offset = found[-1]
    assert found == [name for _, name in expected]
    at = expected[20][0]
    by_hash = client.readdir("/", offset_hash=at)
    assert [e.dname for e in by_hash.entries] == [name for value, name in expected if value >= at]
    assert not by_hash.flags & READDIR_FRAG_COMPLETE


@in_trio
def test_portions_by_bytes() -> None:
    kit = ServerKit()
    client = kit.client()
    for n in range(20):
        client.mkdir(f"/dir{n}")
    one = client.readdir("/", max_bytes=1)
    assert len(one.entries) == 1, "at least one, or it would never end"
    few = client.readdir("/", max_bytes=4000)
    assert 3 <= len(few.entries) <= 11
    tid = client.send(MdsOp.READDIR, 1, args=ReaddirArgs(max_bytes=4000))
    kit.settle()
    assert len(client.replies(tid)[-1].extra) <= 4000


@in_trio
def test_names_that_come_and_go_while_listing() -> None:
    kit = ServerKit()
    client = kit.client()
    for n in range(30):
        client.create(f"/f{n}", 0o100)
    first = client.readdir("/", max_entries=10)
    offset = first.entries[-1].dname
    client.unlink(f"/{offset}")
    client.create("/new", 0o100)
    rest = client.readdir("/", offset)
    seen = [e.dname for e in first.entries] + [e.dname for e in rest.entries]
    assert len(seen) == len(set(seen))
    assert {f"f{n}" for n in range(30)} <= set(seen)


@in_trio
def test_a_fragment_that_is_gone() -> None:
    kit = ServerKit()
    client = kit.client()
    client.create("/f", 0o100)
    half = Frag.of(0x800000, 1)
    tid = client.send(MdsOp.READDIR, 1, args=ReaddirArgs(half.enc, flags=1))
    kit.settle()
    listing = decode_listing(STRUCT_REPLIES, client.replies(tid)[-1].extra)
    assert listing.dirfrag.frag == Frag(0)
    assert len(listing.entries) == 1


@in_trio
def test_snapshots_are_none() -> None:
    kit = ServerKit()
    client = tree(kit)
    reply = client.ask(MdsOp.LSSNAP, 1, args=ReaddirArgs())
    listing = decode_listing(STRUCT_REPLIES, reply.first.extra)
    assert listing.entries == []
    assert listing.flags == READDIR_FRAG_END | READDIR_FRAG_COMPLETE
    assert client.ask(MdsOp.RMSNAP, FilePath(1, "s")).errno == errno.ENOENT
    assert client.ask(0x0999, 1).errno == errno.EOPNOTSUPP
