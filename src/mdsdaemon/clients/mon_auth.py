"""Authentication of the monitor client: its connections, and what is renewed in a session.

Source of the behaviour: ceph/ceph, src/mon/MonClient.cc, _check_auth_tickets,
_check_auth_rotating (Pacific)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from mdsdaemon.cephx.client import AuthClient, CephxClient, MonAuth
from mdsdaemon.cephx.plug import CEPH_AUTH_NONE, AuthError, AuthKeys, AuthRequest
from mdsdaemon.cephx.tickets import RotatingKeyRing
from mdsdaemon.messages.auth import MAuth, MAuthReply
from mdsdaemon.records import define, field

REQUEST_INTERVAL = 1.0
"""Seconds between two requests of one kind: a monitor may answer without giving what is needed."""


class WatchedAuth:
    """A MonAuth that tells how the attempt ended; a ClientAuth for one handshake."""

    def __init__(
        self,
        auth: MonAuth,
        on_done: Callable[[AuthClient], None],
        on_error: Callable[[AuthError], None],
    ) -> None:
        self._auth = auth
        self._on_done = on_done
        self._on_error = on_error

    def request(self) -> AuthRequest:
        try:
            return self._auth.request()
        except AuthError as error:
            self._on_error(error)
            raise

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        try:
            return self._auth.bad_method(method, result, methods, modes)
        except AuthError as error:
            self._on_error(error)
            raise

    def reply_more(self, payload: bytes) -> bytes:
        try:
            return self._auth.reply_more(payload)
        except AuthError as error:
            self._on_error(error)
            raise

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        try:
            keys = self._auth.done(global_id, con_mode, payload)
        except AuthError as error:
            self._on_error(error)
            raise
        assert self._auth.client is not None  # done() succeeded: there is a session
        self._on_done(self._auth.client)
        return keys


class RenewalConfig(Protocol):
    """The part of Config that renewal reads."""

    def get_float(self, name: str) -> float: ...


@define
class Renewal:
    """Keeps tickets and rotating secrets fresh while a session lasts.

    `rotating` is None for an entity that is no service. Wall times are seconds since the epoch;
    `now` is the monotonic clock.
    """

    config: RenewalConfig
    rotating: RotatingKeyRing | None
    log: logging.Logger
    client: AuthClient | None = None
    _tickets_sent: float | None = field(default=None, init=False)
    _rotating_sent: float | None = field(default=None, init=False)

    def start(self, client: AuthClient) -> None:
        """A new session has given `client`."""
        self.client = client
        self._tickets_sent = None
        self._rotating_sent = None

    def _grace(self) -> float:
        return min(30.0, self.config.get_float("auth_service_ticket_ttl") / 4.0)

    def need_rotating(self, wall: float) -> bool:
        """True while the rotating secrets are missing or older than can be worked with."""
        if self.rotating is None or self.client is None or self.client.method == CEPH_AUTH_NONE:
            return False
        return self.rotating.need_new_secrets(wall - self._grace())

    def requests(self, now: float, wall: float) -> list[MAuth]:
        """What has to be asked of the monitor now."""
        made: list[MAuth] = []
        client = self.client
        if client is None:
            return made
        if client.need_tickets() and _due(self._tickets_sent, now):
            self._tickets_sent = now
            self.log.debug("getting new tickets")
            made.append(MAuth(protocol=client.method, auth_payload=client.build_request()))
        if self.need_rotating(wall) and _due(self._rotating_sent, now):
            self._warn_of_skew(wall)
            payload = client.build_rotating_request()
            if payload is not None:
                self._rotating_sent = now
                self.log.debug("getting new rotating secrets")
                made.append(MAuth(protocol=client.method, auth_payload=payload))
        return made

    def handle_reply(self, msg: MAuthReply) -> list[MAuth]:
        """The monitor has answered; what has to be asked right away."""
        client = self.client
        if client is None:
            return []
        try:
            again = client.handle_response(msg.result, msg.result_bl)
        except AuthError as error:
            self.log.warning("renewing tickets and keys: %s %s", error, msg.result_msg)
            return []
        if again:
            return [MAuth(protocol=client.method, auth_payload=client.build_request())]
        return []

    def _warn_of_skew(self, wall: float) -> None:
        ttl = self.config.get_float("auth_service_ticket_ttl")
        ring = self.rotating
        if ring is not None and not ring.need_new_secrets() and ring.need_new_secrets(wall - ttl):
            self.log.error(
                "possible clock skew: the monitor's rotating keys expired more than %g s ago by"
                " this machine's clock",
                ttl,
            )

    def due_in(self, now: float, wall: float) -> float:
        """Seconds until `requests` may have something; infinite when nothing is ever renewed."""
        client = self.client
        if not isinstance(client, CephxClient):
            return float("inf")
        dues: list[float] = []
        if client.need_tickets():
            dues.append(_wait(self._tickets_sent, now))
        else:
            # A manager's ticket alone is not asked for: where it is due, look again a little later.
            tickets = client.tickets.tickets.values()
            renewals = [t.renew_after - wall for t in tickets if t.service_id & client.want]
            dues += [max(due, REQUEST_INTERVAL) if due <= 0 else due for due in renewals]
        if self.rotating is not None:
            if self.need_rotating(wall):
                dues.append(_wait(self._rotating_sent, now))
            else:
                current = sorted(self.rotating.secrets.secrets.items())[1][1]
                dues.append(current.expiration / 1e9 + self._grace() - wall)
        return max(0.0, min(dues, default=float("inf")))


def _due(sent: float | None, now: float) -> bool:
    return sent is None or now - sent >= REQUEST_INTERVAL


def _wait(sent: float | None, now: float) -> float:
    return 0.0 if sent is None else max(0.0, sent + REQUEST_INTERVAL - now)
