"""The object classes that CephFS and its tools call: `lock`, `version` and `cephfs`."""

from mdsdaemon.embedded.store.classes import cephfs, lock, version
from mdsdaemon.embedded.store.classes.registry import (
    ALLOWED,
    METHOD_RD,
    METHOD_WR,
    Method,
    MethodError,
    find_method,
)

__all__ = [
    "ALLOWED",
    "METHOD_RD",
    "METHOD_WR",
    "Method",
    "MethodError",
    "cephfs",
    "find_method",
    "lock",
    "version",
]
