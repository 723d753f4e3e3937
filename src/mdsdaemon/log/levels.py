"""Loggers and levels.

A daemon `mds.a` logs on the logger `mdsdaemon.mds.a`, its parts on children of that, named after
Ceph's subsystems: `.ms`, `.monc`, `.mgrc`, `.auth`, `.asok`, ….

Python's levels stand for Ceph's: ERROR -1, WARNING 0, INFO 1, DEBUG 5, FINE 10, FINEST 20. So
`debug_ms 5` shows DEBUG of `mdsdaemon.mds.a.ms`.
"""

from __future__ import annotations

import logging

ROOT = "mdsdaemon"
FINE = 7
FINEST = 3

_THRESHOLDS = ((20, FINEST), (10, FINE), (5, logging.DEBUG), (1, logging.INFO))


def daemon_logger(name: str, base: str = ROOT) -> logging.Logger:
    """The logger of the daemon with this entity name; its children are its parts'."""
    return logging.getLogger(base).getChild(name)


def python_level(ceph_level: int) -> int:
    """The lowest Python level that is shown at a `debug_*` level."""
    for level, python in _THRESHOLDS:
        if ceph_level >= level:
            return python
    return logging.WARNING if ceph_level == 0 else logging.ERROR


def ceph_level(python: int) -> int:
    """The level that a line has in Ceph's terms: -1 for errors."""
    if python >= logging.ERROR:
        return -1
    if python >= logging.WARNING:
        return 0
    if python >= logging.INFO:
        return 1
    if python >= logging.DEBUG:
        return 5
    return 10 if python >= FINE else 20
