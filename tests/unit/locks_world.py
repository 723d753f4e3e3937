"""Clients around the pure model of one inode's locks: they answer when the test lets them."""

from __future__ import annotations

import attrs

from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.rank.locks.inode_locks import InodeLocks, Intent
from mdsdaemon.rank.locks.issue import LIKED_OF_DIRS, LIKED_OF_FILES
from mdsdaemon.types import client_caps as cc


@attrs.define
class Client:
    """A client's capability as both ends see it.

    Attributes:
        has: bits that it uses. pending: those that it has when it has seen all messages.
        issued: what the server must reckon with. messages: on their way to it.
    """

    wanted: int = 0
    stale: bool = False
    has: int = 0
    pending: int = 0
    issued: int = 0
    messages: list[int] = attrs.Factory(list)


class World:
    """One inode.

    Attributes:
        queued: requests of the server at the locks: (lock, intent).
    """

    def __init__(self, *, is_dir: bool = False, delegation: bool = False) -> None:
        self.locks = InodeLocks(is_dir=is_dir, delegation=delegation)
        self.liked = LIKED_OF_DIRS if is_dir else LIKED_OF_FILES
        self.clients: dict[int, Client] = {}
        self.queued: list[tuple[int, Intent]] = []
        self.tickets = 0

    # -- the server ---------------------------------------------------------------------------

    def settle(self) -> None:
        """Evaluate and tell clients, as the locker does."""
        self.locks.evaluate(self.clients)
        for number, client in self.clients.items():
            allowed = self.locks.allowed_for(number)
            if self.locks.is_dir:
                allowed &= ~cc.CAP_ANY_DIR_OPS
            before = client.pending
            if client.pending & ~allowed:
                client.pending &= allowed
            elif not client.stale and client.wanted & allowed & ~client.pending:
                client.pending |= (client.wanted | self.liked) & allowed
            client.issued |= client.pending
            if client.pending != before:
                client.messages.append(client.pending)
        self.check()

    def enter(self, lock: int, mode: int, client: int = 0) -> Intent:
        self.tickets += 1
        intent = Intent(self.tickets, client, mode)
        self.locks.enter(lock, intent)
        self.queued.append((lock, intent))
        self.settle()
        return intent

    def serve(self) -> list[Intent]:
        """All requests that can have their lock have it and leave again."""
        served: list[Intent] = []
        for lock, intent in list(self.queued):
            if self.locks.may_have(lock, intent):
                self.locks.leave(lock, intent)
                self.queued.remove((lock, intent))
                served.append(intent)
                self.settle()
        return served

    # -- clients ------------------------------------------------------------------------------

    def open(self, number: int, mode: int) -> Client:
        """A client opens the file, and has what the reply brings."""
        client = self.clients.setdefault(number, Client())
        client.wanted |= cc.caps_for_mode(mode)
        self.settle()
        allowed = self.locks.allowed_for(number)
        if self.locks.is_dir:
            allowed &= ~cc.CAP_ANY_DIR_OPS
        client.pending |= (client.wanted | self.liked) & allowed
        client.issued |= client.pending
        client.messages.append(client.pending)
        self.check()
        return client

    def look(self, number: int) -> None:
        """A reply brings the client what it likes and may have."""
        client = self.clients.setdefault(number, Client())
        self.locks.choose_loner(self.clients)
        client.pending |= (client.wanted | self.liked) & self.locks.allowed_for(number)
        client.issued |= client.pending
        client.messages.append(client.pending)
        self.check()

    def want(self, number: int, wanted: int) -> None:
        self.clients.setdefault(number, Client()).wanted = wanted
        self.settle()

    def answer(self, number: int) -> bool:
        """The client sees its next message and confirms it; whether there was one."""
        client = self.clients[number]
        if not client.messages:
            return False
        client.has = client.messages.pop(0)
        rest = client.pending
        for caps in client.messages:
            rest |= caps
        client.issued = client.has | rest
        self.settle()
        return True

    def answer_all(self) -> None:
        while sum(self.answer(number) for number in list(self.clients)):
            pass

    def drop(self, number: int) -> None:
        self.clients.pop(number)
        if self.locks.loner == number:
            self.locks.loner = -1
        self.settle()

    # -- what must hold -----------------------------------------------------------------------

    def check(self) -> None:
        """No two clients may have what goes against each other."""
        numbers = list(self.clients)
        for index, one in enumerate(numbers):
            for other in numbers[index + 1 :]:
                a, b = self.clients[one].issued, self.clients[other].issued
                clash = clashes(a, b) | clashes(b, a)
                assert not clash, f"{cc.ccap_string(a)} and {cc.ccap_string(b)} clash; {self.locks}"

    def caps(self) -> dict[int, str]:
        """What everybody has when all messages are seen, as Ceph prints it."""
        return {number: cc.ccap_string(client.pending) for number, client in self.clients.items()}

    def states(self) -> str:
        """`file auth link xattr`."""
        return " ".join(self.locks.name(lock) for lock in st.LOCKS)


def clashes(mine: int, others: int) -> int:
    """Bits of mine that go against something of the other's."""
    clash = 0
    for lock in st.LOCKS:
        a = mine >> st.SHIFT[lock] & st.MASK[lock]
        b = others >> st.SHIFT[lock] & st.MASK[lock]
        reads = cc.CAP_GSHARED | cc.CAP_GCACHE
        if a & cc.CAP_GEXCL:
            clash |= b
        if a & cc.CAP_GBUFFER:  # old data may be kept beside another who does nothing with his
            clash |= b & (cc.CAP_GSHARED | cc.CAP_GRD | cc.CAP_GWR)
        if a & cc.CAP_GWR:
            clash |= b & (reads | cc.CAP_GEXCL | cc.CAP_GBUFFER)
    return clash
