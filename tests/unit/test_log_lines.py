"""Log lines: one per event, levels and files by the options, no secrets."""

import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.config import Config
from mdsdaemon.config.commands import config_set
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.log import (
    FINE,
    FINEST,
    DaemonLogging,
    JsonFormatter,
    LineFormatter,
    beside_log,
    brief_traceback,
    ceph_level,
    daemon_logger,
    flight_record_path,
    python_level,
)

KEY = "AQCOrQNrXknSGhAAYs4/Ue+l9Y8/gj3iUIo7iA=="
BASE = "mdsdaemon-test"

Setup = Callable[..., tuple[DaemonLogging, Config, io.StringIO]]


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    """Logging of mds.a with the given options, to a file and a pretended stderr."""
    made: list[DaemonLogging] = []

    def make(json_lines: bool = False, **options: str) -> tuple[DaemonLogging, Config, io.StringIO]:
        config = Config("mds.a", {"log_file": str(tmp_path / "mds.a.log"), **options})
        config.running = True
        stderr = io.StringIO()
        made.append(DaemonLogging(config, json_lines=json_lines, stderr=stderr, base=BASE))
        return made[-1], config, stderr

    yield make
    for logs in made:
        logs.close()
    # pytest adds handlers of its own.
    left = logging.getLogger(BASE).handlers
    assert [h for h in left if "pytest" not in type(h).__module__] == []


def test_a_line(setup: Setup, tmp_path: Path) -> None:
    logs, _, stderr = setup()
    logs.logger.info("Updating MDS map to version %d from %s", 3, "mon.0")
    logs.logger.getChild("monc").warning("hunting")
    logs.logger.error("cannot go on")
    logging.getLogger(f"{BASE}.elsewhere").info("from no daemon")
    lines = (tmp_path / "mds.a.log").read_text().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} [0-9a-f]+  1 mds\.a mds: "
        r"Updating MDS map to version 3 from mon\.0",
        lines[0],
    )
    assert [line.split(" ", 2)[2] for line in lines[1:]] == [
        " 0 mds.a monc: hunting",
        "-1 mds.a mds: cannot go on",
        " 1 - elsewhere: from no daemon",
    ]
    assert stderr.getvalue().splitlines() == [lines[2]]  # err_to_stderr


def test_levels_follow_the_options(setup: Setup, tmp_path: Path) -> None:
    logs, config, _ = setup()
    log, ms = logs.logger, logs.logger.getChild("ms")
    path = tmp_path / "mds.a.log"

    def shown() -> list[str]:
        path.write_text("")
        for logger in (log, ms):
            for level in (logging.WARNING, logging.INFO, logging.DEBUG, FINE, FINEST):
                logger.log(level, "%d", ceph_level(level))
        return [line.split(" ")[-2] + line.split(" ")[-1] for line in path.read_text().splitlines()]

    assert shown() == ["mds:0", "mds:1", "ms:0"]
    assert config_set(config, "debug_mds", ["5"]).r == 0
    assert shown() == ["mds:0", "mds:1", "mds:5", "ms:0"]
    config.set_val("debug_ms", "20/20")
    config.set_val("debug_mds", "0/5")
    assert shown() == ["mds:0", "ms:0", "ms:1", "ms:5", "ms:10", "ms:20"]


def test_levels_of_two_daemons_are_apart(tmp_path: Path) -> None:
    both = [
        DaemonLogging(
            Config(name, {"log_file": str(tmp_path / name), "debug_mds": level}),
            base=f"{BASE}-{name}",
        )
        for name, level in (("mds.a", "5"), ("mds.b", "1"))
    ]
    for logs in both:
        logs.logger.debug("detail")
        logs.close()
    assert "detail" in (tmp_path / "mds.a").read_text()
    assert (tmp_path / "mds.b").read_text() == ""


def test_reopen_after_rotation(setup: Setup, tmp_path: Path) -> None:
    logs, _, _ = setup()
    path = tmp_path / "mds.a.log"
    logs.logger.info("before")
    path.rename(tmp_path / "old.log")
    logs.logger.info("still the old file")
    logs.reopen()
    logs.logger.info("after")
    logs.flush()
    assert "after" not in (tmp_path / "old.log").read_text()
    assert path.read_text().count("\n") == 1
    path.unlink()
    path.mkdir()
    logs.reopen()  # cannot: says so and goes on
    logs.logger.info("more")
    path.rmdir()


def test_the_file_can_be_changed_live(setup: Setup, tmp_path: Path) -> None:
    logs, config, stderr = setup()
    logs.logger.info("one")
    answer = config_set(config, "log_file", [str(tmp_path / "other.log")])
    assert answer.data == {"success": f"log_file = '{tmp_path}/other.log' "}
    logs.logger.info("two")
    assert logs.file_path == str(tmp_path / "other.log")
    assert "two" in (tmp_path / "other.log").read_text()
    assert "two" not in (tmp_path / "mds.a.log").read_text()
    config.set_val("log_file", "/nonexistent/mds.log")
    logs.logger.info("three")
    said = stderr.getvalue().splitlines()
    assert "cannot open log file /nonexistent/mds.log: No such file" in said[0]
    assert said[0].endswith("; logging to stderr instead")
    assert said[1].endswith("three")
    config.set_val("log_to_file", False)
    logs.logger.info("four")
    logs.reopen()
    assert stderr.getvalue().splitlines()[-1].endswith("four")


def test_stderr(setup: Setup) -> None:
    logs, config, stderr = setup(log_to_stderr="true", log_stderr_prefix="mds: ")
    logs.logger.info("all of it")
    assert stderr.getvalue().startswith("mds: 2")
    config.set_val("log_to_stderr", False)
    config.set_val("err_to_stderr", False)
    logs.logger.error("none of it")
    assert stderr.getvalue().count("\n") == 1


def test_a_file_that_was_asked_for_must_open(tmp_path: Path) -> None:
    config = Config("mds.a", {"log_file": "/nonexistent/mds.log"})
    with pytest.raises(FatalError, match=r"/nonexistent/mds.log: No such file") as caught:
        DaemonLogging(config, base=BASE)
    assert caught.value.status == ExitStatus.CANNOT_CREATE


def test_a_default_file_need_not(tmp_path: Path) -> None:
    config = Config("mds.a", cluster="no/such/folder")
    stderr = io.StringIO()
    logs = DaemonLogging(config, stderr=stderr, base=BASE)
    logs.logger.info("hello")
    logs.close()
    first, second = stderr.getvalue().splitlines()
    assert "cannot open log file /var/log/ceph/no/such/folder-mds.a.log" in first
    assert second.endswith("hello")


def failure() -> BaseException:
    try:
        try:
            raise ValueError(f"no\nsuch {KEY}")
        except ValueError as e:
            raise ExceptionGroup("several", [e]) from None
    except ExceptionGroup as e:
        return e


def test_exceptions_take_one_line(setup: Setup, tmp_path: Path) -> None:
    logs, _, _ = setup()
    error = failure()
    logs.logger.error("a bug", exc_info=error)
    (line,) = (tmp_path / "mds.a.log").read_text().splitlines()
    assert "a bug: ExceptionGroup: several (1 sub-exception) [test_log_lines.py:" in line
    assert r"ValueError: no\nsuch <hidden>" in line
    assert brief_traceback(error).count("\n") == 1


def test_json_lines(setup: Setup, tmp_path: Path) -> None:
    logs, _, _ = setup(json_lines=True)
    logs.logger.getChild("ms").error("text with \n and %s", KEY, exc_info=failure())
    logs.logger.info("plain")
    first, second = (tmp_path / "mds.a.log").read_text().splitlines()
    row = json.loads(first)
    assert row["daemon"] == "mds.a"
    assert (row["subsys"], row["level"], row["ceph_level"]) == ("ms", "error", -1)
    assert row["text"] == "text with \n and <hidden>"
    assert "Traceback" in row["exception"]
    assert KEY not in first
    assert set(json.loads(second)) == {
        "time", "level", "ceph_level", "daemon", "subsys", "text", "pid",
    }  # fmt: skip


@given(st.text(), st.sampled_from([LineFormatter, JsonFormatter]))
def test_any_text_is_one_line(text: str, formatter: type[LineFormatter | JsonFormatter]) -> None:
    record = logging.LogRecord("x.mds.a", 20, "", 0, text, None, None)
    line = formatter("mds.a", "x").format(record)
    assert "\n" not in line
    assert "\x1b" not in line


def test_levels_both_ways() -> None:
    assert [python_level(n) for n in (-1, 0, 1, 4, 5, 9, 10, 19, 20, 99)] == [
        40, 30, 20, 20, 10, 10, 7, 7, 3, 3,
    ]  # fmt: skip
    for level in (-1, 0, 1, 5, 10, 20):
        assert ceph_level(python_level(level)) == level


def test_secrets_of_the_configuration_stay_out(setup: Setup, tmp_path: Path) -> None:
    logs, config, stderr = setup(key=KEY, debug_mds="20", log_to_stderr="true")
    for value in (config, config.get("key"), f"CEPH_ARGS=--key {KEY} -i a", f"key = {KEY}x"):
        logs.logger.info("%s", value)
    logs.logger.info('{"key": "%s"}', "hunter2")
    said = stderr.getvalue() + (tmp_path / "mds.a.log").read_text()
    assert KEY not in said
    assert "hunter2" not in said
    assert said.count("<hidden>") == 8


def test_where_things_go(tmp_path: Path) -> None:
    config = Config("mds.a", {"log_file": "/var/log/ceph/$name.log", "run_dir": "/run/x"})
    assert flight_record_path(config) == "/var/log/ceph/mds.a.flight"
    assert beside_log(config, ".heap") == "/var/log/ceph/mds.a.heap"
    for nowhere in ("", "/dev/stderr"):
        config.set_val("log_file", nowhere)
        assert flight_record_path(config) == "/run/x/ceph-mds.a.flight"


def test_syslog(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    import syslog

    sent: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: sent.append((priority, text)))
    logs, config, _ = setup(err_to_syslog="true")
    logs.logger.info("no")
    logs.logger.error("bad")
    config.set_val("log_to_syslog", True)
    logs.logger.info("all")
    assert [(priority & 7, text[-3:]) for priority, text in sent] == [
        (syslog.LOG_ERR, "bad"),
        (syslog.LOG_INFO, "all"),
    ]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    config = Config("mds.a", {"log_file": str(tmp_path / "x")})
    for _ in range(3):
        logs = DaemonLogging(config, base=BASE)
        logs.reopen()
        logs.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert not config.is_tracked("log_file")
    assert daemon_logger("mds.a", BASE).name == f"{BASE}.mds.a"


def test_a_full_disk(setup: Setup, tmp_path: Path) -> None:
    """One sentence on stderr, and the log goes on where there is room again."""
    logs, config, stderr = setup(log_file="/dev/full")
    logs.logger.info("lost")
    logs.logger.info("lost too")
    assert stderr.getvalue() == (
        "mds.a: cannot write to log file /dev/full: No space left on device; "
        "lines are lost until that is mended\n"
    )
    with pytest.raises(OSError, match="No space left"):
        logs.flush()
    config_set(config, "log_file", [str(tmp_path / "elsewhere")])
    logs.logger.info("kept")
    assert "kept" in (tmp_path / "elsewhere").read_text()
    assert stderr.getvalue().count("\n") == 1


def test_rotation_on_a_full_disk(setup: Setup, tmp_path: Path) -> None:
    logs, _, _ = setup()
    path = tmp_path / "mds.a.log"
    path.unlink()
    path.symlink_to("/dev/full")
    logs.reopen()
    logs.logger.info("lost")
    path.unlink()
    logs.reopen()
    logs.logger.info("kept")
    assert "kept" in path.read_text()
