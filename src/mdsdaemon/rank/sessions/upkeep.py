"""Once in a while: clients with too many capabilities give some back, and counters are set.

Behaviour: ceph/ceph, src/mds/MDCache.cc (upkeep_main, check_memory_usage), src/mds/SessionMap.cc
(hit_session, update_average_session_age) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from mdsdaemon.rank.session import SessionState

if TYPE_CHECKING:
    from mdsdaemon.rank.sessions.sessions import Sessions


class Upkeep:
    """See the module."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rank = sessions.rank
        self._running = False

    def start(self) -> None:
        """Begin, once the rank serves clients."""
        if not self._running and self.rank.is_serving():
            self._running = True
            self.rank.spawn(self._run, "upkeep of sessions")

    async def _run(self) -> None:
        while not self.rank.leaving:
            await trio.sleep(max(self.rank.config.get_float("mds_cache_trim_interval"), 0.1))
            if self.rank.is_serving() and not self.rank.leaving:
                self.once()
                self.rank.end_of_dispatch()

    def once(self) -> None:
        """Recall what has to be recalled."""
        rank = self.rank
        self.sessions.recall.recall(enforce_max=True, enforce_liveness=True)
        if rank.store.is_hampered():
            self.sessions.recall.recall(trim=True)

    def count(self) -> None:
        """Set what `perf dump mds_sessions` shows; called when somebody looks."""
        sessionmap = self.rank.sessionmap
        counters = self.rank.counters.sessions
        by_state = sessionmap.by_state
        busy = sum(
            len(by_state[state])
            for state in (SessionState.OPEN, SessionState.STALE, SessionState.CLOSING)
        )
        load = sessionmap.total_load.get()
        now = trio.current_time()
        ages = [now - session.birth_time for session in sessionmap]
        counters.set("session_count", len(sessionmap))
        counters.set("sessions_open", len(by_state[SessionState.OPEN]))
        counters.set("sessions_stale", len(by_state[SessionState.STALE]))
        counters.set("total_load", int(load))
        counters.set("average_load", int(load / busy) if busy else 0)
        counters.set("avg_session_uptime", int(sum(ages) / len(ages)) if ages else 0)
