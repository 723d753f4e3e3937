"""What an object holds: data in chunks, attributes, and the sorted key-value map (omap).

A content may be shared: by the head and a clone of it, or by the present state and a snapshot of
the whole store. Whoever changes one has to own it; see `Content.owner`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CHUNK: Final = 32768
"""Bytes of an object's data that are kept, copied and stored together."""
FROZEN: Final = -1
"""The owner of a content that is never changed again, because more than one object state has it."""


class Backing(Protocol):
    """Where the parts of a content lie that are not in memory."""

    def load_chunk(self, content: Content, index: int) -> bytes: ...

    def load_omap(self, content: Content) -> dict[bytes, bytes]: ...


class Touched:
    """Which parts of a content changed since its records were last made."""

    __slots__ = ("chunks", "everything", "omap")

    def __init__(self) -> None:
        self.chunks: set[int] = set()
        self.omap: set[bytes] = set()
        self.everything = False


class Content:
    """Data, attributes and omap of an object or a clone.

    Attributes:
        chunks: data by index; a chunk that is missing, or shorter than `CHUNK`, goes on with
            zeros; None stands for one that lies in the backing.
        xattrs: without the "_" that Ceph puts before users' names.
        omap: None while it lies in the backing; see `omap_values`.
        owner: the generation of the store that may change this, or `FROZEN`.
        number: by which the backing knows it.
        touched: None where there is no backing.
    """

    __slots__ = (
        "_keys",
        "backing",
        "chunks",
        "number",
        "omap",
        "omap_header",
        "owner",
        "touched",
        "xattrs",
    )

    def __init__(self, owner: int, backing: Backing | None = None, number: int = 0) -> None:
        self.chunks: dict[int, bytes | None] = {}
        self.xattrs: dict[bytes, bytes] = {}
        self.omap: dict[bytes, bytes] | None = {}
        self.omap_header = b""
        self.owner = owner
        self.backing = backing
        self.number = number
        self.touched = Touched() if backing is not None else None
        self._keys: list[bytes] | None = None

    def copy(self, owner: int, number: int) -> Content:
        """A content of its own that holds the same."""
        made = Content(owner, self.backing, number)
        made.chunks = self.chunks.copy()
        made.xattrs = self.xattrs.copy()
        made.omap = None if self.omap is None else self.omap.copy()
        made.omap_header = self.omap_header
        return made

    def load_all(self) -> None:
        """Bring everything into memory: the backing is about to forget it."""
        for index, chunk in self.chunks.items():
            if chunk is None:
                self._chunk(index)
        self.omap_values()

    # -- data ----------------------------------------------------------------------------

    def _chunk(self, index: int) -> bytes:
        chunk = self.chunks.get(index, b"")
        if chunk is None:
            assert self.backing is not None
            chunk = self.chunks[index] = self.backing.load_chunk(self, index)
        return chunk

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; zeros where nothing was written."""
        first, start = divmod(offset, CHUNK)
        if start + length <= CHUNK:
            piece = self._chunk(first)[start : start + length]
            return piece if len(piece) == length else piece.ljust(length, b"\0")
        last, stop = divmod(offset + length - 1, CHUNK)
        parts = [self._chunk(first)[start:].ljust(CHUNK - start, b"\0")]
        for index in range(first + 1, last):
            chunk = self._chunk(index)
            parts.append(chunk if len(chunk) == CHUNK else chunk.ljust(CHUNK, b"\0"))
        parts.append(self._chunk(last)[: stop + 1].ljust(stop + 1, b"\0"))
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`."""
        index, start = divmod(offset, CHUNK)
        at, length = 0, len(data)
        while at < length:
            size = min(CHUNK - start, length - at)
            piece = data if size == length else data[at : at + size]
            if size < CHUNK and (start or self.chunks.get(index, b"") != b""):
                old = self._chunk(index)
                if start > len(old):
                    old = old.ljust(start, b"\0")
                piece = old[:start] + piece + old[start + size :]
            self.chunks[index] = piece
            if self.touched is not None:
                self.touched.chunks.add(index)
            at += size
            index += 1
            start = 0

    def truncate(self, size: int) -> None:
        """Forget the data from `size` on."""
        keep, rest = divmod(size, CHUNK)
        gone = [index for index in self.chunks if index > keep or (index == keep and not rest)]
        for index in gone:
            del self.chunks[index]
        if self.touched is not None:
            self.touched.chunks.update(gone)
        if rest and keep in self.chunks:
            chunk = self._chunk(keep)
            if len(chunk) > rest:
                self.chunks[keep] = chunk[:rest]
                if self.touched is not None:
                    self.touched.chunks.add(keep)

    def zero(self, offset: int, length: int) -> None:
        """Make a range zeros."""
        first, start = divmod(offset, CHUNK)
        last, stop = divmod(offset + length, CHUNK)
        for index in [i for i in self.chunks if first <= i <= last]:
            low = start if index == first else 0
            high = stop if index == last else CHUNK
            if low == 0 and high == CHUNK:
                del self.chunks[index]
            elif low < high:
                chunk = self._chunk(index)
                if low >= len(chunk):
                    continue
                self.chunks[index] = (chunk[:low].ljust(high, b"\0") + chunk[high:])[: len(chunk)]
            else:
                continue
            if self.touched is not None:
                self.touched.chunks.add(index)

    def extents(self, offset: int, length: int) -> dict[int, int]:
        """Where there is data within a range: start and length of each run."""
        found: dict[int, int] = {}
        end, run = offset + length, -1
        for index in sorted(self.chunks):
            chunk = self.chunks[index]
            start = max(index * CHUNK, offset)
            stop = min(index * CHUNK + (CHUNK if chunk is None else len(chunk)), end)
            if start >= stop:
                continue
            if run >= 0 and run + found[run] == start:
                found[run] += stop - start
            else:
                found[start] = stop - start
                run = start
        return found

    # -- attributes ----------------------------------------------------------------------

    def set_xattr(self, name: bytes, value: bytes) -> None:
        """Set one attribute."""
        self.xattrs[name] = value

    def remove_xattr(self, name: bytes) -> None:
        """Remove one attribute, if it is there."""
        self.xattrs.pop(name, None)

    # -- omap ----------------------------------------------------------------------------

    def omap_values(self) -> dict[bytes, bytes]:
        """The whole map, unordered; not to be changed by the caller."""
        if self.omap is None:
            assert self.backing is not None
            self.omap = self.backing.load_omap(self)
        return self.omap

    def omap_keys(self) -> list[bytes]:
        """The keys in order; not to be changed by the caller."""
        if self._keys is None:
            self._keys = sorted(self.omap_values())
        return self._keys

    def omap_items(self, after: bytes, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys above `after` that begin with `prefix`, with their values, in order.

        As long as keys do: what does not begin with `prefix` ends it.
        """
        keys, values = self.omap_keys(), self.omap_values()
        at = bisect_left(keys, prefix) if prefix > after else bisect_right(keys, after)
        for i in range(at, len(keys)):
            key = keys[i]
            if not key.startswith(prefix):
                return
            yield key, values[key]

    def omap_set(self, changes: Mapping[bytes, bytes]) -> None:
        """Set keys."""
        values = self.omap_values()
        if self._keys is not None:
            new = [key for key in changes if key not in values]
            if len(new) < 32:
                for key in new:
                    insort(self._keys, key)
            else:
                self._keys = None
        values.update(changes)
        if self.touched is not None:
            self.touched.omap.update(changes)

    def omap_remove(self, keys: Iterable[bytes]) -> None:
        """Remove keys, where they are there."""
        values = self.omap_values()
        gone = [key for key in keys if values.pop(key, None) is not None]
        if self._keys is not None:
            if len(gone) < 32:
                for key in gone:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                self._keys = None
        if self.touched is not None:
            self.touched.omap.update(gone)

    def omap_remove_range(self, begin: bytes, end: bytes) -> None:
        """Remove the keys from `begin` up to but not including `end`."""
        keys = self.omap_keys()
        self.omap_remove(keys[bisect_left(keys, begin) : bisect_left(keys, end)])

    def omap_clear(self) -> None:
        """Remove all keys and the header."""
        if self.touched is not None:
            self.touched.omap.update(self.omap_values())
        self.omap = {}
        self._keys = None
        self.omap_header = b""

    def set_omap_header(self, header: bytes) -> None:
        """Set the header."""
        self.omap_header = header
