"""What a one-process cluster is asked to be."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from mdsdaemon.config import Config, Level
from mdsdaemon.errors import OptionError, UsageError

MAX_MDS: Final = 1000
MAX_POOL_SIZE: Final = 10
"""Copies that a pool may be said to have; Ceph takes no more for a replicated pool."""

DEFAULT_CAPACITY: Final = 4 << 30
"""Bytes of a store in memory, unless memstore_device_bytes is set."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")


@attrs.frozen
class ClusterOptions:
    """See `open_cluster`, whose arguments these are.

    Raises UsageError: a value that cannot be.
    """

    data: Path | None = None
    fs: tuple[str, ...] = ()
    mds: int = 1
    pool_size: int = 1
    mon_port: int = 0
    settings: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        _in_range("mds", self.mds, 0, MAX_MDS)
        _in_range("pool-size", self.pool_size, 1, MAX_POOL_SIZE)
        _in_range("mon-port", self.mon_port, 0, 65535)
        for option, value in self.settings.items():
            if not value.isprintable():
                raise UsageError(f"the value of {option} has more than one line")
        self.config("osd.0")
        for name in self.fs:
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"{name!r} is no name for a file system",
                    "use letters, digits, '_', '.' and '-'",
                )
        if len(set(self.fs)) != len(self.fs):
            raise UsageError(f"a file system is named twice: {', '.join(self.fs)}")

    @property
    def capacity(self) -> int:
        """Bytes that a store in memory takes: the option of Ceph's own."""
        config = self.config("osd.0")
        if "memstore_device_bytes" in self.settings:
            return config.get_int("memstore_device_bytes")
        return DEFAULT_CAPACITY

    def config(self, name: str, own: Mapping[str, str] | None = None) -> Config:
        """The configuration of one of the cluster's daemons.

        Args:
            own: what the daemon cannot do without; goes before `settings`, which stand where
                ceph.conf would.

        Raises UsageError: a setting names no option of Ceph, or its value does not fit.
        """
        config = Config(name, own)
        config.set_val("osd_pool_default_size", self.pool_size, Level.CONF_FILE)
        for option, value in self.settings.items():
            try:
                config.set_val(option, value, Level.CONF_FILE)
            except OptionError as e:
                why = str(e) or "the value does not fit"
                raise UsageError(f"cannot set {option} to {value!r}: {why}") from None
        return config


def mds_names(count: int) -> list[str]:
    """Names of `count` daemons: a … z, aa, ab, …"""
    names: list[str] = []
    for number in range(count):
        name = ""
        left = number + 1
        while left:
            left, at = divmod(left - 1, 26)
            name = string.ascii_lowercase[at] + name
        names.append(name)
    return names


def _in_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(f"{what} is {value}", f"give a number from {low} to {high}")
