"""The part of a connection that survives its sockets.

A session numbers messages, keeps the sent ones until the peer has acknowledged them, and decides
what a broken socket means. One `Wire` at a time writes and reads for it.

Behaviour: ceph/ceph, src/msg/async/ProtocolV2.cc (_fault, requeue_sent, discard_requeued_up_to,
reset_session, send_server_ident, send_reconnect_ok) (Pacific)
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from mdsdaemon.msgr2.message import CEPH_MSG_PRIO_HIGHEST, MessageFrame, Outgoing
from mdsdaemon.records import define, field, frozen

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import PeerIdentity
    from mdsdaemon.msgr2.endpoint import Endpoint
    from mdsdaemon.msgr2.wire import Wire
    from mdsdaemon.types.entity import EntityAddrVec, PeerName

MAX_UNACKED_BYTES = 128 << 20


class SessionPolicy(Protocol):
    """What a session has to know of the policy towards a peer type (net's `Policy` is one)."""

    @property
    def lossy(self) -> bool: ...
    @property
    def server(self) -> bool: ...
    @property
    def standby(self) -> bool: ...
    @property
    def resetcheck(self) -> bool: ...
    @property
    def register_lossy_clients(self) -> bool: ...
    @property
    def features_required(self) -> int: ...
    @property
    def features_supported(self) -> int: ...


class SessionState(Enum):
    """CONNECTING until READY; WAIT: the peer has asked us to let it connect instead."""

    CONNECTING = auto()
    READY = auto()
    STANDBY = auto()
    WAIT = auto()
    CLOSED = auto()


class FaultKind(Enum):
    """RESET: the session is gone, tell the dispatchers. STANDBY: rest until there is a message to
    send (`Session.wants_connect`) or the peer comes back. RECONNECT: connect after `delay`.
    """

    RESET = auto()
    STANDBY = auto()
    RECONNECT = auto()


@frozen
class Fault:
    """What to do about a broken socket; `delay` in seconds."""

    kind: FaultKind
    delay: float = 0.0


class _Queued:
    """A message in the queue. `seq` is 0 until it has been written once."""

    __slots__ = ("features", "frame", "message", "seq")

    def __init__(self, message: Outgoing) -> None:
        self.message = message
        self.seq = 0
        self.frame: MessageFrame | None = None
        self.features = -1

    def encoded(self, features: int) -> MessageFrame:
        if self.frame is None or self.features != features:
            self.frame = self.message.frame(features)
            self.features = features
        return self.frame


@define(eq=False)
class Session:
    """One peer's session; made by `Registry`, `owner` is the caller's to use.

    `lossy` is the policy's until the peer or the owner (a disposable connection) says otherwise.

    Invariant: `_sent` holds what has been written to the present socket and is not acknowledged,
    in ascending `seq` without gaps up to `out_seq`; nothing is added to it while `lossy`.
    """

    peer_type: int
    peer_addrs: EntityAddrVec
    policy: SessionPolicy = field(repr=False)
    owner: Any = field(default=None, repr=False)
    max_unacked_bytes: int = field(default=MAX_UNACKED_BYTES, repr=False)

    state: SessionState = SessionState.CONNECTING
    wire: Wire | None = field(default=None, repr=False)
    lossy: bool = field(init=False)
    peer_name: PeerName | None = None
    identity: PeerIdentity | None = None
    features: int = 0
    client_cookie: int = field(default=0, repr=False)
    server_cookie: int = field(default=0, repr=False)
    global_seq: int = 0
    connect_seq: int = 0
    peer_global_seq: int = 0
    out_seq: int = 0
    in_seq: int = 0
    ack_left: int = 0
    backoff: float = 0.0
    keepalive_wanted: bool = False
    skipped: int = 0
    """How many sequence numbers the peer has left out; told to nobody, but worth a log line."""

    _queue: dict[int, deque[_Queued]] = field(factory=dict, repr=False, init=False)
    _sent: deque[_Queued] = field(factory=deque, repr=False, init=False)
    _unacked_bytes: int = field(default=0, init=False)

    key: EntityAddrVec = field(init=False, repr=False)
    """The peer's addresses as they were when the session was made: the registry's key."""

    def __attrs_post_init__(self) -> None:
        self.lossy = self.policy.lossy
        self.key = self.peer_addrs

    # ---- sending ----

    def send(self, message: Outgoing) -> bool:
        """Queue a message by its priority; False if the session is closed and it was dropped."""
        if self.state is SessionState.CLOSED:
            return False
        priority = message.priority
        entries = self._queue.get(priority)
        if entries is None:
            entries = self._queue[priority] = deque()
        entries.append(_Queued(message))
        return True

    @property
    def has_queued(self) -> bool:
        """Is there a message that has not been written to the present socket?"""
        return bool(self._queue)

    @property
    def queued(self) -> int:
        """Messages not yet written to the present socket."""
        return sum(map(len, self._queue.values()))

    @property
    def unacked(self) -> int:
        """Messages written, and not acknowledged by the peer."""
        return len(self._sent)

    @property
    def unacked_bytes(self) -> int:
        """Bytes of front, middle and data in `unacked` messages."""
        return self._unacked_bytes

    @property
    def can_write(self) -> bool:
        """A message is queued, and the bound on unacknowledged bytes lets it go out."""
        return bool(self._queue) and self._unacked_bytes < self.max_unacked_bytes

    @property
    def wants_connect(self) -> bool:
        """Resting, with a message to send, towards a peer that it is ours to connect to."""
        return self.state is SessionState.STANDBY and not self.policy.server and bool(self._queue)

    def next_to_write(self) -> tuple[int, MessageFrame] | None:
        """Take the next message of the highest priority with its new sequence number.

        None if nothing is queued, or too many bytes wait for the peer's acknowledgement.
        """
        if not self._queue or self._unacked_bytes >= self.max_unacked_bytes:
            return None
        priority = max(self._queue)
        entries = self._queue[priority]
        entry = entries.popleft()
        if not entries:
            del self._queue[priority]
        frame = entry.encoded(self.features)
        self.out_seq += 1
        entry.seq = self.out_seq
        if not self.lossy:
            self._sent.append(entry)
            self._unacked_bytes += frame.nbytes
        return entry.seq, frame

    def acked(self, seq: int) -> int:
        """The peer has everything up to `seq`: forget it; the number of messages forgotten."""
        sent = self._sent
        count = 0
        while sent and sent[0].seq <= seq:
            entry = sent.popleft()
            assert entry.frame is not None
            self._unacked_bytes -= entry.frame.nbytes
            count += 1
        return count

    # ---- receiving ----

    def received(self, seq: int) -> bool:
        """Note an incoming message; False if it is an old one, to be dropped."""
        if seq <= self.in_seq:
            return False
        self.skipped += seq - self.in_seq - 1
        self.in_seq = seq
        if not self.lossy:
            self.ack_left += 1
        return True

    # ---- sockets come and go ----

    def begin_connect(self, endpoint: Endpoint) -> None:
        """A socket towards the peer is being opened (called by `Wire.client`)."""
        if self.state is SessionState.STANDBY and self.server_cookie:
            self.connect_seq += 1
        self.global_seq = endpoint.next_global_seq()
        self.state = SessionState.CONNECTING

    def begin_session(self) -> None:
        """Both sides count from zero: what is still queued will be numbered anew."""
        self.requeue_sent()
        for entry in self._queue.get(CEPH_MSG_PRIO_HIGHEST, ()):
            entry.seq = 0
        self.out_seq = self.in_seq = self.ack_left = 0

    def resume_session(self, peer_in_seq: int) -> None:
        """The old session goes on: drop what the peer has already, send the rest again."""
        self.requeue_sent()
        entries = self._queue.get(CEPH_MSG_PRIO_HIGHEST)
        while entries and 0 < entries[0].seq <= peer_in_seq:
            self.out_seq = entries.popleft().seq
        if entries is not None and not entries:
            del self._queue[CEPH_MSG_PRIO_HIGHEST]
        self.ack_left = 0

    def ready(self) -> None:
        """The handshake is complete."""
        self.state = SessionState.READY
        self.backoff = 0.0

    def requeue_sent(self) -> None:
        """Put written, unacknowledged messages back in front of everything else, in order."""
        if not self._sent:
            return
        self.out_seq -= len(self._sent)
        front = self._queue.setdefault(CEPH_MSG_PRIO_HIGHEST, deque())
        front.extendleft(reversed(self._sent))
        self._sent.clear()
        self._unacked_bytes = 0

    def reset_session(self) -> None:
        """The peer does not know this session (any more): forget its messages and its cookies."""
        self._discard()
        self.out_seq = self.in_seq = self.ack_left = 0
        self.client_cookie = self.server_cookie = 0
        self.connect_seq = self.peer_global_seq = 0

    def fault(self, initial_backoff: float = 0.2, max_backoff: float = 15.0) -> Fault:
        """The socket broke, or could not be opened. Detaches the wire; says what comes next.

        The defaults are those of ms_initial_backoff and ms_max_backoff, in seconds.
        """
        self.detach()
        before = self.state
        if before is SessionState.CLOSED:
            return Fault(FaultKind.RESET)
        if self.lossy and before is not SessionState.CONNECTING:
            self.close()
            return Fault(FaultKind.RESET)
        self.requeue_sent()
        nothing_to_send = not self._queue and not self.keepalive_wanted
        resting = self.policy.standby and nothing_to_send and before is not SessionState.WAIT
        if resting or self.policy.server:
            self.state = SessionState.STANDBY
            return Fault(FaultKind.STANDBY)
        if before is SessionState.READY or before is SessionState.STANDBY:
            self.connect_seq += 1
            self.backoff = 0.0
        else:
            if before is SessionState.WAIT:
                self.backoff = max_backoff
            elif self.backoff == 0.0:
                self.backoff = initial_backoff
            else:
                self.backoff = min(self.backoff * 2, max_backoff)
            if self.server_cookie:
                self.connect_seq += 1
        self.state = SessionState.CONNECTING
        return Fault(FaultKind.RECONNECT, self.backoff)

    def detach(self) -> None:
        """Silence the wire that serves this session; its socket is worth closing."""
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close()

    def close(self) -> None:
        """For good: queues are dropped, later sends too."""
        self.detach()
        self._discard()
        self.state = SessionState.CLOSED

    def _discard(self) -> None:
        self._queue.clear()
        self._sent.clear()
        self._unacked_bytes = 0
