"""Dentries in the omap: round trips, every truncation, old forms, bytes of newer releases."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire_strategies import values_of

from mdsdaemon.encoding import DecodeError, encode
from mdsdaemon.rank.cache.cache import MDCache
from mdsdaemon.rank.cache.dentry import CDentry
from mdsdaemon.rank.cache.dentry_codec import (
    decode_dentry,
    encode_dentry,
    fill_inode,
    read_store,
    split_key,
    store_of,
)
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.types.dentry import LegacyRemoteDentry, PrimaryDentry, RemoteDentry
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.frag import Frag, FragTree
from mdsdaemon.types.inode import Inode, InodeStore, InodeStoreBare
from mdsdaemon.types.osd import NOSNAP

FIRST = struct.pack("<Q", 2)


def a_dentry(value: bytes, key: str = "name_head") -> CDentry:
    """As a fetch makes it."""
    name, last = split_key(key)
    loaded = decode_dentry(value)
    dn = CDentry(CDir(CInode(1, Inode()), Frag(0)), name, loaded.first, last)
    dn.alternate_name, dn.store_tail = loaded.alternate_name, loaded.tail
    if loaded.store is not None:
        inode = CInode(loaded.store.inode.ino, loaded.store.inode, loaded.first, last)
        fill_inode(inode, loaded.store)
        MDCache.link_primary(MDCache.__new__(MDCache), dn, inode)
    else:
        dn.remote_ino, dn.remote_d_type = loaded.ino, loaded.d_type
    return dn


def stores() -> st.SearchStrategy[InodeStore]:
    return values_of(InodeStore).filter(lambda store: _possible(store))


def _possible(store: InodeStore) -> bool:
    store.dirfragtree = FragTree()
    store.inode.ino = store.inode.ino or 1
    if not store.inode.is_symlink:
        store.symlink = ""
    return True


@settings(deadline=None, max_examples=60)
@given(stores(), st.binary(max_size=40), st.integers(0, NOSNAP))
def test_what_is_read_is_written_again(store: InodeStore, alternate: bytes, first: int) -> None:
    primary = PrimaryDentry(alternate, store)
    value = struct.pack("<Q", first) + b"i" + encode(PrimaryDentry, primary, FEATURES_PACIFIC)
    dn = a_dentry(value)
    assert encode_dentry(dn) == value
    assert dn.inode is not None
    assert store_of(dn.inode) == store


@given(values_of(RemoteDentry))
def test_hard_links(remote: RemoteDentry) -> None:
    value = FIRST + b"l" + encode(RemoteDentry, remote, FEATURES_PACIFIC)
    dn = a_dentry(value)
    if remote.ino:
        assert dn.is_remote
    assert encode_dentry(dn) == value


def an_inode(**changes: Any) -> InodeStore:
    store = InodeStore(Inode(ino=1 << 40, mode=0o120777, nlink=1, size=5), "there")
    store.xattrs = {"user.a": b"1"}
    store.dirfragtree = FragTree({Frag(0): 2})
    store.snap_blob = b"realm"
    for name, value in changes.items():
        setattr(store, name, value)
    return store


def test_every_truncation_is_an_error_or_the_old_end() -> None:
    good = FIRST + b"i" + encode(PrimaryDentry, PrimaryDentry(b"x", an_inode()), FEATURES_PACIFIC)
    for end in range(len(good)):
        with pytest.raises(DecodeError):
            decode_dentry(good[:end])
    bare = FIRST + b"I" + encode(InodeStoreBare, an_inode(), FEATURES_PACIFIC)
    loaded = [end for end in range(len(bare) + 1) if _decodes(bare[:end])]
    # what was added at the end over time may be missing
    assert loaded == [len(bare) - 12, len(bare) - 4, len(bare)]
    link = FIRST + b"l" + encode(RemoteDentry, RemoteDentry(7, 8, b"n"), FEATURES_PACIFIC)
    assert [end for end in range(len(link) + 1) if _decodes(link[:end])] == [len(link)]


def _decodes(value: bytes) -> bool:
    try:
        decode_dentry(value)
    except DecodeError:
        return False
    return True


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(b"iIlLx"), st.integers(0, 2000))
def test_garbage_is_a_decode_error(junk: bytes, kind: int, at: int) -> None:
    good = FIRST + b"i" + encode(PrimaryDentry, PrimaryDentry(b"x", an_inode()), FEATURES_PACIFIC)
    at %= len(good)
    _decodes(good[:at] + junk + good[at + len(junk) :])
    _decodes(FIRST + bytes([kind]) + junk)


def test_old_forms() -> None:
    bare = encode(InodeStoreBare, an_inode(), FEATURES_PACIFIC)
    dn = a_dentry(FIRST + b"I" + bare[:-12])
    assert dn.inode is not None
    assert (dn.inode.symlink, dn.inode.oldest_snap, dn.inode.damage_flags) == ("there", NOSNAP, 0)
    assert encode_dentry(dn)[8:9] == b"i"
    link = a_dentry(FIRST + b"L" + encode(LegacyRemoteDentry, LegacyRemoteDentry(7, 8)))
    assert (link.remote_ino, link.remote_d_type, link.alternate_name) == (7, 8, b"")
    # version 1 of the framed forms has no alternate name
    old = b"\1\1" + struct.pack("<IQB", 9, 7, 8)
    assert a_dentry(FIRST + b"l" + old).remote_ino == 7


def test_what_newer_releases_appended_is_kept() -> None:
    store = an_inode()
    store.inode.wire_tail, store.inode.wire_version = b"newer inode", (19, 6)  # type: ignore[attr-defined]
    store.wire_tail, store.wire_version = b"newer store", (7, 4)  # type: ignore[attr-defined]
    primary = PrimaryDentry(b"x", store)
    primary.wire_tail, primary.wire_version = b"newer dentry", (3, 1)  # type: ignore[attr-defined]
    value = FIRST + b"i" + encode(PrimaryDentry, primary, FEATURES_PACIFIC)
    assert value.count(b"newer") == 3
    dn = a_dentry(value)
    assert encode_dentry(dn) == value
    assert dn.inode is not None
    dn.inode.inode.size = 6  # a change of what we know keeps what we do not
    assert encode_dentry(dn).count(b"newer") == 3
    remote = RemoteDentry(7, 8, b"n")
    remote.wire_tail, remote.wire_version = b"newer link", (3, 1)  # type: ignore[attr-defined]
    value = FIRST + b"l" + encode(RemoteDentry, remote, FEATURES_PACIFIC)
    assert encode_dentry(a_dentry(value)) == value


@pytest.mark.parametrize(
    ("store", "why"),
    [
        (an_inode(inode=Inode()), "without a number"),
        (an_inode(dirfragtree=FragTree({Frag(0): 24})), "fragments"),
        (an_inode(dirfragtree=FragTree({Frag(0): -1})), "cannot be split"),
    ],
)
def test_what_decodes_and_cannot_be(store: InodeStore, why: str) -> None:
    value = FIRST + b"i" + encode(PrimaryDentry, PrimaryDentry(b"", store), FEATURES_PACIFIC)
    with pytest.raises(DecodeError, match=why):
        decode_dentry(value)
    if not store.inode.ino:
        return
    with pytest.raises(DecodeError, match=why):
        read_store(encode(InodeStore, store, FEATURES_PACIFIC))


@pytest.mark.parametrize(
    ("key", "name", "last"),
    [
        ("a_head", "a", NOSNAP),
        ("a_head_head", "a_head", NOSNAP),
        ("a_1f", "a", 0x1F),
        ("_2", "", 2),
        ("a_b_fffffffffffffffd", "a_b", 2**64 - 3),
        ("\udcff\udcfe_head", "\udcff\udcfe", NOSNAP),
    ],
)
def test_keys(key: str, name: str, last: int) -> None:
    assert split_key(key) == (name, last)
    dn = CDentry(CDir(CInode(1, Inode()), Frag(0)), name, 2, last)
    assert dn.key == key


@pytest.mark.parametrize("key", ["", "a", "head", "a_", "a_xyz", "a_0x1", "a_-1", "a_1" + "0" * 16])
def test_bad_keys(key: str) -> None:
    with pytest.raises(DecodeError):
        split_key(key)
