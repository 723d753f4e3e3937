"""Commands about the CRUSH map: its rules change, its tree does not; and erasure code profiles.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (Pacific), checked against 16.2.15
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from mdsdaemon.embedded.monitor import crush_build, osd_crush
from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    Args,
    CommandContext,
    CommandError,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.osd_text import parse_osd_id
from mdsdaemon.embedded.monitor.osd_tree import crush_tree

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor
    from mdsdaemon.maps.crush_map import CrushMap

_NAME: Final = "type=CephString,goodchars=[A-Za-z0-9-_.]"


class CrushCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    @property
    def _crush(self) -> CrushMap:
        return self._osd.map.client.crush

    # -- rules ------------------------------------------------------------------------------

    @command("osd crush rule ls", module="osd", perm="r", about="the names of the rules")
    @command(
        "osd crush rule list",
        module="osd",
        perm="r",
        about="the names of the rules",
        flags=FLAG_DEPRECATED,
    )
    def rule_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._names(ctx, sorted(self._crush.rule_name_map))

    @command(
        f"osd crush rule ls-by-class name=class,{_NAME}",
        module="osd",
        perm="r",
        about="the names of the rules for a device class",
    )
    def rule_ls_by_class(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("class")
        if crush_build.class_id(self._crush, name) is None:
            raise fail(errno.ENOENT, f"failed to get rules by class '{name}'")
        return self._names(ctx, osd_crush.rules_by_class(self._crush, name))

    def _names(self, ctx: CommandContext, rules: list[int]) -> CommandResult:
        names = [self._crush.rule_name_map.get(number, f"{number}") for number in rules]
        return ctx.reply(names, "".join(f"{name}\n" for name in names), section="rules")

    @command(
        f"osd crush rule dump name=name,{_NAME},req=false",
        module="osd",
        perm="r",
        about="the rules, or one",
    )
    def rule_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("name")
        if not name:
            return ctx.reply(osd_crush.dump_rules(self._crush), section="rules")
        number = crush_build.rule_id(self._crush, name)
        if number is None:
            raise fail(errno.ENOENT, f"unknown crush rule '{name}'")
        return ctx.reply(osd_crush.dump_rule(self._crush, number), section="rule")

    @command(
        f"osd crush rule create-replicated name=name,{_NAME} name=root,{_NAME} name=type,{_NAME} "
        f"name=class,{_NAME},req=false",
        module="osd",
        perm="rw",
        about="make a rule for replicated pools",
    )
    def rule_create_replicated(self, ctx: CommandContext, args: Args) -> CommandResult:
        return self._create(args, args.get_str("class") or "")

    @command(
        f"osd crush rule create-simple name=name,{_NAME} name=root,{_NAME} name=type,{_NAME} "
        "name=mode,type=CephChoices,strings=firstn|indep,req=false",
        module="osd",
        perm="rw",
        about="make a rule for replicated pools",
    )
    def rule_create_simple(self, ctx: CommandContext, args: Args) -> CommandResult:
        if (args.get_str("mode") or "firstn") != "firstn":
            raise fail(errno.EOPNOTSUPP, "rules that choose indep are for erasure coded pools")
        return self._create(args, "")

    def _create(self, args: Args, device_class: str) -> CommandResult:
        name = args.need_str("name")
        if crush_build.rule_id(self._crush, name) is not None:
            return CommandResult(0, f"rule {name} already exists")
        root, kind = args.need_str("root"), args.need_str("type")
        with self._osd.change() as pending:
            crush_build.add_replicated_rule(pending.crush(), name, root, kind, device_class)
        return CommandResult()

    @command(f"osd crush rule rm name=name,{_NAME}", module="osd", perm="rw", about="remove a rule")
    def rule_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("name")
        number = crush_build.rule_id(self._crush, name)
        if number is None:
            return CommandResult(0, f"rule {name} does not exist")
        rule = self._crush.rule(number)
        ruleset = number if rule is None else rule.ruleset
        if any(pool.crush_rule == ruleset for pool in self._osd.map.pools.values()):
            raise fail(errno.EBUSY, f"crush ruleset {name} {ruleset} is in use")
        with self._osd.change() as pending:
            crush_build.remove_rule(pending.crush(), number)
        return CommandResult()

    @command(
        f"osd crush rule rename name=srcname,{_NAME} name=dstname,{_NAME}",
        module="osd",
        perm="rw",
        about="give a rule another name",
    )
    def rule_rename(self, ctx: CommandContext, args: Args) -> CommandResult:
        source, target = args.need_str("srcname"), args.need_str("dstname")
        if not source or not target:
            raise fail(errno.EINVAL, "must specify both source rule name and destination rule name")
        if source == target:
            return CommandResult(0, "destination rule name is equal to source rule name")
        known = self._crush.rule_name_map.values()
        if source not in known and target in known:
            return CommandResult(0, f"already renamed to '{target}'")
        with self._osd.change() as pending:
            crush_build.rename_rule(pending.crush(), source, target)
        return CommandResult()

    # -- the tree ---------------------------------------------------------------------------

    @command("osd crush dump", module="osd", perm="r", about="the whole CRUSH map")
    def crush_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(osd_crush.dump_crush(self._crush), section="crush_map")

    @command(
        "osd crush tree name=shadow,type=CephChoices,strings=--show-shadow,req=false",
        module="osd",
        perm="r",
        about="the CRUSH map's tree",
    )
    def crush_tree(self, ctx: CommandContext, args: Args) -> CommandResult:
        shadows = args.get_str("shadow") == "--show-shadow" or args.get_bool("show_shadow")
        data, text = crush_tree(self._osd.map, shadows=shadows)
        return ctx.reply(data, text, section="crush_tree")

    @command(f"osd crush ls name=node,{_NAME}", module="osd", perm="r", about="what a bucket holds")
    def crush_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        node = args.need_str("node")
        item = crush_build.item_id(self._crush, node)
        if item is None:
            raise fail(errno.ENOENT, f"node '{node}' does not exist")
        bucket = self._crush.bucket(item)
        items = [item] if bucket is None else bucket.items
        names = [osd_crush.item_name(self._crush, number) for number in items]
        return ctx.reply(names, "".join(f"{name}\n" for name in names), section="items")

    @command("osd crush class ls", module="osd", perm="r", about="the device classes")
    def class_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        names = [name for _, name in sorted(self._crush.class_name.items())]
        return ctx.reply(names, section="crush_classes")

    @command(
        "osd crush class ls-osd name=class,type=CephString,goodchars=[A-Za-z0-9-_]",
        module="osd",
        perm="r",
        about="the OSDs of a device class",
    )
    def class_ls_osd(self, ctx: CommandContext, args: Args) -> CommandResult:
        osds = osd_crush.devices_by_class(self._crush, args.need_str("class"))
        return ctx.reply(osds, "".join(f"{osd}\n" for osd in osds), section="osds")

    @command(
        "osd crush get-device-class name=ids,type=CephString,n=N",
        module="osd",
        perm="r",
        about="the device classes of OSDs",
    )
    def get_device_class(self, ctx: CommandContext, args: Args) -> CommandResult:
        found: dict[int, str] = {}
        for word in args.get_strs("ids"):
            try:
                osd = parse_osd_id(word)
            except CommandError:
                raise fail(errno.EINVAL, f"unable to parse osd id:'{word}'") from None
            found[osd] = osd_crush.item_class(self._crush, osd) or ""
        data = [{"osd": osd, "device_class": name} for osd, name in sorted(found.items())]
        text = "".join(
            f"{name}\n" if len(found) == 1 else f"osd.{osd} {name}\n"
            for osd, name in sorted(found.items())
        )
        return ctx.reply(data, text, section="osd_device_classes")

    @command("osd crush show-tunables", module="osd", perm="r", about="the CRUSH map's tunables")
    def show_tunables(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(osd_crush.dump_tunables(self._crush), section="crush_map_tunables")

    @command(
        "osd crush get-tunable name=tunable,type=CephChoices,strings=straw_calc_version",
        module="osd",
        perm="r",
        about="one of the CRUSH map's tunables",
    )
    def get_tunable(self, ctx: CommandContext, args: Args) -> CommandResult:
        if args.need_str("tunable") != "straw_calc_version":
            raise fail(errno.EINVAL, "straw_calc_version is the only tunable that can be asked for")
        value = self._crush.straw_calc_version
        return ctx.reply({"straw_calc_version": value}, f"{value}\n", section="tunable")

    @command("osd crush weight-set ls", module="osd", perm="r", about="the alternative weights")
    def weight_set_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        names = [
            "(compat)" if number == osd_crush.COMPAT_WEIGHT_SET else self._osd.pool_name(number)
            for number in sorted(self._crush.choose_args)
        ]
        return ctx.reply(names, "".join(f"{name}\n" for name in names), section="weight_sets")

    @command("osd crush weight-set dump", module="osd", perm="r", about="the alternative weights")
    def weight_set_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(osd_crush.dump_choose_args(self._crush), section="choose_args")

    # -- erasure code profiles --------------------------------------------------------------

    @command("osd erasure-code-profile ls", module="osd", perm="r", about="the profiles")
    def profile_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        names = sorted(self._osd.map.client.erasure_code_profiles)
        text = "".join(f"{name}\n" for name in names)
        return ctx.reply(names, text, section="erasure-code-profiles")

    @command(
        f"osd erasure-code-profile get name=name,{_NAME}",
        module="osd",
        perm="r",
        about="a profile",
    )
    def profile_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("name")
        profile: dict[str, Any] | None = self._osd.map.client.erasure_code_profiles.get(name)
        if profile is None:
            raise fail(errno.ENOENT, f"unknown erasure code profile '{name}'")
        items = sorted(profile.items())
        text = "".join(f"{key}={value}\n" for key, value in items)
        return ctx.reply(dict(items), text, section="profile")
