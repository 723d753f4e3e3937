"""Logging of a process that runs one daemon: its options, applied live, and the log file."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TextIO

from mdsdaemon.config import Config, Level
from mdsdaemon.config.option_types import debug_levels
from mdsdaemon.config.options import SUBSYSTEMS
from mdsdaemon.errors import ExitStatus, FatalError
from mdsdaemon.log.levels import ROOT, daemon_logger, python_level
from mdsdaemon.log.lines import JsonFormatter, LineFormatter

_TARGETS = (
    "log_file",
    "log_to_file",
    "log_to_stderr",
    "err_to_stderr",
    "log_stderr_prefix",
    "log_to_syslog",
    "err_to_syslog",
    "log_coarse_timestamps",
)


class _FileHandler(logging.StreamHandler[TextIO]):
    """A log file that can be opened again after somebody renamed it.

    A line that cannot be written (the disk is full) is lost; `complain` hears of the first of them.
    """

    def __init__(self, path: str, complain: Callable[[str], None]) -> None:
        self.path = path
        self._complain = complain
        self._failing = self._failed = False
        super().__init__(self._open())

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        self._failing = self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._failed = True
        if not self._failing:
            self._complain(
                f"cannot write to log file {self.path}: {error.strerror or error}; "
                "lines are lost until that is mended"
            )

    def _open(self) -> TextIO:
        return open(self.path, "a", encoding="utf-8", errors="backslashreplace")

    def reopen(self) -> None:
        """Open the path anew. OSError: it cannot be; the old file stays in use."""
        new = self._open()
        # What the old file does not take is lost, and no reason to stay with it.
        with suppress(OSError):
            self.flush()
        with suppress(OSError):
            self.stream.close()
        self.stream = new

    def close(self) -> None:
        super().close()
        with suppress(OSError):
            self.stream.close()


class _SyslogHandler(logging.Handler):
    """syslog(3), facility daemon."""

    def emit(self, record: logging.LogRecord) -> None:
        import syslog

        if record.levelno >= logging.ERROR:
            priority = syslog.LOG_ERR
        elif record.levelno >= logging.WARNING:
            priority = syslog.LOG_WARNING
        elif record.levelno >= logging.INFO:
            priority = syslog.LOG_INFO
        else:
            priority = syslog.LOG_DEBUG
        syslog.syslog(syslog.LOG_DAEMON | priority, self.format(record))


class DaemonLogging:
    """Logging as the options log_file, log_to_stderr, err_to_stderr, debug_* … say, live.

    A default log file that cannot be opened is no reason to stop: the lines go to stderr, with a
    warning. One that was asked for is. A program that embeds daemons does not use this; it sets up
    logging as it likes.

    Args:
        json_lines: `--log-format json`.
        stderr: the process's own when left out.
        base: name of the logger that gets the handlers.

    Raises:
        FatalError: the log file that the options name cannot be opened.
    """

    def __init__(
        self,
        config: Config,
        *,
        json_lines: bool = False,
        stderr: TextIO | None = None,
        base: str = ROOT,
    ) -> None:
        self._config = config
        self._json = json_lines
        self._stderr = stderr or sys.stderr
        self._base = base
        self._top = logging.getLogger(base)
        self._handlers: list[logging.Handler] = []
        self._file: _FileHandler | None = None
        self._path = ""
        self.logger = daemon_logger(config.name, base)
        problem = self._open(self._wanted_path())
        if problem and config.level("log_file") > Level.DEFAULT:
            raise FatalError(problem, ExitStatus.CANNOT_CREATE, "correct the option log_file")
        debug = [f"debug_{name}" for name in SUBSYSTEMS]
        self._unsubscribe: list[Callable[[], None]] = [
            config.observe(debug, self._levels_changed),
            config.observe(_TARGETS, self._targets_changed),
        ]
        self._propagate = self._top.propagate
        self._top.propagate = False
        self._top.setLevel(logging.INFO)
        self._levels_changed(debug)
        self._targets_changed(_TARGETS, problem)

    @property
    def file_path(self) -> str:
        """The log file in use, "" when there is none."""
        return self._file.path if self._file is not None else ""

    def _levels_changed(self, names: Iterable[str]) -> None:
        for name in names:
            subsystem = name.removeprefix("debug_")
            level = python_level(debug_levels(self._config.get_str(name))[0])
            logger = self.logger if subsystem == "mds" else self.logger.getChild(subsystem)
            logger.setLevel(level)
        # Lines for the operators of the cluster are worth a line here whatever the level.
        self.logger.getChild("clog").setLevel(logging.INFO)

    def _wanted_path(self) -> str:
        config = self._config
        return config.get_str("log_file") if config.get_bool("log_to_file") else ""

    def _targets_changed(self, names: Iterable[str], problem: str = "") -> None:
        config = self._config
        problem = self._open(self._wanted_path()) or problem
        for handler in self._handlers:
            self._top.removeHandler(handler)
        self._handlers = [] if self._file is None else [self._file]
        everything = config.get_bool("log_to_stderr") or self._file is None
        if everything or config.get_bool("err_to_stderr"):
            on_stderr = logging.StreamHandler(self._stderr)
            on_stderr.setLevel(logging.NOTSET if everything else logging.ERROR)
            self._handlers.append(on_stderr)
        if config.get_bool("log_to_syslog") or config.get_bool("err_to_syslog"):
            syslog = _SyslogHandler()
            syslog.setLevel(logging.NOTSET if config.get_bool("log_to_syslog") else logging.ERROR)
            self._handlers.append(syslog)
        for handler in self._handlers:
            handler.setFormatter(self._formatter(handler))
            self._top.addHandler(handler)
        if problem:
            self.logger.warning("%s; logging to stderr instead", problem)

    def _formatter(self, handler: logging.Handler) -> logging.Formatter:
        if self._json:
            return JsonFormatter(self._config.name, self._base)
        on_stderr = getattr(handler, "stream", None) is self._stderr
        return LineFormatter(
            self._config.name,
            self._base,
            coarse=self._config.get_bool("log_coarse_timestamps"),
            prefix=self._config.get_str("log_stderr_prefix") if on_stderr else "",
        )

    def _open(self, path: str) -> str:
        """Make `path` the log file, "" for none. Returns what went wrong."""
        if path == self._path:
            return ""
        self._path = path
        old, self._file = self._file, None
        if old is not None:
            self._top.removeHandler(old)
            old.close()
        if path:
            try:
                self._file = _FileHandler(path, self._file_fails)
            except OSError as e:
                return f"cannot open log file {path}: {e.strerror or e}"
        return ""

    def _file_fails(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stderr.write(f"{self._config.name}: {text}\n")
            self._stderr.flush()

    def reopen(self) -> None:
        """Open the log file again: for SIGHUP and `log reopen`, after it was rotated."""
        if self._file is None:
            self._path = ""
            self._targets_changed(_TARGETS)
            return
        try:
            self._file.reopen()
        except OSError as e:
            why = e.strerror or e
            text = "cannot open log file %s again: %s; going on with the old one"
            self.logger.error(text, self._file.path, why)

    def flush(self) -> None:
        """Write what is still buffered: for `log flush`. Raises OSError."""
        for handler in self._handlers:
            handler.flush()

    def chown(self, uid: int, gid: int) -> None:
        """Give the log file to the user that the daemon will run as.

        Raises:
            OSError: the system does not let us.
        """
        if self._file is not None:
            os.chown(self._file.path, uid, gid)

    def close(self) -> None:
        """Take the handlers off again and close the file."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        for handler in self._handlers:
            self._top.removeHandler(handler)
            handler.close()
        self._handlers = []
        self._file = None
        self._path = ""
        self._top.propagate = self._propagate


def beside_log(config: Config, suffix: str) -> str:
    """Path of a file that belongs to a daemon's log: beside it, else in the run directory."""
    log_file = config.get_str("log_file") if config.get_bool("log_to_file") else ""
    if log_file.startswith("/") and not log_file.startswith("/dev/"):
        return os.path.splitext(log_file)[0] + suffix
    return config.expand("$run_dir/$cluster-$name") + suffix


def flight_record_path(config: Config) -> str:
    """Where the flight record of a daemon goes."""
    return beside_log(config, ".flight")
