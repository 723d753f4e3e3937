"""Which maps the monitor is asked for, from which epoch on (MonSub).

Pure state: `MonClient` sends `get_subs()` in an MMonSubscribe and tells what came back. A
subscription asked for with start N delivers epochs >= N; every `got(what, have)` moves the start
to have + 1, so that a new session with another monitor continues where the old one ended.

Source of the behaviour: ceph/ceph, src/mon/MonSub.{h,cc} (Pacific)
"""

from __future__ import annotations

from mdsdaemon.records import define, field, frozen

CEPH_SUBSCRIBE_ONETIME = 1


@frozen
class SubItem:
    """First epoch wanted, and CEPH_SUBSCRIBE_ONETIME or 0."""

    start: int
    flags: int = 0


@define
class Subscriptions:
    """The subscriptions of one monitor client.

    `new` is wanted and not yet sent in this session, `sent` is what the monitor knows.
    """

    new: dict[str, SubItem] = field(factory=dict)
    sent: dict[str, SubItem] = field(factory=dict)
    renew_sent: float | None = None
    renew_after: float | None = None

    def have_new(self) -> bool:
        """True when something has to be sent."""
        return bool(self.new)

    def get_subs(self) -> dict[str, SubItem]:
        """What the next MMonSubscribe says."""
        return dict(self.new)

    def renewed(self, now: float) -> None:
        """`get_subs()` was sent at `now`."""
        if self.renew_sent is None:
            self.renew_sent = now
        self.sent.update(self.new)
        self.new.clear()

    def acked(self, interval: int) -> None:
        """The monitor wants a renewal within `interval` seconds (only stateless ones ask)."""
        if self.renew_sent is not None:
            self.renew_after = self.renew_sent + interval / 2.0
            self.renew_sent = None

    def need_renew(self, now: float) -> bool:
        """True when a monitor that forgets subscriptions has to be reminded."""
        return self.renew_after is not None and now > self.renew_after

    def got(self, what: str, have: int) -> None:
        """Epoch `have` of `what` arrived: a one-time subscription is over, others move on."""
        for table in (self.new, self.sent):
            item = table.get(what)
            if item is None:
                continue
            if item.start <= have:
                if item.flags & CEPH_SUBSCRIBE_ONETIME:
                    del table[what]
                else:
                    table[what] = SubItem(have + 1, item.flags)
            return

    def reload(self) -> bool:
        """A new session begins: everything has to be sent again. True when there is anything."""
        for what, item in self.sent.items():
            self.new.setdefault(what, item)
        return self.have_new()

    def want(self, what: str, start: int, flags: int = 0) -> bool:
        """Ask for `what` from epoch `start` on; False when exactly that is asked for already."""
        item = SubItem(start, flags)
        if self.new.get(what) == item or self.sent.get(what) == item:
            return False
        self.new[what] = item
        return True

    def inc_want(self, what: str, start: int, flags: int = 0) -> bool:
        """As `want`, but only forward: False when `start` or a later epoch is asked for already."""
        item = self.new.get(what, self.sent.get(what))
        if item is not None and item.start >= start:
            return False
        self.new[what] = SubItem(start, flags)
        return True

    def unwant(self, what: str) -> None:
        """Forget `what`; the monitor hears of it only when the session ends."""
        self.sent.pop(what, None)
        self.new.pop(what, None)
