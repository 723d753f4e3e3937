"""The configuration of one daemon: a value per option and level, the highest level wins.

Levels in their order of precedence, found on a live ceph-mds 16.2.15: the built-in default, the
monitors' configuration database, ceph.conf, the environment (CEPH_ARGS, CEPH_KEYRING), the command
line, and overrides (`config set`, injectargs, and the command line's one-letter options).

Behaviour: ceph/ceph, src/common/config.cc, config_values.cc, config_proxy.h (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from errno import EINVAL, ENOENT, EPERM
from typing import Any

from mdsdaemon.config.conf_file import ConfFile, normalize_key_name
from mdsdaemon.config.descriptions import description
from mdsdaemon.config.metavars import ExpansionError, Identity, expand
from mdsdaemon.config.option_types import Value, format_value
from mdsdaemon.config.options import Option, find_option, get_option, option_names, table
from mdsdaemon.errors import OptionError
from mdsdaemon.redaction import HIDDEN


class Level(IntEnum):
    """Where a value comes from; the greater one wins."""

    DEFAULT = 0
    MON = 1
    FILE = 2
    CONF_FILE = 2
    ENV = 3
    CMDLINE = 4
    OVERRIDE = 5


MAX_DEPTH = 32
MAX_SUBSTITUTIONS = 1000
"""Bounds of the expansion of one value; values that refer to each other could go on for ever."""

Observer = Callable[[frozenset[str]], None]
"""Called with the names of the options that changed, after they did."""


class Config:
    """The configuration of one daemon.

    Args:
        name: entity name, `mds.a`.
        settings: values to begin with, as from a command line; a program that embeds a daemon
            gives `mon_host`, `keyring` and what else it wants here.
        cluster, hostname, pid, home: for metavariables; the process's own when left out.

    Raises:
        OptionError: `settings` has an unknown option or a value that its option does not take.

    Attributes:
        running: True once the daemon runs; from then on options that need a restart are refused.
        conf_file: the parsed ceph.conf, None when there is none.
        warnings: what was strange while loading, for the log once it is set up.
        ignored_mon_values: what the monitors' database says but cannot be set from there.
    """

    def __init__(
        self,
        name: str = "mds.admin",
        settings: Mapping[str, Value] | None = None,
        *,
        cluster: str = "ceph",
        hostname: str | None = None,
        pid: int | None = None,
        home: str | None = None,
    ) -> None:
        given = {"hostname": hostname, "pid": pid, "home": home}
        known: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        self.identity = Identity(name, cluster, **known)
        self.running = False
        self.conf_file: ConfFile | None = None
        self.warnings: list[str] = []
        self.ignored_mon_values: dict[str, str] = {}
        self._values: dict[str, dict[Level, Value]] = {}
        self._final: dict[str, Value] = {}
        self._ints: dict[str, int] = {}
        self._bools: dict[str, bool] = {}
        self._floats: dict[str, float] = {}
        self._changed: set[str] = set()
        self._observers: dict[int, tuple[frozenset[str], Observer]] = {}
        self._next_observer = 0
        self._substitutions = 0
        if self.identity.type_name == "mds":
            self._values["keyring"] = {Level.DEFAULT: "$mds_data/keyring"}
        self._values["rbd_default_features"] = {Level.DEFAULT: "61"}
        for option, value in (settings or {}).items():
            self.set_val(option, value, Level.CMDLINE)
        self._changed.clear()

    def __repr__(self) -> str:
        return f"<Config of {self.name}, {len(self._values)} options set>"

    # -- reading --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Entity name, `mds.a`."""
        return self.identity.name

    @property
    def id(self) -> str:
        """`a` of `mds.a`."""
        return self.identity.id

    @property
    def cluster(self) -> str:
        """The cluster's name, `ceph` unless told otherwise."""
        return self.identity.cluster

    def get(self, name: str) -> Value:
        """The value in force, metavariables expanded.

        Raises:
            KeyError: no option has this name.
        """
        value = self._final.get(name)
        if value is None:
            value = self._final[name] = self._get(get_option(name), ())
        return value

    def get_bool(self, name: str) -> bool:
        """The value of a `bool` option. KeyError: unknown; TypeError: of another type."""
        known = self._bools.get(name)
        if known is not None:
            return known
        value = self.get(name)
        if not isinstance(value, bool):
            raise TypeError(f"option {name} is not a truth value")
        self._bools[name] = value
        return value

    def get_int(self, name: str) -> int:
        """The value of an `int`, `uint`, `size`, `secs` or `millisecs` option."""
        known = self._ints.get(name)
        if known is not None:
            return known
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"option {name} is not an integer")
        self._ints[name] = value
        return value

    def get_float(self, name: str) -> float:
        """The value of a `float` option, or of one that holds whole seconds."""
        known = self._floats.get(name)
        if known is not None:
            return known
        value = self.get(name)
        if isinstance(value, bool | str):
            raise TypeError(f"option {name} is not a number")
        self._floats[name] = number = float(value)
        return number

    def get_str(self, name: str) -> str:
        """The value of a `str`, `uuid`, `addr` or `addrvec` option."""
        value = self.get(name)
        if not isinstance(value, str):
            raise TypeError(f"option {name} is not text")
        return value

    def level(self, name: str) -> Level:
        """Where the value in force comes from. KeyError: no such option."""
        get_option(name)
        return max(self._values.get(name) or {Level.DEFAULT: ""})

    def levels(self, name: str) -> dict[Level, Value]:
        """The values that are set, by rising level, metavariables not expanded."""
        return dict(sorted(self._values.get(name, {}).items()))

    def expand(self, text: str) -> str:
        """`text` with metavariables expanded, as an option's value has them.

        Raises:
            ExpansionError: a ValueError; the result would be beyond all measure.
        """
        self._substitutions = 0
        return self._expand(text, ("",))

    def values(self) -> Iterator[tuple[str, dict[Level, str]]]:
        """What is set, by option, as text: what a daemon reports to the manager. No secrets."""
        for name in sorted(self._values):
            option = get_option(name)
            levels = self.levels(name)
            if levels and name not in ("fsid", "host"):
                yield name, {level: _shown(option, levels[level]) for level in levels}

    def defaults(self) -> Iterator[tuple[str, str]]:
        """The defaults of all options, as text."""
        for name in option_names():
            option = get_option(name)
            set_ = self._values.get(name, {}).get(Level.DEFAULT)
            yield name, format_value(option.value if set_ is None else set_)

    def _raw(self, option: Option) -> Value:
        levels = self._values.get(option.name)
        return levels[max(levels)] if levels else option.value

    def _get(self, option: Option, stack: tuple[str, ...]) -> Value:
        """The value in force; `stack` holds the options whose expansion asks for it."""
        value = self._raw(option)
        if option.type != "str" or not isinstance(value, str) or "$" not in value:
            return value
        if stack:
            return self._expand(value, (*stack, option.name))
        self._substitutions = 0
        try:
            return self._expand(value, (option.name,))
        except ExpansionError as e:
            self._warn(f"option {option.name} {e}; it is taken as written")
            return value

    def _expand(self, text: str, stack: tuple[str, ...]) -> str:
        if len(stack) > MAX_DEPTH:
            raise ExpansionError(f"refers to others more than {MAX_DEPTH} deep")

        def variable(name: str) -> str | None:
            self._substitutions += 1
            if self._substitutions > MAX_SUBSTITUTIONS:
                raise ExpansionError(f"takes more than {MAX_SUBSTITUTIONS} substitutions")
            if name == "host" and "host" not in stack and self._values.get("host"):
                return str(self._get(get_option("host"), stack)) or self.identity.hostname
            value = self.identity.variable(name)
            if value is not None:
                return value
            option = find_option(name)
            if option is None:
                return None
            if option.name in stack:
                self._warn(f"option {option.name} is defined by itself: {' -> '.join(stack)}")
                return f"${option.name}"
            return format_value(self._get(option, stack))

        return expand(text, variable)

    def _warn(self, text: str) -> None:
        if text not in self.warnings and len(self.warnings) < 100:
            self.warnings.append(text)

    # -- changing -------------------------------------------------------------------------------

    def set_val(self, name: str, value: Value, level: Level = Level.OVERRIDE) -> None:
        """Set an option and tell the observers. Text is parsed as in ceph.conf.

        Raises:
            OptionError: ENOENT unknown, EINVAL or ERANGE bad value, EPERM it needs a restart.
        """
        self.change(name, value, level)
        self.apply_changes()

    def change(self, name: str, value: Value, level: Level = Level.OVERRIDE) -> None:
        """As `set_val`, but the observers wait for `apply_changes`."""
        key = normalize_key_name(name)
        option = find_option(key)
        if option is None:
            raise OptionError(ENOENT, f"Configuration option not found: '{name}'")
        new = option.accept(value)
        if (
            self.running
            and not option.can_update_at_runtime
            and not self.is_tracked(key)
            and new != self._raw(option)
        ):
            raise OptionError(EPERM, f"Configuration option '{key}' may not be modified at runtime")
        levels = self._values.setdefault(key, {})
        if level in levels and levels[level] == new:
            return
        levels[level] = new
        if level == max(levels):
            self._refresh(key)

    def rm_val(self, name: str, level: Level = Level.OVERRIDE) -> None:
        """Take a value back and tell the observers; nothing happens when none is set.

        Raises:
            OptionError: EINVAL, unknown option.
        """
        self.remove(name, level)
        self.apply_changes()

    def remove(self, name: str, level: Level = Level.OVERRIDE) -> None:
        """As `rm_val`, but the observers wait for `apply_changes`."""
        if find_option(name) is None:
            raise OptionError(EINVAL)
        levels = self._values.get(name)
        if not levels or level not in levels:
            return
        matters = level == max(levels)
        del levels[level]
        if not levels:
            del self._values[name]
        if matters:
            self._refresh(name)

    def set_default(self, name: str, value: Value) -> None:
        """Another default than the table's, before the daemon runs."""
        self.set_val(name, value, Level.DEFAULT)

    def set_mon_vals(self, values: Mapping[str, str]) -> list[str]:
        """Take what the monitors' database says now; what it no longer says falls away.

        Returns:
            A sentence for each value that cannot be taken.
        """
        problems: list[str] = []
        self.ignored_mon_values = {}
        for name, text in sorted(values.items()):
            option = find_option(name)
            if option is None:
                problems.append(f"{name}: no such option in this version")
                continue
            why = "it cannot come from the monitors" if "no_mon_update" in option.flags else ""
            try:
                if not why:
                    self.change(name, text, Level.MON)
            except OptionError as e:
                why = e.text or "not a valid value"
            if why:
                self.ignored_mon_values[name] = text
                problems.append(f"{name}: {why}")
        for name in [n for n, levels in self._values.items() if Level.MON in levels]:
            if name not in values:
                self.remove(name, Level.MON)
        self.apply_changes()
        return problems

    def _refresh(self, name: str) -> None:
        for known in (self._final, self._ints, self._bools, self._floats):
            known.clear()
        self._changed.add(name)

    # -- observers ------------------------------------------------------------------------------

    def observe(self, names: Iterable[str], callback: Observer) -> Callable[[], None]:
        """Call `callback` with the names, out of `names`, that changed, each time some did.

        An option that somebody observes may be changed while the daemon runs.

        Returns:
            A function that ends the observation.
        """
        tracked = frozenset(names)
        for name in tracked:
            get_option(name)
        number = self._next_observer
        self._next_observer += 1
        self._observers[number] = (tracked, callback)

        def unsubscribe() -> None:
            self._observers.pop(number, None)

        return unsubscribe

    def is_tracked(self, name: str) -> bool:
        """Somebody observes the option."""
        return any(name in tracked for tracked, _ in self._observers.values())

    def apply_changes(self) -> str:
        """Tell the observers what changed since the last time.

        Returns:
            What Ceph says of it: `NAME = 'VALUE' ` for each, and whether anybody listens.
        """
        changed, self._changed = self._changed, set()
        text = ""
        for name in sorted(changed):
            option = get_option(name)
            if not option.is_debug:
                text += f"{name} = '{_shown(option, self.get(name))}' "
                if not self.is_tracked(name):
                    text += "(not observed, change may require restart) "
        for tracked, callback in list(self._observers.values()):
            mine = tracked & changed
            if mine:
                callback(mine)
        return text

    # -- showing --------------------------------------------------------------------------------

    def show(self) -> dict[str, str]:
        """`config show`: name, cluster, then every option's value in force as text."""
        out = {"name": self.name, "cluster": self.cluster}
        for name in option_names():
            out[name] = self.shown(name)
        return out

    def shown(self, name: str) -> str:
        """An option's value in force as text, hidden when it is a secret. KeyError: unknown."""
        return _shown(get_option(name), self.get(name))

    def diff(self) -> dict[str, dict[str, Value]]:
        """`config diff`: the options that are set somewhere, their values by level."""
        out: dict[str, dict[str, Value]] = {}
        for name in sorted(self._values):
            option, levels = get_option(name), self.levels(name)
            if not levels:
                continue
            row: dict[str, Value] = {}
            if Level.DEFAULT not in levels:
                row["default"] = option.dump_value(option.value)
            for level, value in levels.items():
                row[level.name.lower()] = _dumped(option, value)
            row["final"] = _dumped(option, self.get(name))
            out[name] = row
        return out

    def help(self, name: str | None = None) -> dict[str, Any] | list[dict[str, Any]]:
        """`config help`: one option, or all of the table.

        Raises:
            OptionError: ENOENT, unknown option.
        """
        if name is None:
            return [option.dump(description(option.name)) for option in table()]
        key = normalize_key_name(name)
        option = find_option(key)
        if option is None:
            raise OptionError(ENOENT, f"Setting not found: '{key}'")
        return option.dump(description(key))


def _shown(option: Option, value: Value) -> str:
    text = format_value(value)
    return HIDDEN if option.is_secret and value != option.value else text


def _dumped(option: Option, value: Value) -> Value:
    return HIDDEN if option.is_secret and value != option.value else option.dump_value(value)
