"""OpenFileTable: which inodes clients have open, kept so that a successor finds them at once.

An anchor for each inode that clients have capabilities on, and for each directory above; saved now
and then, as of a segment of the journal. Losing it costs time only: it is read leniently.

Format: ceph/ceph, src/mds/OpenFileTable.cc, src/mds/mdstypes.h (Anchor) (Pacific)
Behaviour: ceph/ceph, src/mds/OpenFileTable.cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from attrs import define

from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.encoding import DecodeError
from mdsdaemon.rank.cache.inode import DT_DIR
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.tables.openfiles_format import Anchor
from mdsdaemon.rank.tables.openfiles_load import load_table
from mdsdaemon.rank.tables.openfiles_save import TableWriter
from mdsdaemon.rank.tables.saving import SaveQueue
from mdsdaemon.rank.waiting import side_by_side, until_done

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore


@define(eq=False, slots=True)
class Tracked:
    """An inode that the table has: how many reasons there are, and where it was written last."""

    refs: int
    dirino: int
    name: str
    d_type: int


class OpenFileTable:
    """See the module.

    Attributes:
        committed_log_seq, committing_log_seq: the segments as of which it is saved, is being saved.
        loaded: what a predecessor had open, until it was opened here.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.committed_log_seq = 0
        self.committing_log_seq = 0
        self.loaded: dict[int, Anchor] = {}
        self._tracked: dict[int, Tracked] = {}
        self._dirty: set[int] = set()
        self._destroyed: dict[int, list[int]] = {}
        self._writer = TableWriter(rank)
        self._saving = SaveQueue(rank)

    # -- what is open ------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._tracked)

    @property
    def is_dirty(self) -> bool:
        """Whether something has changed since it was saved."""
        return bool(self._dirty)

    def is_tracked(self, inode: CInode) -> bool:
        return inode.ino in self._tracked

    def add_inode(self, inode: CInode) -> None:
        """A client has the first capability on an inode."""
        at: CInode | None = inode
        while at is not None:
            known = self._tracked.get(at.ino)
            if known is not None:
                known.refs += 1
                return
            dn = at.parent
            above = None if dn is None else dn.dir.inode
            self._tracked[at.ino] = Tracked(
                1, 0 if above is None else above.ino, "" if dn is None else dn.name, at.d_type
            )
            self._dirty.add(at.ino)
            at = above

    def remove_inode(self, inode: CInode) -> None:
        """The last capability on an inode is gone."""
        self._put(inode.ino)

    def _put(self, ino: int) -> None:
        while ino:
            known = self._tracked.get(ino)
            if known is None:
                return
            known.refs -= 1
            if known.refs:
                return
            del self._tracked[ino]
            self._dirty.add(ino)
            ino = known.dirino

    def notify_link(self, inode: CInode) -> None:
        """An inode has got a dentry; it may be in the table."""
        known = self._tracked.get(inode.ino)
        dn = inode.parent
        if known is None or dn is None:
            return
        before = known.dirino
        known.dirino, known.name = dn.dir.inode.ino, dn.name
        self._dirty.add(inode.ino)
        self.add_inode(dn.dir.inode)
        self._put(before)

    def notify_unlink(self, inode: CInode) -> None:
        """An inode is about to lose its dentry; it may be in the table."""
        known = self._tracked.get(inode.ino)
        if known is None or not known.dirino:
            return
        before = known.dirino
        known.dirino, known.name = 0, ""
        self._dirty.add(inode.ino)
        self._put(before)

    def note_destroyed(self, seq: int, inos: Iterable[int]) -> None:
        """These inodes ceased to exist by an event of this segment: nobody can open them."""
        self._destroyed.setdefault(seq, []).extend(inos)

    def trim_destroyed(self, seq: int) -> None:
        """Segments before this one are gone."""
        for old in [at for at in self._destroyed if at < seq]:
            del self._destroyed[old]

    def clean_lists(self) -> None:
        """The rank is active: what a predecessor had open is open here, or is not any more."""
        self._destroyed.clear()

    # -- saving ------------------------------------------------------------------------------

    def create(self) -> None:
        """An empty table; its object is made when there is something in it."""
        self._tracked.clear()
        self._dirty.clear()
        self.loaded.clear()
        self._writer.reset()
        self.committed_log_seq = self.committing_log_seq = 0

    async def commit(self, seq: int) -> None:
        """Save it as of now; the journal has a newer segment than all before `seq`.

        Raises:
            RadosError: it could not be written.
        """
        seq = max(seq, self.committing_log_seq)
        self.committing_log_seq = seq
        changes = self._changes()

        async def store() -> None:
            await self._writer.write(changes)
            self.committed_log_seq = max(self.committed_log_seq, seq)

        await self._saving.run(store)
        self.trim_destroyed(seq)

    def _changes(self) -> dict[int, Anchor | None]:
        """What has to be written, None: removed. The first time also what was loaded and is gone,
        and not what was loaded and is the same.
        """
        dirty, self._dirty = self._dirty, set()
        loaded, self.loaded = self.loaded, {}
        dirty |= set(loaded)
        changes: dict[int, Anchor | None] = {}
        for ino in dirty:
            known = self._tracked.get(ino)
            anchor = None if known is None else Anchor(ino, known.dirino, known.name, known.d_type)
            if anchor is None or loaded.get(ino) != anchor:
                changes[ino] = anchor
        return changes

    # -- loading -----------------------------------------------------------------------------

    async def load(self) -> None:
        """Read what a predecessor had open; whatever cannot be read counts as nothing."""
        rank = self.rank
        try:
            table = await load_table(rank)
        except (RadosError, DecodeError) as exc:
            if isinstance(exc, RadosError) and exc.errno == EBLOCKLISTED:
                rank.handle_write_error(exc)
                return
            rank.log.info("the table of open files is not used: %s", exc)
            self._writer.reset()
            return
        self.loaded = table.anchors
        self._writer.take(table)

    async def prefetch(self) -> None:
        """Bring what a predecessor had open into the cache: directories first, then files."""
        destroyed = {ino for inos in self._destroyed.values() for ino in inos}
        wanted = [anchor for ino, anchor in sorted(self.loaded.items()) if ino not in destroyed]
        rank = self.rank
        for dirs, pool in ((True, rank.metadata_pool), (False, rank.default_data_pool)):
            inos = [a.ino for a in wanted if (a.d_type == DT_DIR) is dirs and not _is_base(a.ino)]
            await side_by_side(partial(self._open, pool), inos)

    async def _open(self, pool: int, ino: int) -> None:
        try:
            await until_done(lambda: self.rank.store.need_inode(ino, pool))
        except FsError as exc:
            self.rank.log.debug("inode %#x was open and is not found: %s", ino, exc)


def _is_base(ino: int) -> bool:
    return ino < 0x700
