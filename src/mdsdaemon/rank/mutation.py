"""A change of metadata: applied to the cache at once, journaled as one event.

    mut = Mutation(rank, "mkdir", stamp=now, client=4123, reqid=reqid)
    mut.link_primary(dn, inode)
    mut.inode(parent).ctime = now          # announce first, then change
    end = mut.submit()                     # the event ends there in the journal

Between the first announcement and `submit` nothing may await. A reply that is not to wait for the
event's encoding can be sent before it: `settle`, reply, `submit`.

The cache shows the change at once; who may not know of it before it is safe is told by `pos` and
`pos_client` of what changed.

What `submit` does: sums of directories, versions, dirty marks in the segment, the EMetaBlob with
the ancestors that a replay needs.

Behaviour: ceph/ceph, src/mds/MDCache.cc (predirty_journal_parents), src/mds/journal.cc,
src/mds/events/EMetaBlob.h (Pacific)
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mdsdaemon.rank.blob import BlobBuilder
from mdsdaemon.rank.cache.stats import (
    copy_frag,
    copy_nest,
    frag_to_inode,
    inode_to_frag,
    link_stats,
)
from mdsdaemon.rank.server.quota import broadcast
from mdsdaemon.types.entity import CLIENT, PeerName
from mdsdaemon.types.inode import Inode
from mdsdaemon.types.journal import EUpdate
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.session import MetaReqId

if TYPE_CHECKING:
    from typing import Any

    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore


class Mutation:
    """See the module.

    Args:
        kind: what is done, as it stands in the event (`mkdir`, `setattr`, …).
        stamp: nanoseconds since the epoch: the time of the change.
        client: the number of the client that asked for it; 0: nobody did.
        hidden: clients do not see that anything has changed: who sees it need not wait for it.
        reqid: the request, for those who ask whether it was done.

    Attributes:
        segment: of the journal, in which this change will be.
        blob: the EMetaBlob to be; its other fields are the caller's (numbers allocated and so on).
    """

    def __init__(
        self,
        rank: RankCore,
        kind: str,
        *,
        stamp: int,
        client: int = 0,
        hidden: bool = False,
        reqid: MetaReqId | None = None,
        oldest_tid: int = 0,
    ) -> None:
        self.rank = rank
        self.kind = kind
        self.stamp = stamp
        self.client = client
        self.hidden = hidden
        self.reqid = reqid
        self.segment = rank.mdlog.segment
        self._builder = BlobBuilder(self.segment, rank.mdlog.event_seq + 1)
        self.blob = self._builder.blob
        self._inodes: dict[CInode, None] = {}
        self._dentries: dict[CDentry, None] = {}
        self._dirs: dict[CDir, None] = {}
        self._limited: dict[CInode, None] = {}
        self._settled = False
        if reqid is not None:
            self.blob.client_reqs.append((reqid, oldest_tid))

    # -- announcing --------------------------------------------------------------------------

    def inode(self, inode: CInode, follows: int = NOSNAP) -> Inode:
        """What is stored of the inode is about to change: its inode_t, to be changed.

        Args:
            follows: the change was made after this snapshot and before the next; NOSNAP: after all;
                0: what snapshots show of the inode does not change.
        """
        if inode not in self._inodes:
            if self.rank.snaps.any_snapshots:
                self.rank.snaps.before_change(self, inode, follows)
            self._inodes[inode] = None
            if inode.parent is not None:
                self._dentry(inode.parent)
        return inode.inode

    def backtrace(self, inode: CInode, *, pool: bool = False) -> None:
        """The inode's place in the tree changes, or (`pool`) the pool of its data."""
        stored = self.inode(inode)
        if inode.backtrace_segment is None:
            inode.backtrace_segment = self.segment
            self.segment.dirty_backtraces.add(inode)
        inode.backtrace_pools = inode.backtrace_pools or pool
        stored.backtrace_version = -1  # that of the change: known in submit

    def new_dir(self, directory: CDir) -> None:
        """A fragment that has no object yet."""
        directory.new = directory.complete = True
        self._builder.new_dirs.add(directory)
        self._dirs[directory] = None

    def whole_dir(self, directory: CDir) -> None:
        """A fragment that is new, made of entries that are not: all of it goes into the event."""
        self.new_dir(directory)
        directory.dirty_items = {dn.key: dn for dn in directory.all_items() if not dn.is_null}
        self._builder.whole_dirs[directory] = None

    def fnode(self, directory: CDir) -> None:
        """What is stored of the fragment itself changes."""
        self._dirs[directory] = None

    def dentry(self, dn: CDentry) -> None:
        """The dentry is about to change; those announced first come first in the event."""
        self._dentry(dn)

    def snap_copy(self, dn: CDentry) -> None:
        """A dentry with an inode of its own was made for snapshots."""
        self._dentry(dn)
        if dn.inode is not None:
            self._inodes[dn.inode] = None

    def need_snapflush(self, inode: CInode) -> None:
        """Clients have yet to say what the inode, made for snapshots, was."""
        self._builder.need_snapflush.add(inode)
        self.segment.open_files.add(inode)

    # -- shape -------------------------------------------------------------------------------

    def link_primary(self, dn: CDentry, inode: CInode) -> None:
        """The null dentry becomes the inode's own."""
        self._before_relink(dn)
        self.rank.cache.link_primary(dn, inode)
        inode.first = max(inode.first, dn.first)
        # clients take what is not newer for old: an inode's version does not go back by a rename
        dn.dir.fnode.version = max(dn.dir.fnode.version, inode.inode.version)
        self.rank.openfiles.notify_link(inode)
        self._inodes[inode] = None
        link_stats(dn.dir, inode.is_dir, inode.inode, 1, self.stamp)

    def link_remote(self, dn: CDentry, ino: int, d_type: int, target: CInode | None) -> None:
        """The null dentry becomes a hard link."""
        self._before_relink(dn)
        self.rank.cache.link_remote(dn, ino, d_type, target)
        link_stats(dn.dir, False, None, 1, self.stamp)

    def unlink(self, dn: CDentry) -> CInode | None:
        """The dentry becomes null; returns the inode that it had, now without a dentry."""
        self._before_relink(dn)
        inode = dn.inode
        if not dn.is_null:
            is_dir = inode is not None and inode.is_dir
            link_stats(dn.dir, is_dir, None if inode is None else inode.inode, -1, self.stamp)
        if inode is not None:
            self.rank.openfiles.notify_unlink(inode)
        self.rank.cache.unlink(dn)
        return inode

    def _before_relink(self, dn: CDentry) -> None:
        if self.rank.snaps.any_snapshots:
            self.rank.snaps.before_relink(self, dn)
        self._dentry(dn)
        self._dirs[dn.dir] = None

    def _dentry(self, dn: CDentry) -> None:
        if dn not in self._dentries:
            self._dentries[dn] = None

    # -- the end -----------------------------------------------------------------------------

    def settle(self, *, deep: bool = False) -> None:
        """All is changed: bring sums and versions up to date.

        Then a reply can tell of it, if nothing comes between it and `submit`.

        Args:
            deep: carry sums up to the root now, not later.
        """
        self._settled = True
        self._sum_up(deep)
        self._set_versions()

    def submit(self, event: Any = None, *, deep: bool = False) -> int:
        """Settle, if that is not done, and journal the event; the position where it ends.

        Args:
            event: with a `metablob` to be filled; an EUpdate of this kind if left out.
            deep: as in `settle`.
        """
        if not self._settled:
            self.settle(deep=deep)
        self._builder.fill(self._inodes, self._dentries, self._dirs)
        if event is None:
            reqid = self.reqid or MetaReqId(PeerName(CLIENT, -1), 0)
            event = EUpdate(type=self.kind, reqid=reqid)
        event.metablob = self.blob
        if hasattr(event, "stamp"):
            event.stamp = self.stamp
        end = self.rank.mdlog.submit(event)
        self._note_position(end)
        for inode in self._limited:
            broadcast(self.rank, inode)
        return end

    def _sum_up(self, deep: bool) -> None:
        """Children to fragments to directories, and on up.

        A directory at once counts what changed in its fragments; those above it do so if they have
        not for mds_dirstat_min_interval, else when the change is carried up later.
        """
        now, interval = self.rank.now(), self._interval
        near: dict[CDir, None] = dict(self._dirs)
        for inode in self._inodes:
            if inode.parent is None or inode.last != NOSNAP:
                continue  # sums of snapshots' versions are not carried up
            if inode_to_frag(inode, inode.parent.dir):
                near[inode.parent.dir] = None
        waiting = deque(near)
        while waiting:
            directory = waiting.popleft()
            if not frag_to_inode(directory, probe=True):
                continue
            inode = directory.inode
            if not deep and directory not in near and now - directory.summed < interval:
                self._pending(inode)
                continue
            self.inode(inode)
            frag_to_inode(directory)
            directory.summed = now
            self._check_sums(directory)
            if inode.inode.quota.is_enabled:
                self._limited[inode] = None
            self._dirs[directory] = None
            if inode.parent is not None and inode_to_frag(inode, inode.parent.dir):
                waiting.append(inode.parent.dir)

    @property
    def _interval(self) -> int:
        return int(self.rank.config.get_float("mds_dirstat_min_interval") * 1e9)

    def _check_sums(self, directory: CDir) -> None:
        """A directory of one fragment has what that has; if they differ, the fragment is right."""
        if directory.frag.enc:
            return
        fnode, stored = directory.fnode, directory.inode.inode
        clog, where = self.rank.services.clog, directory.dirfrag
        if stored.dirstat.size != fnode.fragstat.size:
            clog.error(
                f"unmatched fragstat size on single dirfrag {where}, inode has {stored.dirstat}, "
                f"dirfrag has {fnode.fragstat}"
            )
            copy_frag(stored.dirstat, fnode.fragstat)
        if stored.rstat.rbytes != fnode.rstat.rbytes:
            clog.error(
                f"unmatched rstat rbytes on single dirfrag {where}, inode has {stored.rstat}, "
                f"dirfrag has {fnode.rstat}"
            )
            copy_nest(stored.rstat, fnode.rstat)
            stored.rstat.rsubdirs += 1  # itself
            if directory.inode.snaprealm_blob:
                realm = self.rank.snaps.realm_of(directory.inode)
                stored.rstat.rsnaps += len(realm.node.snaps)

    def _pending(self, inode: CInode) -> None:
        """The sums of this directory have not reached the root."""
        if inode.nest_segment is None:
            inode.nest_segment = self.segment
            self.segment.dirty_nests.add(inode)

    def _set_versions(self) -> None:
        for dn in self._dentries:
            directory = dn.dir
            self._dirs[directory] = None
            directory.fnode.version += 1
            dn.version = directory.fnode.version
            directory.mark_dirty(self.segment, dn)
        touched = {dn.dir for dn in self._dentries}
        for directory in self._dirs:
            if directory not in touched:
                directory.fnode.version += 1
                directory.mark_dirty(self.segment)
        for inode in self._inodes:
            stored = inode.inode
            if inode.parent is not None:
                stored.version = inode.parent.version
            else:
                stored.version += 1
                if inode.is_base and inode.base_segment is None:
                    inode.base_segment = self.segment
                    self.segment.dirty_bases.add(inode)
            if stored.backtrace_version == -1:
                stored.backtrace_version = stored.version

    def _note_position(self, end: int) -> None:
        safe, client = self.rank.mdlog.safe_pos, self.client
        for group in (self._inodes, self._dentries, self._dirs):
            for thing in group:
                if thing.pos <= safe:
                    thing.pos_client = client
                elif thing.pos_client != client and not self.hidden:
                    thing.pos_client = 0  # several clients' changes are under way
                thing.pos = end
