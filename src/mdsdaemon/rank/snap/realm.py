"""Snapshot realms: a directory whose snapshots hold for all that is below it.

Root and mdsdir always are realms; any other directory is one once it had a snapshot, or was moved
away from under one.

Behaviour: ceph/ceph, src/mds/SnapRealm.cc, src/mds/CInode.cc (open_snaprealm) (Pacific)
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from mdsdaemon.encoding import decode
from mdsdaemon.messages.client_reply import encode_snap_trace
from mdsdaemon.types.snap import SnapContext, SnapRealm, SnapRealmInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.snap.snaps import Snaps

FIRST_SEQ = 1
"""The seq of a base realm that never had a snapshot."""


class Realm:
    """A realm that is open.

    Attributes:
        inode: where it begins. node: what is stored of it.
        blob: of the inode, from which `node` was read.
    """

    __slots__ = ("blob", "inode", "node", "snaps")

    def __init__(self, snaps: Snaps, inode: CInode) -> None:
        self.snaps = snaps
        self.inode = inode
        self.blob = inode.snaprealm_blob
        self.node = (
            decode(SnapRealm, self.blob, partial=True) if self.blob else SnapRealm(seq=FIRST_SEQ)
        )

    @property
    def ino(self) -> int:
        return self.inode.ino

    @property
    def parent(self) -> Realm | None:
        """The realm around it."""
        dn = self.inode.parent
        return None if dn is None else self.snaps.realm_of(dn.dir.inode)

    @property
    def is_parent_global(self) -> bool:
        """A hard link has made all snapshots of the file system hold for it."""
        return bool(self.node.flags & SnapRealm.PARENT_GLOBAL)

    def newest_seq(self) -> int:
        """The number of the newest change of snapshots that concerns it."""
        return self._gather()[0]

    def get_snaps(self) -> list[int]:
        """The snapshots that hold for it, in order."""
        return self._gather()[1]

    def snap_context(self) -> SnapContext:
        """For writes of files in it."""
        seq, snaps = self._gather()
        return SnapContext(seq, snaps[::-1])

    def _gather(self) -> tuple[int, list[int]]:
        node = self.node
        table = self.snaps.table.state
        if self.is_parent_global:
            seq = max(table.last_created, table.last_destroyed)
        else:
            seq = node.seq
        snaps = set(node.snaps)
        past = self.snaps.existing(node.past_parent_snaps)
        if past:
            seq = max(seq, past[-1])
            snaps.update(past)
        parent = self.parent
        if self.is_parent_global:
            everything = sorted(table.snaps)
            snaps.update(everything[bisect.bisect_left(everything, node.current_parent_since) :])
        elif parent is not None:
            parent_seq, parent_snaps = parent._gather()
            if parent_seq >= node.current_parent_since:
                at = bisect.bisect_left(parent_snaps, node.current_parent_since)
                snaps.update(parent_snaps[at:])
                seq = max(seq, parent_seq)
        return seq, sorted(snaps)

    def infos(self) -> list[SnapRealmInfo]:
        """As clients are told of it: the realm, and those around it."""
        node = self.node
        info = SnapRealmInfo(
            ino=self.ino,
            created=node.created,
            seq=node.seq,
            parent_since=node.current_parent_since,
            my_snaps=sorted(node.snaps, reverse=True),
        )
        parent = self.parent
        if parent is None:
            return [info]
        info.parent = parent.ino
        info.prior_parent_snaps = self.snaps.existing(node.past_parent_snaps)[::-1]
        return [info, *parent.infos()]

    def trace(self) -> bytes:
        """`infos` as it is sent."""
        return encode_snap_trace(self.infos())
