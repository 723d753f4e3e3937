"""Recalling capabilities from clients, so that the cache can be trimmed.

Behaviour: ceph/ceph, src/mds/Server.cc (recall_client_state) (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.sessions.decay import DecayCounter
from mdsdaemon.types.client_ops import SessionOp

if TYPE_CHECKING:
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.sessions.sessions import Sessions


class Recall:
    """See the module.

    Attributes:
        throttle: what was recalled of all clients together, fading.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rank = sessions.rank
        self.throttle = DecayCounter(self._rate())
        self._unobserve = self.rank.config.observe(
            ["mds_recall_max_decay_rate"], lambda _: self._configure()
        )

    def close(self) -> None:
        """Follow the options no longer."""
        self._unobserve()

    def _rate(self) -> float:
        return self.rank.config.get_float("mds_recall_max_decay_rate")

    def _configure(self) -> None:
        self.throttle = DecayCounter(self._rate())

    def recall(
        self,
        *,
        steady: bool = False,
        enforce_max: bool = False,
        enforce_liveness: bool = False,
        trim: bool = False,
        flushed: Callable[[], None] | None = None,
    ) -> tuple[bool, int]:
        """Tell clients to keep fewer capabilities, those with the most first.

        Args:
            steady: spare those who do not keep up with former recalls.
            enforce_max: those with more than mds_max_caps_per_client.
            enforce_liveness: those that hardly use what they have.
            trim: all.
            flushed: called once all who were told have got the message, if anybody was told.

        Returns:
            whether a throttle kept something back; how many capabilities were newly recalled.
        """
        throttled, recalled = False, 0
        told: list[Session] = []
        for session in self._chosen(enforce_max, enforce_liveness, trim):
            if not session.is_open() or session.connection is None:
                continue
            limit = self._limit(session)
            count = len(session.caps) - limit
            if count <= 0:
                continue
            verdict = self._throttled(session, count)
            if verdict:
                throttled = True
                if verdict == _ALL:
                    break
                continue
            if steady and self._hopeless(session, count):
                continue
            session.send(MClientSession(op=SessionOp.RECALL_STATE, max_caps=limit))
            told.append(session)
            recalled += session.loads.recalled(limit, len(session.caps))
            self.throttle.hit(count)
        if flushed is not None:
            self._flush(told, flushed)
        return throttled, recalled

    def _flush(self, told: list[Session], flushed: Callable[[], None]) -> None:
        left = len(told)

        def one() -> None:
            nonlocal left
            left -= 1
            if not left:
                flushed()

        for session in told:
            self.sessions.flush_session(session, one)

    def _chosen(self, enforce_max: bool, enforce_liveness: bool, trim: bool) -> list[Session]:
        config = self.rank.config
        most = config.get_int("mds_max_caps_per_client")
        magnitude = config.get_int("mds_session_cache_liveness_magnitude")
        chosen = [
            session
            for session in self.rank.sessionmap
            if trim
            or (enforce_max and len(session.caps) > most)
            or (
                enforce_liveness
                and session.loads.cache_liveness.get() < len(session.caps) >> magnitude
            )
        ]
        return sorted(chosen, key=lambda session: len(session.caps), reverse=True)

    def _limit(self, session: Session) -> int:
        """How many it may keep."""
        config = self.rank.config
        step = config.get_int("mds_recall_max_caps")
        least = config.get_int("mds_min_caps_per_client")
        held = len(session.caps)
        limit = least if held < step or held - step < least else held - step
        return max(limit, held - step)

    def _throttled(self, session: Session, count: int) -> str:
        """Whether too much was recalled lately: of this client, or (_ALL) of all; ""."""
        config = self.rank.config
        loads = session.loads
        most = config.get_int("mds_recall_max_decay_threshold")
        if int(loads.recall_caps_throttle.get()) + count > most:
            return _ONE
        if int(loads.recall_caps_throttle2o.get()) + count > 2 * config.get_int(
            "mds_recall_max_caps"
        ):
            return _ONE
        most = config.get_int("mds_recall_global_max_decay_threshold")
        if int(self.throttle.get()) + count > most:
            return _ALL
        return ""

    def _hopeless(self, session: Session, count: int) -> bool:
        """Whether the client is unlikely to give back more than it does."""
        config = self.rank.config
        recalled = session.loads.recall_caps.get()
        released = session.loads.release_caps.get()
        most = config.get_int("mds_recall_max_decay_threshold")
        if 2 * released < recalled and 2 * recalled > most:
            return True
        return count < config.get_int("mds_recall_max_caps") and 2 * count < recalled


_ONE, _ALL = "session", "global"
