"""What of the objects lies on the disk only: chunks and omaps, brought in when they are needed.

Chunks that were written and committed, or read, stay in memory up to a budget, the latest used
last to go.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.storage import StorageError
from mdsdaemon.embedded.store.records import CHUNK_KEY, DATA, NUMBER, OMAP
from mdsdaemon.errors import ExitStatus

if TYPE_CHECKING:
    from mdsdaemon.embedded.storage import Storage
    from mdsdaemon.embedded.store.content import Content

DEFAULT_BUDGET: Final = 256 << 20
"""Bytes of data that stay in memory."""


class StorageBacking:
    """See the module.

    Attributes:
        committed: the number of the last commit that is over: what later ones wrote must stay.
    """

    def __init__(self, storage: Storage, budget: int = DEFAULT_BUDGET) -> None:
        self.storage = storage
        self.budget = budget
        self.committed = 0
        self._resident: OrderedDict[tuple[int, int], tuple[Content, int, int]] = OrderedDict()
        self._size = 0

    def load_chunk(self, content: Content, index: int) -> bytes:
        """A chunk from the disk; StorageError if it is not there or damaged."""
        key = CHUNK_KEY.pack(content.number, index)
        chunk = self.storage.get(DATA, key)
        if chunk is None:
            raise StorageError(
                f"the store is damaged: chunk {index} of content {content.number} is missing",
                ExitStatus.DATA,
                "restore the folder from a copy, or start with another one",
            )
        self._note(content, index, len(chunk), 0)
        return chunk

    def load_omap(self, content: Content) -> dict[bytes, bytes]:
        """An omap from the disk."""
        prefix = NUMBER.pack(content.number)
        return {key[8:]: value for key, value in self.storage.items(OMAP, prefix)}

    def written(self, content: Content, index: int, sequence: int) -> None:
        """A chunk was changed in the commit `sequence`."""
        chunk = content.chunks.get(index)
        if chunk is None:
            self._forget(content.number, index)
        else:
            self._note(content, index, len(chunk), sequence)

    def moved(self, old: Content, new: Content) -> None:
        """`new` continues the records of `old`, which is a snapshot's from now on."""
        for index in new.chunks:
            entry = self._resident.get((old.number, index))
            if entry is not None:
                self._resident[old.number, index] = (new, *entry[1:])

    def dropped(self, content: Content) -> None:
        """The content is gone."""
        for index in content.chunks:
            self._forget(content.number, index)

    def shrink(self) -> None:
        """Let go of chunks beyond the budget."""
        resident = self._resident
        for _ in range(len(resident) if self._size > self.budget else 0):
            if self._size <= self.budget:
                return
            (number, index), entry = resident.popitem(last=False)
            content, size, sequence = entry
            if sequence > self.committed:
                resident[number, index] = entry
                continue
            self._size -= size
            if content.chunks.get(index) is not None:
                content.chunks[index] = None

    def _note(self, content: Content, index: int, size: int, sequence: int) -> None:
        self._forget(content.number, index)
        self._resident[content.number, index] = (content, size, sequence)
        self._size += size

    def _forget(self, number: int, index: int) -> None:
        entry = self._resident.pop((number, index), None)
        if entry is not None:
            self._size -= entry[1]
