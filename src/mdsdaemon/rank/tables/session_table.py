"""The sessions of a rank in memory: by client, by state, and what the journal says of them.

Every change of a session's stored state bumps `version` and belongs to one event of the journal.

Behaviour: ceph/ceph, src/mds/SessionMap.cc, src/mds/journal.cc (ESession::replay) (Pacific)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.rank.log.replay_blob import ReplayError
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.sessions.decay import DecayCounter
from mdsdaemon.rank.sessions.dump import dump_session
from mdsdaemon.types.entity import EntityInst
from mdsdaemon.types.session import ClientMetadata

if TYPE_CHECKING:
    from mdsdaemon.rank.core import RankCore


class SessionTable(ABC):
    """See the module. Iterating gives the sessions.

    Attributes:
        version: counts the changes.
        by_state: the sessions of each state, the one that was touched longest ago first.
        total_load: requests of all sessions, fading.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.version = 0
        self.by_state: dict[SessionState, dict[Session, None]] = {s: {} for s in SessionState}
        self.total_load = DecayCounter(rank.config.get_float("mds_request_load_average_decay_rate"))
        self._sessions: dict[int, Session] = {}
        self._dirty: dict[int, None] = {}
        self._null: dict[int, None] = {}

    @abstractmethod
    def _save_soon(self) -> None:
        """What is dirty is to be saved now: an operation must not grow without bounds."""

    # -- who is there ------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def get_session(self, client: int) -> Session | None:
        """The session of a client, by its number."""
        return self._sessions.get(client)

    get = get_session

    def have_unclosed_sessions(self) -> bool:
        return any(sessions for state, sessions in self.by_state.items() if state)

    def get_or_add_session(self, inst: EntityInst) -> Session:
        """The session of this name; a new, closed one if there is none."""
        session = self._sessions.get(inst.name.num)
        if session is None:
            session = Session(inst.name)
            session.info.inst = inst
            self.add_session(session)
        return session

    def add_session(self, session: Session) -> None:
        """A session comes in."""
        assert session.client not in self._sessions, f"{session.name} is there already"
        session.rank = self.rank
        session.loads.configure(self.rank.config, len(session.caps))
        session.birth_time = session.last_cap_renew = trio.current_time()
        self._sessions[session.client] = session
        self.by_state[session.state][session] = None
        self.rank.counters.sessions.inc("session_add")

    def remove_session(self, session: Session) -> None:
        """A session goes; the next save forgets it."""
        client = session.client
        if self._sessions.get(client) is session:
            del self._sessions[client]
            self._dirty.pop(client, None)
            self._null[client] = None
            self.rank.counters.sessions.inc("session_remove")
        self.by_state[session.state].pop(session, None)
        session.trim_completed_requests(0)

    def set_state(self, session: Session, state: SessionState) -> int:
        """Change a session's state; its state_seq."""
        if session.state != state:
            self.by_state[session.state].pop(session, None)
            session.set_state(state)
            self.by_state[state][session] = None
        return session.state_seq

    def touch_session(self, session: Session) -> None:
        """The client was heard of."""
        peers = self.by_state[session.state]
        peers.pop(session, None)
        peers[session] = None
        session.last_cap_renew = trio.current_time()

    # -- changes -----------------------------------------------------------------------------

    def mark_dirty(self, session: Session, *, may_save: bool = True) -> int:
        """The session's stored state has changed by the event that is about to be journaled.

        Returns:
            the version after that, for the event.
        """
        self._note_dirty(session, may_save)
        self.version += 1
        return self.version

    def mark_closed(self, session: Session) -> int:
        """An event closes the session; it stays in the map until that is safe, but not on disk.

        Returns:
            the version after that, for the event.
        """
        self._dirty.pop(session.client, None)
        self._null[session.client] = None
        self.version += 1
        return self.version

    def _note_dirty(self, session: Session, may_save: bool) -> None:
        if session.client in self._dirty:
            return
        limit = self.rank.config.get_int("mds_sessionmap_keys_per_op")
        if may_save and len(self._dirty) >= max(limit, 1):
            self._save_soon()
        self._null.pop(session.client, None)
        self._dirty[session.client] = None

    def wipe(self) -> None:
        """Forget all sessions (mds_wipe_sessions)."""
        for session in self:
            self.remove_session(session)
        self.version += 1

    def wipe_ino_prealloc(self) -> None:
        """No session has inode numbers any more (mds_wipe_ino_prealloc)."""
        for session in self:
            session.prealloc_inos.clear()
            session.free_prealloc_inos.clear()
            session.delegated_inos.clear()
            self._note_dirty(session, False)
        self.version += 1

    # -- replay ------------------------------------------------------------------------------

    def set_version(self, version: int) -> None:
        """The journal knows better."""
        self.version = version

    def replay_advance_version(self) -> None:
        """An event has changed a session that is not there any more."""
        self.version += 1

    def replay_dirty_session(self, session: Session) -> None:
        """An event has changed a session."""
        self._note_dirty(session, False)
        self.version += 1

    def replay_session(self, inst: EntityInst, opens: bool, metadata: ClientMetadata) -> None:
        """An ESession that follows the table opens or closes a session."""
        if opens:
            session = self.get_or_add_session(inst)
            self.set_state(session, SessionState.OPEN)
            session.info.client_metadata = metadata
            self.replay_dirty_session(session)
            return
        known = self.get_session(inst.name.num)
        if known is None:
            self.rank.services.clog.error(
                f"replayed stray Session close event for {inst}, ignoring"
            )
        elif known.connection is None:
            self.remove_session(known)
        else:
            known.clear()  # the client is there again
            self._note_dirty(known, False)
        self.version += 1

    def replay_open_sessions(
        self,
        version: int,
        clients: Mapping[int, EntityInst],
        metadata: Mapping[int, ClientMetadata],
    ) -> None:
        """An event opens several sessions; some of them may be saved already.

        Raises:
            ReplayError: it does not follow the table.
        """
        if self.version + len(clients) < version:
            what = (
                f"error replaying open sessions({len(clients)}) sessionmap v {version}"
                f" table {self.version}"
            )
            self.rank.services.clog.error(what)
            if not self.rank.config.get_bool("mds_wipe_sessions"):
                raise ReplayError(what)
            self.wipe()
            self.version = version
            return
        saved = len(clients) - (version - self.version)
        for client, inst in sorted(clients.items()):
            session = self.get_or_add_session(inst)
            extra = metadata.get(client)
            if extra is not None:
                info = session.info.client_metadata
                info.kv_map |= extra.kv_map
                info.features, info.metric_spec = extra.features, extra.metric_spec
            if saved > 0:
                saved -= 1
                continue
            self.set_state(session, SessionState.OPEN)
            self.replay_dirty_session(session)

    # -- load --------------------------------------------------------------------------------

    def hit_session(self, session: Session, now: float) -> None:
        """The client has made a request, which was answered at `now` of Trio's clock."""
        self.total_load.hit(1.0, now)
        session.loads.load_avg.hit(1.0, now)

    def dump(self) -> list[dict[str, Any]]:
        """As cephfs-table-tool shows it."""
        return [dump_session(session) for session in self]
