"""A monitor of the one-process cluster without a network, for tests of what it decides."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.config import Config
from mdsdaemon.embedded.monitor.commands import CommandResult
from mdsdaemon.embedded.monitor.core import Monitor
from mdsdaemon.embedded.monitor.mon_caps import MonCaps
from mdsdaemon.embedded.monitor.session import MonSession, Subscription
from mdsdaemon.embedded.storage import Change, Committer, MemoryStorage, Storage
from mdsdaemon.host import Host
from mdsdaemon.messages.base import Message
from mdsdaemon.net.memory_network import MemoryNetwork
from mdsdaemon.types.entity import EntityName

FSID = uuid.UUID("6dd2bcd1-4b4a-4a5b-9a3a-2f7d3c7b0c11")
EPOCH = 1_700_000_000.0


class Clock:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> float:
        return self.now


class SlowCommitter(Committer):
    """Commits when the test says so, as a disk does."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.waiting: list[tuple[Sequence[Change], Callable[[], None]]] = []

    def submit(self, changes: Sequence[Change], done: Callable[[], None]) -> None:
        self.waiting.append((list(changes), done))

    def flush(self, count: int | None = None) -> None:
        """Commit the first `count` groups."""
        for changes, done in self.waiting[:count]:
            self.storage.commit(changes)
            done()
        del self.waiting[:count]


class HeardSession(MonSession):
    """A session whose messages the test reads."""

    heard: list[Message]

    def send(self, msg: Message) -> None:
        if not self.closed:
            self.mon.transactions.after(lambda: self.heard.append(msg))


class Mon:
    """A monitor as it is after its start, and what tests ask of it."""

    def __init__(
        self,
        storage: Storage | None = None,
        *,
        clock: Clock | None = None,
        slow: bool = False,
        **options: str,
    ) -> None:
        self.clock = clock or Clock()
        self.storage = storage or MemoryStorage()
        self.slow = SlowCommitter(self.storage)
        committer = self.slow if slow else Committer(self.storage)
        self.mon = Monitor(
            config=Config("mon.a", {"mon_warn_on_too_few_osds": "false"} | options),
            host=Host.seeded(7, self.clock),
            transport=MemoryNetwork(7).transport("10.0.0.1"),
            committer=committer,
            fsid=FSID,
            keyring=KeyRing(),
        )
        self.mon.load()
        self.mon.begin()
        self.slow.flush()

    def session(self, name: str = "client.admin", caps: str = "allow *") -> HeardSession:
        """Somebody's session."""
        session = HeardSession(self.mon, EntityName.parse(name), 4711, MonCaps.parse(caps))
        session.heard = []
        self.mon.sessions.add(session)
        return session

    def subscribe(
        self, session: MonSession, what: str, start: int = 0, *, onetime: bool = False
    ) -> Subscription:
        """As MMonSubscribe does."""
        sub = session.subs[what] = Subscription(what, start, onetime)
        with self.mon.transactions.transaction():
            self.mon.check_sub(session, sub)
        return sub

    def run(
        self, prefix: str, /, session: MonSession | None = None, inbuf: bytes = b"", **args: Any
    ) -> CommandResult:
        """One command."""
        cmd = json.dumps({"prefix": prefix, **args})
        with self.mon.transactions.transaction():
            return self.mon.command_handler.run(session or self.session(), [cmd], inbuf)

    def json(self, prefix: str, /, **args: Any) -> Any:
        """The output of a command that has to work."""
        result = self.run(prefix, format="json", **args)
        assert result.r == 0, result
        return json.loads(result.outb)

    def text(self, prefix: str, /, **args: Any) -> str:
        """As people see it."""
        result = self.run(prefix, **args)
        assert result.r == 0, result
        return result.outb.decode()

    def tick(self, seconds: float = 1.0) -> None:
        """Time passes."""
        self.clock.now += seconds
        self.mon.tick()
