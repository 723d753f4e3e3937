"""The monitor client's connections: the round of candidates, and the one that became the session.

States: idle (nothing wanted), hunting (a round is on, or the next one is due at `round_end`),
in session (`active` is set). `MonClient` hears of each change through `HunterEvents`.

Source of the behaviour: ceph/ceph, src/mon/MonClient.cc, _reopen_session, _add_conns,
handle_auth_done (Pacific)
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Protocol

import trio

from mdsdaemon.cephx.client import AuthClient
from mdsdaemon.cephx.plug import AuthError
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.hunt import Candidate, Hunt
from mdsdaemon.maps.mon_map import MonMap
from mdsdaemon.messages.mon import MMonGetMap
from mdsdaemon.records import define, field
from mdsdaemon.types.entity import MON, EntityAddrVec

if TYPE_CHECKING:
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.net.messenger import Messenger


MAX_SHORT_SESSIONS = 2
"""Sessions in a row that may end before their first keepalive without a pause after them."""


@define(eq=False)
class MonConnection:
    """A connection to a monitor that is tried, or is the session. `opened`: monotonic seconds."""

    name: str
    con: Connection
    opened: float
    trouble: str = "no answer"
    """Why it is not the session, for people."""

    @property
    def last_sign(self) -> float:
        """When the monitor last showed that it lives."""
        return max(self.opened, self.con.last_keepalive_ack)

    def __str__(self) -> str:
        return f"mon.{self.name} at {self.con.peer_addrs}"


class HunterEvents(Protocol):
    """What the hunter tells."""

    def session_opened(self, mc: MonConnection, client: AuthClient) -> None: ...

    def hunt_failed(self, error: MonClientError) -> None:
        """Every monitor of the round that answered refused us. The hunt goes on."""
        ...


@define(eq=False)
class MonHunter:
    """Opens and drops connections to monitors; all calls are synchronous."""

    messenger: Messenger
    hunt: Hunt
    events: HunterEvents
    log: logging.Logger
    active: MonConnection | None = None
    pending: list[MonConnection] = field(factory=list)
    round_end: float = float("inf")
    rounds: int = 0
    """Rounds of this hunt so far."""
    _failed: list[MonConnection] = field(factory=list)
    _refusal: MonClientError | None = None
    _reported: bool = False
    _short_sessions: int = 0

    @property
    def hunting(self) -> bool:
        """A session is wanted and not there."""
        return self.active is None and self.round_end != float("inf")

    def start_round(self, monmap: MonMap) -> None:
        """Drop whatever there is and try the next candidates of `monmap`.

        After sessions that ended soon after they began, one after the other, only a pause begins:
        what breaks them off may be what every monitor sends.
        """
        now = trio.current_time()
        was = self.active
        self._end_round()
        self.hunt.start()
        self.round_end = now + self.hunt.interval()
        if was is not None:
            self.rounds = 0
            self._short_sessions += 1
            if self._short_sessions > MAX_SHORT_SESSIONS:
                self.log.warning(
                    "sessions with monitors keep breaking off; waiting before the next"
                )
                return
        self.rounds += 1
        for rank in self.hunt.next_batch(_candidates(monmap)):
            name = monmap.ranks[rank]
            con = self.messenger.connect_to(MON, monmap.get_addrs(name))
            self.pending.append(MonConnection(name, con, now))
            con.send_message(MMonGetMap())
        if self.pending:
            tried = ", ".join(str(mc) for mc in self.pending)
            self.log.debug("hunting for a monitor, round %d: %s", self.rounds, tried)
        else:
            self._refusal = MonClientError(
                errno.ENOENT,
                f"no monitor of the monmap speaks msgr2 ({monmap})",
                "enable msgr2 on the monitors: ceph mon enable-msgr2",
            )
            self._report()

    def _end_round(self) -> None:
        """Give up what is open; say how the round went if it brought nothing."""
        if self.pending:
            self._failed += self.pending
            # said less and less often: at rounds 1, 2, 4, 8, …
            level = logging.WARNING if self.rounds & (self.rounds - 1) == 0 else logging.DEBUG
            told = "; ".join(f"{mc}: {mc.trouble}" for mc in self._failed)
            self.log.log(level, "no monitor session after round %d (%s)", self.rounds, told)
            self._report()
        for mc in self.pending:
            mc.con.mark_down()
        if self.active is not None:
            self.active.con.mark_down()
        self.active = None
        self.pending = []
        self._failed = []
        self._refusal = None
        self._reported = False

    def session_lasts(self) -> None:
        """The session has carried a keepalive: it is a good one."""
        self._short_sessions = 0
        self.hunt.un_backoff()

    def stop(self) -> None:
        """Close all connections and want none."""
        for mc in [*self.pending, *([self.active] if self.active else [])]:
            mc.con.mark_down()
        self.active = None
        self.pending = []
        self.round_end = float("inf")

    def find(self, con: Connection) -> MonConnection | None:
        """The session, or while hunting a candidate, that has this connection."""
        if self.active is not None:
            return self.active if self.active.con is con else None
        return next((mc for mc in self.pending if mc.con is con), None)

    def pending_at(self, addrs: EntityAddrVec) -> MonConnection | None:
        """The candidate being tried at these addresses."""
        for mc in self.pending:
            if mc.con.peer_addrs == addrs:
                return mc
        return None

    # -- what became of a candidate --------------------------------------------------------

    def authenticated(self, mc: MonConnection, client: AuthClient) -> None:
        """The first monitor that lets us in has the session; the others are dropped."""
        if mc not in self.pending:
            return
        self.pending.remove(mc)
        for other in self.pending:
            other.con.mark_down()
        self.pending = []
        self._failed = []
        self.active = mc
        self.round_end = float("inf")
        self.rounds = 0
        self.hunt.finish()
        self.events.session_opened(mc, client)

    def refused(self, mc: MonConnection, error: AuthError) -> None:
        """The monitor does not let us in; perhaps another one does."""
        if mc not in self.pending:
            return
        mc.trouble = error.text
        self._refusal = MonClientError(error.errno, f"mon.{mc.name}: {error.text}")
        self._drop(mc)

    def lost(self, mc: MonConnection, why: str) -> None:
        """The candidate's connection ended for good before it had authenticated."""
        if mc in self.pending:
            mc.trouble = why
            self._drop(mc)

    def _drop(self, mc: MonConnection) -> None:
        self.pending.remove(mc)
        self._failed.append(mc)
        mc.con.mark_down()
        if not self.pending:
            self._report()

    def _report(self) -> None:
        if self._refusal is not None and not self._reported:
            self._reported = True
            self.hunt.finish()
            self.events.hunt_failed(self._refusal)


def _candidates(monmap: MonMap) -> list[Candidate]:
    """The monitors that can be spoken to, by rank."""
    found = []
    for rank, name in enumerate(monmap.ranks):
        info = monmap.mon_info.get(name)
        if info is not None and info.public_addrs.msgr2() is not None:
            found.append(Candidate(rank, info.priority, info.weight))
    return found
