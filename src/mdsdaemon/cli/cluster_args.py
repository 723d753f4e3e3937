"""The arguments of `python -m mdsdaemon` when no cluster is named: it starts one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from mdsdaemon import records
from mdsdaemon.errors import UsageError

TIMEOUT: Final = 60.0
"""Seconds until ready, unless --timeout says otherwise."""

N = TypeVar("N", int, float)

_WITH_VALUE: Final = frozenset(
    ("--data", "--fs", "--mds", "--pool-size", "--mon-port", "--set", "--ready-file", "--timeout")
)
_SWITCHES: Final = frozenset(("--exit-with-parent", "--no-fs"))
# These are the daemon's too; alone they ask for neither.
_SHARED_WITH_VALUE: Final = frozenset(("--log-format",))
_SHARED_SWITCHES: Final = frozenset(("--verbose",))

USAGE: Final = """\
usage: python -m mdsdaemon [--data DIR] [options] [-- COMMAND [ARGUMENT ...]]

Without a name, runs a whole throwaway cluster in this process (one monitor, one
object store, metadata servers) on ports of the loopback interface that the
system chooses, until SIGTERM or SIGINT; with COMMAND, until that ends. COMMAND
has CEPH_CONF set; its exit status or signal is this program's. What COMMAND
leaves running is ended.

      --data DIR           the cluster lives in DIR and survives; else it is in
                           memory, and ceph.conf and keyring are in a private
                           temporary folder
      --fs NAME            make this file system unless it is there (repeatable;
                           default: cephfs, or those that are in DIR)
      --no-fs              make none
      --mds N              how many metadata servers (default 1; with COMMAND 2:
                           it may make another file system)
      --pool-size N        copies that new pools say to have (default: 1)
      --mon-port PORT      TCP port of the monitor
      --set OPTION=VALUE   an option of Ceph, for all daemons and clients
      --ready-file FILE    when ready, write where everything is to FILE (JSON)
      --timeout SECONDS    give up if not ready by then (default: 60)
      --exit-with-parent   end when the process that started this one ends; with
                           COMMAND it does so anyway, except under nohup
      --verbose            log more to stderr
      --log-format FORMAT  log lines as text or json
"""


@records.frozen
class ClusterArgs:
    """What was asked for; ranges and names are `ClusterOptions`' to check."""

    data: str | None = None
    fs: tuple[str, ...] | None = None
    mds: int = 1
    pool_size: int = 1
    mon_port: int = 0
    settings: Mapping[str, str] = records.field(factory=dict)
    ready_file: str = ""
    timeout: float = TIMEOUT
    exit_with_parent: bool = False
    verbose: bool = False
    log_format: str = "text"
    command: tuple[str, ...] = ()


def wants_cluster(args: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether these arguments start a cluster; else they are those of a daemon."""
    own = args[: args.index("--")] if "--" in args else args
    if any(_head(arg) in _WITH_VALUE or _head(arg) in _SWITCHES for arg in own):
        return True
    left = list(own)
    while left and _head(left[0]) in _SHARED_SWITCHES | _SHARED_WITH_VALUE:
        del left[: 2 if left[0] in _SHARED_WITH_VALUE else 1]
    return not left and ("--" in args or "--verbose" in own or not environ.get("CEPH_ARGS"))


def parse(args: Sequence[str]) -> ClusterArgs:
    """Raises UsageError."""
    own, command = list(args), []
    if "--" in own:
        at = own.index("--")
        own, command = own[:at], own[at + 1 :]
        if not command:
            raise UsageError("there is no command after --", "for example: -- ceph -s")
    given: dict[str, list[str]] = {}
    while own:
        arg = own.pop(0)
        head, equals, value = arg.partition("=")
        head = _head(arg)
        if head in _SWITCHES | _SHARED_SWITCHES and not equals:
            given[head] = [""]
        elif head in _WITH_VALUE | _SHARED_WITH_VALUE:
            if not equals:
                if not own:
                    raise UsageError(f"option {head} requires an argument")
                value = own.pop(0)
            given.setdefault(head, []).append(value)
        else:
            raise UsageError(
                f"a cluster of its own takes no {arg!r}",
                "--help lists what it takes, and what a daemon for another cluster does",
            )

    def last(name: str, default: str) -> str:
        return given.get(name, [default])[-1]

    return ClusterArgs(
        data=last("--data", "") or None,
        fs=_file_systems(given),
        mds=_number("--mds", last("--mds", "2" if command else "1"), int),
        pool_size=_number("--pool-size", last("--pool-size", "1"), int),
        mon_port=_number("--mon-port", last("--mon-port", "0"), int),
        settings=dict(_setting(text) for text in given.get("--set", ())),
        ready_file=last("--ready-file", ""),
        timeout=_timeout(last("--timeout", str(TIMEOUT))),
        exit_with_parent="--exit-with-parent" in given,
        verbose="--verbose" in given,
        log_format=_one_of("--log-format", last("--log-format", "text"), ("text", "json")),
        command=tuple(command),
    )


def _file_systems(given: Mapping[str, list[str]]) -> tuple[str, ...] | None:
    if "--no-fs" in given:
        if "--fs" in given:
            raise UsageError("--fs and --no-fs contradict each other")
        return ()
    return tuple(given["--fs"]) if "--fs" in given else None


def _head(arg: str) -> str:
    return arg.partition("=")[0].replace("_", "-") if arg.startswith("--") else arg


def _number(option: str, text: str, kind: Callable[[str], N]) -> N:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a number") from None


def _timeout(text: str) -> float:
    value = _number("--timeout", text, float)
    if not 0 < value < 1e6:
        raise UsageError(f"--timeout is {text}", "give a number of seconds above 0")
    return value


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--set {text!r} is not OPTION=VALUE")
    return name.strip().replace(" ", "_").replace("-", "_"), value.strip()


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"{option} {value} is neither {' nor '.join(choices)}")
    return value
