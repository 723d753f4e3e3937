"""A table: a small state in one object, with a version; whole in memory, stored as a whole.

A change bumps `version` and is journaled at once; `save` stores what the journal has already.

Format: ceph/ceph, src/mds/MDSTable.cc (Pacific): u64 version, then the state
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from mdsdaemon.clients.objecter_errors import EBLOCKLISTED, RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import U64, DecodeError, decode, encode
from mdsdaemon.rank.tables.saving import SaveQueue

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore


class MDSTable(ABC):
    """See the module.

    Attributes:
        name: of the table, as segments note it.
        version: counts the changes; committed_version is that of the object in RADOS.
    """

    name = ""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.version = 0
        self.committed_version = 0
        self._saving = SaveQueue(rank)

    @property
    def object_name(self) -> str:
        """Its object in the metadata pool."""
        return f"mds{self.rank.whoami}_{self.name}"

    # -- loading and saving ------------------------------------------------------------------

    def create(self) -> None:
        """The state of a new file system, to be saved."""
        self.reset()
        self.version = 0
        self.committed_version = 0

    async def load(self) -> None:
        """Read it.

        Raises:
            RadosError: it could not be read or is corrupt: the rank knows that it is damaged, or
                respawns.
        """
        op = ObjectOperation()
        data = op.read(0, 0)
        where = self.object_name
        try:
            result = await self.rank.objecter.operate(self.rank.metadata_pool, where, op)
            raw = result[data]
        except RadosError as exc:
            raise unreadable(
                self.rank, f"error reading table object '{where}': {exc}", exc
            ) from exc
        try:
            if len(raw) < 8:
                raise DecodeError(type(self).__name__, "version", 0, f"{len(raw)} bytes")
            version = decode(U64, raw[:8])
            self.decode_state(raw[8:])
        except DecodeError as exc:
            error = RadosError(errno.EIO, where, "", f"is corrupt: {exc}")
            what = f"error decoding table object '{where}': {exc}"
            raise unreadable(self.rank, what, error) from exc
        self.version = self.committed_version = version

    async def save(self) -> None:
        """Store the present state, once the journal has it.

        Raises:
            RadosError: the object could not be written.
        """
        version = self.version
        data = encode(U64, version) + self.encode_state()

        async def store() -> None:
            op = ObjectOperation().write_full(data)
            await self.rank.objecter.operate(self.rank.metadata_pool, self.object_name, op)
            self.committed_version = version

        await self._saving.run(store)

    # -- the state ---------------------------------------------------------------------------

    @abstractmethod
    def reset(self) -> None:
        """The state of a new table."""

    @abstractmethod
    def encode_state(self) -> bytes:
        """The state as it is stored."""

    @abstractmethod
    def decode_state(self, data: bytes) -> None:
        """Take a stored state; raises DecodeError with nothing changed."""


def unreadable(rank: RankCore, what: str, error: RadosError) -> RadosError:
    """A table cannot be had: the rank is damaged, or (fenced) respawns. Returns `error`."""
    if error.errno == EBLOCKLISTED:
        rank.handle_write_error(error)
    else:
        rank.damaged(what)
    return error
