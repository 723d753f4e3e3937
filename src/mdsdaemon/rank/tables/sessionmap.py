"""SessionMapStore: the sessions that clients have opened, and their place in RADOS.

The object's omap has the version in its header, and a key `client.N` for each session.

Format: ceph/ceph, src/mds/SessionMap.h (Pacific)
Behaviour: ceph/ceph, src/mds/SessionMap.cc (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation
from mdsdaemon.encoding import DecodeError, decode, encode
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.tables.intervals import Intervals
from mdsdaemon.rank.tables.saving import SaveQueue, Ticket
from mdsdaemon.rank.tables.session_table import SessionTable
from mdsdaemon.rank.tables.sessionmap_format import (
    SessionMapHeader,
    decode_legacy,
    parse_session_name,
)
from mdsdaemon.rank.tables.table import unreadable
from mdsdaemon.types.entity import CLIENT, EntityInst, PeerName
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.interval_set import normalised
from mdsdaemon.types.session import SessionInfo

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore


def key_of(client: int) -> str:
    """A session's key in the omap."""
    return f"client.{client}"


class SessionMapStore(SessionTable):
    """The table with its object; see the module.

    Attributes:
        committed_version: that of the object in RADOS.
    """

    name = "sessionmap"

    def __init__(self, rank: RankCore) -> None:
        super().__init__(rank)
        self.committed_version = 0
        self._legacy = False
        self._new = False
        self._too_large: set[Session] = set()
        self._saving = SaveQueue(rank)

    @property
    def object_name(self) -> str:
        """Its object in the metadata pool."""
        return f"mds{self.rank.whoami}_sessionmap"

    # -- saving ------------------------------------------------------------------------------

    def create(self) -> None:
        """No sessions, to be saved."""
        for session in self:
            self.remove_session(session)
        self._dirty.clear()
        self._null.clear()
        self._new = True
        self.version = 0
        self.committed_version = 0

    async def save(self) -> None:
        """Store what has changed, once the journal has it.

        Raises:
            RadosError: the object could not be written.
        """
        await self._saving.run(self._start_save())

    def _start_save(self) -> _Save:
        """What is to be written, as it is now."""
        op = ObjectOperation()
        if self._new:
            op.create().omap_clear()  # the pool may have been another file system's
        op.omap_set_header(
            encode(SessionMapHeader, SessionMapHeader(self.version), FEATURES_PACIFIC)
        )
        if self._legacy:
            op.truncate(0)
        values = self._encoded(self._dirty)
        if values:
            op.omap_set(values)
        if self._null:
            op.omap_rm_keys([key_of(client) for client in self._null])
        save = _Save(self, op)
        self._dirty.clear()
        self._null.clear()
        self._legacy = self._new = False
        return save

    def unsaved(self) -> tuple[list[int], list[int]]:
        """The sessions that the next save writes, and those that it removes."""
        return list(self._dirty), list(self._null)

    def form(self) -> tuple[bool, bool]:
        """Whether the object has the old format; whether what it has belongs to somebody else."""
        return self._legacy, self._new

    def _save_soon(self) -> None:
        ticket = self._saving.add(self._start_save())
        self.rank.spawn(lambda: self._finish_save(ticket), "save sessions")

    async def _finish_save(self, ticket: Ticket) -> None:
        try:
            await self._saving.finish(ticket)
        except RadosError as exc:
            self.rank.handle_write_error(exc)

    def _encoded(self, clients: Iterable[int]) -> dict[str, bytes]:
        values: dict[str, bytes] = {}
        for client in clients:
            session = self._sessions.get(client)
            if session is not None and not session.is_closed():
                value = encode(SessionInfo, session.stored(), FEATURES_PACIFIC)
                values[key_of(client)] = value
                session.requests_dirty = False
                self._check_size(session, len(value))
        return values

    def _check_size(self, session: Session, size: int) -> None:
        """A client that never lets us forget finished requests would make its session too large."""
        limit = self.rank.config.get_int("mds_session_metadata_threshold")
        if size > limit and session not in self._too_large:
            self._too_large.add(session)
            self.rank.services.clog.error(
                f"evicting session {session}: its metadata has {size} bytes, more than"
                f" mds_session_metadata_threshold ({limit})"
            )
            self.rank.counters.sessions.inc("mdthresh_evicted")
            self.rank.queue.push(lambda: self._evict_too_large(session))

    def _evict_too_large(self, session: Session) -> None:
        self._too_large.discard(session)
        if self._sessions.get(session.client) is session:
            self.rank.sessions.evictor.start(session, True)

    def save_failed(self, save: _Save) -> None:
        """What could not be written has to be written by another save."""
        for client in save.dirty:
            session = self._sessions.get(client)
            if session is not None and client not in self._null:
                self._dirty[client] = None
                session.requests_dirty = True
        for client in save.null:
            if client not in self._dirty:
                self._null[client] = None
        self._legacy = self._legacy or save.legacy
        self._new = self._new or save.new

    async def save_sessions(self, clients: Iterable[int]) -> None:
        """Store those of these sessions whose completed requests are not stored.

        What the sessions' keys say may be newer than the header then, which does no harm: replaying
        a completed request twice changes nothing. A session that has changed in other ways is left
        to `save`.

        Raises:
            RadosError: the object could not be written.
        """
        wanted = [
            client
            for client in sorted(clients)
            if (session := self._sessions.get(client)) is not None
            and session.requests_dirty
            and client not in self._dirty
            and client not in self._null
        ]
        step = max(self.rank.config.get_int("mds_sessionmap_keys_per_op"), 1)
        for at in range(0, len(wanted), step):
            values = self._encoded(wanted[at : at + step])

            async def store(values: dict[str, bytes] = values) -> None:
                op = ObjectOperation().omap_set(values)
                await self.rank.objecter.operate(self.rank.metadata_pool, self.object_name, op)

            if values:
                await self._saving.run(store)

    # -- loading -----------------------------------------------------------------------------

    async def load(self) -> None:
        """Read all sessions.

        Raises:
            RadosError: they could not be read or are corrupt: the rank knows that it is damaged,
                or respawns.
        """
        where = self.object_name
        try:
            await self._load()
        except RadosError as exc:
            raise unreadable(self.rank, f"error reading sessionmap '{where}': {exc}", exc) from exc
        except DecodeError as exc:
            error = RadosError(errno.EIO, where, "", f"is corrupt: {exc}")
            raise unreadable(self.rank, f"corrupt sessionmap '{where}': {exc}", error) from exc
        self.committed_version = self.version

    async def _load(self) -> None:
        rank = self.rank
        step = max(rank.config.get_int("mds_sessionmap_keys_per_op"), 1)
        op = ObjectOperation()
        header, page = op.omap_get_header(), op.omap_get_vals("", "", step)
        result = await rank.objecter.operate(rank.metadata_pool, self.object_name, op)
        if not result[header]:
            await self._load_legacy()
            return
        version = decode(SessionMapHeader, result[header], partial=True).version
        vals = result[page]
        self._take(vals.vals)
        while vals.more and vals.vals:
            op = ObjectOperation()
            page = op.omap_get_vals(max(vals.vals, key=str.encode), "", step)
            result = await rank.objecter.operate(rank.metadata_pool, self.object_name, op)
            vals = result[page]
            self._take(vals.vals)
        self.version = version

    def _take(self, vals: Mapping[str, bytes]) -> None:
        for key, value in vals.items():
            self._restore(parse_session_name(key), decode(SessionInfo, value, partial=True))

    def _restore(self, name: PeerName, info: SessionInfo) -> None:
        if name.type != CLIENT:
            self.rank.log.warning("the session of %s is ignored: it is no client", name)
            return
        session = self.get_or_add_session(EntityInst(name, info.inst.addr))
        info.inst = EntityInst(name, info.inst.addr)
        session.info = info
        session.prealloc_inos = Intervals(normalised(info.prealloc_inos.items()))
        session.free_prealloc_inos = Intervals(session.prealloc_inos.as_dict())
        if session.is_closed():
            self.set_state(session, SessionState.OPEN)

    async def _load_legacy(self) -> None:
        """The format of before 2014: everything in the object's data."""
        op = ObjectOperation()
        data = op.read(0, 0)
        rank = self.rank
        result = await rank.objecter.operate(rank.metadata_pool, self.object_name, op)
        self.version, sessions = decode_legacy(result[data])
        for name, info in sessions:
            self._restore(name, info)
            if name.type == CLIENT:
                self._dirty[name.num] = None
        self._legacy = True


class _Save:
    """One save: what is to be written, and of which sessions it is."""

    __slots__ = ("_op", "_store", "_version", "dirty", "legacy", "new", "null")

    def __init__(self, store: SessionMapStore, op: ObjectOperation) -> None:
        self._store, self._op = store, op
        self._version = store.version
        self.dirty, self.null = store.unsaved()
        self.legacy, self.new = store.form()

    async def __call__(self) -> None:
        store = self._store
        try:
            await store.rank.objecter.operate(store.rank.metadata_pool, store.object_name, self._op)
        except BaseException:
            store.save_failed(self)
            raise
        store.committed_version = max(store.committed_version, self._version)
