"""Dentries between the cache and the omap of a fragment: keys and values.

What a newer release appended to a value is kept with the dentry or inode and written back.

Format: ceph/ceph, src/mds/mdstypes.h (dentry_key_t), src/mds/CDir.cc (_load_dentry,
_omap_commit_ops) (Pacific)
"""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from mdsdaemon.encoding import DecodeError
from mdsdaemon.encoding.codec import as_codec
from mdsdaemon.rank.cache.fragtree import check
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.types.dentry import LegacyRemoteDentry, PrimaryDentry, RemoteDentry
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.inode import InodeStore, InodeStoreBare
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry

_FIRST = Struct("<Q")
_HEX = re.compile("[0-9a-f]{1,16}")
_PRIMARY, _REMOTE = ord("i"), ord("l")
_OLD_PRIMARY, _OLD_REMOTE = ord("I"), ord("L")

_read_primary = as_codec(PrimaryDentry).decoder()
_read_remote = as_codec(RemoteDentry).decoder()
_read_old_primary = as_codec(InodeStoreBare).decoder()
_read_old_remote = as_codec(LegacyRemoteDentry).decoder()
_read_store = as_codec(InodeStore).decoder()
_write_primary = as_codec(PrimaryDentry).encoder()
_write_remote = as_codec(RemoteDentry).encoder()

Tail = tuple[bytes, tuple[int, int]]
"""What a newer release appended, with its struct version and compat."""


class Loaded(NamedTuple):
    """A value that was read: `ino` and `d_type` of a hard link, or `store` of an inode."""

    first: int
    store: InodeStoreBare | None
    ino: int
    d_type: int
    alternate_name: bytes
    tail: Tail | None


def split_key(key: str) -> tuple[str, int]:
    """Name and last snapshot of a key, `name_head` or `name_1f`.

    Raises:
        DecodeError: it is no such key.
    """
    name, mark, last = key.rpartition("_")
    if last == "head" and mark:
        return name, NOSNAP
    if mark and _HEX.fullmatch(last):
        return name, int(last, 16)
    raise DecodeError("dentry_key_t", "snapid", len(name), f"no key: {key!r}")


def decode_dentry(value: bytes) -> Loaded:
    """Read a value.

    Raises:
        DecodeError: it is not one.
    """
    end = len(value)
    if end < 9:
        raise DecodeError("dentry", "first", 0, f"{end} bytes are too short")
    first, kind = _FIRST.unpack_from(value)[0], value[8]
    if kind == _PRIMARY:
        primary, _ = _read_primary(value, 9, end, FEATURES_PACIFIC)
        tail = (primary.wire_tail, primary.wire_version) if primary.wire_tail else None
        _check(primary.store)
        return Loaded(first, primary.store, 0, 0, primary.alternate_name, tail)
    if kind == _REMOTE:
        remote, _ = _read_remote(value, 9, end, FEATURES_PACIFIC)
        tail = (remote.wire_tail, remote.wire_version) if remote.wire_tail else None
        return Loaded(first, None, remote.ino, remote.d_type, remote.alternate_name, tail)
    if kind == _OLD_PRIMARY:
        store, _ = _read_old_primary(value, 9, end, FEATURES_PACIFIC)
        _check(store)
        return Loaded(first, store, 0, 0, b"", None)
    if kind == _OLD_REMOTE:
        old, _ = _read_old_remote(value, 9, end, FEATURES_PACIFIC)
        return Loaded(first, None, old.ino, old.d_type, b"", None)
    raise DecodeError("dentry", "kind", 8, f"no kind of dentry is marked {value[8:9]!r}")


def _check(store: InodeStoreBare) -> None:
    """Refuse what decodes and cannot be: no inode number, or a forged fragment tree."""
    if not store.inode.ino:
        raise DecodeError("inode_t", "ino", 9, "an inode without a number")
    if store.dirfragtree.splits:
        try:
            check(store.dirfragtree)
        except ValueError as error:
            raise DecodeError("fragtree_t", "splits", 9, str(error)) from None


def encode_dentry(dn: CDentry) -> bytes:
    """The value of a dentry that is not null."""
    out = bytearray(_FIRST.pack(dn.first))
    if dn.inode is not None:
        out.append(_PRIMARY)
        primary = PrimaryDentry(dn.alternate_name, store_of(dn.inode))
        if dn.store_tail is not None:
            primary.wire_tail, primary.wire_version = dn.store_tail  # type: ignore[attr-defined]
        _write_primary(out, primary, FEATURES_PACIFIC)
    else:
        out.append(_REMOTE)
        remote = RemoteDentry(dn.remote_ino, dn.remote_d_type, dn.alternate_name)
        if dn.store_tail is not None:
            remote.wire_tail, remote.wire_version = dn.store_tail  # type: ignore[attr-defined]
        _write_remote(out, remote, FEATURES_PACIFIC)
    return bytes(out)


def store_of(inode: CInode) -> InodeStore:
    """What is stored of an inode; it shares its parts with the inode."""
    store = InodeStore(
        inode.inode,
        inode.symlink,
        inode.dirfragtree,
        inode.xattrs,
        inode.snaprealm_blob,
        inode.old_inodes,
        inode.oldest_snap,
        inode.damage_flags,
    )
    if inode.store_tail:
        store.wire_tail, store.wire_version = (  # type: ignore[attr-defined]
            inode.store_tail,
            inode.store_version,
        )
    return store


def fill_inode(inode: CInode, store: InodeStoreBare) -> None:
    """Make an inode what was stored."""
    inode.inode = store.inode
    inode.symlink = store.symlink
    inode.dirfragtree = store.dirfragtree
    inode.xattrs = store.xattrs
    inode.snaprealm_blob = store.snap_blob
    inode.old_inodes = store.old_inodes
    inode.oldest_snap = store.oldest_snap
    inode.damage_flags = store.damage_flags
    if isinstance(store, InodeStore) and store.wire_tail:  # type: ignore[attr-defined]
        inode.store_tail = store.wire_tail  # type: ignore[attr-defined]
        inode.store_version = store.wire_version  # type: ignore[attr-defined]


def read_store(data: bytes, offset: int = 0) -> InodeStore:
    """An InodeStore in its envelope, as a base inode's object has it behind the magic string.

    Raises:
        DecodeError: it is not one.
    """
    store, _ = _read_store(data, offset, len(data), FEATURES_PACIFIC)
    if store.dirfragtree.splits:
        try:
            check(store.dirfragtree)
        except ValueError as error:
            raise DecodeError("fragtree_t", "splits", offset, str(error)) from None
    return store  # type: ignore[no-any-return]
