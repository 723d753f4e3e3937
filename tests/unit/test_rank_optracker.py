"""The tracker of operations: what is under way, what is slow, what was."""

from mdsdaemon.config import Config
from mdsdaemon.rank.optracker import DISABLED, OpTracker, stamp


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def make(**options: str) -> tuple[OpTracker, Clock]:
    config = Config("mds.a")
    for name, value in options.items():
        config.set_val(name, value)
    clock = Clock()
    return OpTracker(config, clock), clock


def test_in_flight_and_done() -> None:
    tracker, clock = make()
    op = tracker.start("mkdir #0x1/a", client=4123, tid=7)
    clock.now += 0.25
    op.mark("dispatched")
    data = tracker.dump_ops_in_flight().data
    assert data["num_ops"] == 1
    (shown,) = data["ops"]
    assert shown["description"] == "mkdir #0x1/a"
    assert shown["initiated_at"] == "2023-11-14T22:13:20.000000+0000"
    assert (shown["age"], shown["duration"]) == (0.25, 0.25)
    assert list(shown["type_data"]) == ["flag_point", "reqid", "op_type", "client_info", "events"]
    assert shown["type_data"]["flag_point"] == "dispatched"
    assert shown["type_data"]["reqid"] == "client.4123:7"
    op.finish()
    clock.now += 1
    assert tracker.dump_ops_in_flight().data == {"ops": [], "num_ops": 0}
    (old,) = tracker.dump_historic_ops().data["ops"]
    assert (old["age"], old["duration"]) == (1.25, 0.25)
    assert [e["event"] for e in old["type_data"]["events"]] == ["initiated", "dispatched", "done"]


def test_history_keeps_the_slowest_and_forgets_the_old() -> None:
    tracker, clock = make(mds_op_history_size="3", mds_op_history_duration="100")
    for seconds in (5, 1, 4, 2, 3):
        op = tracker.start(f"takes {seconds}")
        clock.now += seconds
        op.finish()
    by_duration = tracker.dump_historic_ops(by_duration=True).data["ops"]
    assert [op["description"] for op in by_duration] == ["takes 5", "takes 4", "takes 3"]
    by_time = tracker.dump_historic_ops().data["ops"]
    assert [op["description"] for op in by_time] == ["takes 5", "takes 4", "takes 3"]
    clock.now += 95
    assert [op["description"] for op in tracker.dump_historic_ops().data["ops"]] == ["takes 3"]


def test_slow_ones_are_named_less_and_less_often() -> None:
    tracker, clock = make(mds_op_complaint_time="30", mds_op_log_threshold="2")
    ops = [tracker.start(f"op {n}") for n in range(3)]
    clock.now += 31
    tracker.start("young")
    lines = tracker.check()
    assert lines[0] == "3 slow requests, 2 included below; oldest blocked for > 31.000000 secs"
    assert lines[1].startswith("slow request 31.000000 seconds old, received at 2023-11-14T")
    assert lines[1].endswith(": op 0 currently initiated")
    assert tracker.num_slow == 3
    again = tracker.check()
    assert [line.split(": ")[1] for line in again[1:]] == ["op 2 currently initiated"]
    assert len(tracker.check()) == 1  # the count, and nobody in particular
    clock.now += 30
    assert len(tracker.check()) == 3
    blocked = tracker.dump_ops_in_flight(blocked=True).data
    assert (blocked["complaint_time"], blocked["num_blocked_ops"]) == (30, 3)
    for op in ops:
        op.finish()
    clock.now += 1
    tracker.check()
    assert tracker.num_slow == 1  # the young one has come of age


def test_turned_off_only_the_commands_are() -> None:
    tracker, _ = make(mds_enable_op_tracker="false")
    tracker.start("x")
    for reply in (
        tracker.dump_ops_in_flight(),
        tracker.dump_ops_in_flight(blocked=True),
        tracker.dump_historic_ops(),
    ):
        assert (reply.r, reply.error, reply.section) == (0, DISABLED, "")


def test_descriptions_are_made_when_they_are_shown() -> None:
    tracker, _ = make()
    made: list[int] = []

    def text() -> str:
        made.append(1)
        return "late"

    op = tracker.start(text)
    assert not made
    assert tracker.dump_ops_in_flight().data["ops"][0]["description"] == "late"
    op.finish()
    assert tracker.dump_historic_ops().data["ops"][0]["description"] == "late"
    assert len(made) == 1


def test_stamps() -> None:
    assert stamp(0.5) == "1970-01-01T00:00:00.500000+0000"


def test_what_waits_again_and_again_says_so_once() -> None:
    tracker, clock = make()
    op = tracker.start("setfilelock")
    for _ in range(1000):
        clock.now += 1
        op.mark("waiting")
    assert [what for _, what in op.events] == ["initiated", "waiting"]
    assert op.events[-1][0] == clock.now - 999
