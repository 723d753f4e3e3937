"""Mistakes as a user makes them: one plain sentence, a documented exit status, no traceback."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.keys import new_secret, write_keyring

from mdsdaemon.errors import ExitStatus

Arguments = list[str]
Make = Callable[[RealCluster], Arguments]


@dataclass(frozen=True)
class Case:
    """``make`` gives the arguments; the sentence must hold each of ``words``."""

    name: str
    make: Make
    status: ExitStatus
    words: tuple[str, ...] = field(default=())


def start(cluster: RealCluster, arguments: Arguments) -> tuple[int, str]:
    """Status and stderr of a run that is expected to end by itself."""
    # A port that is taken is tried again after a while; the test need not wait for that.
    done = subprocess.run(
        [sys.executable, "-m", "mdsdaemon", *arguments],
        env={**cluster.env, "CEPH_ARGS": "--ms-bind-retry-delay 0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


def with_conf(cluster: RealCluster, **changes: str) -> Arguments:
    path = cluster.write_conf(cluster.root / "changed.conf", **changes)
    return ["-i", "a", "-c", str(path)]


def usual(cluster: RealCluster, *more: str) -> Arguments:
    return ["-i", "a", "-c", str(cluster.conf), *more]


def file_of(cluster: RealCluster, name: str, content: str | bytes) -> str:
    path = cluster.root / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def malformed_conf(cluster: RealCluster) -> Arguments:
    text = "[global]\nmon host = 127.0.0.1\nthis line says nothing\n"
    return ["-i", "a", "-c", file_of(cluster, "bad.conf", text)]


def binary_conf(cluster: RealCluster) -> Arguments:
    return ["-i", "a", "-c", file_of(cluster, "bad.conf", bytes(range(256)) * 4)]


def malformed_keyring(cluster: RealCluster) -> Arguments:
    text = f"[mds.a]\n\tkey = {new_secret()}\n[mds.b\n\tkey = x\n"
    return usual(cluster, "-k", file_of(cluster, "bad.keyring", text))


def key_that_is_no_key(cluster: RealCluster) -> Arguments:
    return usual(cluster, "-k", file_of(cluster, "bad.keyring", "[mds.a]\n\tkey = AQnotakey\n"))


def keyring_of_others(cluster: RealCluster) -> Arguments:
    write_keyring(cluster.root / "others.keyring", ["mds.b"])
    return usual(cluster, "-k", str(cluster.root / "others.keyring"))


def wrong_key(cluster: RealCluster) -> Arguments:
    write_keyring(cluster.root / "wrong.keyring", ["mds.a"])
    return usual(cluster, "-k", str(cluster.root / "wrong.keyring"))


def unknown_name(cluster: RealCluster) -> Arguments:
    text = f"[mds.nobody]\n\tkey = {new_secret()}\n"
    keyring = file_of(cluster, "nobody.keyring", text)
    return ["-i", "nobody", "-c", str(cluster.conf), "-k", keyring]


CASES = [
    Case("nothing but a file", lambda c: ["-c", str(c.conf)], ExitStatus.USAGE, ("-i",)),
    Case(
        "digit-first name",
        lambda c: ["-i", "0digit", "-c", str(c.conf)],
        ExitStatus.USAGE,
        ("0digit", "digit"),
    ),
    Case("unknown option", lambda c: usual(c, "--frobnicate"), ExitStatus.USAGE, ("--frobnicate",)),
    Case("stray word", lambda c: usual(c, "please"), ExitStatus.USAGE, ("please",)),
    Case(
        "bad value",
        lambda c: usual(c, "--mds-tick-interval", "soon"),
        ExitStatus.USAGE,
        ("mds_tick_interval", "soon"),
    ),
    Case("option without value", lambda c: usual(c, "-k"), ExitStatus.USAGE, ("-k",)),
    Case(
        "unknown user",
        lambda c: usual(c, "--setuser", "nobody-of-that-name"),
        ExitStatus.USAGE,
        ("nobody-of-that-name",),
    ),
    Case(
        "no ceph.conf",
        lambda c: ["-i", "a", "-c", "/nonexistent/ceph.conf"],
        ExitStatus.CONFIG,
        ("/nonexistent/ceph.conf",),
    ),
    Case(
        "ceph.conf is a folder",
        lambda c: ["-i", "a", "-c", str(c.root)],
        ExitStatus.CONFIG,
        ("mdsdaemon-",),
    ),
    Case("malformed ceph.conf", malformed_conf, ExitStatus.CONFIG, ("bad.conf", "line 3")),
    Case("binary ceph.conf", binary_conf, ExitStatus.CONFIG, ("bad.conf",)),
    Case(
        "fsid is no UUID", lambda c: with_conf(c, fsid="mine"), ExitStatus.CONFIG, ("fsid", "mine")
    ),
    Case(
        "no keyring",
        lambda c: usual(c, "-k", "/nonexistent/keyring"),
        ExitStatus.NOT_PERMITTED,
        ("/nonexistent/keyring",),
    ),
    Case("malformed keyring", malformed_keyring, ExitStatus.CONFIG, ("bad.keyring", "line 3")),
    Case("key that is no key", key_that_is_no_key, ExitStatus.CONFIG, ("bad.keyring", "line 2")),
    Case("keyring of others", keyring_of_others, ExitStatus.NOT_PERMITTED, ("mds.a", "others")),
    Case("wrong key", wrong_key, ExitStatus.NOT_PERMITTED, ("mds.a", "key")),
    Case("unknown name", unknown_name, ExitStatus.NOT_PERMITTED, ("mds.nobody",)),
    Case(
        "wrong fsid",
        lambda c: with_conf(c, fsid="11111111-2222-3333-4444-555555555555"),
        ExitStatus.CONFIG,
        ("11111111-2222-3333-4444-555555555555", "fsid"),
    ),
    Case(
        "no monitors",
        lambda c: with_conf(c, mon_host="", mon_initial_members=""),
        ExitStatus.CONFIG,
        ("mon_host",),
    ),
    Case(
        "monitors by a name that is none",
        lambda c: with_conf(c, mon_host="nowhere.invalid"),
        ExitStatus.CONFIG,
        ("nowhere.invalid",),
    ),
    Case(
        "monitors that are no addresses",
        lambda c: with_conf(c, mon_host="[v2:127.0.0.1:3300"),
        ExitStatus.CONFIG,
        ("mon_host",),
    ),
    Case(
        "monmap that is none",
        lambda c: usual(c, "--monmap", str(c.keyring)),
        ExitStatus.BAD_FILE,
        ("keyring",),
    ),
    Case(
        "address of another machine",
        lambda c: usual(c, "--public-addr", "203.0.113.7"),
        ExitStatus.ADDRESS,
        ("203.0.113.7",),
    ),
    Case(
        "pid file that cannot be",
        lambda c: usual(c, "--pid-file", "/nonexistent/mds.pid"),
        ExitStatus.CANNOT_CREATE,
        ("/nonexistent/mds.pid",),
    ),
    Case(
        "log file that cannot be",
        lambda c: usual(c, "--log-file", "/nonexistent/mds.log"),
        ExitStatus.CANNOT_CREATE,
        ("/nonexistent/mds.log",),
    ),
]


def assert_plain(stderr: str, words: tuple[str, ...] = ()) -> None:
    """One line, a sentence without Python in it."""
    (line,) = stderr.strip().splitlines()
    assert not re.search(r"Traceback|Error\(|<[\w.]+ object|0x[0-9a-f]{6}", line)
    assert [word for word in words if word not in line] == []
    assert len(line) < 500


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_sentence_and_a_status(cluster: RealCluster, case: Case) -> None:
    status, stderr = start(cluster, case.make(cluster))
    assert_plain(stderr, case.words)
    assert status == case.status


def test_address_in_use(cluster: RealCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        status, stderr = start(cluster, usual(cluster, "--public-addr", f"v2:127.0.0.1:{port}"))
        assert_plain(stderr, (str(port), "in use"))
        assert status == ExitStatus.ADDRESS
        bounds = ("--ms-bind-port-min", str(port), "--ms-bind-port-max", str(port))
        status, stderr = start(cluster, usual(cluster, *bounds))
        assert_plain(stderr, (str(port), "ms_bind_port_max"))
        assert status == ExitStatus.ADDRESS


def test_no_tracebacks_in_the_log_either(cluster: RealCluster) -> None:
    log = cluster.root / "log" / "mds.a.log"
    for case in CASES:
        if case.status is ExitStatus.NOT_PERMITTED:
            start(cluster, case.make(cluster))
    assert not log.exists() or "Traceback" not in log.read_text()


@contextmanager
def mute_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield int(listener.getsockname()[1])


def assert_waits_and_says(cluster: RealCluster, mon_host: str, words: tuple[str, ...]) -> None:
    """As ceph-mds it waits for its monitors, but says so; and it ends at once when asked."""
    path = cluster.write_conf(cluster.root / "away.conf", mon_host=mon_host, log_file="")
    mds = cluster.start_mds("ours", "a", conf=path)
    wait_for(lambda: all(word in mds.said() for word in words), 15, f"it says {words}")
    assert mds.running
    mds.terminate()
    status, seconds = mds.wait_gone(5)
    assert status == ExitStatus.OK
    assert seconds < 1
    assert "Traceback" not in mds.said()


def test_unreachable_monitor(cluster: RealCluster) -> None:
    with mute_server() as port:
        pass  # closed again: refused from here on
    assert_waits_and_says(cluster, f"v2:127.0.0.1:{port}", (f"127.0.0.1:{port}", "monitor"))


def test_mute_monitor(cluster: RealCluster) -> None:
    with mute_server() as port:
        assert_waits_and_says(cluster, f"v2:127.0.0.1:{port}", (f"127.0.0.1:{port}", "monitor"))


def test_monitor_that_is_something_else(cluster: RealCluster) -> None:
    """mon_host names a port where ceph-mon speaks its old protocol only."""
    v1 = cluster.mon_addrs["a"].strip("[]").split(",")[1].removeprefix("v1:")
    assert_waits_and_says(cluster, f"v2:{v1}", (v1,))


def test_secrets_stay_out_of_what_is_said(cluster: RealCluster) -> None:
    secret = new_secret()
    keyring = cluster.root / "secret.keyring"
    keyring.write_text(f"[mds.a]\n\tkey = {secret}\n")
    status, stderr = start(cluster, usual(cluster, "-k", str(keyring), "--debug-ms", "20"))
    assert status == ExitStatus.NOT_PERMITTED
    log = cluster.root / "log" / "mds.a.log"
    assert secret not in stderr
    assert not log.exists() or secret not in log.read_text()


def test_statuses_are_in_the_help() -> None:
    """What `--help` lists is what errors.py has."""
    done = subprocess.run(
        [sys.executable, "-m", "mdsdaemon", "--help"], capture_output=True, text=True, check=True
    )
    for status in ExitStatus:
        assert re.search(rf"(?m)^\s*{status.value}\b", done.stdout), status
