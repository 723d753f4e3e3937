"""The store's records: objects, their data and omap, and the log of requests, as CBOR and bytes.

    table    key                               value
    object   u64 number                        CBOR: head, clones, attributes, snapshots
    data     u64 content, u32 chunk            the chunk's bytes
    omap     u64 content, the key              the value
    reqlog   u32 slot                          CBOR: one answered request; slots are used in turn

Numbers are big-endian. Contents are named in the object's record; more than one object state may
name the same one.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import cbor2

from mdsdaemon.embedded.store.content import Content
from mdsdaemon.embedded.store.dups import Done
from mdsdaemon.embedded.store.state import Clone, ObjectInfo, ObjectState, SnapSet
from mdsdaemon.encoding import DecodeError, from_plain, to_plain
from mdsdaemon.types.entity import PeerName
from mdsdaemon.types.osd import EVersion
from mdsdaemon.types.watch import WatchInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mdsdaemon.embedded.storage import Change
    from mdsdaemon.embedded.store.dups import ReqId

OBJECT: Final = "object"
DATA: Final = "data"
OMAP: Final = "omap"
REQLOG: Final = "reqlog"

NUMBER: Final = Struct(">Q")
CHUNK_KEY: Final = Struct(">QI")
SLOT: Final = Struct(">I")

_MALFORMED: Final = (DecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError)


class BadRecord(Exception):
    """A record that does not hold what it should."""


def _plain_info(info: ObjectInfo) -> list[Any]:
    return [
        info.size,
        info.mtime,
        info.epoch,
        info.version,
        info.user_version,
        info.truncate_seq,
        info.truncate_size,
        info.whiteout,
        info.omap,
        list(info.alloc_hint),
        [[c, w.type, w.num, to_plain(info.watchers[c, w])] for c, w in info.watchers],
    ]


def _info(plain: list[Any]) -> ObjectInfo:
    info = ObjectInfo()
    (
        info.size,
        info.mtime,
        info.epoch,
        info.version,
        info.user_version,
        info.truncate_seq,
        info.truncate_size,
        info.whiteout,
        info.omap,
        hint,
        watchers,
    ) = plain
    size, write_size, flags = hint
    info.alloc_hint = (size, write_size, flags)
    info.watchers = {
        (cookie, PeerName(kind, num)): from_plain(WatchInfo, watch)
        for cookie, kind, num, watch in watchers
    }
    return info


def _plain_content(content: Content) -> list[Any]:
    return [content.number, content.xattrs, content.omap_header]


def object_change(pool: int, state: ObjectState) -> Change:
    """The record of an object, without its data and omap."""
    snapset = state.snapset
    plain = [
        pool,
        [part.encode("utf-8", "surrogateescape") for part in state.key],
        state.hash,
        _plain_info(state.info),
        _plain_content(state.content),
        snapset.seq,
        [
            [
                which,
                list(snapset.snaps[which]),
                snapset.size[which],
                snapset.overlap[which],
                _plain_info(state.clones[which].info),
                _plain_content(state.clones[which].content),
            ]
            for which in snapset.clones
        ],
    ]
    return OBJECT, NUMBER.pack(state.number), cbor2.dumps(plain)


def content_changes(content: Content) -> list[Change]:
    """The records of what changed in a content's data and omap; it counts as unchanged then."""
    touched = content.touched
    assert touched is not None
    if touched.everything:
        touched.chunks.update(content.chunks)
        touched.omap.update(content.omap_values())
        touched.everything = False
    number, chunks = content.number, content.chunks
    changes: list[Change] = [
        (DATA, CHUNK_KEY.pack(number, index), chunks.get(index)) for index in touched.chunks
    ]
    if touched.omap:
        values, prefix = content.omap_values(), NUMBER.pack(content.number)
        changes += [(OMAP, prefix + key, values.get(key)) for key in touched.omap]
    touched.chunks.clear()
    touched.omap.clear()
    return changes


def content_removals(content: Content) -> list[Change]:
    """What takes a content's data and omap out of the store."""
    number = content.number
    touched = content.touched
    assert touched is not None
    chunks = touched.chunks.union(content.chunks)
    keys: Iterable[bytes] = touched.omap.union(content.omap_values())
    prefix = NUMBER.pack(number)
    changes: list[Change] = [(DATA, CHUNK_KEY.pack(number, index), None) for index in chunks]
    changes += [(OMAP, prefix + key, None) for key in keys]
    return changes


def request_change(
    serial: int, slots: int, pool: int, seed: int, reqid: ReqId, done: Done
) -> Change:
    """The record of an answered request, in place of that of `slots` requests ago."""
    version = done.version
    plain = [
        serial,
        pool,
        seed,
        list(reqid),
        [version.version, version.epoch, done.user_version, done.result],
        [list(part) for part in done.returns],
    ]
    return REQLOG, SLOT.pack(serial % slots), cbor2.dumps(plain)


def _loads(key: bytes, value: bytes) -> Any:
    try:
        return cbor2.loads(value)
    except (cbor2.CBORError, ValueError, TypeError) as exc:
        raise BadRecord(f"record {key.hex()} is not CBOR: {exc}") from exc


def read_request(key: bytes, value: bytes) -> tuple[int, int, int, ReqId, Done]:
    """(serial number, pool, seed, request, its answer).

    Raises BadRecord.
    """
    plain = _loads(key, value)
    try:
        serial, pool, seed, (kind, num, inc, tid), answer, returns = plain
        version, epoch, user_version, result = answer
        done = Done(
            EVersion(version, epoch),
            user_version,
            result,
            tuple((rval, data) for rval, data in returns),
        )
        return serial, pool, seed, (kind, num, inc, tid), done
    except _MALFORMED as exc:
        raise BadRecord(f"record {key.hex()} of the request log: {exc!r}") from exc


class ObjectReader:
    """Makes objects from their records; contents that several states name are made once."""

    def __init__(self, owner: int, frozen: int, make: Callable[[int], Content]) -> None:
        self._owner = owner
        self._frozen = frozen
        self._make = make
        self.contents: dict[int, Content] = {}

    def read(self, key: bytes, value: bytes) -> tuple[int, ObjectState]:
        """(pool, object); its data and omap are still in the backing.

        Raises BadRecord.
        """
        plain = _loads(key, value)
        try:
            return self._read(key, plain)
        except _MALFORMED as exc:
            raise BadRecord(f"record {key.hex()} of an object: {exc!r}") from exc

    def _content(self, plain: list[Any]) -> Content:
        number, xattrs, header = plain
        content = self.contents.get(number)
        if content is not None:
            content.owner = self._frozen
            return content
        content = self.contents[number] = self._make(number)
        content.xattrs = dict(xattrs)
        content.omap_header = header
        content.omap = None
        return content

    def _read(self, key: bytes, plain: Any) -> tuple[int, ObjectState]:
        pool, names, hash_, info, content, seq, clones = plain
        nspace, locator, name = (part.decode("utf-8", "surrogateescape") for part in names)
        state = ObjectState(
            (nspace, locator, name), hash_, _info(info), self._content(content), self._owner
        )
        state.number = NUMBER.unpack(key)[0]
        snaps, sizes, overlaps = {}, {}, {}
        for which, covered, size, overlap, clone_info, clone_content in clones:
            snaps[which], sizes[which], overlaps[which] = tuple(covered), size, dict(overlap)
            state.clones[which] = Clone(_info(clone_info), self._content(clone_content))
        state.snapset = SnapSet(seq, tuple(state.clones), snaps, sizes, overlaps)
        return pool, state
