"""What is known of clients' capabilities, and what they are told of them.

Behaviour: ceph/ceph, src/mds/CInode.cc (encode_cap_message, get_caps_allowed_for_client,
get_caps_issued, get_caps_wanted), src/mds/Locker.cc (share_inode_max_size) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.rank.cache.inode import ROOT
from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.capability import Capability
from mdsdaemon.rank.locks.inode_locks import InodeLocks
from mdsdaemon.types.client_caps import (
    CAP_ANY_DIR_OPS,
    CAP_FILE_BUFFER,
    CAP_FILE_RD,
    CAP_FILE_WR,
    CAP_XATTR_SHARED,
)
from mdsdaemon.types.client_ops import CapOp
from mdsdaemon.types.client_stat import encode_xattrs
from mdsdaemon.types.features import FS_FILE_LAYOUT_V2, MDS_INLINE_DATA, has
from mdsdaemon.types.inode import INLINE_NONE

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.waiting import Gate

COUNTERS: dict[int, str] = {
    CapOp.GRANT: "ceph_cap_op_grant",
    CapOp.IMPORT: "ceph_cap_op_grant",
    CapOp.REVOKE: "ceph_cap_op_revoke",
    CapOp.TRUNC: "ceph_cap_op_trunc",
}


class CapState:
    """See the module.

    Attributes:
        num_caps, num_inodes_with_caps: how many there are.
        revoking: capabilities that clients were told to give back, the longest asked for first.
        opened: inodes that clients have open, as the open file table knows.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.last_cap_id = 0
        self.num_caps = 0
        self.caps_added = 0
        self.num_inodes_with_caps = 0
        self.revoking: dict[Capability, None] = {}
        self.opened: set[CInode] = set()

    # -- capabilities and locks of an inode ---------------------------------------------------

    def locks_of(self, inode: CInode) -> InodeLocks:
        """The inode's locks, made if all were at rest."""
        locks: InodeLocks | None = inode.locks
        if locks is None:
            locks = inode.locks = InodeLocks(is_dir=inode.is_dir, delegation=inode.is_base)
        return locks

    def gate(self, inode: CInode) -> Gate:
        """Opens when the inode's locks have changed."""
        locks = self.locks_of(inode)
        if locks.gate is None:
            locks.gate = self.rank.queue.gate()
        return locks.gate

    def issued(self, inode: CInode, client: int) -> int:
        """Bits that the client may have."""
        cap = inode.caps.get(client) if inode.caps else None
        return 0 if cap is None else cap.issued

    def issued_to_all(self, inode: CInode) -> int:
        """Bits that some client may have."""
        issued = 0
        for cap in (inode.caps or {}).values():
            issued |= cap.issued
        return issued

    def is_any_wanted(self, inode: CInode) -> bool:
        """Whether some client wishes for a capability."""
        return any(cap.wanted for cap in (inode.caps or {}).values())

    def allowed(self, inode: CInode, cap: Capability) -> int:
        """Bits that this client may have as the locks are."""
        locks: InodeLocks | None = inode.locks
        allowed = st.ALLOWED_AT_REST if locks is None else locks.allowed_for(cap.client)
        stored = inode.inode
        if inode.is_dir:
            return allowed & ~CAP_ANY_DIR_OPS
        if stored.inline_data.version != INLINE_NONE or stored.layout.pool_ns:
            con = cap.session.connection
            features = 0 if con is None else con.features
            no_inline = stored.inline_data.version != INLINE_NONE and not has(
                features, MDS_INLINE_DATA
            )
            if no_inline or (stored.layout.pool_ns and not has(features, FS_FILE_LAYOUT_V2)):
                allowed &= ~(CAP_FILE_RD | CAP_FILE_WR)
        return allowed

    # -- messages -----------------------------------------------------------------------------

    def realm_ino(self, inode: CInode) -> int:
        """The directory of the snapshot realm that the inode is in."""
        realm = self.rank.snaps.realm_of(inode)
        return ROOT if realm is None else realm.ino

    def cap_message(self, cap: Capability, op: int, caps: int, wanted: int) -> MClientCaps:
        """A message about a capability, with the attributes that go with it."""
        inode = cap.inode
        stored = inode.inode
        msg = MClientCaps(
            op,
            inode.ino,
            self.realm_ino(inode),
            cap.cap_id,
            cap.last_sent,
            0,
            caps,
            wanted,
            0,
            cap.mseq,
            uid=stored.uid,
            gid=stored.gid,
            mode=stored.mode,
            nlink=stored.nlink & 0xFFFFFFFF,
            size=stored.size,
            max_size=self.max_size_for(inode, cap.client),
            truncate_size=stored.truncate_size,
            truncate_seq=stored.truncate_seq,
            mtime=stored.mtime,
            atime=stored.atime,
            ctime=stored.ctime,
            layout=stored.layout,
            pool_ns=stored.layout.pool_ns,
            time_warp_seq=stored.time_warp_seq,
            change_attr=stored.change_attr,
            btime=stored.btime,
            nfiles=stored.dirstat.nfiles,
            nsubdirs=stored.dirstat.nsubdirs,
            inline_version=0,
            osd_epoch_barrier=self.rank.osd_epoch_barrier,
        )
        inline = stored.inline_data
        if cap.inline_version < inline.version:
            msg.inline_version = cap.inline_version = inline.version
            msg.inline_data = inline.data
        if cap.pending & CAP_XATTR_SHARED and stored.xattr_version > cap.xattr_version:
            msg.middle = encode_xattrs(inode.xattrs)
            msg.xattr_len = len(msg.middle)
            msg.xattr_version = cap.xattr_version = stored.xattr_version
        return msg

    def _send_caps(self, cap: Capability, op: int, caps: int, wanted: int) -> None:
        """Tell the client; not before what it is told of is safe."""
        session = cap.session
        msg = self.cap_message(cap, op, caps, wanted)
        self.rank.counters.mds.inc(COUNTERS[op])
        session.send(msg, after=self.rank.sessions.must_follow(cap.client, cap.inode))

    def max_size_for(self, inode: CInode, client: int) -> int:
        """Up to where the client may write: only what is safe in the journal.

        Else nobody would look for what it has written there.
        """
        held = inode.inode.client_ranges.get(client)
        if held is None:
            return 0
        cap: Capability | None = inode.caps.get(client) if inode.caps else None
        if cap is None:
            return held.last
        if inode.pos <= self.rank.mdlog.safe_pos:
            cap.safe_max = held.last
        elif cap.safe_max < held.last and not cap.share_due:
            cap.share_due = True
            self.rank.mdlog.when_safe(inode.pos, lambda: self._share_later(cap))
        return min(held.last, cap.safe_max)

    def _share_later(self, cap: Capability) -> None:
        """What the client was told too little of is safe."""
        cap.share_due = False
        caps = cap.inode.caps
        if caps is not None and caps.get(cap.client) is cap:
            self.share_max_size(cap.inode, cap)

    def share_max_size(self, inode: CInode, only: Capability | None = None) -> None:
        """Tell those who may write how far (and the size and times of the file)."""
        caps = (only,) if only is not None else tuple((inode.caps or {}).values())
        for cap in caps:
            if not cap.suppress and cap.pending & (CAP_FILE_WR | CAP_FILE_BUFFER):
                cap.issue(cap.pending, revalidate=False)
                self._send_caps(cap, CapOp.GRANT, cap.pending, cap.wanted)
