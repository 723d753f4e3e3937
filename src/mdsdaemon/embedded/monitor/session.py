"""A peer's session with the monitor: who it is, what it may do, what it has subscribed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from mdsdaemon.embedded.monitor.mon_caps import MonCaps
from mdsdaemon.types.entity import EntityAddrVec, EntityName, PeerName, type_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mdsdaemon.embedded.key_server_auth import CephxServiceHandler
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.messages.base import Message
    from mdsdaemon.net.connection import Connection


@define(eq=False)
class Subscription:
    """One subscription: `next` is the first epoch wanted; `onetime` ends it with what is sent."""

    what: str
    next: int
    onetime: bool = False


@define(eq=False)
class MonSession:
    """See the module.

    Attributes:
        entity_name: whose key it showed ("client.admin"); global_id: its number in the cluster.
        auth: answers its MAuths (method cephx).
        con: its connection; None for one that tests and the program itself use.
        subs: subscriptions by name.
        hostname: as the peer says (for configuration masks).
    """

    mon: Monitor = field(repr=False)
    entity_name: EntityName
    global_id: int
    caps: MonCaps = field(repr=False)
    con: Connection | None = field(default=None, repr=False)
    auth: CephxServiceHandler | None = field(default=None, repr=False)
    subs: dict[str, Subscription] = field(factory=dict, repr=False)
    hostname: str = ""
    last_config: dict[str, str] | None = field(default=None, repr=False)
    opened: float = 0.0
    closed: bool = False

    @property
    def name(self) -> PeerName:
        """Type and number as the peer says, ``osd.0`` or ``client.?``; logs show it."""
        told = self.con.peer_name if self.con is not None else None
        return told or PeerName(self.entity_name.type)

    @property
    def peer_type(self) -> int:
        return self.entity_name.type

    @property
    def type_name(self) -> str:
        return type_name(self.entity_name.type)

    @property
    def addrs(self) -> EntityAddrVec:
        return self.con.peer_addrs if self.con is not None else EntityAddrVec()

    @property
    def features(self) -> int:
        """What both ends understand."""
        return self.con.features if self.con is not None else 0

    def is_capable(
        self,
        service: str,
        perms: str,
        command: str = "",
        args: Mapping[str, str] | None = None,
    ) -> bool:
        """Whether the caps allow `perms` (letters of r, w, x) on a service, or to that command."""
        con = self.con
        addr = con.peer_addrs.addrs[0] if con is not None and con.peer_addrs.addrs else None
        return self.caps.is_capable(self.entity_name, service, command, args or {}, perms, addr)

    def send(self, msg: Message) -> None:
        """Send, once all that was decided up to now is durable. The message is not changed later;
        maps in it are encoded when it goes out."""
        con = self.con
        if con is not None and not self.closed:
            self.mon.transactions.after(lambda: self._send_now(msg))

    def _send_now(self, msg: Message) -> None:
        if self.con is not None and not self.closed:
            self.con.send_message(msg)

    def sent(self, sub: Subscription, epoch: int) -> None:
        """`sub` has everything up to `epoch`: a one-time subscription ends, others go on."""
        if sub.onetime:
            if self.subs.get(sub.what) is sub:
                del self.subs[sub.what]
        else:
            sub.next = epoch + 1
