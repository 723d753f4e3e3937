"""Finding and running a command: what `ceph tell` and the admin socket have in common.

A daemon has one `CommandExecutor`; groups of commands come and go with the part that serves them
(the daemon's own when `init` is through, for instance), the generic ones are always there.

Behaviour: ceph/ceph, src/common/admin_socket.cc (Pacific)
"""

import errno
from collections.abc import Awaitable, Callable, Iterator, Sequence
from inspect import isawaitable
from typing import Any

from mdsdaemon.daemon.commands.table import Command, CommandTable
from mdsdaemon.messages.cmdparse import (
    BadCmdGet,
    CmdMap,
    CommandError,
    cmdmap_from_json,
    get_str,
)
from mdsdaemon.messages.formatter import Reply, Result, render

Handler = Callable[[str, CmdMap, bytes], Reply | Awaitable[Reply]]
"""(prefix, arguments, input data) -> the reply, at once or awaited."""


class CommandExecutor:
    """The registered commands of one daemon."""

    __slots__ = ("_groups", "on_command")

    def __init__(self) -> None:
        self._groups: dict[str, tuple[CommandTable, Handler]] = {}
        self.on_command: Callable[[str, CmdMap], None] | None = None
        """Told of each command before it runs (for the log and the flight record)."""

    def register_commands(self, table: CommandTable, handler: Handler) -> None:
        """Add a group. Raises ValueError when it is registered already."""
        if table.name in self._groups:
            raise ValueError(f"commands of {table.name!r} are registered already")
        self._groups[table.name] = (table, handler)

    def unregister_commands(self, table: CommandTable) -> None:
        """Take a group away; its commands are unknown from now on."""
        self._groups.pop(table.name, None)

    def commands(self) -> Iterator[Command]:
        """All commands, sorted by prefix."""
        everything = [command for table, _ in self._groups.values() for command in table]
        return iter(sorted(everything, key=lambda c: c.prefix))

    def help(self) -> dict[str, str]:
        """Prefix → help text, without the commands that have none."""
        return {c.prefix: c.help for c in self.commands() if c.help}

    def descriptions(self) -> dict[str, dict[str, Any]]:
        """The answer to `get_command_descriptions`."""
        return {
            f"cmd{number:03d}": {"sig": command.signature.sig(), "help": command.help}
            for number, command in enumerate(self.commands())
        }

    def find(self, prefix: str, cmdmap: CmdMap) -> Handler:
        """The handler of a command whose arguments fit. Raises `CommandError`."""
        misfit: CommandError | None = None
        for table, handler in self._groups.values():
            for command in table.find(prefix):
                try:
                    command.signature.validate(cmdmap)
                except CommandError as e:
                    misfit = e
                else:
                    return handler
        if misfit is not None:
            raise CommandError(errno.EINVAL, f"invalid command json: {misfit.text}")
        raise CommandError(errno.EINVAL, f"unknown command prefix {prefix}")

    async def execute(self, cmd: Sequence[str], inbl: bytes = b"") -> Result:
        """Run a command given as JSON; every failure is a `Result` with a negative errno.

        Only a bug in a handler raises.
        """
        try:
            cmdmap = cmdmap_from_json(cmd)
        except CommandError as e:
            return Result(-errno.EINVAL, f"invalid json: {_shortened(e.text)}", b"")
        try:
            fmt = get_str(cmdmap, "format") or ""
            prefix = get_str(cmdmap, "prefix") or ""
        except BadCmdGet:
            return Result(-errno.EINVAL, "invalid json, missing format and/or prefix", b"")
        try:
            handler = self.find(prefix, cmdmap)
            if self.on_command is not None:
                self.on_command(prefix, cmdmap)
            answer = handler(prefix, cmdmap, inbl)
            reply = await answer if isawaitable(answer) else answer
        except CommandError as e:
            return Result(-e.errno, _shortened(e.text), b"")
        except BadCmdGet as e:
            return Result(-errno.EINVAL, str(e), b"")
        return render(reply, fmt)


def _shortened(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= 512 else clean[:509] + "..."
