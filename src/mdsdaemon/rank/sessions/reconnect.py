"""The window after a failover in which clients come back and claim what they had.

Behaviour: ceph/ceph, src/mds/Server.cc (reconnect_clients, handle_client_reconnect,
reconnect_tick), src/mds/MDCache.cc (process_imported_caps, export_remaining_imported_caps)
(Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from attrs import define

from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.sessions import opening
from mdsdaemon.rank.waiting import side_by_side, until_done
from mdsdaemon.types.caps import CapReconnect
from mdsdaemon.types.client_ops import SessionOp

if TYPE_CHECKING:
    from mdsdaemon.messages.client_misc import MClientReconnect
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.sessions.sessions import Sessions

MAX_CLAIMS = 1 << 24
"""Claims of all clients together, of capabilities and realms; one who claims more is denied."""


@define(eq=False)
class Claim:
    """A capability that a client says it has."""

    session: Session
    cap: CapReconnect


class Reconnect:
    """See the module.

    Attributes:
        gather: clients that have not come back. denied: those of them that were turned away.
        claims: by inode number. realms: by client, the snapshot realms that it knows: seq by inode.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rank = sessions.rank
        self.gather: set[int] = set()
        self.denied: set[int] = set()
        self.claims: dict[int, list[Claim]] = {}
        self.realms: dict[int, dict[int, int]] = {}
        self._num_claims = 0
        self._total = 0
        self._started_at = 0.0
        self._last_seen = 0.0
        self._evicting = 0
        self._changed = sessions.rank.queue.gate()

    # -- the window --------------------------------------------------------------------------

    def start(self) -> None:
        """It opens: every open session is awaited."""
        now = trio.current_time()
        self.gather.clear()
        self.denied.clear()
        for session in self.rank.sessionmap:
            if session.is_open():
                self.gather.add(session.client)
                session.reconnecting = True
                session.last_cap_renew = now
        self._total = len(self.gather)
        self._started_at = self._last_seen = now
        self.rank.log.info("reconnect_clients -- %d sessions", self._total)

    async def wait(self) -> None:
        """Until everybody came back, or was given up."""
        while self.gather or self._evicting:
            with trio.move_on_at(self._next_look()):
                await self._changed.wait()
                continue
            self.tick()

    def _next_look(self) -> float:
        if self._evicting:
            return float("inf")
        timeout = self.rank.config.get_float("mds_reconnect_timeout")
        due = max(self._started_at + timeout, self._newest_sign() + timeout / 2)
        # options and other messages may bring it nearer
        return min(due, trio.current_time() + self.rank.config.get_float("mds_tick_interval"))

    def _newest_sign(self) -> float:
        """When one of those who are awaited was heard of."""
        for client in self.gather:
            session = self.rank.sessionmap.get_session(client)
            if session is not None and session.last_seen > self._last_seen:
                self._last_seen = session.last_seen
        return self._last_seen

    def tick(self) -> None:
        """Give up on those who did not come in time."""
        if self._evicting or not self.gather:
            return
        config = self.rank.config
        now = trio.current_time()
        timeout = config.get_float("mds_reconnect_timeout")
        at_once = config.get_bool("mds_deny_all_reconnect") and self.gather == self.denied
        waited = now - self._started_at
        if not at_once:
            if waited < timeout:
                return
            if now - self._newest_sign() < timeout / 2:
                return  # they still talk to us
        self.rank.log.info(
            "reconnect timed out, %d clients have not reconnected in time", len(self.gather)
        )
        remaining = sorted(self.gather)
        self.gather.clear()
        self.denied.clear()
        for client in remaining:
            session = self.rank.sessionmap.get_session(client)
            if session is not None:
                self._give_up(session, waited)
        self._changed.open()

    def _give_up(self, session: Session, waited: float) -> None:
        rank = self.rank
        if "timeout" in session.client_metadata:
            rank.log.info("reconnect keeps %s, need to be reclaimed", session.name)
            self.sessions.reclaim.gather.add(session.client)
            return
        rank.services.clog.warn(
            f"evicting unresponsive client {session}, after waiting {waited:g} seconds"
            " during MDS startup"
        )
        # what it may have created with its numbers is to be purged
        session.delegated_inos, session.free_prealloc_inos = (
            session.free_prealloc_inos,
            session.delegated_inos,
        )
        if rank.config.get_bool("mds_session_blocklist_on_timeout"):
            self._evicting += 1
            self.sessions.evictor.start(session, True, self._evicted)
        else:
            self.sessions.closing.kill(session)

    def _evicted(self) -> None:
        self._evicting -= 1
        self._changed.open()

    def forget(self, session: Session) -> None:
        """The session is gone."""
        session.reconnecting = False
        if session.client in self.gather:
            self.gather.discard(session.client)
            self._changed.open()
        self.realms.pop(session.client, None)

    def status(self) -> dict[str, Any]:
        """For `status`; the first key is ceph-mds's."""
        return {
            "client_reconnect_gather": sorted(self.gather),
            "total": self._total,
            "done": self._total - len(self.gather),
        }

    # -- claims ------------------------------------------------------------------------------

    def handle(self, msg: MClientReconnect) -> None:
        """A client claims its capabilities."""
        sessions, rank = self.sessions, self.rank
        session = sessions.session_of(msg)
        con = msg.connection
        if session is None or not session.is_open():
            op = SessionOp.REJECT if session is None else SessionOp.CLOSE
            reply = MClientSession(op=op)
            if session is None:
                reply.metadata["error_string"] = "sessionless"
            rank.log.info("ignoring reconnect of %s: it has no open session", msg.source)
            if con is not None:
                con.send_message(reply)
            return
        if rank.state < State.RECONNECT and sessions.waiters.hold(
            State.RECONNECT, msg, self.handle
        ):
            return
        waited = trio.current_time() - self._started_at
        why = self._denial(session, msg, waited)
        if why:
            rank.services.clog.info(why)
            session.send(MClientSession(op=SessionOp.CLOSE))
            self.denied.add(session.client)
            self._changed.open()
            return
        if not msg.more:
            sessions.send_open(session)
            rank.services.clog.debug(f"reconnect by {session.info.inst} after {waited:g}")
        session.last_cap_renew = self._last_seen = trio.current_time()
        self._num_claims += len(msg.caps) + len(msg.realms)
        realms = self.realms.setdefault(session.client, {})
        for realm in msg.realms:
            realms[realm.ino] = realm.seq
        for ino, cap in msg.caps.items():
            self.claims.setdefault(ino, []).append(Claim(session, cap))
        if not msg.more:
            session.reconnecting = False
            self.gather.discard(session.client)
            if not self.gather:
                self._changed.open()

    def _denial(self, session: Session, msg: MClientReconnect, waited: float) -> str:
        """What is to be said if the client may not come back; ""."""
        rank = self.rank
        if (
            rank.state != State.RECONNECT
            or self._evicting
            or rank.config.get_bool("mds_deny_all_reconnect")
        ):
            timeout = rank.config.get_float("mds_reconnect_timeout")
            return (
                f"denied reconnect attempt (mds is {state_name(rank.state)}) from"
                f" {session.info.inst} after {waited:g} (allowed interval {timeout:g})"
            )
        why = ""
        if rank.read_only:
            why = "mds is readonly"
        elif self._num_claims + len(msg.caps) + len(msg.realms) > MAX_CLAIMS:
            why = "too many capabilities are claimed"
        else:
            if not session.info.client_metadata.features.mask:
                opening.infer_supported_features(session)
            missing = opening.missing_features(self.sessions, session)
            if missing.mask:
                why = f"missing required features '{missing}'"
        return f"denied reconnect attempt from {session.info.inst} ({why})" if why else ""

    # -- rejoin ------------------------------------------------------------------------------

    async def rejoin(self, progress: Any) -> None:
        """Find the inodes that are claimed, and let the locker take the claims.

        Args:
            progress: has `total` and `done`, to be counted up.
        """
        claims, self.claims = self.claims, {}
        self._num_claims = 0
        progress.total += len(claims)
        rank = self.rank

        async def one(ino: int) -> None:
            try:
                await until_done(lambda: rank.store.need_inode(ino))
            except FsError as exc:
                # a replayed request may make it; until then the locker keeps the claims
                rank.log.info("a client claims inode %#x, which is not there: %s", ino, exc)
            for claim in claims[ino]:
                if rank.sessionmap.get_session(claim.session.client) is claim.session:
                    rank.locker.import_reconnect(claim.session, ino, claim.cap)
            progress.done += 1

        await side_by_side(one, sorted(claims))
