"""The command line up to the point where the daemon would run."""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon import cli
from mdsdaemon.cli import process
from mdsdaemon.cli.cluster_args import parse
from mdsdaemon.cli.process import PidFile, drop_privileges, wanted_owner
from mdsdaemon.config import Config
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.recorder import FlightRecorder
from mdsdaemon.version import __version__

ROOT = Path(__file__).parent.parent.parent
KEY = "AQCOrQNrXknSGhAAYs4/Ue+l9Y8/gj3iUIo7iA=="

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Calls main with arguments; gives status, stdout and stderr."""
    for name in [name for name in os.environ if name.startswith("CEPH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def call(*args: str, **env: str) -> tuple[int, str, str]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        status = cli.main(args)
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A ceph.conf of which nothing is in use."""
    path = tmp_path / "site.conf"
    path.write_text(
        f"[global]\nmon host = 127.0.0.1:1\nrun dir = {tmp_path}/run\n"
        f"log file = {tmp_path}/$name.log\npid file = {tmp_path}/$name.pid\nkey = {KEY}\n"
    )
    return path


def one_sentence(stderr: str) -> str:
    (line,) = stderr.splitlines()
    assert line.startswith("mdsdaemon: ")
    assert "Traceback" not in line
    return line.removeprefix("mdsdaemon: ")


def test_help(run: Run) -> None:
    for args in (["-h"], ["-i", "a", "--help"]):
        status, out, err = run(*args)
        assert (status, err) == (0, "")
        for status_ in ExitStatus:
            assert re.search(rf"(?m)^ +{status_.value} ", out)
    assert max(map(len, out.splitlines())) <= 80


def test_version(run: Run) -> None:
    for arg in ("-v", "--version"):
        assert run(arg, "-i", "0") == (
            0,
            f"mdsdaemon {__version__} (speaks ceph version 16.2.15 pacific (stable))\n",
            "",
        )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["-f"], ExitStatus.USAGE, "must specify '-i name' with the ceph-mds instance name"),
        (["-i", "admin"], ExitStatus.USAGE, "must specify '-i name'"),
        (
            ["-i", "0a"],
            ExitStatus.USAGE,
            "MDS id 'mds.0a' is invalid. MDS names may not start with",
        ),
        (["-i", ""], ExitStatus.USAGE, "MDS id 'mds.' is invalid."),
        (["-n", "foo"], ExitStatus.USAGE, "expected string of the form TYPE.ID, valid types are:"),
        (["-i", "a", "--nosuch"], ExitStatus.USAGE, "can't understand argument: --nosuch"),
        (["-i", "a", "--hot-standby"], ExitStatus.USAGE, "understand argument: --hot-standby"),
        (["-i", "a", "--log-format", "xml"], ExitStatus.USAGE, "neither text nor json"),
        (["-i", "a", "--log-format"], ExitStatus.USAGE, "requires an argument"),
        (["-i", "a", "--setuser", "no-such-user"], ExitStatus.USAGE, "'no-such-user'"),
        (["-c", "/nonexistent"], ExitStatus.CONFIG, "/nonexistent: cannot open"),
        (["--show-config-value", "nosuch"], ExitStatus.USAGE, "option not found"),
        (["record"], ExitStatus.USAGE, "show FILE"),
        (["record", "show", "/nonexistent"], ExitStatus.BAD_FILE, "No such file"),
        (["record", "show", __file__], ExitStatus.BAD_FILE, "not a flight record"),
    ],
)
@pytest.mark.skipif(os.getuid() != 0, reason="--setuser means something to root only")
def test_mistakes(run: Run, args: list[str], status: ExitStatus, words: str) -> None:
    got, out, err = run(*args)
    assert words in one_sentence(err)
    assert (got, out) == (status, "")


def test_a_malformed_file_is_named_with_its_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.conf"
    path.write_text("[global]\nmon host = 127.0.0.1\nthis says nothing\n")
    status, _, err = run("-i", "a", "-c", str(path))
    assert status == ExitStatus.CONFIG
    assert one_sentence(err).startswith(f"{path} line 3: ")


def test_show_config(run: Run, conf: Path) -> None:
    status, out, _ = run("-i", "a", "-c", str(conf), "--show-config", "--mds-beacon-grace", "3")
    lines = out.splitlines()
    assert (status, len(lines)) == (0, 1810)
    assert lines[:2] == ["name = mds.a", "cluster = site"]
    assert "mds_beacon_grace = 3.000000" in lines
    assert KEY not in out
    value = run("-i", "a", "-c", str(conf), "--show-config-value", "mds data")
    assert value == (0, "/var/lib/ceph/mds/site-a\n", "")


def test_show_conf_and_args_hide_the_key(run: Run, conf: Path) -> None:
    status, out, _ = run("-c", str(conf), "--show-conf", "--show-args", "--key", KEY)
    assert status == 0
    assert out.startswith("args: ")
    assert '\tmon_host = "127.0.0.1:1"' in out
    assert KEY not in out


# -- running --------------------------------------------------------------------------------------


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A runner in place of the real one; `run_daemon` is to be set."""
    module = ModuleType("mdsdaemon.daemon.runner")
    monkeypatch.setitem(sys.modules, "mdsdaemon.daemon.runner", module)
    return module


def test_the_daemon_gets_what_it_needs(run: Run, conf: Path, runner: Any, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def run_daemon(
        config: Config, *, recorder: FlightRecorder, argv: list[str], **more: Any
    ) -> int:
        seen.update(config=config, recorder=recorder, argv=argv, **more)
        seen["pid"] = (tmp_path / "mds.a.pid").read_text()
        return 0

    runner.run_daemon = run_daemon
    args = ("-i", "a", "-c", str(conf), "--hot-standby", "1", "--no-such-thing-follows=", "--")
    status, _, err = run(*args[:6])
    assert (status, err) == (0, "")
    assert seen["config"].name == "mds.a"
    assert seen["config"].get_bool("daemonize") is False
    assert seen["recorder"].capacity == cli.CAPACITY
    assert seen["argv"] == sys.orig_argv
    assert seen["pid"] == f"{os.getpid()}\n"
    assert not (tmp_path / "mds.a.pid").exists()
    log = (tmp_path / "mds.a.log").read_text()
    assert f"mdsdaemon {__version__}, which speaks ceph version 16.2.15" in log
    assert "--hot-standby is obsolete" in log
    assert (tmp_path / "run").is_dir()


def test_what_keeps_it_from_joining_is_said(run: Run, conf: Path, runner: Any) -> None:
    def run_daemon(*_: Any, **__: Any) -> int:
        raise FatalError(
            f"no monitor\nat 127.0.0.1:1 takes key = {KEY}", ExitStatus.UNAVAILABLE, "start one"
        )

    runner.run_daemon = run_daemon
    status, _, err = run("-i", "a", "-c", str(conf))
    assert status == ExitStatus.UNAVAILABLE
    assert one_sentence(err) == "no monitor at 127.0.0.1:1 takes key = <hidden>; start one"


def test_a_bug_leaves_a_record(run: Run, conf: Path, runner: Any, tmp_path: Path) -> None:
    def run_daemon(_: Config, *, recorder: FlightRecorder, **__: Any) -> int:
        recorder.record("state", new="up:standby")
        raise LookupError(f"no such thing as {KEY}")

    runner.run_daemon = run_daemon
    status, _, err = run("-i", "a", "-c", str(conf))
    assert status == ExitStatus.SOFTWARE
    sentence = err.splitlines()[-1]
    assert f"the flight record is in {tmp_path}/mds.a.flight" in sentence
    assert "Traceback" not in err
    log = (tmp_path / "mds.a.log").read_text()
    assert "LookupError" in log
    assert "test_cli_main.py" in log
    status, out, _ = run("record", "show", str(tmp_path / "mds.a.flight"))
    assert status == 0
    assert "new=up:standby" in out
    assert KEY not in err + log + out


def test_an_interrupt_before_the_daemon_runs(run: Run, conf: Path, runner: Any) -> None:
    def run_daemon(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    runner.run_daemon = run_daemon
    assert run("-i", "a", "-c", str(conf))[0] == 130


def test_a_log_file_that_was_asked_for(run: Run, conf: Path) -> None:
    status, _, err = run("-i", "a", "-c", str(conf), "--log-file", "/nonexistent/mds.log")
    assert status == ExitStatus.CANNOT_CREATE
    assert "/nonexistent/mds.log" in one_sentence(err)


def test_json_log_lines(run: Run, conf: Path, runner: Any) -> None:
    runner.run_daemon = lambda *_, **__: 0
    _, _, err = run("-i", "a", "-c", str(conf), "-d", "--log-format=json")
    assert err.startswith('{"time": ')


# -- pid file, user -------------------------------------------------------------------------------


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    path.write_text("123456789 left over")
    first = PidFile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    first.remove()
    assert not path.exists()
    first.remove()
    PidFile("").remove()
    with pytest.raises(FatalError, match=r"cannot write pid file /nonexistent/x.pid") as caught:
        PidFile("/nonexistent/x.pid")
    assert caught.value.status == ExitStatus.CANNOT_CREATE


def test_pid_file_of_a_running_process(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    script = (
        "import sys; from mdsdaemon.cli.process import PidFile\n"
        f"p = PidFile({str(path)!r}); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        with pytest.raises(FatalError, match=f"held by the running process {other.pid}"):
            PidFile(str(path))
        other.stdin.close()


def test_a_pid_file_that_others_have_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    mine = PidFile(str(path))
    path.unlink()
    path.write_text("1\n")
    mine.remove()
    assert path.read_text() == "1\n"


def test_owner() -> None:
    assert wanted_owner(Config("mds.a")) is None
    owner = wanted_owner(Config("mds.a", {"setuser": "daemon"}))
    assert owner is not None
    assert (owner.uid, owner.gid, owner.user) == (1, 1, "daemon")
    owner = wanted_owner(Config("mds.a", {"setuser": "54321", "setgroup": "daemon"}))
    assert owner is not None
    assert (owner.uid, owner.gid, owner.user) == (54321, 1, "")
    for option in ("setuser", "setgroup"):
        with pytest.raises(FatalError, match=r"unable to look up .* 'nobody-such'"):
            wanted_owner(Config("mds.a", {option: "nobody-such"}))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_setuser_in_a_process_of_its_own(tmp_path: Path) -> None:
    script = (
        "import os; from mdsdaemon.cli.process import drop_privileges\n"
        "from mdsdaemon.config import Config\n"
        f"c = Config('mds.a', dict(setuser='daemon', run_dir={str(tmp_path / 'run')!r}))\n"
        "print(drop_privileges(c, os.environ)); print(os.getresuid(), os.getresgid())\n"
        "print(drop_privileges(c, os.environ))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout.splitlines() == [
        "set uid:gid to 1:1 (daemon)",
        "(1, 1, 1) (1, 1, 1)",
        "ignoring --setuser daemon since I am not root",
    ]
    assert (tmp_path / "run").stat().st_uid == 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_setuser_match_path(tmp_path: Path) -> None:
    settings = {"setuser": "daemon", "setuser_match_path": str(tmp_path)}
    said = drop_privileges(Config("mds.a", settings), {})
    assert said.startswith(f"will not setuid/gid: {tmp_path} owned by 0:0")
    assert os.getuid() == 0
    settings["setuser_match_path"] = "/nonexistent"
    with pytest.raises(FatalError, match="unable to stat setuser_match_path /nonexistent"):
        drop_privileges(Config("mds.a", settings), {})


@pytest.mark.parametrize("shut", ["", "packages/late.py", "packages", "."])
def test_who_may_read_the_modules(shut: str) -> None:
    """Otherwise everything is loaded before the process becomes another user's."""
    with tempfile.TemporaryDirectory() as there:  # pytest's own folder is root's alone
        folder = Path(there)
        folder.chmod(0o755)
        (folder / "packages").mkdir(mode=0o755)
        module = folder / "packages" / "late.py"
        module.touch(0o644)
        if shut:
            (folder / shut).chmod(0o700)
        assert process._may_read(str(module)) is not bool(shut)


def test_all_that_a_daemon_may_come_to_need() -> None:
    script = (
        "import sys; from mdsdaemon.cli.process import load_all\n"
        "load_all(); before = set(sys.modules)\n"
        "import cbor2, ssl, mdsdaemon.rank.mds_rank, mdsdaemon.daemon.heap\n"
        "print(set(sys.modules) - before, {'pytest', 'mdsdaemon.cluster'} & before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.stdout == "set() set()\n"


# -- any arguments --------------------------------------------------------------------------------

ARGS = st.lists(
    st.one_of(
        st.sampled_from(
            ["-i", "-n", "-k", "-K", "-m", "-d", "-f", "-r", "-M", "--bind", "--cluster", "--",
             "--show-args", "--setuser", "--log-format", "--hot-standby", "-c", "--key",
             "--default-mds_data", "--no-mon-config", "--mds-log-pause", "--user",
             "--data", "--fs", "--timeout", "--set", "--verbose", "--exit-with-parent"]
        ),
        st.text(max_size=10).filter(lambda text: "\0" not in text),
        st.sampled_from(["a", "mds.a", "json", "127.0.0.1", "="]),
    ),
    max_size=6,
)  # fmt: skip


@given(ARGS)
def test_no_arguments_give_a_traceback(args: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CEPH_CONF", "CEPH_ARGS", "CEPH_KEYRING"):
            patch.delenv(name, raising=False)
        patch.setattr(cli, "_run", lambda *_, **__: 0)
        patch.setattr("mdsdaemon.cli.cluster_main.main_cluster", lambda args: parse(args) and 0)
        patch.setattr(cli, "_print", lambda _: None)
        patch.setattr(cli, "_say", lambda _: None)
        assert cli.main(args) in set(ExitStatus)


def test_mistakes_do_not_load_trio() -> None:
    script = (
        "import sys; from mdsdaemon.cli import main; main(['-i', '0']);"
        "print(sorted({'trio', 'cryptography', 'cbor2', 'ipaddress'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.stdout == "[]\n"
