"""From arguments, environment and ceph.conf to a `Config`, in Ceph's order.

Where the same option is given more than once the levels of `Config` decide, not the order here.

Behaviour: ceph/ceph, src/global/global_init.cc, src/common/config.cc (Pacific), checked against
16.2.15. Unlike there, a value that does not fit ends the program when it stands on the command
line, or in ceph.conf for an option that this daemon reads; Ceph goes on with the default.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence

from mdsdaemon import records
from mdsdaemon.config.arguments import Setting, split_name, take_option, with_env_args
from mdsdaemon.config.conf_file import MAX_FILE, ConfFile, normalize_key_name, parse_conf
from mdsdaemon.config.config import Config, Level
from mdsdaemon.config.descriptions import description
from mdsdaemon.config.metavars import Identity, expand
from mdsdaemon.config.options import find_option, get_option
from mdsdaemon.errors import ConfigError, OptionError, UsageError

DEFAULT_SEARCH = "/etc/ceph/$cluster.conf,$home/.ceph/$cluster.conf,$cluster.conf"
DEFAULT_ID = "admin"
ENTITY_TYPES = ("auth", "mon", "osd", "mds", "mgr", "client")
MAX_KEY_FILE = 1024

_NAMED = {
    "--monmap": "monmap", "-M": "monmap",
    "--mon_host": "mon_host", "-m": "mon_host",
    "--bind": "public_addr",
    "--keyring": "keyring", "-k": "keyring",
    "--client_mountpoint": "client_mountpoint", "-r": "client_mountpoint",
}  # fmt: skip
_FOREGROUND = {"daemonize": "false"}
_DEBUG = {
    "fuse_debug": "true",
    "daemonize": "false",
    "log_file": "",
    "log_to_stderr": "true",
    "err_to_stderr": "true",
    "log_to_syslog": "false",
}


@records.define
class Early:
    """What has to be known before ceph.conf is read."""

    name: str = f"mds.{DEFAULT_ID}"
    named: bool = False
    cluster: str = ""
    conf: str | None = None
    no_config_file: bool = False
    show_args: list[str] | None = None


@records.define
class Loaded:
    """A configuration and what the arguments ask for besides.

    Attributes:
        rest: arguments that nobody understood; those after `--` are not among them.
        show: `--show-conf`, `--show-config` or `--show-config-value` as "conf", "config", or the
            option's name after "value:"; None.
    """

    config: Config
    early: Early
    rest: list[str]
    show: str | None = None


def load_config(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Config:
    """The configuration that a daemon started with `argv` (without the program's name) has.

    Raises:
        UsageError: an argument is not understood, or its value does not fit.
        ConfigError: ceph.conf is missing, unreadable or malformed.
    """
    loaded = load(argv, environ)
    if loaded.rest:
        raise UsageError(f"can't understand argument: {loaded.rest[0]}")
    return loaded.config


def load(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Loaded:
    """As `load_config`, and what else the arguments say. Same errors."""
    env = os.environ if environ is None else environ
    args = with_env_args(argv, env.get("CEPH_ARGS", ""))
    early = take_early(args)
    config = read_files(early, env)
    config.change("no_config_file", early.no_config_file, Level.OVERRIDE)
    _apply_environment(config, env)
    loaded = Loaded(config, early, [])
    _take_all(loaded, args, Level.CMDLINE)
    return loaded


def take_early(args: list[str]) -> Early:
    """Take name, cluster and configuration file out of `args`.

    Raises:
        UsageError: a value is missing, or the name is none.
    """
    early = Early()
    original = list(args)
    i = 0
    while i < len(args) and args[i] != "--":
        head, value = split_name(args[i])
        match head:
            case "--no_config_file":
                early.no_config_file = True
                del args[i]
            case "--show_args":
                early.show_args = original
                del args[i]
            case "-c" | "--conf":
                early.conf = _value(args, i, value)
            case "--cluster":
                early.cluster = _value(args, i, value)
            case "-i" | "--id" | "--user":
                early.name = early.name.partition(".")[0] + "." + _value(args, i, value)
                early.named = True
            case "-n" | "--name":
                early.name = _value(args, i, value)
                early.named = True
                kind, dot, _ = early.name.partition(".")
                if not dot or kind not in ENTITY_TYPES:
                    raise UsageError(
                        f"error parsing '{early.name}': expected string of the form TYPE.ID, "
                        f"valid types are: {', '.join(ENTITY_TYPES)}"
                    )
            case _:
                i += 1
    return early


def _value(args: list[str], i: int, value: str | None) -> str:
    """Take the argument at `i` and its value out of `args`."""
    arg = args.pop(i)
    if value is not None:
        return value
    if i == len(args):
        raise UsageError(f"option {arg} requires an argument")
    return args.pop(i)


# -- files --------------------------------------------------------------------------------------


def read_files(early: Early, env: Mapping[str, str]) -> Config:
    """A configuration with what ceph.conf says.

    Raises:
        ConfigError: the file that was named cannot be opened, or a file is malformed.
    """
    cluster = early.cluster
    if early.conf is None and not cluster:
        cluster = "ceph"
    search = early.conf or env.get("CEPH_CONF")
    given = bool(search)
    if not search:
        search = "" if early.no_config_file else DEFAULT_SEARCH
    identity = Identity(early.name, cluster, home=env.get("HOME", ""))
    path, data = _first_readable(search, identity, given=given)
    if path is not None and not cluster:
        cluster = os.path.basename(path)[:-5] if path.endswith(".conf") else "ceph"
    config = Config(early.name, cluster=cluster, home=env.get("HOME", ""))
    if path is not None:
        apply_conf_file(config, parse_conf(data, path))
    elif search:
        config.warnings.append("did not load config file, using default settings.")
    return config


def _first_readable(search: str, identity: Identity, *, given: bool) -> tuple[str | None, bytes]:
    problems: list[tuple[str, str]] = []
    for item in re.split(r"[;,]", search):
        if not item.strip() or "$data_dir" in item:
            continue
        path = expand(item.strip(), identity.variable)
        try:
            with open(path, "rb") as file:
                return path, file.read(MAX_FILE + 1)
        except FileNotFoundError:
            if given:
                problems.append((path, "No such file or directory"))
        except OSError as e:
            problems.append((path, e.strerror or str(e)))
    if problems:
        path, why = problems[0]
        more = f" (and {len(problems) - 1} more of the list)" if len(problems) > 1 else ""
        raise ConfigError(
            path,
            0,
            f"cannot open this configuration file{more}: {why}",
            "name a readable ceph.conf with -c or CEPH_CONF",
        )
    return None, b""


def apply_conf_file(config: Config, conf: ConfFile) -> None:
    """Set what `conf` says for the daemon at level FILE.

    Raises:
        ConfigError: the value of an option that this daemon reads does not fit. Those of others
            become warnings.
    """
    config.conf_file = conf
    sections = (config.name, config.identity.type_name, "global")
    for key, entry in conf.entries(sections).items():
        option = find_option(key)
        place = f"{conf.path} line {entry.line}"
        if option is None:
            meant = key.replace("-", "_").lower()
            if find_option(meant) is not None:
                config.warnings.append(
                    f"{place}: '{key}' is no option and is ignored; did you mean {meant}?"
                )
            continue
        try:
            config.change(key, entry.value, Level.FILE)
        except OptionError as e:
            setting = Setting(option, entry.value, e)
            if description(key):
                raise ConfigError(conf.path, entry.line, _unfit_text(setting)) from None
            config.warnings.append(f"{place}: {_unfit_text(setting)}; it is ignored")
    old = conf.old_style_sections()
    if old:
        config.warnings.append(
            f"{conf.path}: old-style section name(s) found: {', '.join(old)}. Please use the new "
            "style section names that include a period."
        )


# -- environment and arguments ------------------------------------------------------------------


def _apply_environment(config: Config, env: Mapping[str, str]) -> None:
    if "CEPH_KEYRING" in env:
        config.change("keyring", env["CEPH_KEYRING"], Level.ENV)
    if "CEPH_LIB" in env:
        for name in ("erasure_code_dir", "plugin_dir", "osd_class_dir"):
            config.change(name, env["CEPH_LIB"], Level.ENV)
    if "CEPH_ARGS" in env:
        args = env["CEPH_ARGS"].split()
        take_early(args)
        _take_all(Loaded(config, Early(), []), args, Level.ENV)


def _take_all(loaded: Loaded, args: list[str], level: Level) -> None:
    """Set every option of `args`; what is left over goes to `loaded.rest`."""
    config = loaded.config
    i = 0
    while i < len(args) and args[i] != "--":
        head, value = split_name(args[i])
        match head:
            case "--show_conf":
                loaded.show = "conf"
                del args[i]
            case "--show_config":
                loaded.show = loaded.show or "config"
                del args[i]
            case "--show_config_value":
                loaded.show = f"value:{normalize_key_name(_value(args, i, value))}"
            case "--no_mon_config" | "--mon_config":
                # The monitors' configuration comes with the session; there is nothing to skip.
                del args[i]
            case "-f" | "--foreground":
                del args[i]
                _override(config, _FOREGROUND)
            case "-d":
                del args[i]
                _override(config, _DEBUG)
            case "-K" | "--keyfile":
                path = _value(args, i, value)
                if level is not Level.ENV:  # CEPH_ARGS comes again as part of the command line
                    _override(config, {"key": _read_key_file(path)})
            case _ if head in _NAMED:
                name, text = _NAMED[head], _value(args, i, value)
                try:
                    config.change(name, text, Level.OVERRIDE)
                except OptionError as e:
                    raise _unfit(Setting(get_option(name), text, e)) from None
            case _:
                setting = take_option(config, args, i, level)
                if setting is None:
                    loaded.rest.append(args[i])
                    i += 1
                elif setting.error is not None:
                    raise _unfit(setting)
    config.apply_changes()


def _override(config: Config, values: Mapping[str, str]) -> None:
    for name, text in values.items():
        config.change(name, text, Level.OVERRIDE)


def _unfit(setting: Setting) -> UsageError:
    return UsageError(_unfit_text(setting), f"give a value of type {setting.option.type}")


def _unfit_text(setting: Setting) -> str:
    why = " ".join((setting.note or (setting.error.text if setting.error else "")).split())
    if setting.option.is_secret and setting.value:
        why = ""
    text = f"parse error setting '{setting.option.name}' to '{setting.shown}'"
    return f"{text} ({why})" if why else f"{text} (not of type {setting.option.type})"


def _read_key_file(path: str) -> str:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_KEY_FILE)
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_KEY_FILE + 1)
    except OSError as e:
        raise ConfigError(
            path, 0, f"cannot read this key file: {e.strerror or e}", "name a readable file with -K"
        ) from None
    if len(data) > MAX_KEY_FILE:
        raise ConfigError(path, 0, "too long for a key file", "it must hold the bare key")
    return data.decode("utf-8", "replace").strip()
