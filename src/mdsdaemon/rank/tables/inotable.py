"""InoTable: which inode numbers are free.

Numbers are taken and given back at once, in memory; the event that uses them is journaled in the
same stretch and says which version of the table follows.

Format: ceph/ceph, src/mds/InoTable.h (Pacific)
Behaviour: ceph/ceph, src/mds/InoTable.cc, src/mds/Server.cc (prepare_new_inode,
journal_allocated_inos, apply_allocated_inos) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mdsdaemon.encoding import ALL_FEATURES, DecodeError, decode, encode
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.tables.intervals import Intervals
from mdsdaemon.rank.tables.table import MDSTable
from mdsdaemon.types.interval_set import normalised
from mdsdaemon.types.journal_store import InoTableState

if TYPE_CHECKING:
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.session import Session

RANGE = 1 << 40
"""Rank n has the numbers from (n + 1) * RANGE on, as many as that."""

LOST_AT_RESET = 10_000_000
"""Numbers that are given up when the journal was reset: they may be in use."""


class InoTable(MDSTable):
    """See the module."""

    name = "inotable"

    def __init__(self, rank: Any) -> None:
        super().__init__(rank)
        self.free = Intervals()
        self._tail = b""

    def reset(self) -> None:
        self.free = Intervals({(self.rank.whoami + 1) * RANGE: RANGE})

    def encode_state(self) -> bytes:
        state = InoTableState(self.free.as_dict())
        if self._tail:
            state.wire_tail = self._tail  # type: ignore[attr-defined]
        return encode(InoTableState, state, ALL_FEATURES)

    def decode_state(self, data: bytes) -> None:
        state = decode(InoTableState, data, partial=True)
        if any(start + length > 1 << 64 for start, length in state.free.items()):
            raise DecodeError("InoTable", "free", 0, "an interval beyond the last number")
        self.free = Intervals(normalised(state.free.items()))
        self._tail = getattr(state, "wire_tail", b"")

    # -- taking numbers ----------------------------------------------------------------------

    def take_ino(self, mut: Mutation, session: Session | None, wanted: int = 0) -> int:
        """The number of an inode that `mut` makes; the blob says where it came from.

        From what the session has, if it is open, else from the table; the session's stock is filled
        up when it is half empty. Called once in a mutation, right before its `submit`.

        Args:
            session: whose client makes the inode; None: nobody's.
            wanted: the number that the client has used already (of a replayed or async request).

        Raises:
            FsError: ENOSPC: no number is free; EINVAL: `wanted` is not free. Nothing was changed.
        """
        rank = self.rank
        blob = mut.blob
        open_session = session if session is not None and session.is_open() else None
        ino = open_session.take_ino(wanted) if open_session is not None else 0
        if ino and open_session is not None:
            open_session.prealloc_inos.erase(ino)
            blob.used_preallocated_ino = ino
        else:
            ino = blob.allocated_ino = self.alloc(wanted)
        if open_session is not None:
            stock = rank.config.get_int("mds_client_prealloc_inos")
            if open_session.free_prealloc_inos.size < stock // 2:
                self._fill_up(mut, open_session, stock)
            if blob.used_preallocated_ino:
                rank.sessionmap.mark_dirty(open_session, may_save=not blob.preallocated_inos)
        if session is not None:
            blob.client_name = session.name
            blob.sessionmapv = rank.sessionmap.version
            mut.segment.note_table("sessionmap", blob.sessionmapv)
        blob.inotablev = self.version
        mut.segment.note_table("inotable", self.version)
        return ino

    def _fill_up(self, mut: Mutation, session: Session, stock: int) -> None:
        given = self.free.take(stock - session.free_prealloc_inos.size)
        if not given:
            return
        self.version += 1
        for start, length in given.items():
            session.prealloc_inos.insert(start, length)
            session.free_prealloc_inos.insert(start, length)
        mut.blob.preallocated_inos = given
        self.rank.sessionmap.mark_dirty(session, may_save=False)

    def alloc(self, wanted: int = 0) -> int:
        """Take one number.

        Raises:
            FsError: ENOSPC, EINVAL.
        """
        if not self.free:
            raise FsError(errno.ENOSPC, "there are no free inode numbers")
        if wanted and wanted not in self.free:
            raise FsError(errno.EINVAL, f"inode number {wanted:#x} is not free")
        ino = wanted or self.free.first
        self.free.erase(ino)
        self.version += 1
        return ino

    def release(self, inos: Mapping[int, int]) -> int:
        """These are free again; the version after that."""
        self.free.union(inos)
        self.version += 1
        return self.version

    # -- replay: only of events that are newer than the table ----------------------------------

    def replay_alloc_id(self, ino: int) -> None:
        """An event has taken a number."""
        self.replay_alloc_ids({ino: 1})

    def replay_alloc_ids(self, inos: Mapping[int, int]) -> None:
        """An event has taken numbers for a session."""
        there = self.free.intersection(inos)
        if there.size != sum(inos.values()):
            self.rank.services.clog.error(
                f"journal replay alloc {Intervals(inos)}, only {there} is in free {self.free}"
            )
        self.free.subtract(inos)
        self.version += 1

    def replay_release_ids(self, inos: Mapping[int, int]) -> None:
        """An event has given numbers back."""
        self.free.union(inos)
        self.version += 1

    def force_replay_version(self, version: int) -> None:
        """The journal knows better."""
        self.version = version

    def replay_reset(self) -> None:
        """The journal was reset: give up numbers that it might have used."""
        self.skip_inos(LOST_AT_RESET)

    # -- repair ------------------------------------------------------------------------------

    def skip_inos(self, count: int) -> None:
        """Give up the lowest `count` numbers, counted from the first free one."""
        if self.free and count > 0:
            self.free.subtract({self.free.first: count})
        self.version += 1

    def is_marked_free(self, ino: int) -> bool:
        return ino in self.free

    def intersects_free(self, inos: Mapping[int, int]) -> Intervals:
        """Which of these are free."""
        return self.free.intersection(inos)

    def repair(self, ino: int) -> bool:
        """A number that is in use was marked free: take it; whether it was so."""
        if ino not in self.free:
            return False
        self.free.erase(ino)
        self.version += 1
        return True

    def dump(self) -> dict[str, Any]:
        """As cephfs-table-tool shows it."""
        free = [{"start": start, "len": length} for start, length in self.free]
        return {"inotable": {"projected_free": free, "free": list(free)}}
