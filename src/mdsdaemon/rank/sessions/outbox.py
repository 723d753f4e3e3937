"""What a client is sent: in order, and not before the journal has what it shows.

Behaviour: ceph/ceph, src/mds/MDSRank.cc (send_message_client, send_message_client_counted),
src/mds/SessionMap.h (wait_for_flush) (Pacific)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from mdsdaemon.messages.client_caps import MClientCaps, MClientLease
from mdsdaemon.messages.client_misc import MClientQuota, MClientSnap
from mdsdaemon.types.entity import PeerName

if TYPE_CHECKING:
    from mdsdaemon.messages.base import Message
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.rank.core import RankCore

PUSHED = (MClientCaps, MClientLease, MClientSnap, MClientQuota)
"""What both ends count: a client's wish to close the session tells whether it has got all."""
MAX_PREOPEN = 1024
"""Messages kept for a client that has no connection; a longer queue drops its oldest."""


@define(eq=False)
class Outbox(ABC):
    """The part of a session that sends.

    Attributes:
        rank: the rank whose session it is, once it has asked one to open it.
        preopen_out_queue: what waits for a connection.
        cap_push_seq: how many PUSHED messages were sent.
    """

    name: PeerName
    connection: Connection | None = None
    rank: RankCore | None = field(default=None, repr=False, kw_only=True)
    preopen_out_queue: deque[Message] = field(
        factory=lambda: deque(maxlen=MAX_PREOPEN), repr=False, kw_only=True
    )
    cap_push_seq: int = field(default=0, kw_only=True)
    _held: deque[tuple[int, Message]] = field(factory=deque, init=False, repr=False)
    _awaited: int = field(default=0, init=False, repr=False)
    _flushes: dict[int, list[Callable[[], None]]] = field(factory=dict, init=False, repr=False)

    @abstractmethod
    def is_closed(self) -> bool:
        """Whether the client has no session open."""

    def send(self, msg: Message, after: int = 0) -> None:
        """Send in order; keep the message until the client is connected, if it is not.

        Args:
            after: not before the journal is safe up to there: for what shows a state that the
                client may not know of yet. All that is sent later stays behind it.
        """
        rank = self.rank
        if self._held or (after and rank is not None and after > rank.mdlog.safe_pos):
            self._held.append((after, msg))
            if len(self._held) == 1:
                self._wait()
            return
        self._transmit(msg)

    def push(self) -> None:
        """Let the client have at once what was sent, not at the end of the present dispatch."""
        if self.connection is not None:
            self.connection.push()

    def send_when_safe(self, msg: Message, end: int) -> None:
        """Send once the journal is safe up to there; others need not stay behind it.

        For the client's own acknowledgements: a safe reply, that of a flush for a snapshot. It is
        patient: a client in a hurry says so (`MDLog.hurry`).
        """
        self._when_safe(msg, end, self.send)

    def send_ahead_when_safe(self, msg: Message, end: int) -> None:
        """Send once the journal is safe up to there, before what waits for that position too.

        For the acknowledgement of a flush: libcephfs does not believe a reply about what it is
        still flushing, so those that wait for it come after it.
        """
        self._when_safe(msg, end, self._transmit)

    def _when_safe(self, msg: Message, end: int, send: Callable[[Message], None]) -> None:
        rank = self.rank
        if rank is None or end <= rank.mdlog.safe_pos:
            self.send(msg)
            return

        def safe() -> None:
            self._awaited -= 1
            if not self.is_closed():
                send(msg)

        self._awaited += 1
        rank.mdlog.when_safe(end, safe, patient=True)

    def _transmit(self, msg: Message) -> None:
        if isinstance(msg, PUSHED):
            self.cap_push_seq += 1
        if self.connection is None:
            self.preopen_out_queue.append(msg)
        else:
            self.connection.send_message(msg)

    @property
    def held(self) -> int:
        """How many messages wait for the journal."""
        return len(self._held) + self._awaited

    def drop_held(self) -> None:
        """The client shall not get what waits for the journal."""
        self._held.clear()

    def _wait(self) -> None:
        assert self.rank is not None
        self.rank.mdlog.when_safe(self._held[0][0], self._release)

    def _release(self) -> None:
        held, rank = self._held, self.rank
        if rank is None:
            held.clear()
            return
        safe = rank.mdlog.safe_pos
        while held and held[0][0] <= safe:
            self._transmit(held.popleft()[1])
        if held:
            self._wait()

    # -- flushing ----------------------------------------------------------------------------

    def wait_for_flush(self, callback: Callable[[], None]) -> int:
        """Call when the client has got all that it was sent; the number for a FLUSHMSG."""
        self._flushes.setdefault(self.cap_push_seq, []).append(callback)
        return self.cap_push_seq

    def is_any_flush_waiter(self) -> bool:
        return bool(self._flushes)

    def finish_flush(self, seq: int) -> list[Callable[[], None]]:
        """The client has got what was sent up to `seq`: whom to call."""
        done: list[Callable[[], None]] = []
        for at in sorted(at for at in self._flushes if at <= seq):
            done += self._flushes.pop(at)
        return done
