"""What every session asks for, whatever the map: subscriptions, versions, signs of life."""

from __future__ import annotations

import json
from typing import ClassVar, Final

from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.embedded.monitor.session import MonSession, Subscription
from mdsdaemon.encoding import Str, encode
from mdsdaemon.messages.mon import (
    MMonGetVersion,
    MMonGetVersionReply,
    MMonSubscribe,
    MMonSubscribeAck,
)
from mdsdaemon.messages.ping import MPing
from mdsdaemon.types.features import MON_STATEFUL_SUB

SUBSCRIBE_ONETIME: Final = 1

MAX_SUBSCRIPTIONS: Final = 1000
"""Names in one session: a bound on what a peer makes us remember."""

_NO_CAPS_NEEDED: Final = frozenset({"monmap", "config"})


class SessionService(Service):
    """Subscriptions of all kinds go from here to the services that serve them."""

    name: ClassVar[str] = "session"

    @handles(MMonSubscribe)
    def handle_subscribe(self, session: MonSession, msg: MMonSubscribe) -> None:
        """Note the subscriptions and send at once what there is."""
        if msg.hostname:
            session.hostname = msg.hostname
        lasting = False
        for what, item in sorted(msg.what.items()):
            if what not in _NO_CAPS_NEEDED and not session.is_capable("mon", "r"):
                self.mon.logger.info(
                    "%s may not subscribe to %s: its mon caps do not allow r",
                    session.entity_name,
                    what,
                )
                continue
            onetime = bool(item.flags & SUBSCRIBE_ONETIME)
            lasting = lasting or not onetime
            self.subscribe(session, what, item.start, onetime=onetime)
        if lasting and not session.features & MON_STATEFUL_SUB:
            interval = int(self.mon.config.get_float("mon_subscribe_interval"))
            session.send(MMonSubscribeAck(interval, self.mon.fsid))

    def subscribe(self, session: MonSession, what: str, start: int, *, onetime: bool) -> None:
        """Add or change one subscription."""
        service = self.mon.service_of_sub(what)
        if service is None or (what not in session.subs and len(session.subs) >= MAX_SUBSCRIPTIONS):
            self.mon.logger.info("%s subscribes to unknown %r", session.entity_name, what[:80])
            return
        if what.startswith("log-"):  # a session watches one level of one channel
            for other in [name for name in session.subs if name.startswith("log-")]:
                del session.subs[other]
        sub = session.subs[what] = Subscription(what, start, onetime)
        self.mon.check_sub(session, sub)

    @handles(MMonGetVersion)
    def handle_get_version(self, session: MonSession, msg: MMonGetVersion) -> None:
        """Newest and oldest epoch of a map."""
        if not session.is_capable("mon", "r"):
            return
        for service in self.mon.services:
            found = service.get_version(msg.what)
            if found is not None:
                reply = MMonGetVersionReply(msg.handle, *found)
                reply.tid = msg.tid
                session.send(reply)
                return

    @handles(MPing)
    def handle_ping(self, session: MonSession, msg: MPing) -> None:
        """The answer of `ceph ping mon.a`: health and state as JSON."""
        pong = {"health": self.mon.health.summary(), "mon_status": self.mon.mon_map.mon_status()}
        session.send(MPing(encode(Str, json.dumps(pong, indent=4) + "\n")))
