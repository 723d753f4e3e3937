"""The next epoch of the OSDMap while it is put together.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (encode_pending), src/osd/OSDMap.cc (Pacific)
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

import attrs
from attrs import frozen

from mdsdaemon.embedded.monitor import crush_build
from mdsdaemon.encoding import encode
from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.maps.crush_map import CrushMap
from mdsdaemon.maps.osd_map import (
    OSD_UP,
    OSDMap,
    OSDXInfo,
    checked_crc,
    encode_osd_map,
)
from mdsdaemon.maps.osd_map_apply import apply_incremental
from mdsdaemon.maps.osd_map_inc import Incremental, IncrementalClientData, IncrementalOSDData
from mdsdaemon.types.features import FEATURES_ADVERTISED
from mdsdaemon.types.pool import PGPool

ENCODE_FEATURES = FEATURES_ADVERTISED
"""What all maps are written with: every client that speaks msgr2 reads it."""

_U32 = struct_of("I")

T = TypeVar("T")


def encode_incremental(inc: Incremental, features: int = ENCODE_FEATURES) -> bytes:
    """Write an Incremental, with its ``inc_crc`` made anew and kept."""
    data = bytearray(encode(Incremental, inc, features))
    inc.inc_crc, at = checked_crc(bytes(data))
    data[at : at + 4] = _U32.pack(inc.inc_crc)
    return bytes(data)


def copy_map(osd_map: OSDMap) -> OSDMap:
    """A map of its own to apply an incremental to.

    Pools and the CRUSH map are shared: they are replaced, never changed.
    """
    made = OSDMap(_copied(osd_map.client), _copied(osd_map.osd), osd_map.crc)
    made.osd.osd_info = [copy.copy(info) for info in made.osd.osd_info]
    made.osd.osd_xinfo = [copy.copy(info) for info in made.osd.osd_xinfo]
    return made


def _copied(part: T) -> T:
    made = copy.copy(part)
    for attribute in attrs.fields(cast("Any", type(part))):
        value = getattr(part, attribute.name)
        if isinstance(value, dict | list):
            setattr(made, attribute.name, value.copy())
    return made


@frozen
class Epoch:
    """A finished epoch: the map, what led to it, and both encoded."""

    map: OSDMap
    inc: Incremental
    map_bytes: bytes
    inc_bytes: bytes


class Pending:
    """Changes to `base` that become its next epoch.

    Attributes:
        inc: the Incremental so far; what the methods below do not cover is set there.
        epoch: the epoch that it leads to.
    """

    def __init__(self, base: OSDMap) -> None:
        self.base = base
        self.inc = self._blank()
        self._crush: CrushMap | None = None

    def _blank(self) -> Incremental:
        return Incremental(
            IncrementalClientData(fsid=self.base.fsid, epoch=self.base.epoch + 1),
            IncrementalOSDData(encode_features=ENCODE_FEATURES),
        )

    @property
    def epoch(self) -> int:
        return self.inc.client.epoch

    @property
    def is_empty(self) -> bool:
        """Nothing has been changed."""
        return self._crush is None and self.inc == self._blank()

    def pool(self, number: int) -> PGPool:
        """The pool, to be changed. KeyError: there is none."""
        new = self.inc.client.new_pools
        if number not in new:
            new[number] = copy.deepcopy(self.base.pools[number])
        return new[number]

    def crush(self) -> CrushMap:
        """The CRUSH map, to be changed."""
        if self._crush is None:
            self._crush = crush_build.copied(self.base.client.crush)
        return self._crush

    def flags(self) -> int:
        """The map's flags as they will be."""
        new = self.inc.client.new_flags
        return self.base.client.flags if new < 0 else new

    def set_flags(self, flags: int) -> None:
        """Replace the map's flags."""
        self.inc.client.new_flags = flags

    def flip_state(self, osd: int, bits: int) -> None:
        """Flip bits of the state of an OSD; a second time takes it back."""
        states = self.inc.client.new_state
        states[osd] = states.get(osd, 0) ^ bits
        if not states[osd]:
            del states[osd]  # 0 would stand for OSD_UP

    def state(self, osd: int) -> int:
        """The state of an OSD as it will be."""
        states = self.base.client.osd_state
        now = states[osd] if osd < len(states) else 0
        return now ^ self.inc.client.new_state.get(osd, 0)

    def xinfo(self, osd: int) -> OSDXInfo:
        """An OSD's osd_xinfo_t, to be changed."""
        new = self.inc.osd.new_xinfo
        if osd not in new:
            old = self.base.osd.osd_xinfo
            new[osd] = copy.copy(old[osd]) if osd < len(old) else OSDXInfo()
        return new[osd]

    def finish(self, now: int) -> Epoch:
        """Make the epoch; `now` in nanoseconds. The pending changes are not to be used again.

        Raises DecodeError, EncodeError: the changes contradict each other, or do not fit.
        """
        new = self.inc.client
        new.modified = now
        if self._crush is not None:
            self._crush.finalize()
            new.crush = encode(CrushMap, self._crush, ENCODE_FEATURES)
        if new.new_up_client or any(bits & OSD_UP for bits in new.new_state.values()):
            new.new_last_up_change = now
        weights = self.base.client.osd_weight
        for osd, weight in new.new_weight.items():
            before = weights[osd] if osd < len(weights) else 0
            if bool(weight) != bool(before):
                new.new_last_in_change = now
        made = apply_incremental(copy_map(self.base), self.inc)
        map_bytes = encode_osd_map(made, ENCODE_FEATURES)
        self.inc.full_crc = made.crc
        return Epoch(made, self.inc, map_bytes, encode_incremental(self.inc))


def replacing_epoch(base: OSDMap, made: OSDMap, now: int) -> Epoch:
    """The epoch after `base` that puts `made` in its place."""
    made.client.epoch = base.epoch + 1
    made.client.fsid = base.fsid if base.epoch else made.client.fsid
    made.client.modified = now
    map_bytes = encode_osd_map(made, ENCODE_FEATURES)
    inc = Incremental(
        IncrementalClientData(fsid=made.fsid, epoch=made.epoch, modified=now, fullmap=map_bytes),
        IncrementalOSDData(encode_features=ENCODE_FEATURES),
        full_crc=made.crc,
    )
    return Epoch(made, inc, map_bytes, encode_incremental(inc))
