"""What one message or command changes is committed at once, and nothing is said before.

Inside `transaction()` records are noted and everything that goes out (answers, maps, callbacks) is
kept back; at the end of the outermost one the records are submitted to the committer, and what was
kept back goes out when they are durable, in the order of the transactions. Reads made while a
commit is under way wait for it too, so nobody is told of a state that a crash could take back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdsdaemon.embedded.storage import Change, Committer


class Transactions:
    """The monitor's one line to its storage.

    Attributes:
        seq, durable_seq: transactions submitted, and those whose effects have gone out.
    """

    def __init__(self, committer: Committer, before_commit: Callable[[], None]) -> None:
        self._committer = committer
        self._before_commit = before_commit
        self._depth = 0
        self._changes: list[Change] = []
        self._outbox: list[Callable[[], None]] = []
        self._uncommitted: dict[str, dict[bytes, bytes | None]] = {}
        self._finished: deque[Callable[[], None]] = deque()
        self.seq = self.durable_seq = 0

    @property
    def is_open(self) -> bool:
        """Some transaction is under way: `after` will be kept back."""
        return self._depth > 0

    @property
    def has_changes(self) -> bool:
        """The present transaction has changed records."""
        return bool(self._changes)

    def transaction(self) -> Transactions:
        """Collect within a `with` block; the end of the outermost one submits, also after an
        exception, because what was noted is what the memory holds."""
        return self

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *exc: object) -> None:
        if self._depth > 1:
            self._depth -= 1
            return
        try:
            self._before_commit()
        finally:
            self._depth = 0
            self._submit()

    def put(self, table: str, key: bytes, value: bytes | None) -> None:
        """Note a record; outside a transaction it is one of its own."""
        with self.transaction():
            self._changes.append((table, key, value))
            self._uncommitted.setdefault(table, {})[key] = value

    def after(self, callback: Callable[[], None]) -> None:
        """Call when all that was decided up to now is durable; at once if it is."""
        if self._depth:
            self._outbox.append(callback)
        elif self.seq != self.durable_seq:
            with self.transaction():
                self._outbox.append(callback)
        else:
            callback()

    def records(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Stored records with those of commits under way laid over them, in the keys' order."""
        merged: dict[bytes, bytes | None] = dict(self._committer.storage.items(table))
        merged.update(self._uncommitted.get(table, {}))
        for key, value in sorted(merged.items()):
            if value is not None:
                yield key.decode(errors="surrogateescape"), value

    def _submit(self) -> None:
        changes, self._changes = self._changes, []
        outbox, self._outbox = self._outbox, []
        if not changes and (not outbox or self.seq == self.durable_seq):
            for callback in outbox:
                callback()
            return
        self.seq += 1
        number = self.seq

        def finish() -> None:
            for table, key, value in changes:
                left = self._uncommitted[table]
                if key in left and left[key] is value:
                    del left[key]
            try:
                for callback in outbox:
                    callback()
            finally:
                self.durable_seq = number

        self._committer.submit(changes, lambda: self._done(finish))

    def _done(self, finish: Callable[[], None]) -> None:
        """A callback may change something: where that is durable at once, its effects still
        come after all those of the change that was first."""
        self._finished.append(finish)
        if len(self._finished) > 1:
            return
        while self._finished:
            try:
                self._finished[0]()
            finally:
                self._finished.popleft()
