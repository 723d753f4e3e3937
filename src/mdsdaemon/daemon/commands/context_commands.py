"""The commands of every Ceph daemon: configuration, counters, log, version, help.

Behaviour: ceph/ceph, src/common/ceph_context.cc (_do_command), src/common/admin_socket.cc
(Pacific), checked against a live ceph-mds 16.2.15.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mdsdaemon.config import commands as config_commands
from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.daemon.outcome import DaemonAbort
from mdsdaemon.messages.cmdparse import CmdMap, get_str, get_strings
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.perf import MEMPOOLS
from mdsdaemon.records import frozen
from mdsdaemon.version import (
    ADMIN_SOCKET_VERSION,
    CEPH_RELEASE,
    CEPH_RELEASE_TYPE,
    CEPH_VERSION_SHORT,
    git_version,
)

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.perf import PerfRegistry


def _nothing() -> None:
    """What a log command does where the log is the host's."""


@frozen
class LogHooks:
    """What the log commands do; the program gives its own, a host may leave them out.

    Each may raise OSError.
    """

    flush: Callable[[], None] = _nothing
    dump: Callable[[], None] = _nothing
    reopen: Callable[[], None] = _nothing


class ContextCommands:
    """Serves the generic commands of one daemon."""

    def __init__(
        self,
        config: Config,
        perf: PerfRegistry,
        executor: CommandExecutor,
        *,
        log_hooks: LogHooks,
        mempools: Callable[[], Mapping[str, tuple[int, int]]],
    ) -> None:
        self._config = config
        self._perf = perf
        self._executor = executor
        self._log_hooks = log_hooks
        self._mempools = mempools
        self._leaked: list[bytes] = []

    def admin_socket(self, prefix: str, cmdmap: CmdMap, inbl: bytes) -> Reply:
        """The commands of the admin socket itself."""
        match prefix:
            case "0":
                return Reply(out=ADMIN_SOCKET_VERSION.encode())
            case "version":
                version = {
                    "version": CEPH_VERSION_SHORT,
                    "release": CEPH_RELEASE,
                    "release_type": CEPH_RELEASE_TYPE,
                }
                return Reply(section="version", data=version)
            case "git_version":
                return Reply(section="version", data={"git_version": git_version()})
            case "help":
                return Reply(section="help", data=self._executor.help())
            case _:
                return Reply(section="command_descriptions", data=self._executor.descriptions())

    def call(self, prefix: str, cmdmap: CmdMap, inbl: bytes) -> Reply:
        """The commands of CephContext."""
        section = prefix.replace(" ", "_")
        try:
            if prefix in ("assert", "abort"):
                return self._abort(prefix)
            if prefix.startswith("perf") or prefix in ("1", "2"):
                return self._perf_command(prefix, cmdmap)
            if prefix.startswith("log "):
                getattr(self._log_hooks, prefix[4:])()
                return Reply(section=section, data={})
            if prefix == "dump_mempools":
                return Reply(section="mempools", data={"mempool": self._dump_mempools()})
            if prefix == "leak_some_memory":
                self._leaked.append(bytes(1234))
                return Reply()
            return self._config_command(prefix, section, cmdmap)
        except OSError as e:
            return Reply.fail(e.errno or errno.EIO, f"{prefix}: {e.strerror or e}")

    # -- configuration ----------------------------------------------------------------------

    def _config_command(self, prefix: str, section: str, cmdmap: CmdMap) -> Reply:
        config = self._config
        var = get_str(cmdmap, "var") or ""
        match prefix:
            case "config show":
                answer = config_commands.config_show(config)
            case "config get":
                answer = config_commands.config_get(config, var)
            case "config set":
                values = get_strings(cmdmap, "val") or []
                answer = config_commands.config_set(config, var, values)
            case "config unset":
                answer = config_commands.config_unset(config, var)
            case "config diff":
                answer = config_commands.config_diff(config)
            case "config diff get":
                answer = config_commands.config_diff(config, var)
            case "config help":
                answer = config_commands.config_help(config, var or None)
            case "injectargs":
                words = get_strings(cmdmap, "injected_args") or []
                answer = config_commands.injectargs(config, words)
            case _:
                return Reply.fail(errno.ENOSYS, prefix)
        return Reply(answer.r, answer.text, b"", section, answer.data)

    # -- counters ---------------------------------------------------------------------------

    def _perf_command(self, prefix: str, cmdmap: CmdMap) -> Reply:
        logger = get_str(cmdmap, "logger") or ""
        counter = get_str(cmdmap, "counter") or ""
        data: dict[str, Any]
        match prefix:
            case "perf dump" | "perfcounters_dump" | "1":
                data = self._perf.dump(logger, counter)
            case "perf schema" | "perfcounters_schema" | "2":
                data = self._perf.schema()
            case "perf histogram dump":
                data = self._perf.dump_histograms(logger, counter)
            case "perf histogram schema":
                data = self._perf.histogram_schema()
            case _:
                var = get_str(cmdmap, "var") or ""
                if self._perf.reset(var):
                    data = {"success": f"perf reset {var}"}
                else:
                    data = {"error": f"Not find: {var}"}
                return Reply(section="perf reset", data=data)
        return Reply(section="perfcounter_collection", data=data)

    def _dump_mempools(self) -> dict[str, Any]:
        """Python has no pools: what is counted is shown by Ceph's names, the rest is 0."""
        used = self._mempools()
        by_pool = {}
        for name in MEMPOOLS:
            items, size = used.get(name, (0, 0))
            by_pool[name] = {"items": items, "bytes": size}
        total = {
            "items": sum(pool["items"] for pool in by_pool.values()),
            "bytes": sum(pool["bytes"] for pool in by_pool.values()),
        }
        return {"by_pool": by_pool, "total": total}

    def _abort(self, prefix: str) -> Reply:
        """End the daemon as a bug would, where debug_asok_assert_abort permits it."""
        if not self._config.get_bool("debug_asok_assert_abort"):
            return Reply.fail(errno.EPERM)
        raise DaemonAbort(f"command {prefix!r}")
