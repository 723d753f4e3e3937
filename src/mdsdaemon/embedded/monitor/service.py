"""What a service of the monitor is: one map or one concern in one room.

A service changes its state in memory and notes the record that keeps it (`put`), and which
subscriptions have something new (`publish`); the monitor commits all that one message or command
changed at once, and only then lets answers and maps out (see `transaction`). It never awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription
    from mdsdaemon.messages.base import Message

HEALTH_OK = "HEALTH_OK"
HEALTH_WARN = "HEALTH_WARN"
HEALTH_ERR = "HEALTH_ERR"


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(lines)


@frozen
class HealthCheck:
    """One health check as it stands: code (``MDS_ALL_DOWN``), severity, a line, details."""

    code: str
    severity: str
    summary: str
    detail: tuple[str, ...] = field(default=(), converter=_lines)
    count: int = 0


H = TypeVar("H", bound=Callable[..., None])


def handles(*types: type[Message]) -> Callable[[H], H]:
    """Make a method `(self, session, msg) -> None` the handler of messages of these types."""

    def mark(method: H) -> H:
        method.__dict__["monitor_messages"] = types
        return method

    return mark


class Service:
    """Base of the services; every default does nothing.

    Attributes:
        mon: the monitor; other services are its attributes.
        name: the service's name, also that of its table of records ("mon_" + name).
        subscriptions: the subscription names that `check_sub` serves; a name that ends with a
            colon or a dash stands for all that begin so ("kv:", "log-").
    """

    name: ClassVar[str] = ""
    subscriptions: ClassVar[tuple[str, ...]] = ()

    def __init__(self, mon: Monitor) -> None:
        self.mon = mon

    # -- what a service overrides -----------------------------------------------------------

    def command_rooms(self) -> Iterable[object]:
        """The objects whose `@command` methods are this service's commands."""
        return (self,)

    def create_initial(self) -> None:
        """Fill in the state of a new cluster (and `put` it); the services before it are ready."""

    def load(self, records: dict[str, bytes]) -> None:
        """Take over the state in these records, forgetting all else."""

    def started(self) -> None:
        """The state is there and the addresses are known; all services have loaded."""

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        """Send what `sub` wants and has not got, and say so: `session.sent(sub, epoch)`."""

    def get_version(self, what: str) -> tuple[int, int] | None:
        """(newest, oldest) epoch for MMonGetVersion; None: not one of ours."""
        return None

    def tick(self, now: float) -> None:
        """About once a second; `now` in seconds since the epoch."""

    def session_closed(self, session: MonSession) -> None:
        """A session is gone."""

    def health(self) -> list[HealthCheck]:
        """What is wrong now."""
        return []

    def dump_info(self) -> dict[str, Any]:
        """What `ceph report` shows of it."""
        return {}

    def snapshot(self) -> Any:
        """The state, so that nothing that happens later changes it. The default: the records."""
        return dict(self.records())

    def restore(self, state: Any) -> None:
        """Go back to a `snapshot`, inside a transaction. The default rewrites the records and
        loads them; a service whose clients count epochs overrides it and goes on from its newest.
        """
        now = dict(self.records())
        for key in now.keys() - state.keys():
            self.put(key, None)
        for key, value in state.items():
            if now.get(key) != value:
                self.put(key, value)
        self.load(dict(state))

    # -- what a service uses ----------------------------------------------------------------

    @property
    def table(self) -> str:
        """Where the records lie in the storage."""
        return "mon_" + self.name

    def put(self, key: str, value: bytes | None) -> None:
        """Note a changed record (None: it is gone); it is written with the others."""
        self.mon.transactions.put(self.table, key.encode(errors="surrogateescape"), value)

    def records(self) -> Iterator[tuple[str, bytes]]:
        """The records as they are after the present transaction."""
        yield from self.mon.transactions.records(self.table)

    def publish(self, what: str) -> None:
        """There is something new for subscriptions named `what`."""
        self.mon.publish(what)
