"""What a batch of events need not replay: dentries of directories that later events have anew."""

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rank_kit import replay_into
from tests.unit.server_kit import ServerKit, in_trio

from mdsdaemon.encoding import encode
from mdsdaemon.rank.log.replay_events import EventReplay
from mdsdaemon.rank.log.superseded import goes_on_with, leave_out
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.frag import DirFrag
from mdsdaemon.types.inode import Inode
from mdsdaemon.types.journal import ESubtreeMap, EUpdate
from mdsdaemon.types.metablob import Dentries, DirLump, EMetaBlob, FullBit, NullBit
from mdsdaemon.types.stats import FNode, NestInfo

ROOT = DirFrag(1)
DIR = 0x10000000000


def a_dentry(version: int, name: str = "dir", **changes: Any) -> FullBit:
    inode = Inode(ino=DIR, mode=0o040755, version=version, rstat=NestInfo(rfiles=version))
    return FullBit(dn=name, dnlast=2**64 - 2, dnv=version, inode=inode, state=1, **changes)


def an_update(*full: FullBit, null: list[NullBit] | None = None, state: int = 1) -> EUpdate:
    lump = DirLump(state=state)
    lump.set_dentries(Dentries(list(full), [], null or []), FEATURES_PACIFIC)
    return EUpdate(metablob=EMetaBlob(lump_order=[ROOT], lump_map={ROOT: lump}))


def kept(*events: Any) -> list[int]:
    """The numbers of the events whose fragment is replayed."""
    leave_out(events)
    return [n for n, e in enumerate(events) if e.metablob.lump_order]


def test_of_a_row_the_first_and_the_last_are_replayed() -> None:
    assert kept(*(an_update(a_dentry(n)) for n in range(6))) == [0, 5]
    assert kept(*(an_update(a_dentry(n)) for n in range(2))) == [0, 1]


def test_what_differs_in_more_than_values_ends_a_row() -> None:
    row = [an_update(a_dentry(n)) for n in range(3)]
    for other in (
        an_update(a_dentry(3, "other")),
        an_update(a_dentry(3, xattrs={"user.x": b"1"})),
        an_update(a_dentry(3, dir_snap=b"realm")),
        an_update(a_dentry(3, dnfirst=5)),
        an_update(a_dentry(3), a_dentry(3, "two")),
        an_update(a_dentry(3), state=5),
        an_update(null=[NullBit("dir")]),
    ):
        again = [an_update(a_dentry(n)) for n in range(4, 7)]
        assert kept(*[an_update(a_dentry(n)) for n in range(3)], other, *again) == [0, 2, 3, 4, 6]
    assert kept(*row) == [0, 2]


def test_no_row_goes_beyond_what_is_no_update() -> None:
    events = [an_update(a_dentry(n)) for n in range(6)]
    assert kept(*events[:3], ESubtreeMap(), *events[3:]) == [0, 2, 4, 6]


def test_rows_of_fragments_are_independent() -> None:
    events = []
    for n in range(4):
        event = an_update(a_dentry(n))
        lump = DirLump(state=1)
        lump.set_dentries(Dentries([a_dentry(n, f"new{n}")]), FEATURES_PACIFIC)
        event.metablob.lump_order.append(DirFrag(DIR))
        event.metablob.lump_map[DirFrag(DIR)] = lump
        events.append(event)
    leave_out(events)
    orders = [event.metablob.lump_order for event in events]
    both, one = [ROOT, DirFrag(DIR)], [DirFrag(DIR)]
    assert orders == [both, one, one, both]


def test_of_headers_the_last_is_replayed() -> None:
    events = [an_update(a_dentry(n, f"file{n}")) for n in range(3)]
    lumps = [event.metablob.lump_map[ROOT] for event in events]
    for n, lump in enumerate(lumps):
        lump.set_fnode(FNode(version=n), FEATURES_PACIFIC)
    last = an_update(a_dentry(3))
    leave_out([*events, ESubtreeMap(), last])
    assert [bool(lump.fnode_bl) for lump in lumps] == [False, False, True]
    assert lumps[-1].fnode == FNode(version=2)
    assert last.metablob.lump_map[ROOT].fnode == FNode()


def test_a_dentry_that_is_said_twice_is_replayed_once() -> None:
    twins, other = an_update(a_dentry(1), a_dentry(1)), an_update(a_dentry(1), a_dentry(2))
    leave_out([twins])
    lump = twins.metablob.lump_map[ROOT]
    assert (lump.nfull, lump.dentries()) == (1, Dentries([a_dentry(1)]))
    leave_out([other])
    assert len(other.metablob.lump_map[ROOT].dentries().dfull) == 2


@given(st.binary(max_size=60), st.integers(0, 70))
def test_any_bytes_can_be_compared(data: bytes, length: int) -> None:
    whole = encode(Dentries, Dentries([a_dentry(1)]), FEATURES_PACIFIC)
    for dnbl in (
        data,
        whole[:length],
        whole[:10] + data,
        whole[:10] + struct.pack("<I", 2**32 - 1),
    ):
        for count in (1, 2):
            lump = DirLump(nfull=count, dnbl=dnbl)
            leave_out([EUpdate(metablob=EMetaBlob(lump_order=[ROOT], lump_map={ROOT: lump}))] * 3)
        assert len(dnbl) >= 38 or not goes_on_with(DirLump(nfull=1, dnbl=dnbl), lump)


def test_a_fragment_without_an_entry_is_left_to_the_replay() -> None:
    blob = EMetaBlob(lump_order=[ROOT])
    leave_out([EUpdate(metablob=blob)] * 3)
    assert blob.lump_order == [ROOT]


@in_trio
def test_a_busy_directory_is_the_same_with_a_part_of_it() -> None:
    kit = ServerKit()
    one = kit.client()
    assert one.mkdir("/dir").errno == 0
    for n in range(20):
        assert one.create(f"/dir/f{n}").errno == 0
        if n == 9:
            assert one.setxattr("/dir", "user.x", b"1").errno == 0
    assert one.rename("/dir/f0", "/dir/g").errno == 0
    events = [event for _, event in kit.mdlog.events]
    plain, short = ServerKit(), ServerKit()
    replay = EventReplay(plain.rank)
    for event in events:
        replay.replay(event, plain.mdlog.segment)
    replay_into(short.rank, short.mdlog.segment, events)
    wanted, found = ({i.ino: i for i in r.rank.cache.inodes.values()} for r in (plain, short))
    assert wanted.keys() == found.keys()
    for ino, inode in wanted.items():
        assert (inode.inode, inode.xattrs) == (found[ino].inode, found[ino].xattrs)
        for frag, directory in inode.dirs.items():
            other = found[ino].dirs[frag]
            assert directory.fnode == other.fnode
            assert directory.dirty_items.keys() == other.dirty_items.keys()
