"""Snapshots: contexts of writes, realms, and the server's table.

Format: ceph/ceph, src/common/snap_types.h, src/mds/snap.h and .cc, src/mds/SnapServer.h (Pacific).
"""

from mdsdaemon.encoding import (
    REGISTRY,
    S32,
    U32,
    U64,
    Cursor,
    Custom,
    List,
    Map,
    Set,
    Str,
    Time,
    Tuple,
    field,
    wire,
)
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.types.osd import NOSNAP

import attrs  # isort: skip


@wire(ceph="SnapContext")
class SnapContext:
    """The snapshots that exist while a write is made, newest first; ``seq`` is the newest."""

    seq: int = field(U64, default=0)
    snaps: list[int] = field(List(U64), factory=list)


@attrs.define
class SnapRealmInfo:
    """SnapRealmInfo: a realm as clients are told of it."""

    ino: int = 0
    created: int = 0
    parent: int = 0
    parent_since: int = 0
    seq: int = 0
    my_snaps: list[int] = attrs.Factory(list)
    prior_parent_snaps: list[int] = attrs.Factory(list)


_REALM = struct_of("QQQQQII")


def _decode_realm(c: Cursor) -> SnapRealmInfo:
    head = _REALM.unpack(c.raw(_REALM.size))
    mine, prior = head[-2:]
    if 8 * (mine + prior) > c.remaining():
        raise c.fail(f"{mine} and {prior} snapshots are claimed")
    value = SnapRealmInfo(*head[:-2])
    value.my_snaps = list(struct_of(f"{mine}Q").unpack(c.raw(8 * mine)))
    value.prior_parent_snaps = list(struct_of(f"{prior}Q").unpack(c.raw(8 * prior)))
    return value


def _encode_realm(realm: SnapRealmInfo, out: bytearray, features: int) -> None:
    r, mine, prior = realm, len(realm.my_snaps), len(realm.prior_parent_snaps)
    out += _REALM.pack(r.ino, r.created, r.parent, r.parent_since, r.seq, mine, prior)
    out += struct_of(f"{mine}Q").pack(*r.my_snaps)
    out += struct_of(f"{prior}Q").pack(*r.prior_parent_snaps)


SnapRealmInfo.__wire__ = Custom(  # type: ignore[attr-defined]
    _decode_realm,
    _encode_realm,
    _REALM.size,
    plain=attrs.asdict,
    unplain=lambda plain: SnapRealmInfo(**plain),
)
REGISTRY["SnapRealmInfo"] = SnapRealmInfo


@wire(v=3, compat=2, keep_tail=True, ceph="SnapInfo")
class SnapInfo:
    """SnapInfo: one snapshot of a directory."""

    snapid: int = field(U64, default=0)
    ino: int = field(U64, default=0)
    stamp: int = field(Time, default=0)
    name: str = field(Str, default="")
    metadata: dict[str, str] = field(Map(Str, Str), factory=dict, since=3)


@wire(v=2, compat=2, ceph="snaplink_t")
class SnapLink:
    """snaplink_t: a realm that was once the parent, from snapshot ``first`` on."""

    ino: int = field(U64, default=0)
    first: int = field(U64, default=0)


@wire(v=6, compat=4, keep_tail=True, ceph="sr_t")
class SnapRealm:
    """sr_t: a realm as it is stored with its directory's inode."""

    PARENT_GLOBAL = 1 << 0
    SUBVOLUME = 1 << 1

    seq: int = field(U64, default=0)
    created: int = field(U64, default=0)
    last_created: int = field(U64, default=0)
    last_destroyed: int = field(U64, default=0)
    current_parent_since: int = field(U64, default=1)
    snaps: dict[int, SnapInfo] = field(Map(U64, SnapInfo), factory=dict)
    past_parents: dict[int, SnapLink] = field(Map(U64, SnapLink), factory=dict)
    past_parent_snaps: set[int] = field(Set(U64), factory=set, since=5)
    flags: int = field(U32, default=0, since=6)


@wire(v=5, compat=3, keep_tail=True, ceph="SnapServer")
class SnapServerState:
    """SnapServer: the table of all snapshots; in its object a u64 version precedes it."""

    last_snap: int = field(U64, default=0)
    snaps: dict[int, SnapInfo] = field(Map(U64, SnapInfo), factory=dict)
    need_to_purge: dict[int, set[int]] = field(Map(S32, Set(U64)), factory=dict)
    pending_update: dict[int, SnapInfo] = field(Map(U64, SnapInfo), factory=dict)
    pending_destroy: dict[int, tuple[int, int]] = field(Map(U64, Tuple(U64, U64)), factory=dict)
    pending_noop: set[int] = field(Set(U64), factory=set)
    last_created: int = field(U64, default=0, since=4)
    last_destroyed: int = field(U64, default=0, since=4)
    snaprealm_v2_since: int = field(U64, default=NOSNAP, since=5)
