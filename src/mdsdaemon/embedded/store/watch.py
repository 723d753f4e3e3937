"""Watches and notifications: who is told, who has answered, who has been silent for too long.

A watch lies in the object's info, durably; here is what lives with the process: the connection it
is reached by and when it was heard of. Nothing here sends: methods return what to send.

Behaviour: ceph/ceph, src/osd/Watch.cc, src/osd/PrimaryLogPG.cc (do_osd_op_effects)
"""

from __future__ import annotations

from collections.abc import Hashable
from errno import ETIMEDOUT
from typing import TYPE_CHECKING

import attrs

from mdsdaemon.encoding import U64, Blob, List, Map, Tuple, encode
from mdsdaemon.messages.osd import MWatchNotify
from mdsdaemon.types.entity import EntityAddr, PeerName
from mdsdaemon.types.osd_op import WatchEvent

if TYPE_CHECKING:
    from mdsdaemon.embedded.store.requests import Effects
    from mdsdaemon.embedded.store.state import ObjectKey

Watcher = tuple[int, PeerName]
"""(cookie, client)."""
Place = tuple[int, "ObjectKey"]
"""(pool, object)."""
Sending = tuple[Hashable, MWatchNotify]
"""(connection, message)."""

_REPLIES = Map(Tuple(U64, U64), Blob)
_MISSED = List(Tuple(U64, U64))


@attrs.define(eq=False)
class Notify:
    """A notification that is under way; `waiting` are the watches that have not answered."""

    connection: Hashable
    gid: int
    cookie: int
    notify_id: int
    version: int
    payload: bytes
    deadline: float
    waiting: dict[Watch, None] = attrs.Factory(dict)
    replies: dict[tuple[int, int], bytes] = attrs.Factory(dict)
    complete: bool = False

    def finished(self, *, timed_out: bool) -> list[Sending]:
        """The notifier's answer, if all have answered or time is up."""
        if self.complete or (self.waiting and not timed_out):
            return []
        self.complete = True
        missed = [(watch.who.num, watch.cookie) for watch in self.waiting]
        msg = MWatchNotify(
            opcode=WatchEvent.NOTIFY_COMPLETE,
            cookie=self.cookie,
            ver=self.version,
            notify_id=self.notify_id,
            return_code=-ETIMEDOUT if timed_out else 0,
            notifier_gid=self.gid,
        )
        msg.data = encode(_REPLIES, self.replies) + encode(_MISSED, missed)
        return [(self.connection, msg)]


@attrs.define(eq=False)
class Watch:
    """One client's watch of one object.

    `deadline` is when it ends unless the client is heard of; None for clients that never ping, as
    long as they are connected. Times of the store's clock, `timeout` in seconds.
    """

    place: Place
    cookie: int
    who: PeerName
    timeout: int
    addr: EntityAddr
    connection: Hashable = None
    will_ping: bool = False
    last_ping: float = 0.0
    deadline: float | None = None
    notifies: dict[int, Notify] = attrs.Factory(dict)

    def notify_message(self, notify: Notify) -> Sending:
        """The notification for this watch."""
        msg = MWatchNotify(
            opcode=WatchEvent.NOTIFY,
            cookie=self.cookie,
            ver=notify.version,
            notify_id=notify.notify_id,
            bl=notify.payload,
            notifier_gid=notify.gid,
        )
        return self.connection, msg

    def disconnect(self, now: float) -> None:
        """The client is not reached any more."""
        self.connection = None
        if not self.will_ping:
            self.deadline = now + self.timeout


@attrs.define
class WatchTable:
    """All watches and all notifications under way."""

    _places: dict[Place, dict[Watcher, Watch]] = attrs.Factory(dict)
    _notifies: dict[int, Notify] = attrs.Factory(dict)

    def of(self, pool: int, key: ObjectKey) -> dict[Watcher, Watch]:
        """The watches of an object; not to be changed."""
        return self._places.get((pool, key), {})

    def __len__(self) -> int:
        return sum(len(watches) for watches in self._places.values())

    def add_silent(
        self, place: Place, watcher: Watcher, timeout: int, addr: EntityAddr, now: float
    ) -> None:
        """A watch that the object's info has and whose client has not come back yet."""
        watch = Watch(place, *watcher, timeout, addr, deadline=now + timeout)
        self._places.setdefault(place, {}).setdefault(watcher, watch)

    def got_ping(self, pool: int, key: ObjectKey, watcher: Watcher, now: float) -> bool:
        """The client was heard of; False if the watch is not connected."""
        watch = self.of(pool, key).get(watcher)
        if watch is None or watch.connection is None:
            return False
        watch.last_ping = now
        watch.deadline = now + watch.timeout
        return True

    def apply(
        self, effects: Effects, connection: Hashable, who: PeerName, now: float
    ) -> list[Sending]:
        """Do what a committed request did beside its object."""
        out: list[Sending] = []
        place = (effects.pool, effects.key)
        for cookie, client, told in effects.disconnects:
            out += self._remove(place, (cookie, client), told=told)
        for connect in effects.connects:
            info = connect.info
            watches = self._places.setdefault(place, {})
            watch = watches.get((info.cookie, who))
            if watch is None:
                watch = Watch(place, info.cookie, who, info.timeout, info.addr)
                watches[info.cookie, who] = watch
            out += self._connect(watch, connection, now, will_ping=connect.will_ping)
        for start in effects.notifies:
            notify = Notify(
                connection,
                who.num,
                start.cookie,
                start.notify_id,
                effects.user_version,
                start.payload,
                now + start.timeout,
            )
            out += self._start(notify, place, now)
        for ack in effects.acks:
            for (cookie, client), watch in list(self._places.get(place, {}).items()):
                if client == who and ack.cookie in (None, cookie):
                    out += self._answered(watch, ack.notify_id, ack.reply)
        return out

    def reset(self, connection: Hashable, now: float) -> None:
        """A client's connection is gone."""
        for watches in self._places.values():
            for watch in watches.values():
                if watch.connection == connection:
                    watch.disconnect(now)

    def forget(self, pool: int, key: ObjectKey, *, told: bool) -> list[Sending]:
        """The object is gone."""
        out: list[Sending] = []
        for watcher in list(self._places.get((pool, key), ())):
            out += self._remove((pool, key), watcher, told=told)
        return out

    def clear(self) -> list[Sending]:
        """All objects are gone; their watchers are told."""
        out: list[Sending] = []
        for pool, key in list(self._places):
            out += self.forget(pool, key, told=True)
        return out

    def remove(self, watch: Watch) -> list[Sending]:
        """Take out a watch that timed out or whose client is fenced."""
        return self._remove(watch.place, (watch.cookie, watch.who), told=True)

    def overdue(self, now: float) -> list[Watch]:
        """The watches whose time is up: to be taken out of the objects, then from here."""
        return [
            watch
            for watches in self._places.values()
            for watch in watches.values()
            if watch.deadline is not None and watch.deadline <= now
        ]

    def all(self) -> list[Watch]:
        """Every watch."""
        return [watch for watches in self._places.values() for watch in watches.values()]

    def expire(self, now: float) -> list[Sending]:
        """End the notifications whose time is up."""
        out: list[Sending] = []
        for notify in list(self._notifies.values()):
            if notify.deadline <= now:
                out += notify.finished(timed_out=True)
                for watch in notify.waiting:
                    watch.notifies.pop(notify.notify_id, None)
                del self._notifies[notify.notify_id]
        return out

    def next_deadline(self) -> float | None:
        """When `overdue` or `expire` have something to do next."""
        times = [notify.deadline for notify in self._notifies.values()]
        times += [watch.deadline for watch in self.all() if watch.deadline is not None]
        return min(times, default=None)

    def _connect(
        self, watch: Watch, connection: Hashable, now: float, *, will_ping: bool
    ) -> list[Sending]:
        if watch.connection == connection:
            return []
        watch.connection, watch.will_ping = connection, will_ping
        watch.last_ping = now
        watch.deadline = now + watch.timeout if will_ping else None
        return [watch.notify_message(notify) for notify in watch.notifies.values()]

    def _start(self, notify: Notify, place: Place, now: float) -> list[Sending]:
        out: list[Sending] = []
        for watch in self._places.get(place, {}).values():
            if watch.will_ping and watch.last_ping < now - watch.timeout:
                watch.disconnect(now)
                continue
            watch.notifies[notify.notify_id] = notify
            notify.waiting[watch] = None
            if watch.connection is not None:
                out.append(watch.notify_message(notify))
        self._notifies[notify.notify_id] = notify
        return out + self._finish(notify)

    def _finish(self, notify: Notify) -> list[Sending]:
        out = notify.finished(timed_out=False)
        if notify.complete:
            self._notifies.pop(notify.notify_id, None)
        return out

    def _answered(self, watch: Watch, notify_id: int, reply: bytes) -> list[Sending]:
        notify = watch.notifies.pop(notify_id, None)
        if notify is None or notify.complete:
            return []
        notify.waiting.pop(watch, None)
        notify.replies[watch.who.num, watch.cookie] = reply
        return self._finish(notify)

    def _remove(self, place: Place, watcher: Watcher, *, told: bool) -> list[Sending]:
        watches = self._places.get(place, {})
        watch = watches.pop(watcher, None)
        if watch is None:
            return []
        if not watches:
            del self._places[place]
        out: list[Sending] = []
        if told and watch.connection is not None:
            gone = MWatchNotify(opcode=WatchEvent.DISCONNECT, cookie=watch.cookie)
            out.append((watch.connection, gone))
        for notify in watch.notifies.values():
            notify.waiting.pop(watch, None)
            out += self._finish(notify)
        return out
