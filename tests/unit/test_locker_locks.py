"""Locks taken by requests, leases on names, and claims after a failover."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from tests.unit.locker_steps import cap_of, got, update
from tests.unit.server_kit import Client, ServerKit, in_trio

from mdsdaemon.encoding import encode
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_caps import MClientLease
from mdsdaemon.rank.locks.file_locks import InodeFileLocks
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.types import client_caps as cc
from mdsdaemon.types.caps import CapReconnect, CapReconnectBody
from mdsdaemon.types.client_args import OpenArgs
from mdsdaemon.types.client_locks import LOCK_EXCL, FileLock, ReconnectLocks
from mdsdaemon.types.client_ops import LEASE_VALID, CapOp, LeaseOp, MdsOp

CREATE = 0o102


@attrs.define(eq=False)
class Request:
    client: int = 0
    locks: Any = None


def taken(kit: ServerKit, req: Request, **locks: Any) -> bool:
    try:
        kit.rank.locker.acquire(req, **locks)
    except MustWait:
        return False
    return True


# -- locks -----------------------------------------------------------------------------------


@in_trio
def test_at_rest_a_lock_costs_nothing() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/d")
    kit.rank.locker.remove_client(client.session)
    inode = kit.find("/d")
    req = Request(client.number)
    assert taken(kit, req, x=((inode, "auth"), (inode, "file")), rd=((inode, "link"),))
    assert req.locks is None
    assert inode.locks is None


@in_trio
def test_a_lock_waits_for_what_clients_have() -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    one.create("/f", CREATE)
    one.obedient = False
    inode = kit.find("/f")
    req = Request(two.number)
    assert not taken(kit, req, x=((inode, "auth"),))
    assert not taken(kit, req, x=((inode, "auth"),))
    one.obedient = True
    kit.settle()
    assert taken(kit, req, x=((inode, "auth"),))
    kit.rank.locker.release(req)
    kit.settle()
    assert cap_of(kit, one, "/f").pending & cc.CAP_AUTH_EXCL


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("auth", cc.CAP_AUTH_SHARED | cc.CAP_AUTH_EXCL),
        ("link", cc.CAP_LINK_SHARED | cc.CAP_LINK_EXCL),
        ("xattr", cc.CAP_XATTR_SHARED | cc.CAP_XATTR_EXCL),
    ],
)
@in_trio
def test_what_was_given_back_is_taken_without_a_move(name: str, bits: int) -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    one.create("/f", CREATE)
    inode = kit.find("/f")
    kept = cap_of(kit, one, "/f").pending & ~bits
    update(kit, one, "/f", caps=kept)
    cap = cap_of(kit, one, "/f")
    cap.confirm(cap.last_sent, kept)  # whatever it was given anew by that
    before, sent = str(inode.locks), len(one.con.sent)
    req = Request(two.number)
    assert taken(kit, req, x=((inode, name),))
    assert not req.locks.inodes
    assert inode in req.locks.untidy
    assert str(inode.locks) == before
    assert len(one.con.sent) == sent
    others = {"auth", "link", "xattr"} - {name}
    assert not taken(kit, Request(two.number), x=((inode, others.pop()),)), "it has those still"


@in_trio
def test_whoever_gives_up_leaves_nothing_behind() -> None:
    kit = ServerKit()
    one = kit.client()
    one.create("/f", CREATE)
    one.obedient = False
    inode = kit.find("/f")
    first, second = Request(1), Request(2)
    assert not taken(kit, first, x=((inode, "auth"),))
    assert not taken(kit, second, rd=((inode, "auth"),))
    kit.rank.locker.release(first)
    one.obedient = True
    kit.settle()
    assert taken(kit, second, rd=((inode, "auth"),))
    kit.rank.locker.release(second)
    kit.settle()
    assert not any(inode.locks.queues)


@in_trio
def test_requests_that_want_the_same_two_locks_do_not_wait_for_each_other() -> None:
    kit = ServerKit()
    client = kit.client()
    client.create("/a", CREATE)
    client.create("/b", CREATE)
    client.obedient = False
    a, b = kit.find("/a"), kit.find("/b")
    first, second = Request(11), Request(12)
    assert not taken(kit, first, x=((a, "file"),))
    assert not taken(kit, second, x=((b, "file"),))
    client.obedient = True
    kit.settle()
    assert taken(kit, first, x=((a, "file"), (b, "file")))
    kit.rank.locker.release(first)
    while not taken(kit, second, x=((b, "file"), (a, "file"))):
        kit.settle()
    kit.rank.locker.release(second)


@in_trio
def test_a_lock_held_over_a_wait_keeps_others_out() -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    for client in (one, two):
        client.lookup("/")
    one.create("/f", CREATE)
    two.open("/f")
    kit.settle()
    inode = kit.find("/f")
    holder, other = Request(two.number), Request(one.number)
    while not taken(kit, holder, x=((inode, "file"),)):
        kit.settle()
    kit.rank.locker.eval(inode)
    assert not taken(kit, other, rd=((inode, "file"),))
    kit.rank.locker.release(holder)
    kit.settle()
    assert taken(kit, other, rd=((inode, "file"),))
    kit.rank.locker.release(other)


@in_trio
def test_creating_alone_in_a_directory_asks_nothing_back() -> None:
    kit = ServerKit()
    client = kit.client()
    client.mkdir("/d")
    client.create("/d/first", CREATE)
    kit.settle()
    before = len(got(client, CapOp.REVOKE))
    for number in range(5):
        client.create(f"/d/f{number}", CREATE)
    assert len(got(client, CapOp.REVOKE)) == before
    assert cap_of(kit, client, "/d").pending & cc.CAP_FILE_EXCL


# -- leases ----------------------------------------------------------------------------------


def say(kit: ServerKit, client: Client, action: int, **fields: Any) -> None:
    msg = MClientLease(action, **fields)
    client._say(msg, kit.rank.locker.handle_client_lease)


@in_trio
def test_names_are_leased_where_the_directory_is_not_held() -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    one.mkdir("/d")
    one.mkdir("/d/e")
    # /d is its maker's alone
    lease = kit.rank.locker.lease(kit.dentry("/d/e"), two.session)
    assert lease.mask & LEASE_VALID
    assert lease.duration_ms == 30_000
    assert not kit.rank.locker.lease(kit.dentry("/d/e"), one.session).mask & LEASE_VALID


@in_trio
def test_a_leased_name_is_not_unlinked_before_it_was_given_back() -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    one.mkdir("/d")
    one.mkdir("/d/e")
    dn = kit.dentry("/d/e")
    lease = kit.rank.locker.lease(dn, two.session)
    two.obedient = False
    tid = one.send(MdsOp.RMDIR, "/d/e")
    kit.settle()
    assert not one.replies(tid)
    (asked,) = [m for m in two.con.sent if isinstance(m, MClientLease)]
    assert (asked.action, asked.dname, asked.seq) == (LeaseOp.REVOKE, "e", lease.seq)
    assert not kit.rank.locker.lease(dn, one.session).mask & LEASE_VALID
    say(kit, two, LeaseOp.RENEW, ino=asked.ino, dname="e", seq=asked.seq)
    say(kit, two, LeaseOp.REVOKE_ACK, ino=asked.ino, dname="e", seq=asked.seq + 1)
    kit.settle()
    assert not one.replies(tid)
    say(kit, two, LeaseOp.REVOKE_ACK, ino=asked.ino, dname="e", seq=asked.seq)
    kit.settle()
    assert one.replies(tid)[0].result == 0


@in_trio
def test_a_lease_ends_by_itself() -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    one.mkdir("/d")
    one.mkdir("/d/e")
    kit.rank.locker.lease(kit.dentry("/d/e"), two.session)
    two.obedient = False
    tid = one.send(MdsOp.RMDIR, "/d/e")
    kit.kit.clock.now += 31
    kit.rank.locker.tick()
    kit.settle()
    assert one.replies(tid)[0].result == 0
    assert not two.session.leases


@in_trio
def test_a_lease_is_renewed() -> None:
    kit = ServerKit()
    one, two = kit.client(), kit.client()
    one.mkdir("/d")
    one.mkdir("/d/e")
    dn = kit.dentry("/d/e")
    seq = kit.rank.locker.lease(dn, two.session).seq
    say(kit, two, LeaseOp.RENEW, ino=kit.find("/d").ino, dname="e", seq=seq)
    (renewed,) = [m for m in two.con.sent if isinstance(m, MClientLease)]
    assert (renewed.action, renewed.seq) == (LeaseOp.RENEW, seq + 1)
    say(kit, one, LeaseOp.RENEW, ino=0xBAD, dname="e", seq=seq)
    say(kit, one, 77, ino=kit.find("/d").ino, dname="e", seq=seq)


# -- after a failover --------------------------------------------------------------------------


def claim(issued: int, wanted: int = 0, flocks: bytes = b"", cap_id: int = 5) -> CapReconnect:
    return CapReconnect("", CapReconnectBody(cap_id, wanted, issued, 1, 0, flocks))


@in_trio
def test_what_is_claimed_is_held() -> None:
    kit = ServerKit()
    maker, client = kit.client(), kit.client()
    maker.create("/f", CREATE)
    inode = kit.find("/f")
    kit.rank.locker.forget_cap(inode.caps[maker.number])
    inode.inode.client_ranges.clear()  # who made it has closed it
    inode.locks = None
    locks = ReconnectLocks(fcntl=[
        FileLock(0, 10, 0, 1, 1, LOCK_EXCL), FileLock(20, 1, 99, 1, 1, LOCK_EXCL),
    ])  # fmt: skip
    wanted = cc.caps_for_mode(cc.FILE_MODE_RDWR)
    assert kit.rank.locker.import_reconnect(
        client.session, inode.ino, claim(cc.CAP_PIN | wanted, wanted, encode(ReconnectLocks, locks))
    )
    cap = inode.caps[client.number]
    assert (cap.cap_id, cap.last_sent, cap.pending) == (5, 0, cc.CAP_PIN | wanted)
    assert inode.locks.name(0) == "excl"
    assert inode.locks.loner == client.number
    held: InodeFileLocks = kit.rank.locker.file_locks(inode)
    assert {one.client for one in held.fcntl.held} == {client.number}
    kit.rank.locker.reissue_all_caps()
    assert not got(client, CapOp.REVOKE)


@in_trio
def test_claims_against_each_other_are_sorted_out() -> None:
    kit = ServerKit()
    maker = kit.client()
    clients = [kit.client(), kit.client()]
    maker.create("/f", CREATE)
    inode = kit.find("/f")
    kit.rank.locker.forget_cap(inode.caps[maker.number])
    inode.inode.client_ranges.clear()  # who made it has closed it
    inode.locks = None
    wanted = cc.caps_for_mode(cc.FILE_MODE_WR)
    for client in clients:
        kit.rank.locker.import_reconnect(client.session, inode.ino, claim(wanted, wanted))
    kit.rank.locker.reissue_all_caps()
    kit.settle()
    for client in clients:
        pending = inode.caps[client.number].pending
        assert pending & cc.CAP_FILE_WR
        assert not pending & (cc.CAP_FILE_EXCL | cc.CAP_FILE_BUFFER)


@in_trio
def test_a_claim_waits_for_the_request_that_makes_its_inode() -> None:
    kit = ServerKit()
    client = kit.client()
    kit.rank.state = State.CLIENTREPLAY
    ino = client.session.free_prealloc_inos.first
    wanted = cc.caps_for_mode(cc.FILE_MODE_WR)
    locker = kit.rank.locker
    assert not locker.import_reconnect(client.session, ino, claim(wanted, wanted, cap_id=1))
    assert not locker.import_reconnect(client.session, 0xDEAD, claim(wanted))
    args = OpenArgs(CREATE, 0o644)
    client.send(MdsOp.CREATE, "/f", args=args, ino=ino, flags=1)
    kit.settle()
    inode = kit.find("/f")
    assert inode.ino == ino
    assert inode.caps[client.number].pending == wanted
    kit.rank.state = State.ACTIVE
    locker.reissue_all_caps()
    (gone,) = got(client, CapOp.EXPORT)
    assert gone.ino == 0xDEAD


@in_trio
def test_malformed_file_locks_in_a_claim_are_left_out() -> None:
    kit = ServerKit()
    client = kit.client()
    client.create("/f", CREATE)
    inode = kit.find("/f")
    kit.rank.locker.import_reconnect(client.session, inode.ino, claim(cc.CAP_PIN, 0, b"\xff" * 7))
    assert kit.rank.locker.file_locks(inode) is None


# -- whatever clients say ----------------------------------------------------------------------


STEPS = hst.tuples(hst.integers(0, 5), hst.integers(0, 2), hst.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(
    hst.lists(hst.tuples(hst.integers(0, 5), hst.integers(0, 2), hst.integers(0, 3)), max_size=25)
)
def test_all_requests_end(steps: list[tuple[int, int, int]]) -> None:
    """Three clients do things to two files, some answer late: all have a reply in the end."""

    @in_trio
    def run() -> None:
        kit = ServerKit()
        clients = [kit.client() for _ in range(3)]
        clients[0].create("/a", CREATE)
        clients[1].create("/b", CREATE)
        sent: list[tuple[Client, int]] = []
        for what, who, arg in steps:
            client, path = clients[who], "/a" if arg & 1 else "/b"
            if what == 0:
                client.obedient = bool(arg & 2)
            elif what == 1:
                sent.append((client, client.send(MdsOp.OPEN, path, args=OpenArgs(arg))))
            elif what == 2:
                sent.append((client, client.send(MdsOp.GETATTR, path)))
            elif what == 3:
                sent.append((client, client.send(MdsOp.UNLINK, path)))
            elif what == 4:
                sent.append((client, client.send(MdsOp.CREATE, path, args=OpenArgs(CREATE, 0o600))))
            else:
                kit.settle()
        for client in clients:
            client.obedient = True
        kit.settle()
        for client, tid in sent:
            assert client.replies(tid), f"{client.number}:{tid} waits for ever"
        for inode in kit.rank.cache.inodes.values():
            if inode.locks is not None:
                assert not any(inode.locks.queues), f"{inode}: {inode.locks}"
                assert all(inode.locks.is_stable(lock) for lock in range(4))
            for cap in (inode.caps or {}).values():
                assert not cap.revoking

    run()


@pytest.mark.parametrize("name", ["nest", "snap", "policy", "flock", "version"])
@in_trio
def test_locks_that_no_client_mirrors_are_free(name: str) -> None:
    kit = ServerKit()
    assert taken(kit, Request(), x=((kit.find("/"), name),))
