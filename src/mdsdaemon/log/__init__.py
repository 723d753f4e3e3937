"""Log lines of a daemon: loggers, levels, formats, files."""

from mdsdaemon.log.levels import FINE, FINEST, ROOT, ceph_level, daemon_logger, python_level
from mdsdaemon.log.lines import JsonFormatter, LineFormatter, brief_traceback
from mdsdaemon.log.setup import DaemonLogging, beside_log, flight_record_path

__all__ = [
    "FINE",
    "FINEST",
    "ROOT",
    "DaemonLogging",
    "JsonFormatter",
    "LineFormatter",
    "beside_log",
    "brief_traceback",
    "ceph_level",
    "daemon_logger",
    "flight_record_path",
    "python_level",
]
