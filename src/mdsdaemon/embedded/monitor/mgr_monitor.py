"""The MgrMap: there is no manager in this cluster, and nobody waits for one.

What users ask of a manager's modules (`fs status`, `osd df`, `pg stat`, …) this monitor answers
itself. A ceph-mgr that comes is told in the cluster log that it is not needed.

Behaviour: ceph/ceph, src/mon/MgrMonitor.cc (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mdsdaemon.embedded.monitor.commands import Args, CommandContext, CommandResult, command, fail
from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.maps.mgr_map import MgrMap
from mdsdaemon.messages.mgr import MMgrMap
from mdsdaemon.messages.mon_server import MMgrBeacon
from mdsdaemon.types.utime import utime_str

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription

EPOCH: Final = 1
_NO_MANAGER: Final = (
    "this cluster has no manager; its monitor answers what it can of a manager's commands"
)


class MgrMonitor(Service):
    """See the module."""

    name: ClassVar[str] = "mgr"
    subscriptions: ClassVar[tuple[str, ...]] = ("mgrmap", "mgrdigest", "servicemap")

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.map = MgrMap(epoch=EPOCH)
        self._refused: set[str] = set()

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        if sub.what == "mgrmap" and sub.next <= EPOCH:
            session.send(MMgrMap(self.map))
            session.sent(sub, EPOCH)

    @handles(MMgrBeacon)
    def handle_beacon(self, session: MonSession, msg: MMgrBeacon) -> None:
        """Say once per manager that it stays out of the map."""
        name = str(session.entity_name)
        if session.is_capable("mgr", "x") and name not in self._refused and len(self._refused) < 64:
            self._refused.add(name)
            self.mon.log.cluster("warn", f"{name} is not taken: {_NO_MANAGER}")

    def summary(self) -> dict[str, Any]:
        """`mgrmap` of `ceph status`."""
        return {"available": False, "num_standbys": 0, "modules": [], "services": {}}

    def service_map(self) -> dict[str, Any]:
        """The map of services that report to a manager: nobody does."""
        created = utime_str(self.mon.mon_map.map.created)
        return {"epoch": 1, "modified": created, "services": {}}

    # -- commands -----------------------------------------------------------------------------

    @command("mgr stat", module="mgr", perm="r", about="the managers in numbers")
    def mgr_stat(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({"epoch": EPOCH, "available": False, "active_name": "", "num_standby": 0})

    @command(
        "mgr dump name=epoch,type=CephInt,range=0,req=false",
        module="mgr",
        perm="r",
        about="the MgrMap",
    )
    def mgr_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        epoch = args.get_int("epoch")
        if epoch not in (None, 0, EPOCH):
            raise fail(errno.ENOENT, f"there is no map for epoch {epoch}")
        return ctx.reply(self.map.dump(), section="mgrmap")

    @command("mgr services", module="mgr", perm="r", about="what modules serve where")
    def mgr_services(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({}, section="services")

    @command("mgr module ls", module="mgr", perm="r", about="modules that are on")
    def mgr_module_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        data: dict[str, list[str]] = {
            "always_on_modules": [],
            "enabled_modules": [],
            "disabled_modules": [],
        }
        return ctx.reply(data, section="modules")

    @command(
        "mgr module enable name=module,type=CephString "
        "name=force,type=CephChoices,strings=--force,req=false",
        module="mgr",
        perm="rw",
        about="refused: there is no manager",
    )
    def mgr_module_enable(self, ctx: CommandContext, args: Args) -> CommandResult:
        raise fail(
            errno.EOPNOTSUPP, f"module '{args.need_str('module')}' cannot run: {_NO_MANAGER}"
        )

    @command(
        "mgr module disable name=module,type=CephString",
        module="mgr",
        perm="rw",
        about="nothing: no module is on",
    )
    def mgr_module_disable(self, ctx: CommandContext, args: Args) -> CommandResult:
        return CommandResult(0, f"module '{args.need_str('module')}' is already disabled")

    @command(
        "mgr fail name=who,type=CephString,req=false",
        module="mgr",
        perm="rw",
        about="nothing: there is no manager",
    )
    def mgr_fail(self, ctx: CommandContext, args: Args) -> CommandResult:
        who = args.get_str("who")
        if who is None:
            return CommandResult(0, "Currently no active mgr")
        return CommandResult(0, f"Daemon not found '{who}', already failed?")

    @command(
        "mgr metadata name=who,type=CephString,req=false",
        module="mgr",
        perm="r",
        about="machines and versions of the managers",
    )
    def mgr_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        who = args.get_str("who")
        if who is not None:
            raise fail(errno.ENOENT, f"mgr.{who} does not exist")
        return ctx.reply([])

    @command(
        "mgr count-metadata name=property,type=CephString",
        module="mgr",
        perm="r",
        about="how many managers have which value there",
    )
    def mgr_count_metadata(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({})

    @command("mgr versions", module="mgr", perm="r", about="how many managers of which version")
    def mgr_versions(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply({})
