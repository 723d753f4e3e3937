"""Options on a command line, in CEPH_ARGS and in injectargs: `--opt-name VALUE`, `--opt_name=V`.

Dashes and underscores in a name are one. Truth values are flags: `--opt`, `--no-opt`, `--opt 0`,
`--opt=false`. `--default-opt VALUE` changes the default instead of the value.

Behaviour: ceph/ceph, src/common/ceph_argparse.cc, src/common/config.cc (Pacific), checked against
16.2.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EINVAL

from mdsdaemon import records
from mdsdaemon.config.config import Config, Level
from mdsdaemon.config.options import Option, find_option
from mdsdaemon.errors import OptionError
from mdsdaemon.redaction import HIDDEN

_BOOL = {"true": "true", "1": "true", "false": "false", "0": "false"}


@records.frozen
class Setting:
    """One option found among arguments.

    Attributes:
        value: as given, "" for a flag.
        error: why it was not set, None when it was.
        note: what Ceph says before the error.
    """

    option: Option
    value: str = records.field(repr=False)
    error: OptionError | None = None
    note: str = ""

    @property
    def shown(self) -> str:
        """The value for messages, hidden when it is a secret."""
        return HIDDEN if self.value and self.option.is_secret else self.value


def split_name(arg: str) -> tuple[str, str | None]:
    """`--mon-host=x` → (`--mon_host`, `x`); None when the argument has no `=`."""
    head, equals, value = arg.partition("=")
    return head[:2] + head[2:].replace("-", "_"), value if equals else None


def take_option(config: Config, args: list[str], i: int, level: Level) -> Setting | None:
    """Set the option at `args[i]` and take it (and its value) out of `args`.

    Returns:
        None, with `args` as they were, when there is no option at `args[i]`.
    """
    arg = args[i]
    head, value = split_name(arg)
    if not head.startswith("--"):
        return None
    name = head[2:]
    option = find_option(name)
    if option is None and name.startswith("default_"):
        option, level = find_option(name[8:]), Level.DEFAULT
        if option is not None:
            return _take_value(config, args, i, option, value, level)
    if option is not None:
        if option.type == "bool":
            return _take_flag(config, args, i, option, value, level)
        return _take_value(config, args, i, option, value, level)
    if name.startswith("no_") and value is None:
        option = find_option(name[3:])
        if option is not None and option.type == "bool":
            del args[i]
            return _set(config, option, "false", level)
    return None


def _take_flag(
    config: Config, args: list[str], i: int, option: Option, value: str | None, level: Level
) -> Setting:
    del args[i]
    if value is None:
        given = "true"
        if i < len(args) and args[i] in _BOOL:
            given = _BOOL[args.pop(i)]
        return _set(config, option, given, level)
    if value in _BOOL:
        return _set(config, option, _BOOL[value], level)
    note = (
        f"Parse error parsing binary flag  --{option.name}. "
        f"Expected true or false, but got '{value}'\n"
    )
    return Setting(option, "", OptionError(EINVAL), note)


def _take_value(
    config: Config, args: list[str], i: int, option: Option, value: str | None, level: Level
) -> Setting:
    arg = args.pop(i)
    if value is None:
        if i == len(args):
            error = OptionError(EINVAL, f"Option {arg} requires an argument.\n")
            return Setting(option, "", error)
        value = args.pop(i)
    return _set(config, option, value, level)


def _set(config: Config, option: Option, value: str, level: Level) -> Setting:
    try:
        config.change(option.name, value, level)
    except OptionError as error:
        return Setting(option, value, error)
    return Setting(option, value)


def injectargs(config: Config, text: str) -> tuple[int, str]:
    """Set options of a running daemon from `--opt value --opt2=value`, split at blanks.

    Returns:
        0 or a negative errno, and Ceph's text: the errors, then what changed.
    """
    args = [arg for arg in text.split(" ") if arg]
    out, r, i = "", 0, 0
    while i < len(args):
        setting = take_option(config, args, i, Level.OVERRIDE)
        if setting is None:
            i += 1
        elif setting.error is not None:
            why = f" ({setting.error.text})" if setting.error.text else ""
            out += (
                f"{setting.note}Parse error setting {setting.option.name} "
                f"to '{setting.shown}' using injectargs{why}.\n"
            )
            r = -setting.error.errno
    if args:
        out += f" failed to parse arguments: {','.join(args)}\n"
        r = -EINVAL
    return r, out + config.apply_changes()


def split_dashdash(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """What comes before `--`, and what after it."""
    before = list(args)
    if "--" not in before:
        return before, []
    i = before.index("--")
    return before[:i], before[i + 1 :]


def with_env_args(args: Sequence[str], ceph_args: str) -> list[str]:
    """`args` with those of CEPH_ARGS, split at blanks, before them."""
    env_options, env_rest = split_dashdash(ceph_args.split())
    options, rest = split_dashdash(args)
    tail = ["--", *env_rest, *rest] if env_rest or rest else []
    return [*env_options, *options, *tail]
