"""Commands of the monitor: descriptions, arguments, results, and the table that finds them.

A service's handler is a method under `@command` with Ceph's own description:

    @command("osd pool rm name=pool,type=CephPoolname …", module="osd", perm="rw", about="…")
    def osd_pool_rm(self, ctx: CommandContext, args: Args) -> CommandResult:

The `ceph` tool completes, validates and encodes what a user types by `get_command_descriptions`, so
words, argument names, types, flags and permissions are Ceph's; the help texts are ours.

Format: ceph/ceph, src/mon/MonCommand.h, MonCommands.h, src/common/cmdparse.cc (Pacific), checked
against a live 16.2.15
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mdsdaemon.messages import cmdparse
from mdsdaemon.messages.cmdparse import CmdVal, CommandError, Signature, parse_signature
from mdsdaemon.messages.formatter import dump
from mdsdaemon.records import evolve, field, frozen

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.session import MonSession

__all__ = [
    "FLAG_DEPRECATED",
    "FLAG_HIDDEN",
    "FLAG_MGR",
    "FLAG_NOFORWARD",
    "FLAG_OBSOLETE",
    "FLAG_POLL",
    "FLAG_TELL",
    "Args",
    "Command",
    "CommandContext",
    "CommandError",
    "CommandResult",
    "CommandTable",
    "command",
    "describe",
    "fail",
]

FLAG_NOFORWARD: Final = 1
FLAG_OBSOLETE: Final = 2
FLAG_DEPRECATED: Final = 4
FLAG_MGR: Final = 8
FLAG_POLL: Final = 16
FLAG_HIDDEN: Final = 32
FLAG_TELL: Final = FLAG_NOFORWARD | FLAG_HIDDEN

_FORMATS: Final = frozenset({"json", "json-pretty", "xml", "xml-pretty", "cbor"})
# What the tool sends for these differs between its versions: text or a number.
_LOOSE_TYPES: Final = frozenset({"CephOsdName", "CephPgid"})


@frozen
class CommandResult:
    """A command's answer: 0 or -errno, the text for stderr, and the output as bytes."""

    r: int = 0
    outs: str = ""
    outb: bytes = field(default=b"", repr=False)


def fail(number: int, text: str) -> CommandError:
    """The exception to raise for a refusal: `number` is a positive errno."""
    return CommandError(number, text)


class Args:
    """The arguments of a command, by name.

    The getters return None (or the empty value) for what is absent and raise CommandError
    (EINVAL) for a value of another type.
    """

    __slots__ = ("cmdmap",)

    def __init__(self, cmdmap: Mapping[str, CmdVal]) -> None:
        self.cmdmap = cmdmap

    def __contains__(self, name: str) -> bool:
        return name in self.cmdmap

    def __repr__(self) -> str:
        return f"<Args {sorted(self.cmdmap)}>"

    def get(self, name: str) -> CmdVal | None:
        """The value as it came."""
        return self.cmdmap.get(name)

    def get_str(self, name: str) -> str | None:
        """Text; numbers are taken too, as text."""
        value = self.cmdmap.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value}"
        return _get(cmdparse.get_str, self.cmdmap, name)

    def need_str(self, name: str) -> str:
        """Text that must be there."""
        value = self.get_str(name)
        if value is None:
            raise CommandError(errno.EINVAL, f"missing required parameter: '{name}'")
        return value

    def get_int(self, name: str) -> int | None:
        """A whole number, also as text."""
        return _get(cmdparse.get_int, self.cmdmap, name)

    def get_float(self, name: str) -> float | None:
        """A number, also as text."""
        value = self.cmdmap.get(name)
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                raise CommandError(errno.EINVAL, f"bad or missing field '{name}'") from None
        return _get(cmdparse.get_float, self.cmdmap, name)

    def get_bool(self, name: str) -> bool:
        """A truth value, False when absent; older tools send `--the-name`."""
        return bool(_get(cmdparse.get_bool, self.cmdmap, name))

    def get_strs(self, name: str) -> list[str]:
        """A list of texts (`n=N`), empty when absent."""
        value = self.cmdmap.get(name)
        if isinstance(value, list):
            return [f"{item}" for item in value]
        return _get(cmdparse.get_strings, self.cmdmap, name) or []


T = TypeVar("T")


def _get(getter: Callable[[Mapping[str, CmdVal], str], T], m: Mapping[str, CmdVal], name: str) -> T:
    try:
        return getter(m, name)
    except cmdparse.BadCmdGet as error:
        raise CommandError(errno.EINVAL, f"{error}") from None


@frozen
class CommandContext:
    """What a handler knows beside the arguments.

    Attributes:
        session: who asks; None for the program itself.
        inbuf: the command's input (`-i FILE`).
        format: as asked for, "plain" when nothing was.
        now: seconds since the epoch.
    """

    session: MonSession | None
    prefix: str
    inbuf: bytes = field(default=b"", repr=False)
    format: str = "plain"
    now: float = 0.0

    @property
    def structured(self) -> bool:
        """JSON, XML or CBOR was asked for."""
        return self.format in _FORMATS

    def reply(
        self, data: Any, text: str | None = None, *, section: str = "", outs: str = ""
    ) -> CommandResult:
        """`data` in the format asked for; else `text`, or pretty JSON where there is no text."""
        if not self.structured and text is not None:
            return CommandResult(0, outs, text.encode(errors="surrogateescape"))
        fmt = self.format if self.structured else "json-pretty"
        name = section or self.prefix.replace(" ", "_")
        return CommandResult(0, outs, dump(name, data, fmt))


Handler = Callable[[Any, CommandContext, Args], CommandResult]


@frozen
class Command:
    """One command: description, what it takes to call it, and the bound handler.

    Attributes:
        module: the service name that caps speak of ("mon", "osd", "mds", "fs", "config-key", …).
        perm: letters of r, w, x.
        flags: FLAG_*.
        checked: arguments are held to the description before the handler is called; else the
            handler says itself, in Ceph's words, what it misses.
    """

    desc: str
    module: str
    perm: str
    help: str = ""
    flags: int = 0
    checked: bool = True
    handler: Callable[[CommandContext, Args], CommandResult] | None = field(
        default=None, repr=False, eq=False
    )

    @property
    def signature(self) -> Signature:
        return parse_signature(self.desc)

    @property
    def prefix(self) -> str:
        return self.signature.prefix

    def requires_perm(self, letter: str) -> bool:
        return letter in self.perm

    def validate(self, args: Args) -> None:
        """Raises CommandError (EINVAL): an argument is missing or of another kind."""
        if not self.checked:
            return
        strict = self.signature
        # Ceph's own table has req=False too, which only its client understands.
        needed = [arg for arg in strict.args if (arg.get("req") or "").lower() != "false"]
        loose = tuple(
            arg
            for arg in strict.args
            if arg.type not in _LOOSE_TYPES and (arg in needed or arg.name in args)
        )
        for arg in needed:
            if arg.type in _LOOSE_TYPES and arg.name not in args:
                raise CommandError(errno.EINVAL, f"missing required parameter: '{arg.name}'")
        fixed = {
            arg.name: args.get_float(arg.name) if arg.type == "CephFloat" else args.get(arg.name)
            for arg in loose
            if args.get(arg.name) is not None and not arg.is_vector
        }
        known = {name: value for name, value in fixed.items() if value is not None}
        for arg in loose:
            if arg.is_vector and arg.name in args and arg.type not in ("CephInt", "CephFloat"):
                known[arg.name] = args.get_strs(arg.name)
        evolve(strict, args=loose).validate(known)


F = TypeVar("F", bound=Handler)


def command(
    desc: str, *, module: str, perm: str, about: str = "", flags: int = 0, checked: bool = True
) -> Callable[[F], F]:
    """Make a method the handler of a command; several may stand over one method."""

    def mark(handler: F) -> F:
        marks: list[Command] = handler.__dict__.setdefault("monitor_commands", [])
        marks.append(Command(desc, module, perm, about, flags, checked))
        return handler

    return mark


def describe(commands: Iterable[Command]) -> bytes:
    """The JSON of `get_command_descriptions`."""
    out: dict[str, Any] = {}
    for number, item in enumerate(commands):
        out[f"cmd{number:03}"] = {
            "sig": item.signature.sig(),
            "help": item.help,
            "module": item.module,
            "perm": item.perm,
            "flags": item.flags,
        }
    return json.dumps(out, separators=(",", ":")).encode()


class CommandTable:
    """Commands by prefix, in the order of their registration."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, Command] = {}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._by_prefix.values())

    def __len__(self) -> int:
        return len(self._by_prefix)

    def find(self, prefix: str) -> Command | None:
        return self._by_prefix.get(prefix)

    def add(self, room: object) -> None:
        """Register every `@command` method of `room`. ValueError: a prefix is taken."""
        for name in dir(type(room)):
            method = getattr(type(room), name, None)
            marks: list[Command] = getattr(method, "__dict__", {}).get("monitor_commands", [])
            for mark in reversed(marks):
                if mark.prefix in self._by_prefix:
                    raise ValueError(f"the command {mark.prefix!r} is registered twice")
                self._by_prefix[mark.prefix] = evolve(mark, handler=getattr(room, name))
