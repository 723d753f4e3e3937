"""The commands of `ceph config`.

Behaviour: ceph/ceph, src/mon/ConfigMonitor.cc (Pacific); `config show` of src/mgr/DaemonServer.cc
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mdsdaemon.cephx.keyring import parse_entity
from mdsdaemon.config import Level
from mdsdaemon.config.conf_file import parse_conf
from mdsdaemon.config.descriptions import description
from mdsdaemon.config.option_types import format_value
from mdsdaemon.config.options import Option, find_option, option_names
from mdsdaemon.embedded.monitor.commands import Args, CommandContext, CommandResult, command, fail
from mdsdaemon.embedded.monitor.config_map import BadTarget, MaskedOption, Target
from mdsdaemon.embedded.monitor.osd_text import Table
from mdsdaemon.errors import ConfigError, OptionError
from mdsdaemon.types.entity import CLIENT, EntityName

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.embedded.monitor.config_monitor import ConfigMonitor

_COLUMNS = ("<<WHO", "<<MASK", "<<LEVEL", "<<OPTION", "<<VALUE", "<<RO")
_SHOW_COLUMNS = ("<<NAME", "<<VALUE", "<<SOURCE", "<<OVERRIDES", "<<IGNORES")
_SHOW = "name=who,type=CephString name=key,type=CephString,req=false"
_LEVELS = {
    Level.DEFAULT: "default",
    Level.MON: "mon",
    Level.FILE: "file",
    Level.ENV: "env",
    Level.CMDLINE: "cmdline",
    Level.OVERRIDE: "override",
}


class ConfigCommands:
    """See the module."""

    def __init__(self, db: ConfigMonitor) -> None:
        self.db = db

    # -- what options there are ---------------------------------------------------------------

    @command(
        "config help name=key,type=CephString",
        module="config",
        perm="r",
        about="what an option is for, and what it takes",
    )
    def config_help(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("key")
        option = find_option(name)
        if option is None:
            raise fail(errno.ENOENT, f"configuration option '{name}' not recognized")
        about = description(name)
        return ctx.reply(option.dump(about), _help_text(option, about), section="option")

    @command("config ls", module="config", perm="r", about="all options there are")
    def config_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        names = list(option_names())
        return ctx.reply(names, "".join(f"{name}\n" for name in names), section="options")

    # -- what is set --------------------------------------------------------------------------

    @command("config dump", module="mon", perm="r", about="all that is set here")
    def config_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        rows = [_row(item, indented=True) for item in self.db.map]
        data = [item.dump() for item in self.db.map]
        return ctx.reply(data, _table(_COLUMNS, rows), section="config")

    @command(
        "config get name=who,type=CephString name=key,type=CephString,req=False",
        module="config",
        perm="r",
        about="what is set for an entity, or the value of one option there",
    )
    def config_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        who = args.need_str("who")
        found = self.db.for_entity(_entity(who), "")
        key = args.get_str("key")
        if key is not None:
            return CommandResult(0, "", f"{self._one(_entity(who), found, key)}\n".encode())
        data = {
            name: {
                "value": item.value,
                "section": item.target.section,
                "mask": item.target.dump_mask(),
                "can_update_at_runtime": item.can_update_at_runtime,
            }
            for name, item in found.items()
        }
        rows = [_row(item) for item in found.values()]
        return ctx.reply(data, _table(_COLUMNS, rows), section="config")

    def _one(self, entity: EntityName, found: dict[str, MaskedOption], key: str) -> str:
        option = find_option(key)
        if option is None:
            raise fail(errno.ENOENT, f"unrecognized key '{key}'")
        if key == "fsid":
            return str(self.db.mon.fsid)
        if "no_mon_update" in option.flags:
            raise fail(errno.EINVAL, f"{key} is special and cannot be stored by the mon")
        if key in found:
            return found[key].value
        return format_value(option.default if entity.type == CLIENT else option.value)

    @command(
        f"config show {_SHOW}",
        module="mgr",
        perm="r",
        about="what this monitor runs with; of other daemons: ceph tell NAME config show",
    )
    def config_show(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._show(ctx, args, everything=False)

    @command(
        "config show-with-defaults name=who,type=CephString",
        module="mgr",
        perm="r",
        about="the same with the options that nobody has set",
    )
    def config_show_with_defaults(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._show(ctx, args, everything=True)

    def _show(self, ctx: CommandContext, args: Args, *, everything: bool) -> CommandResult:
        who = args.need_str("who")
        config = self.db.mon.config
        if who not in ("mon", config.name):
            raise fail(
                errno.ENOENT,
                f"no config state for daemon {who}: there is no manager to which it could report; "
                f"'ceph tell {who} config show' asks the daemon itself",
            )
        key = args.get_str("key")
        if key is not None:
            if find_option(key) is None:
                raise fail(errno.ENOENT, f"unrecognized key '{key}'")
            return CommandResult(0, "", f"{config.shown(key)}\n".encode())
        names = option_names() if everything else [name for name, _ in config.values()]
        data = [_setting(config, name) for name in names]
        rows = [
            (
                item["name"],
                item["value"],
                item["source"],
                ",".join(f"{o['source']}[{o['value']}]" for o in item.get("overrides", ())),
                "",
            )
            for item in data
        ]
        return ctx.reply(data, _table(_SHOW_COLUMNS, rows), section="config")

    # -- changing -----------------------------------------------------------------------------

    @command(
        "config set name=who,type=CephString name=name,type=CephString "
        "name=value,type=CephString name=force,type=CephBool,req=false",
        module="config",
        perm="rw",
        about="set an option for all, a daemon type or a name, with or without masks",
    )
    def config_set(self, ctx: CommandContext, args: Args) -> CommandResult:
        name, value = args.need_str("name"), args.need_str("value")
        if not args.get_bool("force"):
            option = find_option(name)
            if option is None:
                raise fail(errno.EINVAL, f"unrecognized config option '{name}'")
            try:
                value = format_value(option.parse(value))
            except OptionError as error:
                raise fail(error.errno, f"error parsing value: {error.text}") from None
            if "no_mon_update" in option.flags:
                raise fail(errno.EINVAL, f"{name} is special and cannot be stored by the mon")
        self.db.change({_target(args).key(name): value})
        return CommandResult()

    @command(
        "config rm name=who,type=CephString name=name,type=CephString",
        module="config",
        perm="rw",
        about="take a setting back",
    )
    def config_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        self.db.change({_target(args).key(args.need_str("name")): None})
        return CommandResult()

    @command(
        "config reset name=num,type=CephInt,range=0",
        module="config",
        perm="rw",
        about="go back to an earlier version of the settings (see config log)",
    )
    def config_reset(self, ctx: CommandContext, args: Args) -> CommandResult:
        to = args.get_int("num")
        if to is None or not 0 <= to <= self.db.version:
            raise fail(
                errno.EINVAL,
                "must specify a valid historical version to revert to; see 'ceph config log' "
                "for a list of available configuration historical versions",
            )
        changes: dict[str, str | None] = {}
        for version in range(self.db.version, to, -1):
            for key, (old, _) in self.db.change_set(version).diff.items():
                changes[key] = old
        self.db.change(changes, f"reset to {to}")
        return CommandResult()

    @command(
        "config log name=num,type=CephInt,req=False",
        module="config",
        perm="r",
        about="the latest changes",
    )
    def config_log(self, ctx: CommandContext, args: Args) -> CommandResult:
        number = args.get_int("num")
        newest = self.db.version
        count = min(newest, 10 if number is None else max(number, 0))
        sets = [self.db.change_set(version) for version in range(newest, newest - count, -1)]
        text = "".join(each.text() for each in sets)
        return ctx.reply([each.dump() for each in sets], text, section="changesets")

    @command(
        "config assimilate-conf",
        module="config",
        perm="rw",
        about="take settings from a ceph.conf (-i FILE), and give back what has to stay there",
    )
    def config_assimilate_conf(self, ctx: CommandContext, args: Args) -> CommandResult:
        try:
            conf = parse_conf(ctx.inbuf, "the configuration given")
        except ConfigError as error:
            raise fail(errno.EINVAL, str(error)) from None
        changes: dict[str, str | None] = {}
        left: list[str] = []
        entries = self.db.entries
        for section, settings in sorted(conf.sections.items()):
            kept: list[str] = []
            for name, entry in sorted(settings.items()):
                value = _assimilable(section, name, entry.value)
                key = f"{section}/{name}"
                if value is None or entries.get(key, value) != value:
                    kept.append(f"\t{name} = {entry.value}\n")
                else:
                    changes[key] = value
            if kept:
                left += [f"\n[{section}]\n", *kept]
        self.db.change(changes)
        return CommandResult(0, "", "".join(left).encode(errors="surrogateescape"))

    @command(
        "config generate-minimal-conf",
        module="config",
        perm="r",
        about="the ceph.conf that a client needs",
    )
    def config_generate_minimal_conf(self, ctx: CommandContext, args: Args) -> CommandResult:
        mon = self.db.mon
        lines = [
            f"# minimal ceph.conf for {mon.fsid}",
            "[global]",
            f"\tfsid = {mon.fsid}",
            f"\tmon_host = {' '.join(str(i.public_addrs) for i in mon.mon_map.infos())}",
            "",
        ]
        return CommandResult(0, "", "\n".join(lines).encode())


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    table = Table(*columns)
    for row in rows:
        table.row(*row)
    return str(table)


def _row(item: MaskedOption, *, indented: bool = False) -> tuple[str, ...]:
    section = item.target.section
    pad = 0 if section == "global" else 4 if "." in section else 2
    return (
        " " * pad * indented + section,
        item.target.mask,
        item.option.level,
        item.name,
        item.value,
        "" if item.can_update_at_runtime else "*",
    )


def _entity(who: str) -> EntityName:
    for text in (who, who + "."):
        try:
            return parse_entity(text)
        except ValueError:
            continue
    raise fail(errno.EINVAL, f"unrecognized entity '{who}'")


def _target(args: Args) -> Target:
    who = args.need_str("who")
    try:
        return Target.parse(who)
    except BadTarget:
        raise fail(errno.EINVAL, f"unrecognized config target '{who}'") from None


def _assimilable(section: str, name: str, text: str) -> str | None:
    """The value as it is stored; None for what has to stay in the file."""
    option = find_option(name)
    if option is None or option.flags & {"no_mon_update", "cluster_create"}:
        return None
    try:
        Target.parse(section)
        return format_value(option.parse(text))
    except (BadTarget, OptionError):
        return None


def _setting(config: Config, name: str) -> dict[str, Any]:
    levels = config.levels(name)
    top = max(levels, default=Level.DEFAULT)
    out: dict[str, Any] = {
        "name": name,
        "value": config.shown(name),
        "source": _LEVELS.get(top, "default"),
    }
    lower = [level for level in levels if level != top]
    if lower:
        out["overrides"] = [
            {"source": _LEVELS.get(level, "default"), "value": format_value(levels[level])}
            for level in lower
        ]
    return out


def _help_text(option: Option, about: str) -> str:
    lines = [f"{option.name} - {about}", f"  ({option.type}, {option.level})"]
    if option.daemon_default is None:
        lines.append(f"  Default: {format_value(option.default)}")
    else:
        lines.append(f"  Default (non-daemon): {format_value(option.default)}")
        lines.append(f"  Default (daemon): {format_value(option.daemon_default)}")
    if option.enum:
        lines.append(f"  Possible values:  {' '.join(option.enum)}")
    if option.min is not None:
        top = "" if option.max is None else format_value(option.max)
        lines += [f"  Minimum: {format_value(option.min)}", f"  Maximum: {top}"]
    lines.append(f"  Can update at runtime: {str(option.can_update_at_runtime).lower()}")
    if option.services:
        lines.append(f"  Services: [{','.join(option.services)}]")
    if option.tags:
        lines.append(f"  Tags: [{','.join(option.tags)}]")
    if option.see_also:
        lines.append(f"  See also: [{','.join(option.see_also)}]")
    return "\n".join(lines) + "\n"
