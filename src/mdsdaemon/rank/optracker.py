"""Operations under way and the recent ones: what takes long, and where it stands.

    op = rank.optracker.start("client_request(client.4123:7 mkdir #0x1/a …)", client=4123, tid=7)
    op.mark("dispatched")
    op.finish()

Behaviour: ceph/ceph, src/common/TrackedOp.cc; the format of `type_data` src/mds/Mutation.cc,
MDRequestImpl::_dump (Pacific)
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mdsdaemon.messages.formatter import Reply

if TYPE_CHECKING:
    from mdsdaemon.config import Config

DISABLED = "op_tracker disabled; set mds_enable_op_tracker=true to enable"


class TrackedOp:
    """One operation.

    Attributes:
        description: for people; a text or what makes one (called when it is shown).
        started, finished: wall clock, seconds; `finished` 0 while it runs.
        events: (wall clock, what happened).
    """

    __slots__ = ("_tracker", "client", "description", "events", "finished", "kind", "reqid", "seq",
                 "started", "tid", "warn_multiplier")  # fmt: skip

    def __init__(
        self,
        tracker: OpTracker,
        description: str | Callable[[], str],
        client: int,
        tid: int,
        kind: str,
        started: float,
    ) -> None:
        self._tracker = tracker
        self.description = description
        self.client, self.tid, self.kind = client, tid, kind
        self.started = started
        self.finished = 0.0
        self.events: list[tuple[float, str]] = [(started, "initiated")]
        self.seq = 0
        self.warn_multiplier = 1

    def mark(self, event: str) -> None:
        """Something happened to it; again the same, as to one that waits often, counts once."""
        if event != self.events[-1][1]:
            self.events.append((self._tracker.wall(), event))

    def finish(self) -> None:
        """It is over; never twice."""
        self._tracker.finish(self)

    def text(self) -> str:
        """Its description."""
        if not isinstance(self.description, str):
            self.description = self.description()
        return self.description

    def flag_point(self) -> str:
        """The newest event."""
        return self.events[-1][1]

    def dump(self, now: float) -> dict[str, Any]:
        """As in `dump_ops_in_flight`."""
        duration = (self.finished or now) - self.started
        return {
            "description": self.text(),
            "initiated_at": stamp(self.started),
            "age": now - self.started,
            "duration": duration,
            "type_data": self._type_data(),
        }

    def _type_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"flag_point": self.flag_point()}
        if self.client:
            data["reqid"] = f"client.{self.client}:{self.tid}"
            data["op_type"] = self.kind
            data["client_info"] = {"client": f"client.{self.client}", "tid": self.tid}
        else:
            data["reqid"] = f"mds.0:{self.tid}"
            data["op_type"] = "internal_op"
            data["internal_op"] = 0
            data["op_name"] = self.kind
        data["events"] = [{"time": stamp(when), "event": what} for when, what in self.events]
        return data


class OpTracker:
    """All of them. Times are the wall clock's, in seconds."""

    def __init__(self, config: Config, wall: Callable[[], float]) -> None:
        self.wall = wall
        self.num_slow = 0
        self._config = config
        self._in_flight: dict[int, TrackedOp] = {}
        self._seq = 0
        self._history: list[tuple[float, int, TrackedOp]] = []

    def __len__(self) -> int:
        return len(self._in_flight)

    def start(
        self,
        description: str | Callable[[], str],
        *,
        client: int = 0,
        tid: int = 0,
        kind: str = "client_request",
    ) -> TrackedOp:
        """An operation begins."""
        op = TrackedOp(self, description, client, tid, kind, self.wall())
        self._seq += 1
        op.seq = self._seq
        self._in_flight[op.seq] = op
        return op

    def finish(self, op: TrackedOp) -> None:
        """See `TrackedOp.finish`."""
        del self._in_flight[op.seq]
        op.finished = self.wall()
        op.events.append((op.finished, "done"))
        size = self._config.get_int("mds_op_history_size")
        duration = op.finished - op.started
        history = self._history
        if len(history) < size or (size and duration > history[0][0]):
            insort(history, (duration, op.seq, op))
            if len(history) > size:
                del history[0]

    # -- slow ones ---------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Lines for the cluster log about operations older than mds_op_complaint_time.

        Each is named again only after twice the time.
        """
        now = self.wall()
        complaint = self._config.get_float("mds_op_complaint_time")
        limit = self._config.get_int("mds_op_log_threshold")
        lines: list[str] = []
        slow = 0
        oldest = 0.0
        for op in self._in_flight.values():
            age = now - op.started
            oldest = max(oldest, age)
            if age <= complaint:
                break
            slow += 1
            if len(lines) < limit and age > complaint * op.warn_multiplier:
                op.warn_multiplier *= 2
                lines.append(
                    f"slow request {age:.6f} seconds old, received at {stamp(op.started)}: "
                    f"{op.text()} currently {op.flag_point()}"
                )
        self.num_slow = slow
        if slow:
            lines.insert(
                0,
                f"{slow} slow requests, {len(lines)} included below; "
                f"oldest blocked for > {oldest:.6f} secs",
            )
        return lines

    # -- commands ----------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Whether the commands show anything."""
        return self._config.get_bool("mds_enable_op_tracker")

    def dump_ops_in_flight(self, *, blocked: bool = False) -> Reply:
        """`dump_ops_in_flight`, `ops`, `dump_blocked_ops`."""
        if not self.enabled:
            return Reply(error=DISABLED)
        now = self.wall()
        complaint = self._config.get_float("mds_op_complaint_time")
        ops = [
            op.dump(now)
            for op in self._in_flight.values()
            if not blocked or now - op.started > complaint
        ]
        data: dict[str, Any] = {"ops": ops}
        if blocked:
            data["complaint_time"] = complaint
            data["num_blocked_ops"] = len(ops)
        else:
            data["num_ops"] = len(ops)
        return Reply(section="ops_in_flight", data=data)

    def dump_historic_ops(self, *, by_duration: bool = False) -> Reply:
        """`dump_historic_ops`, `dump_historic_ops_by_duration`."""
        if not self.enabled:
            return Reply(error=DISABLED)
        now = self.wall()
        size = self._config.get_int("mds_op_history_size")
        duration = self._config.get_int("mds_op_history_duration")
        self._history = [entry for entry in self._history if now - entry[2].started <= duration]
        ops = [op for _, _, op in reversed(self._history)]
        if not by_duration:
            ops.sort(key=lambda op: (op.started, op.seq))
        data = {"size": size, "duration": duration, "ops": [op.dump(now) for op in ops]}
        return Reply(section="op_history", data=data)


def stamp(seconds: float) -> str:
    """A time as Ceph writes it: 2026-01-31T12:00:00.000000+0000."""
    import datetime as dt

    when = dt.datetime.fromtimestamp(round(seconds, 6), dt.UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
