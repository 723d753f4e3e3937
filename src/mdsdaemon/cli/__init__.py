"""The command line: arguments and files to a running daemon, errors to one sentence and a status.

What is not needed to say what is wrong is imported when it is needed: `--version` and a mistake in
the arguments do not load Trio.

Behaviour: ceph/ceph, src/ceph_mds.cc (Pacific), checked against 16.2.15.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mdsdaemon.errors import ExitStatus, FatalError, UsageError
from mdsdaemon.redaction import HIDDEN, SECRET_OPTIONS, redact

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.config.load import Loaded

PROGRAM = "mdsdaemon"
SPEAKS = "ceph version 16.2.15 pacific (stable)"
CAPACITY = 2000
MAX_CAPACITY = 100_000
"""Events of the flight record, unless log_max_recent is set, and at most."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: arguments without the program's name; the process's own when left out.

    Returns:
        An `ExitStatus`.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    gc.disable()  # until `collector.tune`: loading makes nothing that a collection could free
    try:
        return _main(args, os.environ)
    except FatalError as e:
        _say(str(e))
        return e.status
    except KeyboardInterrupt:
        return 128 + 2  # as a shell reports a process that SIGINT ended
    except BrokenPipeError:
        # Whoever read our output has enough of it; do not complain again when it is flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ExitStatus.OK
    finally:
        gc.enable()


def _say(text: str) -> None:
    sentence = redact(" ".join(text.split()))
    print(f"{PROGRAM}: {sentence}", file=sys.stderr, flush=True)  # noqa: T201


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _main(args: list[str], environ: Mapping[str, str]) -> int:
    own = args[: args.index("--")] if "--" in args else args
    if "-h" in own or "--help" in own:
        from mdsdaemon.cli.usage import usage

        _print(usage())
        return ExitStatus.OK
    if args[:1] == ["record"]:
        return _record(args[1:])
    if "-v" in own or "--version" in own:
        from mdsdaemon.version import __version__

        _print(f"{PROGRAM} {__version__} (speaks {SPEAKS})\n")
        return ExitStatus.OK
    from mdsdaemon.cli.cluster_args import wants_cluster

    if wants_cluster(args, environ):
        from mdsdaemon.cli.cluster_main import main_cluster

        return main_cluster(args)
    json_lines = _take_log_format(args)
    loaded = _load(args, environ)
    if loaded.show is not None:
        return _show(loaded.config, loaded.show)
    notes = _check(loaded)
    return _run(loaded.config, notes, json_lines=json_lines)


def _record(args: list[str]) -> int:
    if len(args) != 2 or args[0] != "show":
        raise UsageError("record takes `show FILE`", "for example: record show mds.a.flight")
    from mdsdaemon.recorder.show import format_record, read_record

    for line in format_record(read_record(args[1])):
        _print(f"{line}\n")
    return ExitStatus.OK


def _take_log_format(args: list[str]) -> bool:
    """Take `--log-format FORMAT` out of `args`; True for json."""
    found = "text"
    i = 0
    while i < len(args) and args[i] != "--":
        head, equals, value = args[i].partition("=")
        if head not in ("--log-format", "--log_format"):
            i += 1
            continue
        del args[i]
        if not equals:
            if i == len(args):
                raise UsageError("option --log-format requires an argument", "text or json")
            value = args.pop(i)
        found = value
    if found not in ("text", "json"):
        raise UsageError(f"--log-format {found} is neither text nor json")
    return found == "json"


def _load(args: list[str], environ: Mapping[str, str]) -> Loaded:
    from mdsdaemon.config.load import load

    loaded = load(args, environ)
    if loaded.early.show_args is not None:
        _print(redact(f"args: {' '.join(loaded.early.show_args)}") + "\n")
    return loaded


def _show(config: Config, what: str) -> int:
    """`--show-config`, `--show-config-value`, `--show-conf`."""
    if what == "config":
        _print("".join(f"{name} = {value}\n" for name, value in config.show().items()))
        return ExitStatus.OK
    if what == "conf":
        sections = config.conf_file.sections if config.conf_file is not None else {}
        for heading, entries in sorted(sections.items()):
            if not entries:
                continue
            _print(f"[{heading}]\n")
            for key, entry in sorted(entries.items()):
                _print(f'\t{key} = "{HIDDEN if key in SECRET_OPTIONS else entry.value}"\n')
        return ExitStatus.OK
    name = what.removeprefix("value:")
    try:
        _print(config.shown(name) + "\n")
    except KeyError:
        raise UsageError(f"failed to get config option '{name}': option not found") from None
    return ExitStatus.OK


def _check(loaded: Loaded) -> list[str]:
    """What ceph-mds checks of arguments and name. Returns remarks for the log."""
    notes: list[str] = []
    rest = list(loaded.rest)
    while rest:
        head, equals, _ = rest[0].partition("=")
        if head.replace("_", "-") != "--hot-standby" or (not equals and len(rest) < 2):
            raise UsageError(f"can't understand argument: {rest[0]}", "--help lists the options")
        del rest[: 1 if equals else 2]
        notes.append("--hot-standby is obsolete and has no effect")
    config = loaded.config
    if config.id == "admin":
        raise UsageError(
            "must specify '-i name' with the ceph-mds instance name", "for example: -i a"
        )
    if not config.id or config.id[0] in "0123456789":
        raise UsageError(
            f"MDS id '{config.name}' is invalid. MDS names may not start with a numeric digit."
        )
    if config.get_bool("daemonize") and config.level("daemonize") > 0:
        notes.append("daemonize is set, but this program always stays in the foreground")
    return notes


def _run(config: Config, notes: list[str], *, json_lines: bool) -> int:
    """Set the process up, run the daemon, tidy up."""
    import time

    from mdsdaemon.cli.process import PidFile, drop_privileges, load_all, make_run_dir, open_to_all
    from mdsdaemon.config import Level
    from mdsdaemon.daemon.runner import run_daemon
    from mdsdaemon.log import DaemonLogging, flight_record_path
    from mdsdaemon.recorder import FlightRecorder
    from mdsdaemon.version import __version__

    if config.get_str("setuser") and not open_to_all():
        load_all()  # the new user cannot
    config.set_val("daemonize", False, Level.OVERRIDE)
    notes.append(drop_privileges(config, os.environ))
    notes.append(make_run_dir(config))
    logs = DaemonLogging(config, json_lines=json_lines)
    try:
        logs.logger.warning(
            "%s %s, which speaks %s, process %d", PROGRAM, __version__, SPEAKS, os.getpid()
        )
        pid_file = PidFile(config.get_str("pid_file"))
        _change_directory(config, notes)
        for note in [*config.warnings, *notes]:
            if note:
                logs.logger.warning("%s", note)
        recorder = FlightRecorder(_capacity(config), wall=time.time, name=config.name)
        config.observe(["log_max_recent"], lambda _: recorder.resize(_capacity(config)))
        try:
            return run_daemon(config, recorder=recorder, argv=list(sys.orig_argv), logs=logs)
        except FatalError as e:
            logs.logger.info("ends: %s", e)
            raise
        except Exception as e:
            path = flight_record_path(config)
            logs.logger.exception("a bug ended the daemon")
            where = f"the flight record is in {path}"
            try:
                recorder.dump_file(path, f"crash: {type(e).__name__}: {e}")
            except OSError as failure:
                where = f"no flight record could be written to {path}: {failure.strerror}"
            raise FatalError(f"a bug ended the daemon: {type(e).__name__}: {e}; {where}") from e
        finally:
            pid_file.remove()
    finally:
        logs.close()


def _capacity(config: Config) -> int:
    """Events that the flight record keeps."""
    wanted = config.get_int("log_max_recent") if config.level("log_max_recent") else CAPACITY
    return min(wanted, MAX_CAPACITY)


def _change_directory(config: Config, notes: list[str]) -> None:
    path = config.get_str("chdir")
    if path:
        try:
            os.chdir(path)
        except OSError as e:
            notes.append(f"failed to chdir to directory '{path}': {e.strerror or e}")
