"""MMonCommand: from a client's JSON to the handler and back.

Behaviour: ceph/ceph, src/mon/Monitor.cc (handle_command) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from mdsdaemon.embedded.monitor.commands import (
    FLAG_OBSOLETE,
    Args,
    Command,
    CommandContext,
    CommandResult,
    describe,
)
from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.embedded.monitor.session import MonSession
from mdsdaemon.messages.cmdparse import BadCmdGet, CmdMap, CmdVal, CommandError, cmdmap_from_json
from mdsdaemon.messages.mon import MMonCommand, MMonCommandAck

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor

_SECRET_COMMANDS: Final = frozenset({"config set", "config-key set"})


class CommandHandler(Service):
    """Finds, checks, runs and answers the commands of all services."""

    name: ClassVar[str] = "command"

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self._described = b""

    @handles(MMonCommand)
    def handle_command(self, session: MonSession, msg: MMonCommand) -> None:
        """One command; the answer leaves when what it changed is durable."""
        if msg.fsid != self.mon.fsid:
            result = CommandResult(-errno.EPERM, "wrong fsid")
        else:
            result = self.run(session, msg.cmd, msg.data)
        reply = MMonCommandAck(r=result.r, rs=result.outs, cmd=msg.cmd)
        reply.tid = msg.tid
        reply.data = result.outb
        session.send(reply)

    def run(self, session: MonSession, cmd: list[str], inbuf: bytes = b"") -> CommandResult:
        """What the command answers. Never raises CommandError."""
        if not cmd:
            return CommandResult(-errno.EINVAL, "no command specified")
        try:
            return self._run(session, cmd, inbuf)
        except CommandError as error:
            return CommandResult(-error.errno, error.text)

    def _run(self, session: MonSession, cmd: list[str], inbuf: bytes) -> CommandResult:
        cmdmap = cmdmap_from_json(cmd)
        prefix = cmdmap.get("prefix")
        if prefix is None:
            raise CommandError(errno.EINVAL, "command prefix not found")
        if not isinstance(prefix, str) or not prefix.strip():
            raise CommandError(errno.EINVAL, "command prefix must not be empty")
        if prefix == "get_command_descriptions":
            return CommandResult(0, "", self._descriptions())
        command = self.mon.commands.find(prefix)
        if command is None:
            raise CommandError(errno.EINVAL, "command not known")
        if command.flags & FLAG_OBSOLETE:
            raise CommandError(
                errno.EOPNOTSUPP, "command is obsolete; please check usage and/or man page"
            )
        allowed = self.allowed(session, command, cmdmap)
        self._audit(session, command, cmd, allowed)
        if not allowed:
            raise CommandError(errno.EACCES, "access denied")
        args = Args(cmdmap)
        command.validate(args)
        assert command.handler is not None
        context = CommandContext(
            session, prefix, inbuf, args.get_str("format") or "plain", self.mon.host.wall()
        )
        try:
            return command.handler(context, args)
        except BadCmdGet as error:
            raise CommandError(errno.EINVAL, str(error)) from None
        except CommandError:
            raise
        except Exception:
            if self.mon.transactions.has_changes:
                raise
            self.mon.logger.exception("a bug in the command %r", prefix)
            raise CommandError(
                errno.EIO, f"a bug in the command {prefix!r}, the monitor's log says more"
            ) from None

    def _descriptions(self) -> bytes:
        if not self._described:
            self._described = describe(self.mon.commands)
        return self._described

    def allowed(self, session: MonSession, command: Command, cmdmap: CmdMap) -> bool:
        """Whether the session's caps allow this command with these arguments."""
        return session.is_capable(
            command.module, command.perm, command.prefix, caps_arguments(cmdmap)
        )

    def _audit(self, session: MonSession, command: Command, cmd: list[str], allowed: bool) -> None:
        if command.prefix in _SECRET_COMMANDS or session.con is None:
            return
        text = (
            f"from='{session.name} {session.addrs}' entity='{session.entity_name}' "
            f"cmd=[{','.join(cmd)}]: {'dispatch' if allowed else ' access denied'}"
        )
        writes = command.requires_perm("w") or command.requires_perm("x")
        self.mon.log.audit(text, writes=writes)


def caps_arguments(cmdmap: Mapping[str, CmdVal]) -> dict[str, str]:
    """The arguments as caps compare them (Ceph's _generate_command_map).

    The list ``caps`` holds pairs of a service and its caps, which become arguments of their own.
    """
    out: dict[str, str] = {}
    for name, value in cmdmap.items():
        if name == "prefix":
            continue
        if isinstance(value, bool):
            out[name] = "true" if value else "false"
        elif isinstance(value, list):
            if name == "caps" and len(value) % 2 == 0:
                for service, text in zip(value[0::2], value[1::2], strict=True):
                    out[f"caps_{service}"] = str(text)
            else:
                out[name] = f"[{', '.join(str(item) for item in value)}]"
        else:
            out[name] = str(value)
    return out
