"""Command descriptions and arguments, as every Ceph daemon understands them.

A description is a line such as ``config set name=var,type=CephString
name=val,type=CephString,n=N``: literal words, then one descriptor per argument. Clients send a
command as a JSON object ``{"prefix": "config set", "var": …, "val": […]}``.

Format: ceph/ceph, src/common/cmdparse.cc (Pacific 16.2.15, checked against a live daemon).
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from mdsdaemon import records

CmdVal = str | bool | int | float | list[str] | list[int] | list[float]
CmdMap = dict[str, CmdVal]

_MAX_JSON_DEPTH = 4
_INTEGER = re.compile(r"\s*[+-]?\d+")


class CommandError(Exception):
    """A command that cannot be run as asked: `errno` (positive) and a text for the caller."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno
        self.text = text


class BadCmdGet(ValueError):
    """An argument is there, but has another type than the command wants."""

    def __init__(self, name: str) -> None:
        super().__init__(f"bad or missing field '{name}'")


@records.frozen
class ArgDesc:
    """One argument of a command: what its ``key=value`` pairs say, in Ceph's words."""

    name: str
    type: str
    pairs: tuple[tuple[str, str], ...]

    def get(self, key: str) -> str | None:
        for k, v in self.pairs:
            if k == key:
                return v
        return None

    @property
    def required(self) -> bool:
        return self.get("req") != "false"

    @property
    def is_vector(self) -> bool:
        return self.get("n") is not None


@records.frozen
class Signature:
    """A parsed description: `prefix` and the arguments in their order."""

    text: str
    prefix: str
    args: tuple[ArgDesc, ...]

    def sig(self) -> list[Any]:
        """The ``sig`` list of `get_command_descriptions`: words, then one object per argument."""
        return [*self.prefix.split(" "), *(dict(sorted(a.pairs)) for a in self.args)]

    def validate(self, cmdmap: Mapping[str, CmdVal]) -> None:
        """Raise `CommandError` (EINVAL) when an argument is missing or does not fit.

        Arguments that the description does not name are not looked at, as in Ceph.
        """
        for arg in self.args:
            _validate_arg(arg, cmdmap)


@lru_cache(maxsize=512)
def parse_signature(text: str) -> Signature:
    """Take a description apart. Raises ValueError for one without name= or type=."""
    words: list[str] = []
    args: list[ArgDesc] = []
    for word in text.split():
        if "," not in word and "=" not in word:
            if not args:
                words.append(word)
            continue
        pairs: dict[str, str] = {}
        for piece in word.split(","):
            key, equal, value = piece.partition("=")
            if equal:
                pairs[key] = value
        if "name" not in pairs or "type" not in pairs:
            raise ValueError(f"command description {text!r}: {word!r} needs name= and type=")
        args.append(ArgDesc(pairs["name"], pairs["type"], tuple(pairs.items())))
    return Signature(text, " ".join(words), tuple(args))


def cmdmap_from_json(cmd: Sequence[str]) -> CmdMap:
    """The command map of a tell or admin socket request: all parts joined are one JSON object.

    Values may be strings, booleans, numbers and lists of one kind of string or number.
    Raises `CommandError` (EINVAL) with the parser's reason.
    """
    text = "".join(cmd)
    try:
        loaded = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise CommandError(22, f"unparseable JSON {text}") from None
    if not isinstance(loaded, dict):
        raise CommandError(22, f"not JSON object {text}")
    cmdmap: CmdMap = {}
    for key, value in loaded.items():
        if isinstance(value, list):
            cmdmap[key] = _list_of_one_kind(value)
        elif isinstance(value, str | bool | int | float):
            cmdmap[key] = value
        else:
            raise CommandError(22, f"JSON array/object not allowed {text}")
    return cmdmap


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _list_of_one_kind(values: list[Any]) -> list[str] | list[int] | list[float]:
    if all(isinstance(v, str) for v in values):
        return values
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise CommandError(22, "Can't handle arrays of types other than int, string, or double")
    if all(isinstance(v, int) for v in values) or all(isinstance(v, float) for v in values):
        return values
    raise CommandError(22, "Can't handle arrays of multiple types")


def get_str(cmdmap: Mapping[str, CmdVal], name: str) -> str | None:
    """The argument as a string; None when absent; `BadCmdGet` when it is something else."""
    value = cmdmap.get(name)
    if value is None or isinstance(value, str):
        return value
    raise BadCmdGet(name)


def get_int(cmdmap: Mapping[str, CmdVal], name: str) -> int | None:
    """The argument as an integer. A string of digits is taken too (clients of all ages differ)."""
    value = cmdmap.get(name)
    if isinstance(value, str):
        if _INTEGER.fullmatch(value) is None:
            raise BadCmdGet(name)
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        if value is not None and not -(1 << 63) <= value < 1 << 63:
            raise BadCmdGet(name)
        return value
    raise BadCmdGet(name)


def get_float(cmdmap: Mapping[str, CmdVal], name: str) -> float | None:
    """The argument as a number of floating point."""
    value = cmdmap.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise BadCmdGet(name)


def get_bool(cmdmap: Mapping[str, CmdVal], name: str) -> bool | None:
    """The argument as a boolean.

    Besides JSON's true and false this takes what clients older than CephBool send
    (``--the-name``) and the words that Pacific's validation lets through.
    """
    value = cmdmap.get(name)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in ("true", "True", "1", "--" + name.replace("_", "-")):
            return True
        if value in ("false", "False", "0"):
            return False
    raise BadCmdGet(name)


def get_strings(cmdmap: Mapping[str, CmdVal], name: str) -> list[str] | None:
    """The argument as a list of strings (``n=N`` in its description)."""
    value = cmdmap.get(name)
    if value is None:
        return None
    if isinstance(value, list):
        strings = [v for v in value if isinstance(v, str)]
        if len(strings) == len(value):
            return strings
    raise BadCmdGet(name)


def _invalid(text: str) -> CommandError:
    return CommandError(22, text)


def _validate_arg(arg: ArgDesc, cmdmap: Mapping[str, CmdVal]) -> None:
    value = cmdmap.get(arg.name)
    if value is None:
        # A list that is absent counts as an empty one, whether required or not.
        if arg.required and not arg.is_vector:
            raise _invalid(f"missing required parameter: '{arg.name}'")
        return
    values: Iterable[CmdVal]
    try:
        if arg.is_vector:
            if not isinstance(value, list):
                raise BadCmdGet(arg.name)
            values = value
        else:
            values = [value]
        getter = _GETTERS.get(arg.type, get_str)
        for item in values:
            got = getter({arg.name: item}, arg.name)
            if isinstance(got, int | float) and not isinstance(got, bool):
                _check_range(arg, got)
            elif isinstance(got, str) and arg.type == "CephChoices":
                _check_choice(arg, got)
    except BadCmdGet as e:
        raise _invalid(str(e)) from None


_GETTERS: dict[str, Callable[[Mapping[str, CmdVal], str], CmdVal | None]] = {
    "CephInt": get_int,
    "CephFloat": get_float,
    "CephBool": get_bool,
}


def _check_range(arg: ArgDesc, value: float) -> None:
    limits = arg.get("range")
    if limits is None:
        return
    low, _, high = limits.partition("|")
    if value < float(low) or (high and value > float(high)):
        raise _invalid(f"'{value}' out of range: [{limits.replace('|', ',')}]")


def _check_choice(arg: ArgDesc, value: str) -> None:
    choices = arg.get("strings") or ""
    if value not in choices.split("|"):
        raise _invalid(f"'{value}' not belong to '{choices}'")
