"""The table of options: every option that ceph-mds 16.2.15 knows.

`options.jsonl` has one option per line, `[name, type, level, default]` and, where there is more to
say, an object with daemon_default, min, max, enum, flags, services, tags and see_also. A line is
decoded when its option is first asked for, and shared by all daemons of the process.

Format: ceph/ceph, src/common/options.h (Pacific); the facts come from `config help` of a live
ceph-mds 16.2.15, the `debug_*` defaults from src/common/subsys.h.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

from mdsdaemon import records
from mdsdaemon.config.option_types import (
    PARSERS,
    Value,
    format_value,
    parse_debug_level,
)
from mdsdaemon.errors import OptionError
from mdsdaemon.redaction import SECRET_OPTIONS

_SUBSYSTEM_LEVELS = """
    none=0/5 lockdep=0/1 context=0/1 crush=1/1 mds=1/5 mds_balancer=1/5 mds_locker=1/5 mds_log=1/5
    mds_log_expire=1/5 mds_migrator=1/5 buffer=0/1 timer=0/1 filer=0/1 striper=0/1 objecter=0/1
    rados=0/5 rbd=0/5 rbd_mirror=0/5 rbd_replay=0/5 rbd_pwl=0/5 journaler=0/5 objectcacher=0/5
    immutable_obj_cache=0/5 client=0/5 osd=1/5 optracker=0/5 objclass=0/5 filestore=1/3 journal=1/3
    ms=0/0 mon=1/5 monc=0/10 paxos=1/5 tp=0/5 auth=1/5 crypto=1/5 finisher=1/1 reserver=1/1
    heartbeatmap=1/5 perfcounter=1/5 rgw=1/5 rgw_sync=1/5 civetweb=1/10 javaclient=1/5 asok=1/5
    throttle=1/1 refs=0/0 compressor=1/5 bluestore=1/5 bluefs=1/5 bdev=1/3 kstore=1/5 rocksdb=4/5
    leveldb=4/5 memdb=4/5 fuse=1/5 mgr=2/5 mgrc=1/5 dpdk=1/5 eventtrace=1/5 prioritycache=1/5
    test=0/5 cephfs_mirror=0/5 cephsqlite=0/5
"""
SUBSYSTEMS: dict[str, str] = dict(item.split("=") for item in _SUBSYSTEM_LEVELS.split())
"""Subsystem of the log → default of its option debug_NAME."""

_RUNTIME_TYPES = frozenset({"bool", "int", "uint", "float", "size", "secs", "millisecs"})
_ONLY_AT_START = frozenset({"startup", "cluster_create", "create"})
_FLAGS_IN_ORDER = ("runtime", "no_mon_update", "startup", "cluster_create", "create")
_RBD_FEATURES = (
    "layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten",
    "journaling", "data-pool",
)  # fmt: skip


@records.frozen
class Option:
    """One option. `min` and `max` are None where there is no bound.

    Attributes:
        type: bool, int, uint, size, float, secs, millisecs, str, uuid, addr or addrvec.
        level: basic, advanced, dev.
        default: for programs that are not daemons; see `value` for ours.
        daemon_default: None where daemons have no other default.
        enum: the permitted values, empty where any will do.
    """

    name: str
    type: str
    level: str
    default: Value
    daemon_default: Value | None = None
    min: Value | None = None
    max: Value | None = None
    enum: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    see_also: tuple[str, ...] = ()

    @property
    def value(self) -> Value:
        """The default of a daemon."""
        return self.default if self.daemon_default is None else self.daemon_default

    @property
    def is_debug(self) -> bool:
        """It is the log level of a subsystem."""
        return self.name.startswith("debug_") and self.name[6:] in SUBSYSTEMS

    @property
    def is_secret(self) -> bool:
        """Its value must not be shown."""
        return self.name in SECRET_OPTIONS

    @property
    def can_update_at_runtime(self) -> bool:
        """A change takes effect (or at least does no harm) without a restart."""
        settable = "runtime" in self.flags or self.type in _RUNTIME_TYPES
        return settable and not self.flags & _ONLY_AT_START

    def parse(self, text: str) -> Value:
        """The value that `text` stands for.

        Raises:
            OptionError: EINVAL or ERANGE, with Ceph's text.
        """
        if self.is_debug:
            return parse_debug_level(text)
        if self.name == "rbd_default_features":
            return _parse_rbd_features(text)
        value = PARSERS[self.type](text)
        self._check(value)
        return value

    def accept(self, value: Value) -> Value:
        """The value for text, or for a number or truth value given as such. Errors as `parse`."""
        if isinstance(value, str):
            return self.parse(value)
        if self.type == "float" and not isinstance(value, bool):
            number = PARSERS["float"](repr(float(value)))
            self._check(number)
            return number
        return self.parse("true" if value is True else "false" if value is False else repr(value))

    def _check(self, value: Value) -> None:
        if self.enum and value not in self.enum:
            permitted = ", ".join(self.enum)
            raise OptionError(22, f"'{value}' is not one of the permitted values: {permitted}")
        if isinstance(value, str):
            return
        if isinstance(self.min, int | float) and value < self.min:
            low = format_value(self.min)
            raise OptionError(22, f"Value '{format_value(value)}' is below minimum {low}")
        if isinstance(self.max, int | float) and value > self.max:
            high = format_value(self.max)
            raise OptionError(22, f"Value '{format_value(value)}' exceeds maximum {high}")
        if self.name == "rbd_discard_granularity_bytes" and int(value) & (int(value) - 1):
            raise OptionError(22, "value must be a power of two")

    def dump_value(self, value: Value | None) -> Value:
        """As `config diff` and `config help` have it in JSON: numbers and truth values as they
        are, all other types as text, nothing as "".
        """
        if value is None:
            return ""
        if self.type in ("bool", "int", "uint"):
            return value
        if isinstance(value, float):
            return int(value) if value.is_integer() else value
        return format_value(value)

    def dump(self, desc: str = "") -> dict[str, Any]:
        """As `config help` has it."""
        out: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "level": self.level,
            "desc": desc,
            "long_desc": "",
            "default": self.dump_value(self.default),
            "daemon_default": self.dump_value(self.daemon_default),
            "tags": list(self.tags),
            "services": list(self.services),
            "see_also": list(self.see_also),
        }
        if self.type == "str":
            out["enum_values"] = list(self.enum)
        out["min"] = self.dump_value(self.min)
        out["max"] = self.dump_value(self.max)
        out["can_update_at_runtime"] = self.can_update_at_runtime
        out["flags"] = [flag for flag in _FLAGS_IN_ORDER if flag in self.flags]
        return out


def _parse_rbd_features(text: str) -> str:
    """Names or a bit mask; kept as the mask."""
    if text.isdecimal() and len(text) <= 20:
        mask = int(text)
    else:
        try:
            mask = sum({1 << _RBD_FEATURES.index(name.strip()) for name in text.split(",")})
        except ValueError:
            raise OptionError(22, f"ignoring unknown feature names in '{text}'") from None
    if mask >> len(_RBD_FEATURES):
        raise OptionError(22, "ignoring unknown feature mask")
    return str(mask)


@cache
def _lines() -> dict[str, str]:
    """Name → line of the table, not yet decoded."""
    with open(os.path.join(os.path.dirname(__file__), "options.jsonl"), encoding="utf-8") as file:
        return {line[2 : line.index('"', 2)]: line for line in file}


_options: dict[str, Option] = {}


def find_option(name: str) -> Option | None:
    """The option called exactly `name`, or None."""
    option = _options.get(name)
    if option is None:
        line = _lines().get(name)
        if line is not None:
            option = _decode(*json.loads(line))
        elif name.startswith("debug_") and name[6:] in SUBSYSTEMS:
            levels = SUBSYSTEMS[name[6:]]
            option = Option(name, "str", "advanced", levels, flags=frozenset({"runtime"}))
        else:
            return None
        _options[name] = option
    return option


def get_option(name: str) -> Option:
    """As `find_option`, for names that must exist. KeyError: there is none."""
    option = find_option(name)
    if option is None:
        raise KeyError(name)
    return option


def _decode(
    name: str, type_: str, level: str, default: Value, more: dict[str, Any] | None = None
) -> Option:
    if type_ in ("size", "secs", "millisecs"):
        default = int(default)
    elif type_ == "float":
        default = float(default)
    fields: dict[str, Any] = dict(more or {})
    for bound in ("min", "max"):
        if bound in fields:
            number = float(fields[bound])
            fields[bound] = number if type_ == "float" else int(fields[bound])
    for names in ("enum", "services", "tags", "see_also"):
        if names in fields:
            fields[names] = tuple(fields[names])
    fields["flags"] = frozenset(fields.get("flags", ()))
    return Option(name, type_, level, default, **fields)


@cache
def option_names() -> tuple[str, ...]:
    """All names, those of the `debug_*` options too, sorted."""
    return tuple(sorted([*_lines(), *(f"debug_{name}" for name in SUBSYSTEMS)]))


def table() -> Iterator[Option]:
    """What `config help` lists: the options in the table's order, without the `debug_*` ones."""
    for name in _lines():
        yield get_option(name)
