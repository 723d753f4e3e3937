"""The commands of `ceph mon`, for a cluster that has one monitor and keeps it.

Behaviour: ceph/ceph, src/mon/MonmapMonitor.cc, Monitor.cc (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    FLAG_OBSOLETE,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.encoding import encode
from mdsdaemon.maps.mon_map import FEATURE_NAMES, MonFeature, MonMap
from mdsdaemon.types.release import release_name
from mdsdaemon.types.utime import utime_str
from mdsdaemon.version import ceph_version

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.mon_map import MonmapMonitor

_EPOCH = "name=epoch,type=CephInt,range=0,req=false"
_ONE_MONITOR = "this cluster has one monitor and can have no other"


class MonCommands:
    """See the module."""

    def __init__(self, mon_map: MonmapMonitor) -> None:
        self.mon_map = mon_map

    @property
    def _name(self) -> str:
        return self.mon_map.mon.name

    def _at(self, args: Args) -> MonMap:
        epoch = args.get_int("epoch")
        try:
            return self.mon_map.at(epoch)
        except KeyError:
            raise fail(errno.ENOENT, f"there is no map for epoch {epoch}") from None

    def _must_be_ours(self, args: Args) -> None:
        name = args.need_str("name")
        if name != self._name:
            raise fail(errno.ENOENT, f"mon.{name} does not exist")

    # -- reading ----------------------------------------------------------------------------

    @command(f"mon dump {_EPOCH}", module="mon", perm="r", about="the monmap")
    def mon_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        found = self._at(args)
        lines = [
            f"epoch {found.epoch}",
            f"fsid {found.fsid}",
            f"last_changed {utime_str(found.last_changed)}",
            f"created {utime_str(found.created)}",
            f"min_mon_release {found.min_mon_release} ({release_name(found.min_mon_release)})",
            f"election_strategy: {found.strategy}",
            *(
                f"{rank}: {found.get_addrs(name)} mon.{name}"
                for rank, name in enumerate(found.ranks)
            ),
            "",
        ]
        data = {**found.dump(), "quorum": [0]}
        outs = f"dumped monmap epoch {found.epoch}"
        return ctx.reply(data, "\n".join(lines), section="monmap", outs=outs)

    @command("mon stat", module="mon", perm="r", about="the monmap in a line")
    def mon_stat(self, ctx: CommandContext, args: Args) -> CommandResult:
        found = self.mon_map.map
        data = {
            "epoch": found.epoch,
            "min_mon_release_name": release_name(found.min_mon_release),
            "num_mons": found.size(),
            "leader": self._name,
            "quorum": [{"rank": 0, "name": self._name}],
        }
        text = (
            f"{found} removed_ranks: {{}}, election epoch "
            f"{self.mon_map.quorum_status()['election_epoch']}, leader 0 {self._name}, "
            f"quorum 0 {self._name}\n"
        )
        return ctx.reply(data, text, section="mon_stat")

    @command(f"mon getmap {_EPOCH}", module="mon", perm="r", about="the monmap in binary")
    def mon_getmap(self, ctx: CommandContext, args: Args) -> CommandResult:
        found = self._at(args)
        return CommandResult(0, f"got monmap epoch {found.epoch}", encode(MonMap, found))

    @command(
        "mon feature ls name=with_value,type=CephChoices,strings=--with-value,req=false",
        module="mon",
        perm="r",
        about="the features that monitors have and the monmap asks for",
    )
    def mon_feature_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        with_value = args.get_str("with_value") is not None

        def names(feature: MonFeature) -> list[str]:
            found = feature.names()
            if not with_value:
                return found
            return [f"{name}({1 << FEATURE_NAMES.index(name)})" for name in found]

        mine = names(self.mon_map.map.persistent_features)
        optional = names(self.mon_map.map.optional_features)
        data = {
            "all": {"supported": mine, "persistent": mine},
            "monmap": {"persistent": mine, "optional": optional, "required": mine},
        }
        shown = f"[{','.join(mine)}]"
        text = (
            f"all features\n\tsupported: {shown}\n\tpersistent: {shown}\n"
            f"on current monmap (epoch {self.mon_map.map.epoch})\n"
            f"\tpersistent: {shown}\n\trequired: {shown}\n"
        )
        return ctx.reply(data, text, section="features")

    @command(
        "mon metadata name=id,type=CephString,req=false",
        module="mon",
        perm="r",
        about="machine and version of a monitor",
    )
    def mon_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("id")
        metadata = self.mon_map.metadata()
        if name is None:
            return ctx.reply([metadata])
        if name.removeprefix("mon.") != self._name:
            raise fail(errno.ENOENT, "requested mon not found")
        del metadata["name"]
        return ctx.reply(metadata)

    @command(
        "mon count-metadata name=property,type=CephString",
        module="mon",
        perm="r",
        about="how many monitors have which value there",
    )
    def mon_count_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        value = self.mon_map.metadata().get(args.need_str("property"), "unknown")
        return ctx.reply({value: 1})

    @command("mon versions", module="mon", perm="r", about="how many monitors of which version")
    def mon_versions(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({ceph_version(): 1})

    @command("quorum_status", module="mon", perm="r", about="the quorum and its monmap")
    def quorum_status(self, ctx: CommandContext, args: Args) -> CommandResult:
        data = self.mon_map.quorum_status()
        if ctx.structured:
            return ctx.reply(data)
        compact = CommandContext(ctx.session, ctx.prefix, format="json", now=ctx.now)
        return compact.reply(data)

    # -- what more monitors would be needed for ---------------------------------------------

    @command(
        "mon ok-to-stop name=ids,type=CephString,n=N",
        module="mon",
        perm="r",
        about="whether the others would do without them",
    )
    def mon_ok_to_stop(self, ctx: CommandContext, args: Args) -> CommandResult:
        ids = args.get_strs("ids")
        if self._name in ids:
            raise fail(
                errno.EBUSY,
                f"not enough monitors would be available () after stopping mons [{','.join(ids)}]",
            )
        quorum = f"quorum should be preserved ({self._name}) after stopping [{','.join(ids)}]"
        return CommandResult(0, quorum)

    @command(
        "mon ok-to-add-offline",
        module="mon",
        perm="r",
        about="whether a monitor can be added that does not run yet",
    )
    def mon_ok_to_add_offline(self, ctx: CommandContext, args: Args) -> CommandResult:
        raise fail(errno.EBUSY, "adding a monitor may break quorum (until that monitor starts)")

    @command(
        "mon ok-to-rm name=id,type=CephString",
        module="mon",
        perm="r",
        about="whether the others would do without it",
    )
    def mon_ok_to_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("id")
        if name != self._name:
            return CommandResult(0, f"mon.{name} does not exist")
        raise fail(errno.EBUSY, f"removing mon.{name} would break quorum")

    @command("mon rm name=name,type=CephString", module="mon", perm="rw", about="remove a monitor")
    @command(
        "mon remove name=name,type=CephString",
        module="mon",
        perm="rw",
        flags=FLAG_DEPRECATED,
        about="remove a monitor",
    )
    def mon_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.need_str("name")
        if name != self._name:
            return CommandResult(0, f"mon.{name} does not exist or has already been removed")
        raise fail(errno.EINVAL, f"error: refusing removal of last monitor {name}")

    # -- changing ---------------------------------------------------------------------------

    @command(
        "mon set-weight name=name,type=CephString name=weight,type=CephInt,range=0|65535",
        module="mon",
        perm="rw",
        about="how eagerly clients pick the monitor",
    )
    def mon_set_weight(self, ctx: CommandContext, args: Args) -> CommandResult:
        self._must_be_ours(args)
        new = self.mon_map.copy()
        new.mon_info[self._name].weight = args.get_int("weight") or 0
        self.mon_map.change(new)
        return CommandResult()

    @command(
        "mon set-rank name=name,type=CephString name=rank,type=CephInt",
        module="mon",
        perm="rw",
        about="place of the monitor in the monmap",
    )
    def mon_set_rank(self, ctx: CommandContext, args: Args) -> CommandResult:
        self._must_be_ours(args)
        if args.get_int("rank") != 0:
            raise fail(errno.EINVAL, _ONE_MONITOR)
        return CommandResult()

    @command("mon enable-msgr2", module="mon", perm="rw", about="nothing: msgr2 is all there is")
    def mon_enable_msgr2(self, ctx: CommandContext, args: Args) -> CommandResult:
        return CommandResult()

    @command("scrub", module="mon", perm="rw", flags=FLAG_OBSOLETE, about="older name of mon scrub")
    @command("mon scrub", module="mon", perm="rw", about="nothing: there is no second store")
    def mon_scrub(self, ctx: CommandContext, args: Args) -> CommandResult:
        return CommandResult()
