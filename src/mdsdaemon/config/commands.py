"""The `config …` and `injectargs` commands: results and texts as ceph-mds gives them.

Behaviour: ceph/ceph, src/common/ceph_context.cc, _do_command (Pacific), checked against 16.2.15.
Unlike there, `config diff get` gives the one option that was asked for, and values of secret
options are not shown.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from mdsdaemon.config import arguments
from mdsdaemon.config.conf_file import normalize_key_name
from mdsdaemon.config.config import Config, Level
from mdsdaemon.config.options import find_option
from mdsdaemon.errors import OptionError
from mdsdaemon.redaction import HIDDEN


class Answer(NamedTuple):
    """Result code (0 or a negative errno), status text, and what goes under the section."""

    r: int
    text: str
    data: dict[str, Any]


def _strerror(errno: int) -> str:
    return f"({errno}) {os.strerror(errno)}"


def config_show(config: Config) -> Answer:
    """`config show`: every option and its value in force."""
    return Answer(0, "", dict(config.show()))


def config_get(config: Config, var: str) -> Answer:
    """`config get VAR`: ENOENT for an unknown option."""
    option = find_option(normalize_key_name(var))
    if option is None:
        return Answer(-2, f"error getting '{var}': {_strerror(2)}", {})
    return Answer(0, "", {var: config.shown(option.name)})


def config_set(config: Config, var: str, val: Sequence[str]) -> Answer:
    """`config set VAR VAL…`: several words become one value."""
    value = " ".join(val)
    try:
        config.change(var, value, Level.OVERRIDE)
    except OptionError as e:
        option = find_option(normalize_key_name(var))
        shown = HIDDEN if option is not None and option.is_secret else value
        return Answer(-e.errno, f"error setting '{var}' to '{shown}': {_strerror(e.errno)}", {})
    return Answer(0, "", {"success": config.apply_changes()})


def config_unset(config: Config, var: str) -> Answer:
    """`config unset VAR`: EINVAL for an unknown option; nothing happens when it is not set."""
    try:
        config.remove(var, Level.OVERRIDE)
    except OptionError as e:
        return Answer(-e.errno, f"error unsetting '{var}': {_strerror(e.errno)}", {})
    return Answer(0, config.apply_changes(), {})


def config_help(config: Config, var: str | None) -> Answer:
    """`config help [VAR]`: type, bounds and default."""
    try:
        found = config.help(var)
    except OptionError as e:
        return Answer(-e.errno, e.text, {})
    return Answer(0, "", {"options" if isinstance(found, list) else "option": found})


def config_diff(config: Config, var: str | None = None) -> Answer:
    """`config diff [get VAR]`: where values come from that are not the default."""
    diff = config.diff()
    if var is not None:
        name = normalize_key_name(var)
        diff = {name: diff[name]} if name in diff else {}
    return Answer(0, "", {"diff": diff})


def injectargs(config: Config, args: Sequence[str]) -> Answer:
    """`injectargs ARGS…`."""
    if not args:
        return Answer(0, "", {})
    r, text = arguments.injectargs(config, " ".join(args))
    return Answer(r, text, {})
