"""What could not be read: fragments, dentries and backtraces that answer EIO until they are mended.

Behaviour: ceph/ceph, src/mds/DamageTable.h and .cc (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define

from mdsdaemon.rank.cache.fragtree import WHOLE
from mdsdaemon.rank.cache.inode import MDSDIR, NUM_STRAY, ROOT, STRAY
from mdsdaemon.types.osd import NOSNAP

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.types.frag import Frag

DIRFRAG, DENTRY, BACKTRACE = "dir_frag", "dentry", "backtrace"


@define(eq=False)
class DamageEntry:
    """One damage. `path` is for people; `frag`, `name` and `snapid` mean something by `kind`."""

    id: int
    kind: str
    ino: int
    path: str
    frag: Frag = WHOLE
    name: str = ""
    snapid: int = NOSNAP

    @property
    def key(self) -> tuple[Any, ...]:
        return self.kind, self.ino, self.frag.enc, self.name, self.snapid

    def dump(self) -> dict[str, Any]:
        """As `damage ls` shows it."""
        shown: dict[str, Any] = {"damage_type": self.kind, "id": self.id, "ino": self.ino}
        if self.kind != BACKTRACE:
            shown["frag"] = str(self.frag)
        if self.kind == DENTRY:
            shown["dname"] = self.name
            shown["snap_id"] = "head" if self.snapid == NOSNAP else f"{self.snapid:x}"
        return shown | {"path": self.path}


class DamageTable:
    """All damage that is known.

    Attributes:
        on_removed: called with each entry that an administrator takes out.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.on_removed: list[Callable[[DamageEntry], None]] = []
        self._by_id: dict[int, DamageEntry] = {}
        self._by_key: dict[tuple[Any, ...], DamageEntry] = {}

    # -- noting ------------------------------------------------------------------------------

    def note_dirfrag(self, ino: int, frag: Frag, path: str) -> bool:
        """A fragment cannot be read; whether the rank cannot live with that."""
        fatal = self._is_stray_dir(ino) or ino == ROOT
        return fatal or self._note(DIRFRAG, ino, path, frag)

    def note_dentry(self, ino: int, frag: Frag, name: str, snapid: int, path: str) -> bool:
        """A dentry cannot be read; whether the rank cannot live with that."""
        fatal = self._is_stray_dir(ino) or ino == MDSDIR + self.rank.whoami
        return fatal or self._note(DENTRY, ino, path, frag, name, snapid)

    def note_backtrace(self, ino: int, path: str) -> bool:
        """An inode cannot be found by its number; whether the rank cannot live with that."""
        return self._note(BACKTRACE, ino, path)

    def _is_stray_dir(self, ino: int) -> bool:
        first = STRAY + NUM_STRAY * self.rank.whoami
        return first <= ino < first + NUM_STRAY

    def _note(
        self,
        kind: str,
        ino: int,
        path: str,
        frag: Frag = WHOLE,
        name: str = "",
        snapid: int = NOSNAP,
    ) -> bool:
        if len(self._by_id) > self.rank.config.get_int("mds_damage_table_max_entries"):
            return True
        entry = DamageEntry(0, kind, ino, path, frag, name, snapid)
        if entry.key not in self._by_key:
            while not entry.id or entry.id in self._by_id:
                entry.id = self.rank.host.random_u32()
            self._by_id[entry.id] = self._by_key[entry.key] = entry
        return False

    # -- asking ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_id)

    def is_dentry(self, ino: int, frag: Frag, name: str, snapid: int = NOSNAP) -> bool:
        """Whether the dentry that is stored with `snapid` as its last snapshot is damaged."""
        return (DENTRY, ino, frag.enc, name, snapid) in self._by_key

    def any_dentry(self, ino: int, frag: Frag) -> bool:
        """Whether a fragment has a damaged dentry."""
        return any(
            (entry.kind, entry.ino, entry.frag) == (DENTRY, ino, frag)
            for entry in self._by_id.values()
        )

    def is_backtrace(self, ino: int) -> bool:
        """Whether an inode is known not to be found by its number."""
        return (BACKTRACE, ino, 0, "", NOSNAP) in self._by_key

    def dump(self) -> list[dict[str, Any]]:
        """All entries, as `damage ls` shows them: by id."""
        return [self._by_id[number].dump() for number in sorted(self._by_id)]

    # -- forgetting --------------------------------------------------------------------------

    def remove(self, number: int) -> bool:
        """Forget an entry by its id; False if there is none. Ceph says 0 to both."""
        entry = self._by_id.pop(number, None)
        if entry is None:
            return False
        del self._by_key[entry.key]
        for told in self.on_removed:
            told(entry)
        return True
