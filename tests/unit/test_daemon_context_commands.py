"""The generic commands, and what a booting daemon says of its machine."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from mdsdaemon.config import Config
from mdsdaemon.daemon.commands.context_commands import ContextCommands, LogHooks
from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.daemon.commands.table import ADMIN_SOCKET_COMMANDS, CONTEXT_COMMANDS
from mdsdaemon.daemon.outcome import DaemonAbort
from mdsdaemon.messages.formatter import Result
from mdsdaemon.perf import PerfCounters, PerfRegistry
from mdsdaemon.types.sys_info import collect_sys_info
from mdsdaemon.version import ceph_version


class Generic:
    """The generic commands of a daemon that does not exist."""

    def __init__(self) -> None:
        self.config = Config("mds.a", {"mds_join_fs": "cephfs", "key": "AQBz" + "A" * 36})
        self.perf = PerfRegistry()
        group = PerfCounters("mds_thing")
        self.counter = group.add_u64_counter("done", "things done")
        self.perf.add(group)
        self.calls: list[str] = []
        self.executor = CommandExecutor()
        commands = ContextCommands(
            self.config,
            self.perf,
            self.executor,
            log_hooks=LogHooks(
                flush=lambda: self.calls.append("flush"),
                dump=self.no_dump,
                reopen=lambda: self.calls.append("reopen"),
            ),
            mempools=lambda: {"mds_co": (3, 300)},
        )
        self.executor.register_commands(ADMIN_SOCKET_COMMANDS, commands.admin_socket)
        self.executor.register_commands(CONTEXT_COMMANDS, commands.call)

    @staticmethod
    def no_dump() -> None:
        raise OSError(28, "No space left on device")

    def run(self, prefix: str, **args: Any) -> Result:
        cmd = json.dumps({"prefix": prefix, "format": "json", **args})
        return trio.run(self.executor.execute, [cmd])

    def ask(self, prefix: str, **args: Any) -> Any:
        result = self.run(prefix, **args)
        assert (result.r, result.error) == (0, "")
        return json.loads(result.out)


@pytest.fixture
def daemon() -> Generic:
    return Generic()


def test_versions(daemon: Generic) -> None:
    assert daemon.run("0").out == b"2"
    assert daemon.ask("version") == {
        "version": "16.2.15",
        "release": "pacific",
        "release_type": "stable",
    }
    assert list(daemon.ask("git_version")) == ["git_version"]
    assert "16.2.15" in ceph_version()


def test_every_generic_command_is_served(daemon: Generic) -> None:
    args: dict[str, dict[str, Any]] = {
        "config help": {"var": "fsid"},
        "config set": {"var": "mds_tick_interval", "val": ["4"]},
        "perf reset": {"var": "all"},
        "injectargs": {"injected_args": ["--mds_tick_interval", "3"]},
    }
    refused = {"assert": -1, "abort": -1, "log dump": -28}
    for table in (ADMIN_SOCKET_COMMANDS, CONTEXT_COMMANDS):
        for command in table:
            prefix = command.prefix
            given = args.get(prefix) or ({"var": "fsid"} if "var" in command.desc else {})
            assert daemon.run(prefix, **given).r == refused.get(prefix, 0), prefix
    assert daemon.calls == ["flush", "reopen"]
    assert daemon.config.get_float("mds_tick_interval") == 3.0


def test_help_and_descriptions(daemon: Generic) -> None:
    assert "config set" in daemon.ask("help")
    assert "leak_some_memory" not in daemon.ask("help")
    first = daemon.ask("get_command_descriptions")["cmd000"]
    assert first == {"sig": ["0"], "help": ""}


def test_config_commands(daemon: Generic) -> None:
    assert daemon.ask("config get", var="mds_join_fs") == {"mds_join_fs": "cephfs"}
    assert daemon.run("config get", var="nope").error == (
        "error getting 'nope': (2) No such file or directory"
    )
    said = daemon.ask("config set", var="mds_beacon_grace", val=["4"])["success"]
    assert said.startswith("mds_beacon_grace = '4.000000'")
    assert daemon.run("config set", var="mds_beacon_grace", val=["x"]).r == -22
    assert daemon.run("config set", var="nope", val=["x"]).r == -2
    assert daemon.ask("config diff")["diff"]["mds_beacon_grace"]["final"] == 4
    assert list(daemon.ask("config diff get", var="mds_beacon_grace")["diff"]) == [
        "mds_beacon_grace"
    ]
    unset = daemon.run("config unset", var="mds_beacon_grace")
    assert (unset.r, unset.out) == (0, b"{}")
    assert daemon.config.get_float("mds_beacon_grace") == 15
    assert daemon.run("config unset", var="nope").r == -22
    assert daemon.ask("config help", var="mds_beacon_grace")["option"]["default"] == 15
    assert daemon.run("config help", var="nope").error == "Setting not found: 'nope'"
    assert len(daemon.ask("config help")["options"]) > 1000
    assert daemon.run("injectargs", injected_args=["--nope=7"]).r == -22


def test_secrets_are_not_shown(daemon: Generic) -> None:
    secret = daemon.config.get_str("key")
    for prefix, args in [("config show", {}), ("config diff", {}), ("config get", {"var": "key"})]:
        assert secret not in daemon.run(prefix, **args).out.decode()


def test_counters(daemon: Generic) -> None:
    daemon.counter.inc(5)
    assert daemon.ask("perf dump") == {"mds_thing": {"done": 5}}
    assert daemon.ask("perf dump", logger="nope") == {}
    assert daemon.ask("1") == daemon.ask("perfcounters_dump") == {"mds_thing": {"done": 5}}
    assert list(daemon.ask("perf schema")["mds_thing"]) == ["done"]
    assert daemon.ask("perf reset", var="nope") == {"error": "Not find: nope"}
    assert daemon.ask("perf reset", var="mds_thing") == {"success": "perf reset mds_thing"}
    assert daemon.ask("perf dump") == {"mds_thing": {"done": 0}}


def test_mempools(daemon: Generic) -> None:
    pools = daemon.ask("dump_mempools")["mempool"]
    assert pools["by_pool"]["mds_co"] == pools["total"] == {"items": 3, "bytes": 300}
    assert pools["by_pool"]["osd"] == {"items": 0, "bytes": 0}


def test_abort_where_it_is_permitted(daemon: Generic) -> None:
    assert daemon.run("abort").r == -1
    daemon.config.set_val("debug_asok_assert_abort", "true")
    for prefix in ("assert", "abort"):
        with pytest.raises(DaemonAbort, match=prefix):
            daemon.run(prefix)


def test_log_commands_tell_of_failures(daemon: Generic) -> None:
    assert daemon.ask("log flush") == {}
    failed = daemon.run("log dump")
    assert (failed.r, failed.error) == (-28, "log dump: No space left on device")


def test_sys_info_has_the_keys_of_a_real_daemon() -> None:
    info = collect_sys_info("v2:127.0.0.1:6800/1")
    always = {
        *("addr", "arch", "ceph_release", "ceph_version", "ceph_version_short", "hostname"),
        *("kernel_description", "kernel_version", "mem_swap_kb", "mem_total_kb", "os"),
    }
    assert always <= set(info)
    assert all(isinstance(value, str) for value in info.values())
    assert info["addr"] == "v2:127.0.0.1:6800/1"
    assert info["mem_total_kb"].isdigit()
