"""Nothing is said before it is durable, and all that one message changes is committed at once."""

from __future__ import annotations

import pytest
from tests.unit.embedded_mon_kit import FSID, Mon, SlowCommitter

from mdsdaemon.embedded.monitor.transaction import Transactions
from mdsdaemon.embedded.storage import Committer, MemoryStorage
from mdsdaemon.messages.config import MConfig
from mdsdaemon.messages.mon import MMonCommand, MMonCommandAck


class Line:
    """Transactions on a slow disk; what came out of them, in order."""

    def __init__(self, *, slow: bool = True) -> None:
        self.storage = MemoryStorage()
        self.committer = SlowCommitter(self.storage) if slow else Committer(self.storage)
        self.out: list[str] = []
        self.before = 0
        self.line = Transactions(self.committer, self._before)

    def _before(self) -> None:
        self.before += 1

    def say(self, text: str) -> None:
        self.line.after(lambda: self.out.append(text))

    def put(self, key: str, value: str | None) -> None:
        self.line.put("t", key.encode(), None if value is None else value.encode())

    def records(self) -> dict[str, bytes]:
        return dict(self.line.records("t"))

    def flush(self, count: int | None = None) -> None:
        assert isinstance(self.committer, SlowCommitter)
        self.committer.flush(count)


def test_answers_wait_for_the_disk() -> None:
    t = Line()
    with t.line.transaction():
        t.put("a", "1")
        t.say("a is 1")
        t.put("b", "2")
    assert t.out == []
    assert dict(t.storage.items("t")) == {}
    t.flush()
    assert t.out == ["a is 1"]
    assert dict(t.storage.items("t")) == {b"a": b"1", b"b": b"2"}


def test_inner_transactions_belong_to_the_outer_one() -> None:
    t = Line()
    with t.line.transaction():
        t.put("a", "1")
        with t.line.transaction():
            t.put("b", "2")
            t.say("inner")
        t.say("outer")
    assert isinstance(t.committer, SlowCommitter)
    assert len(t.committer.waiting) == 1
    t.flush()
    assert t.out == ["inner", "outer"]
    assert t.before == 1


def test_who_only_reads_waits_for_what_it_may_have_seen() -> None:
    t = Line()
    with t.line.transaction():
        t.put("a", "1")
        t.say("written")
    with t.line.transaction():
        t.say("read inside")
    t.say("read outside")
    assert t.out == []
    t.flush(1)
    assert t.out == ["written"]
    t.flush()
    assert t.out == ["written", "read inside", "read outside"]
    t.say("at once")
    assert t.out[-1] == "at once"


def test_records_are_those_of_memory() -> None:
    t = Line()
    t.put("a", "1")
    t.put("b", "1")
    t.flush()
    t.put("a", "2")
    t.put("b", None)
    t.put("c", "3")
    assert t.records() == {"a": b"2", "c": b"3"}
    t.flush(1)
    t.put("a", None)
    assert t.records() == {"c": b"3"}
    t.flush()
    assert t.records() == {"c": b"3"}
    assert dict(t.storage.items("t")) == {b"c": b"3"}


def test_memory_needs_no_waiting() -> None:
    t = Line(slow=False)
    with t.line.transaction():
        t.put("a", "1")
        t.say("done")
        assert t.out == []
    assert t.out == ["done"]


def test_what_a_failing_handler_noted_is_committed() -> None:
    t = Line()

    def handler() -> None:
        with t.line.transaction():
            t.put("a", "1")
            raise KeyError

    with pytest.raises(KeyError):
        handler()
    t.flush()
    assert t.records() == {"a": b"1"}
    assert not t.line.is_open


def test_a_command_is_acknowledged_when_it_is_durable() -> None:
    m = Mon(slow=True)
    session, watcher = m.session(), m.session("client.w")
    m.subscribe(watcher, "config")
    m.slow.flush()
    watcher.heard.clear()
    cmd = '{"prefix": "config set", "who": "client.w", "name": "debug_client", "value": "3"}'
    handler = m.mon.command_handler.handle_command
    m.mon.dispatch(handler, session, MMonCommand(fsid=FSID, cmd=[cmd]))
    assert session.heard == watcher.heard == []
    m.slow.flush()
    (ack,), (config,) = session.heard, watcher.heard
    assert isinstance(ack, MMonCommandAck)
    assert ack.r == 0
    assert isinstance(config, MConfig)
    assert config.config == {"debug_client": "3/3"}
