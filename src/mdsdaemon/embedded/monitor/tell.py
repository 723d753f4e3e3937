"""`ceph tell mon.a …` and `ceph ping`: commands to this daemon, not to the cluster.

Behaviour: ceph/ceph, src/mon/Monitor.cc (do_admin_command, handle_tell_command),
src/common/ceph_context.cc, src/common/admin_socket.cc (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mdsdaemon.config import commands as config_commands
from mdsdaemon.embedded.key_server_auth import GlobalId
from mdsdaemon.embedded.monitor.command_handler import caps_arguments
from mdsdaemon.embedded.monitor.commands import Args, CommandContext, CommandResult, command, fail
from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.maps.formatting import dump_addr, dump_addrs
from mdsdaemon.messages.cmdparse import BadCmdGet, CommandError, cmdmap_from_json
from mdsdaemon.messages.mds import MCommand, MCommandReply
from mdsdaemon.perf import PerfRegistry
from mdsdaemon.perf.counters import PerfCounters
from mdsdaemon.types.entity import EntityAddr
from mdsdaemon.version import (
    ADMIN_SOCKET_VERSION,
    CEPH_RELEASE,
    CEPH_RELEASE_TYPE,
    CEPH_VERSION_SHORT,
    git_version,
)

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession

_PATTERN: Final = "name=logger,type=CephString,req=false name=counter,type=CephString,req=false"
_ALONE: Final = "this monitor is alone and always its own quorum"


class TellService(Service):
    """See the module."""

    name: ClassVar[str] = "tell"

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.perf = PerfRegistry()
        self._counters = PerfCounters("mon")
        self._counters.add_u64("num_sessions", "Open sessions", "sess")
        self.perf.add(self._counters)
        self.perf.on_dump(self._refresh)
        mon.tell_commands.add(self)
        mon.tell_commands.add(ConfigTell(mon))

    def _refresh(self) -> None:
        self._counters.set("num_sessions", len(self.mon.sessions))

    def command_rooms(self) -> tuple[object, ...]:
        return ()

    # -- the message --------------------------------------------------------------------------

    @handles(MCommand)
    def handle_command(self, session: MonSession, msg: MCommand) -> None:
        """One command; any of them takes all rights on the monitor."""
        try:
            result = self._run(session, msg)
        except CommandError as error:
            result = CommandResult(-error.errno, error.text)
        except BadCmdGet as bad:
            result = CommandResult(-errno.EINVAL, str(bad))
        reply = MCommandReply(result.r, result.outs)
        reply.tid = msg.tid
        reply.data = result.outb
        session.send(reply)

    def _run(self, session: MonSession, msg: MCommand) -> CommandResult:
        if msg.fsid != self.mon.fsid:
            raise fail(errno.EACCES, "wrong fsid")
        cmdmap = cmdmap_from_json(msg.cmd)
        prefix = cmdmap.get("prefix")
        if not isinstance(prefix, str):
            raise fail(errno.EINVAL, "no prefix")
        if not session.is_capable("mon", "rwx", prefix, caps_arguments(cmdmap)):
            raise fail(errno.EACCES, "insufficient caps")
        found = self.mon.tell_commands.find(prefix)
        if found is None or found.handler is None:
            raise fail(errno.EINVAL, f"unknown command prefix {prefix}")
        args = Args(cmdmap)
        found.validate(args)
        fmt = args.get_str("format") or "json-pretty"
        context = CommandContext(session, prefix, msg.data, fmt, self.mon.host.wall())
        return found.handler(context, args)

    # -- about the table ----------------------------------------------------------------------

    @command("0", module="mon", perm="r")
    def admin_socket_version(self, ctx: CommandContext, args: Args) -> CommandResult:
        return CommandResult(0, "", ADMIN_SOCKET_VERSION.encode())

    @command("version", module="mon", perm="r", about="version of Ceph that this follows")
    def version(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(
            {
                "version": CEPH_VERSION_SHORT,
                "release": CEPH_RELEASE,
                "release_type": CEPH_RELEASE_TYPE,
            }
        )

    @command("git_version", module="mon", perm="r", about="what this was built from")
    def git_version(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({"git_version": git_version()})

    @command("help", module="mon", perm="r", about="the commands of this daemon")
    def help(self, ctx: CommandContext, args: Args) -> CommandResult:
        commands = sorted(self.mon.tell_commands, key=lambda each: each.desc)
        return ctx.reply({each.desc: each.help for each in commands if each.help})

    @command(
        "get_command_descriptions",
        module="mon",
        perm="r",
        about="the commands of this daemon with their arguments",
    )
    def get_command_descriptions(self, ctx: CommandContext, args: Args) -> CommandResult:
        commands = sorted(self.mon.tell_commands, key=lambda each: each.desc)
        data = {
            f"cmd{number:03}": {"sig": each.signature.sig(), "help": each.help}
            for number, each in enumerate(commands)
        }
        return ctx.reply(data)

    # -- the monitor --------------------------------------------------------------------------

    @command("mon_status", module="mon", perm="r", about="state of this monitor")
    def mon_status(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(self.mon.mon_map.mon_status())

    @command("sessions", module="mon", perm="r", about="who is connected")
    def sessions(self, ctx: CommandContext, args: Args) -> CommandResult:
        shown = sorted(self.mon.sessions, key=lambda each: (each.opened, each.global_id))
        return ctx.reply([_dump_session(each) for each in shown])

    @command("ops", module="mon", perm="r", about="requests under way: each is served at once")
    def ops(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({"ops": [], "num_ops": 0})

    @command("dump_historic_ops", module="mon", perm="r", about="recent requests: none are kept")
    def dump_historic_ops(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({"size": 0, "duration": 0, "ops": []})

    @command("quorum enter", module="mon", perm="rw", about="nothing: it is its own quorum")
    def quorum_enter(self, ctx: CommandContext, args: Args) -> CommandResult:
        return CommandResult(0, _ALONE)

    @command("quorum exit", module="mon", perm="rw", about="refused: it is its own quorum")
    def quorum_exit(self, ctx: CommandContext, args: Args) -> CommandResult:
        raise fail(errno.EOPNOTSUPP, _ALONE)

    @command("compact", module="mon", perm="rw", about="nothing: the store compacts itself")
    def compact(self, ctx: CommandContext, args: Args) -> CommandResult:
        return CommandResult(0, "nothing to compact")

    @command(
        "smart name=devid,type=CephString,req=false",
        module="mon",
        perm="rw",
        about="health of the devices: none are known",
    )
    def smart(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({})

    # -- counters -----------------------------------------------------------------------------

    @command(f"perf dump {_PATTERN}", module="mon", perm="r", about="performance counters")
    def perf_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(
            self.perf.dump(args.get_str("logger") or "", args.get_str("counter") or "")
        )

    @command("perf schema", module="mon", perm="r", about="what the counters count")
    def perf_schema(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(self.perf.schema())

    @command(
        "perf reset name=var,type=CephString", module="mon", perm="rw", about="counters to zero"
    )
    def perf_reset(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(self.perf.reset_command(args.need_str("var")))


class ConfigTell:
    """The configuration of this daemon, until its next start."""

    def __init__(self, mon: Monitor) -> None:
        self.mon = mon

    def _reply(self, ctx: CommandContext, answer: config_commands.Answer) -> CommandResult:
        if answer.r < 0:
            return CommandResult(answer.r, answer.text)
        return ctx.reply(answer.data, outs=answer.text)

    @command("config show", module="mon", perm="r", about="all options and their values")
    def config_show(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._reply(ctx, config_commands.config_show(self.mon.config))

    @command(
        "config get name=var,type=CephString", module="mon", perm="r", about="value of an option"
    )
    def config_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._reply(ctx, config_commands.config_get(self.mon.config, args.need_str("var")))

    @command(
        "config set name=var,type=CephString name=val,type=CephString,n=N",
        module="mon",
        perm="rw",
        about="change an option until the next start",
    )
    def config_set(self, ctx: CommandContext, args: Args) -> CommandResult:
        name, value = args.need_str("var"), args.get_strs("val")
        return self._reply(ctx, config_commands.config_set(self.mon.config, name, value))

    @command(
        "config unset name=var,type=CephString",
        module="mon",
        perm="rw",
        about="take such a change back",
    )
    def config_unset(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("var")
        return self._reply(ctx, config_commands.config_unset(self.mon.config, name))

    @command(
        "config help name=var,type=CephString,req=false",
        module="mon",
        perm="r",
        about="what an option, or all, is for",
    )
    def config_help(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._reply(ctx, config_commands.config_help(self.mon.config, args.get_str("var")))

    @command("config diff", module="mon", perm="r", about="options that have another value")
    def config_diff(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._reply(ctx, config_commands.config_diff(self.mon.config))

    @command(
        "config diff get name=var,type=CephString",
        module="mon",
        perm="r",
        about="where the value of an option comes from",
    )
    def config_diff_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("var")
        return self._reply(ctx, config_commands.config_diff(self.mon.config, name))

    @command(
        "injectargs name=injected_args,type=CephString,n=N",
        module="mon",
        perm="rw",
        about="change options until the next start, given as on a command line",
    )
    def injectargs(self, ctx: CommandContext, args: Args) -> CommandResult:
        words = args.get_strs("injected_args")
        return self._reply(ctx, config_commands.injectargs(self.mon.config, words))


def _dump_session(session: MonSession) -> dict[str, Any]:
    addrs = session.addrs
    socket_addr = addrs.addrs[0] if addrs.addrs else EntityAddr()
    return {
        "name": str(session.name),
        "entity_name": str(session.entity_name),
        "addrs": dump_addrs(addrs),
        "socket_addr": dump_addr(socket_addr),
        "con_type": session.type_name,
        "con_features": session.features,
        "con_features_hex": f"{session.features:x}",
        "con_features_release": "luminous",
        "open": not session.closed,
        "caps": {"text": session.caps.text},
        "authenticated": True,
        "global_id": session.global_id,
        "global_id_status": session.auth.status if session.auth is not None else GlobalId.NONE,
        "osd_epoch": 0,
        "remote_host": session.hostname,
    }
