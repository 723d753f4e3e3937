"""The health of the cluster: the checks of all services, mutes, and what the log says of changes.

Behaviour: ceph/ceph, src/mon/HealthMonitor.cc, Monitor.cc (log_health) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mdsdaemon.embedded.monitor.commands import Args, CommandContext, CommandResult, command, fail
from mdsdaemon.embedded.monitor.osd_text import timespan
from mdsdaemon.embedded.monitor.records import pack, unpack
from mdsdaemon.embedded.monitor.service import (
    HEALTH_ERR,
    HEALTH_OK,
    HEALTH_WARN,
    HealthCheck,
    Service,
)
from mdsdaemon.embedded.monitor.timespan import parse_timespan
from mdsdaemon.encoding import S64, Bool, Str, Time, field, wire
from mdsdaemon.types.utime import NSEC, from_seconds, utime_str

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor

_ORDER: Final = {HEALTH_OK: 0, HEALTH_WARN: 1, HEALTH_ERR: 2}
_CLOG: Final = {HEALTH_OK: "info", HEALTH_WARN: "warn", HEALTH_ERR: "error"}
_CLEARED: Final = {"OSD_FLAGS": "OSD flags cleared"}


@wire(v=1, compat=1)
class HealthMute:
    """A check that is not to count: until `ttl` (0: no end), or until it gets worse or clears."""

    code: str = field(Str)
    ttl: int = field(Time, default=0)
    sticky: bool = field(Bool, default=False)
    summary: str = field(Str, default="")
    count: int = field(S64, default=0)

    def dump(self) -> dict[str, Any]:
        """As in JSON."""
        out: dict[str, Any] = {"code": self.code}
        if self.ttl:
            out["ttl"] = utime_str(self.ttl)
        return {**out, "sticky": self.sticky, "summary": self.summary, "count": self.count}

    def left(self, now: float) -> str:
        """How long it still lasts, for people."""
        return timespan(max(self.ttl / NSEC - now, 0.0))


class HealthMonitor(Service):
    """See the module.

    Attributes:
        mutes: by code.
    """

    name: ClassVar[str] = "health"

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.mutes: dict[str, HealthMute] = {}
        self._logged: dict[str, HealthCheck] = {}
        self._logged_at: dict[str, float] = {}

    # -- state --------------------------------------------------------------------------------

    def load(self, records: dict[str, bytes]) -> None:
        self.mutes = {code: unpack(HealthMute, value) for code, value in records.items()}

    def _set(self, mute: HealthMute) -> None:
        self.mutes[mute.code] = mute
        self.put(mute.code, pack(mute))

    def _unset(self, code: str) -> None:
        if self.mutes.pop(code, None) is not None:
            self.put(code, None)

    # -- the checks ---------------------------------------------------------------------------

    def checks(self) -> dict[str, HealthCheck]:
        """All that is wrong now, by code."""
        found = [check for service in self.mon.services for check in service.health()]
        return {check.code: check for check in sorted(found, key=lambda check: check.code)}

    def status(self, checks: dict[str, HealthCheck]) -> str:
        """HEALTH_OK, HEALTH_WARN or HEALTH_ERR: the worst that is not muted."""
        counted = [c.severity for code, c in checks.items() if code not in self.mutes]
        return max(counted, key=_ORDER.__getitem__, default=HEALTH_OK)

    def summary(self, *, detail: bool = False) -> dict[str, Any]:
        """`ceph health` as JSON."""
        checks = self.checks()
        shown: dict[str, Any] = {}
        for code, check in checks.items():
            shown[code] = {
                "severity": check.severity,
                "summary": {"message": check.summary, "count": check.count},
            }
            if detail:
                shown[code]["detail"] = [{"message": line} for line in check.detail]
            shown[code]["muted"] = code in self.mutes
        mutes = [mute.dump() for _, mute in sorted(self.mutes.items())]
        return {"status": self.status(checks), "checks": shown, "mutes": mutes}

    def text(self, *, first: str = " ", between: str = "; ", detail: bool = False) -> str:
        """`ceph health` for people; `first` and `between` go before the checks' lines."""
        checks, now = self.checks(), self.mon.host.wall()
        lines = [check.summary for code, check in checks.items() if code not in self.mutes]
        out = self.status(checks)
        if lines:
            out += first + between.join(lines)
        if self.mutes:
            out += (between if lines else first) + "(muted:"
            for code, mute in sorted(self.mutes.items()):
                out += f" {code}" + (f"({mute.left(now)})" if mute.ttl else "")
            out += ")"
        out += "\n"
        if detail:
            out += "".join(self._detail(check, now) for check in checks.values())
        return out

    def _detail(self, check: HealthCheck, now: float) -> str:
        muted = self.mutes.get(check.code)
        head = ""
        if muted is not None:
            ttl = f" ttl {muted.left(now)}" if muted.ttl else ""
            head = f"(MUTED{ttl}{', STICKY' if muted.sticky else ''}) "
        short = check.severity.removeprefix("HEALTH_")[:3]
        short = {"WAR": "WRN"}.get(short, short)
        lines = [f"{head}[{short}] {check.code}: {check.summary}"]
        lines += [f"    {line}" for line in check.detail]
        return "\n".join(lines) + "\n"

    # -- regular work -------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        checks = self.checks()
        self._check_mutes(checks, now)
        if self.mon.config.get_bool("mon_health_to_clog"):
            self._log_changes(checks, now)

    def _check_mutes(self, checks: dict[str, HealthCheck], now: float) -> None:
        for code, mute in list(self.mutes.items()):
            check = checks.get(code)
            why = ""
            if mute.ttl and mute.ttl <= from_seconds(now):
                why = f"passed TTL {utime_str(mute.ttl)}"
            elif mute.sticky:
                continue
            elif check is None:
                why = "health alert cleared"
            elif mute.count and check.count > mute.count:
                why = f"count increased from {mute.count} to {check.count}"
            elif mute.count and check.count < mute.count:
                mute.count = check.count
                self._set(mute)
            elif not mute.count and mute.summary != check.summary:
                why = "summary changed"
            if why:
                self._unset(code)
                self.mon.log.cluster("info", f"Health alert mute {code} cleared ({why})")

    def _log_changes(self, checks: dict[str, HealthCheck], now: float) -> None:
        period = self.mon.config.get_int("mon_health_log_update_period")
        before = self._logged
        for code, check in checks.items():
            old = before.get(code)
            if old is None:
                word = "failed"
            elif (old.summary, old.severity) == (check.summary, check.severity) or (
                old.severity == check.severity and now - self._logged_at[code] < period
            ):
                continue
            else:
                word = "update"
            before[code] = check
            self._logged_at[code] = now
            self.mon.log.cluster(
                _CLOG[check.severity], f"Health check {word}: {check.summary} ({code})"
            )
        gone = [code for code in before if code not in checks]
        for code in gone:
            old = before.pop(code)
            text = _CLEARED.get(code, f"Health check cleared: {code} (was: {old.summary})")
            self.mon.log.cluster("info", text)
        if gone and not checks:
            self.mon.log.cluster("info", "Cluster is now healthy")

    # -- commands -----------------------------------------------------------------------------

    @command(
        "health name=detail,type=CephChoices,strings=detail,req=false",
        module="mon",
        perm="r",
        about="what is wrong with the cluster",
    )
    def health_command(self, ctx: CommandContext, args: Args) -> CommandResult:
        detail = args.get_str("detail") == "detail"
        text = self.text(detail=detail)
        return ctx.reply(self.summary(detail=detail), text, section="health")

    @command(
        "health mute name=code,type=CephString name=ttl,type=CephString,req=false "
        "name=sticky,type=CephBool,req=false",
        module="mon",
        perm="w",
        about="let a check not count, for a while or until it gets worse",
    )
    def health_mute(self, ctx: CommandContext, args: Args) -> CommandResult:
        code, ttl = args.need_str("code"), args.get_str("ttl")
        if not code:
            raise fail(errno.EINVAL, "must specify an alert code to mute")
        mute = HealthMute(code, sticky=args.get_bool("sticky"))
        if ttl is not None:
            try:
                mute.ttl = from_seconds(ctx.now + parse_timespan(ttl))
            except ValueError as error:
                raise fail(errno.EINVAL, f"invalid duration: {ttl} ({error})") from None
        if not mute.sticky:
            check = self.checks().get(code)
            if check is None:
                raise fail(errno.ENOENT, f"health alert {code} is not currently raised")
            mute.summary, mute.count = check.summary, check.count
        self._set(mute)
        return CommandResult()

    @command(
        "health unmute name=code,type=CephString,req=false",
        module="mon",
        perm="w",
        about="let a check, or all, count again",
    )
    def health_unmute(self, ctx: CommandContext, args: Args) -> CommandResult:
        code = args.get_str("code")
        for each in [code] if code is not None else list(self.mutes):
            self._unset(each)
        return CommandResult()
