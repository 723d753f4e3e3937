"""Evicting sessions: by command, because the client is silent, fenced or too old.

Behaviour: ceph/ceph, src/mds/MDSRank.cc (evict_client, evict_clients, config_client),
src/mds/Server.cc (find_idle_sessions, evict_cap_revoke_non_responders, apply_blocklist,
update_required_client_features) (Pacific)
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.sessions import opening
from mdsdaemon.rank.sessions.filters import SessionFilter
from mdsdaemon.types.client_ops import SessionOp

if TYPE_CHECKING:
    from mdsdaemon.rank.sessions.sessions import Sessions

_UNSIGNED = re.compile(r"[ \t\n\v\f\r]*[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)")
REPLAYING = "MDS is replaying log"


class Evictor:
    """Who has to go, and how."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rank = sessions.rank
        self._evicting: set[Session] = set()

    # -- evicting ----------------------------------------------------------------------------

    def start(
        self, session: Session, blocklist: bool, on_killed: Callable[[], None] | None = None
    ) -> None:
        """Evict a client, fenced first if `blocklist`; `on_killed` is called once it is gone."""
        what = "(and blocklisting) " if blocklist else ""
        text = f"Evicting {what}client session {session.client} ({session.addr})"
        self.rank.log.info("%s", text)
        self.rank.services.clog.info(text)
        if not blocklist:
            self.sessions.closing.kill(session, on_killed)
            return
        self._evicting.add(session)

        async def evict() -> None:
            try:
                await self._blocklist(session)
            finally:
                self._evicting.discard(session)
            if self.rank.sessionmap.get_session(session.client) is session:
                self.sessions.closing.kill(session, on_killed)
            elif on_killed is not None:
                on_killed()  # it went by itself
            self.rank.end_of_dispatch()

        self.rank.spawn(evict, f"evict {session.name}")

    async def _blocklist(self, session: Session) -> None:
        """Have the monitors fence the client; returns when the OSDs' map says so."""
        rank = self.rank
        command = {"prefix": "osd blocklist", "blocklistop": "add", "addr": str(session.addr)}
        try:
            reply = await rank.services.monc.mon_command(command)
            if reply.r:
                rank.log.error("osd blocklist add %s: %s", session.addr, reply.outs)
            await rank.objecter.wait_for_latest_map()
        except (MonClientError, RadosError) as exc:
            # ceph-mds kills the session whatever the monitors say
            rank.log.error("cannot blocklist %s: %s", session.addr, exc)
            return
        rank.set_osd_epoch_barrier(rank.objecter.epoch)

    async def evict(self, session: Session, blocklist: bool) -> None:
        """Evict a client; returns once it is gone."""
        done = trio.Event()
        self.start(session, blocklist, done.set)
        self.rank.end_of_dispatch()
        await done.wait()

    # -- by command --------------------------------------------------------------------------

    async def evict_clients(self, session_filter: SessionFilter) -> None:
        """`session evict`: all that match; returns when they are gone.

        Raises:
            FsError: EAGAIN: the journal is being replayed.
        """
        if self.rank.is_any_replay():
            raise FsError(errno.EAGAIN, REPLAYING)
        blocklist = self.rank.config.get_bool("mds_session_blocklist_on_evict")
        victims = [s for s in self.rank.sessionmap if session_filter.match(s)]
        left = len(victims)
        done = trio.Event()

        def gone() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                done.set()

        for session in victims:
            self.start(session, blocklist, gone)
        self.rank.end_of_dispatch()
        if victims:
            await done.wait()

    async def kill_client(self, client: str) -> None:
        """`session kill`: one client, by the text of its number.

        Raises:
            FsError: ENOENT: there is none, or the journal is being replayed.
        """
        found = re.match(r"[ \t\n\v\f\r]*[+-]?[0-9]+", client)
        number = int(found.group()) if found else 0
        if self.rank.is_any_replay():
            raise FsError(errno.ENOENT, REPLAYING)
        session = self.rank.sessionmap.get_session(number)
        if session is None:
            raise FsError(errno.ENOENT, f"session {number} not in sessionmap!")
        await self.evict(session, self.rank.config.get_bool("mds_session_blocklist_on_evict"))

    def config_client(self, client: int, option: str, value: str | None) -> None:
        """`session config`: set (or with None remove) an option of one session.

        Raises:
            FsError: ENOENT, EINVAL, ENODATA, with a text for the person who asks.
        """
        session = self.rank.sessionmap.get_session(client)
        if session is None:
            raise FsError(errno.ENOENT, f"session {client} not in sessionmap!")
        if option != "timeout":
            raise FsError(errno.EINVAL, f"Invalid config option: {option}")
        if value is None:
            if session.client_metadata.pop("timeout", None) is None:
                raise FsError(errno.ENODATA, f"Nonexistent config: {option}")
        elif _timeout(value) is None:
            raise FsError(errno.EINVAL, f"Invalid config for timeout: {value}")
        else:
            session.client_metadata["timeout"] = value

    # -- by what the map says ----------------------------------------------------------------

    def apply_blocklist(self) -> int:
        """Kill the sessions of fenced clients; how many there were."""
        osd_map = self.rank.objecter.osd_map
        victims = [
            session
            for session in self.rank.sessionmap
            if session.state in (SessionState.OPENING, SessionState.OPEN, SessionState.STALE)
            and osd_map.is_blocklisted(session.addrs)
        ]
        for session in victims:
            self.sessions.closing.kill(session)
        return len(victims)

    def evict_lacking_features(self) -> None:
        """Evict clients that lack features which are required now."""
        rank = self.rank
        if rank.state < State.RECONNECT:
            return
        blocklist = rank.config.get_bool("mds_session_blocklist_on_evict")
        for session in rank.sessionmap:
            missing = opening.missing_features(self.sessions, session)
            if not missing.mask or rank.objecter.osd_map.is_blocklisted(session.addrs):
                continue
            rank.services.clog.warn(
                f"evicting session {session}, missing required features '{missing}'"
            )
            self.start(session, blocklist)

    # -- by silence --------------------------------------------------------------------------

    def find_idle(self) -> None:
        """Make silent sessions stale, or end them."""
        rank = self.rank
        mdsmap = rank.mdsmap
        now = trio.current_time()
        cutoff = float(mdsmap.session_timeout)
        last_laggy = rank.services.beacon.last_laggy
        if last_laggy is not None and now - last_laggy < cutoff:
            rank.log.debug("we were laggy lately, not marking any client stale")
            return
        stale: list[Session] = []
        evict: list[Session] = []
        for session in list(rank.sessionmap.by_state[SessionState.OPEN]):
            if now - session.last_cap_renew < cutoff:
                break  # the others were heard of later
            self._judge(session, now, cutoff, stale, evict)
        for session in stale:
            rank.sessionmap.set_state(session, SessionState.STALE)
            if rank.locker.mark_stale(session):
                self.sessions.finish_flush(session, session.cap_push_seq)
                session.send(MClientSession(op=SessionOp.STALE, seq=session.cap_push_seq))
            else:
                evict.append(session)
        for session in list(rank.sessionmap.by_state[SessionState.STALE]):
            if now - session.last_cap_renew < mdsmap.session_autoclose:
                break
            if session not in evict:
                evict.append(session)
        for session in evict:
            self._evict_idle(session, now - session.last_cap_renew)

    def _judge(
        self,
        session: Session,
        now: float,
        cutoff: float,
        stale: list[Session],
        evict: list[Session],
    ) -> None:
        """What becomes of an open session that has not renewed its caps for `cutoff` seconds."""
        rank = self.rank
        silent = now - max(session.last_cap_renew, session.last_seen)
        if silent < cutoff:
            return
        if silent >= rank.mdsmap.session_autoclose:
            evict.append(session)
            return
        if (
            rank.config.get_bool("mds_defer_session_stale")
            and not session.is_any_flush_waiter()
            and not session.revoking
        ):
            return  # nobody misses what it has
        wish = session.client_metadata.get("timeout")
        if wish is None:
            rank.log.info("new stale session %s, silent for %.1f s", session, silent)
            stale.append(session)
            return
        timeout = _timeout(wish) or 0
        if timeout and silent >= timeout:
            evict.append(session)  # such a session does not become stale before

    def _evict_idle(self, session: Session, silent: float) -> None:
        if session in self._evicting:
            return
        self.rank.services.clog.warn(
            f"evicting unresponsive client {session}, after {silent:g} seconds"
        )
        if self.rank.config.get_bool("mds_session_blocklist_on_timeout"):
            self.start(session, True)
        else:
            self.sessions.closing.kill(session)

    def evict_late_revoking(self) -> None:
        """Evict clients that do not give back capabilities in mds_cap_revoke_eviction_timeout."""
        rank = self.rank
        limit = rank.config.get_float("mds_cap_revoke_eviction_timeout")
        if not limit:
            return
        blocklist = rank.config.get_bool("mds_session_blocklist_on_evict")
        for client in rank.locker.get_late_revoking_clients(limit):
            session = rank.sessionmap.get_session(client)
            if session is None or session in self._evicting:
                continue
            rank.services.clog.warn(
                f"client id {client} has not responded to cap revoke by MDS for over {limit:g}"
                " seconds, evicting"
            )
            self.start(session, blocklist)
            rank.counters.server.inc("cap_revoke_eviction")


def _timeout(text: str) -> int | None:
    """The seconds that a session's `timeout` says, as strtoul reads them; None: it is no number."""
    if not text:
        return 0
    if not _UNSIGNED.fullmatch(text):
        return None
    digits = text.strip().lstrip("+-").lower()
    if digits.startswith("0x"):
        return int(digits, 16)
    if digits.startswith("0"):
        return None if set(digits) & {"8", "9"} else int(digits, 8)
    return int(digits)
