"""The epochs of the OSDMap that are kept, encoded: a whole map at each end, and every step between.

Records: ``full`` is the newest map, ``base`` the oldest, ``inc.EPOCH`` the incremental that leads
to an epoch; all in Ceph's own encoding with its checksums.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mdsdaemon.embedded.monitor.osd_pending import ENCODE_FEATURES, copy_map
from mdsdaemon.encoding import DecodeError
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.maps.osd_map import OSDMap, decode_osd_map, encode_osd_map
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import decode_incremental

Record = tuple[str, bytes | None]

FULL: Final = "full"
BASE: Final = "base"
_INC: Final = "inc."

SLACK: Final = 50
"""Epochs beyond what is to be kept at which the oldest go, all that many at once."""

MAX_BYTES: Final = 32 << 20
"""Of incrementals; when they outgrow it half of them go, whatever their number."""

_CACHED: Final = 8


class MapHistory:
    """See the module. `oldest` and `newest` are 0 while there is nothing."""

    def __init__(self) -> None:
        self._incs: dict[int, bytes] = {}
        self._base = self._full = b""
        self._size = 0
        self._cache: dict[int, OSDMap] = {}
        self.oldest = self.newest = 0

    def add(self, epoch: int, inc: bytes, full: bytes) -> Iterator[Record]:
        """The next epoch; yields the records to write."""
        if not self.newest:
            self.oldest = epoch
            self._base = full
            yield BASE, full
        self.newest = epoch
        self._incs[epoch] = inc
        self._size += len(inc)
        self._full = full
        yield FULL, full
        yield _key(epoch), inc

    def incremental(self, epoch: int) -> bytes | None:
        """The encoded incremental that leads to an epoch, if it is kept."""
        return self._incs.get(epoch)

    def full(self, epoch: int) -> bytes | None:
        """The encoded whole map of an epoch, if it is kept."""
        if not self.oldest <= epoch <= self.newest or not self.newest:
            return None
        if epoch == self.newest:
            return self._full
        if epoch == self.oldest:
            return self._base
        return encode_osd_map(self._map(epoch), ENCODE_FEATURES)

    def map(self, epoch: int) -> OSDMap | None:
        """The map of an epoch, if it is kept; not to be changed."""
        if not self.oldest <= epoch <= self.newest or not self.newest:
            return None
        return self._map(epoch)

    def _map(self, epoch: int) -> OSDMap:
        known = [e for e in self._cache if e <= epoch]
        start = max(known, default=0)
        found = self._cache[start] if start else decode_osd_map(self._base)
        for step in range(found.epoch + 1, epoch + 1):
            found = apply_incremental(copy_map(found), decode_incremental(self._incs[step]))
        self._cache[epoch] = found
        while len(self._cache) > _CACHED:
            del self._cache[next(iter(self._cache))]
        return found

    def trim(self, keep: int) -> Iterator[Record]:
        """Forget the oldest epochs beyond `keep`; yields the records to write."""
        count = self.newest - self.oldest + 1
        if self._size > MAX_BYTES:
            keep = min(keep, count // 2)
        elif count <= keep + SLACK:
            return
        first = self.newest - max(keep, 1) + 1
        if first <= self.oldest:
            return
        base = self.full(first)
        assert base is not None
        for epoch in range(self.oldest, first):
            self._size -= len(self._incs.pop(epoch))
            self._cache.pop(epoch, None)
            yield _key(epoch), None
        self.oldest, self._base = first, base
        yield BASE, base

    def load(self, records: dict[str, bytes]) -> OSDMap:
        """Take over what the records hold; returns the newest map.

        Raises FatalError: records are missing or damaged.
        """
        self.__init__()  # type: ignore[misc]
        try:
            self._full, self._base = records[FULL], records[BASE]
            newest, oldest = decode_osd_map(self._full), decode_osd_map(self._base)
            self.oldest, self.newest = oldest.epoch, newest.epoch
            for epoch in range(self.oldest, self.newest + 1):
                self._incs[epoch] = records[_key(epoch)]
        except (KeyError, DecodeError) as exc:
            raise FatalError(
                f"the stored OSDMap cannot be read: {exc}",
                ExitStatus.DATA,
                "restore the folder from a copy, or start with another one",
            ) from exc
        self._size = sum(map(len, self._incs.values()))
        return newest


def _key(epoch: int) -> str:
    return f"{_INC}{epoch:010d}"
