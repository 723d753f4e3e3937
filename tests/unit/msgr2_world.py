"""Two nodes, sockets that break at any byte, and a seed: what net/ does, in the worst order.

Every choice (who connects when, how many bytes arrive, when a socket breaks and when which end
notices) is drawn from one random.Random.
"""

import random
from collections.abc import Callable
from functools import partial

from attrs import define, field
from tests.unit.msgr2_peers import StubAuth, StubPolicy, StubServerAuth, make_registry

from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.events import NeedDecision, RemoteReset, Waited
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.msgr2.registry import Accept, Registry
from mdsdaemon.msgr2.session import FaultKind, Session
from mdsdaemon.msgr2.wire import Wire
from mdsdaemon.types.entity import MDS, EntityAddr

PRIORITIES = (127, 196, 127, 255, 127)


@define(eq=False)
class End:
    """One end of a socket. `incoming` is on its way to it; `broken`: nothing comes any more."""

    node: "Node"
    wire: Wire
    incoming: bytearray = field(factory=bytearray)
    broken: bool = False
    peer: "End" = field(init=False)


@define(eq=False)
class Node:
    """A daemon's messenger; `heard` are the tids that arrived, in order."""

    registry: Registry
    policy: StubPolicy
    mode: int
    heard: list[int] = field(factory=list)
    resets: int = 0
    due: list[Session] = field(factory=list)
    """Sessions whose turn to connect has come."""
    errors: list[ProtocolError] = field(factory=list)

    @property
    def addr(self) -> EntityAddr:
        return self.registry.endpoint.addrs.addrs[0]

    def session_with(self, peer: "Node") -> Session:
        session = self.registry.connect_session(MDS, peer.registry.endpoint.addrs, self.policy)
        if session.owner is None:
            session.owner = self
            if not self.policy.server:
                self.due.append(session)
        return session

    def fault(self, end: End) -> None:
        """The socket of `end` is gone."""
        session = end.wire.session
        end.wire.close()
        if session is None or session.wire is not end.wire:
            return
        fault = session.fault()
        if fault.kind is FaultKind.RECONNECT:
            self.due.append(session)
        elif fault.kind is FaultKind.RESET:
            self.registry.forget(session)


@define(eq=False)
class World:
    """Two nodes and the sockets between them."""

    rng: random.Random
    nodes: tuple[Node, Node]
    ends: list[End] = field(factory=list)
    break_rate: float = 0.04
    quiet: bool = False
    """Nothing breaks any more."""

    @classmethod
    def make(
        cls, seed: int, policies: tuple[StubPolicy, StubPolicy], mode: int, ports: tuple[int, int]
    ) -> "World":
        a, b = (
            Node(make_registry(port, seed), policy, mode)
            for port, policy in zip(ports, policies, strict=True)
        )
        return cls(random.Random(seed), (a, b))

    def other(self, node: Node) -> Node:
        return self.nodes[1] if node is self.nodes[0] else self.nodes[0]

    def send(self, node: Node, tid: int) -> None:
        session = node.session_with(self.other(node))
        front = bytes(self.rng.randrange(90))
        session.send(MessageFrame(1, front, tid=tid, priority=PRIORITIES[tid % len(PRIORITIES)]))
        if session.wants_connect and session not in node.due:
            node.due.append(session)

    def connect(self, node: Node, session: Session) -> None:
        node.due.remove(session)
        if session.wire is not None:
            return  # the peer was faster
        there = self.other(node)
        mine = End(
            node, Wire.client(node.registry, session, StubAuth(modes=[node.mode]), there.addr)
        )
        theirs = End(
            there,
            Wire.server(
                there.registry,
                lambda kind: StubServerAuth(name=f"mds.{node.addr.port}"),
                lambda kind: there.policy,
                EntityAddr(EntityAddr.TYPE_MSGR2, 0, "127.0.0.1", 1),
            ),
        )
        mine.peer, theirs.peer = theirs, mine
        self.ends += [mine, theirs]

    def move(self, end: End, limit: int) -> None:
        """Up to `limit` bytes arrive at `end`."""
        data = bytes(end.incoming[:limit])
        del end.incoming[:limit]
        wire = end.wire
        wire.receive(data)
        try:
            while (event := wire.next_event()) is not None:
                self.handle(end, event)
        except ProtocolError as error:
            end.node.errors.append(error)
            self.leave(end)
        if wire.closed and end in self.ends:
            self.leave(end)

    def handle(self, end: End, event: object) -> None:
        node = end.node
        if isinstance(event, MessageFrame):
            node.heard.append(event.tid)
        elif isinstance(event, RemoteReset):
            node.resets += 1
        elif isinstance(event, NeedDecision):
            decision = node.registry.decide(event)
            end.wire.apply(decision)
            if isinstance(decision, Accept):
                decision.session.owner = node
            elif end.wire.session in node.due:
                node.due.remove(end.wire.session)
        elif isinstance(event, Waited):
            self.leave(end)

    def leave(self, end: End) -> None:
        """`end` closes its socket; the peer notices later."""
        if end not in self.ends:
            return
        self.ends.remove(end)
        end.peer.broken = True
        end.node.fault(end)

    def flush(self, end: End) -> None:
        data = end.wire.data_to_send(self.rng.choice([1, 100, 1 << 18]))
        if not end.broken and end.peer in self.ends:
            end.peer.incoming += data

    def step(self) -> bool:
        """One thing happens; False if nothing can."""
        acts: list[Callable[[], None]] = []
        for end in self.ends:
            if end.wire.closed or (end.broken and not end.incoming):
                acts.append(partial(self.leave, end))
            elif end.incoming:
                acts += [partial(self.move, end, self.rng.choice([1, 20, 200, 1 << 20]))] * 3
            if end.wire.wants_write:
                acts += [partial(self.flush, end)] * 3
        acts += [partial(self.connect, n, s) for n in self.nodes for s in n.due]
        if not acts:
            return False
        if not self.quiet and self.ends and self.rng.random() < self.break_rate:
            self.cut(self.rng.choice(self.ends))
        else:
            self.rng.choice(acts)()
        return True

    def cut(self, end: End) -> None:
        """The socket breaks: some of what is on its way may still arrive."""
        for side in (end, end.peer):
            del side.incoming[self.rng.randrange(len(side.incoming) + 1) :]
            side.broken = True

    def settle(self) -> None:
        """Let everything end that can; fails if it does not."""
        self.quiet = True
        for _ in range(100_000):
            if not self.step():
                return
        raise AssertionError("the world does not come to rest")
