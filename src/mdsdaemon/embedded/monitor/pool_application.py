"""Commands about what uses a pool: `osd pool application enable|disable|set|rm|get`.

Behaviour: ceph/ceph, src/mon/OSDMonitor.cc (_command_pool_application) (Pacific), checked against
16.2.15
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.pool_view import is_tier
from mdsdaemon.types.pool import PGPool

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor

MAX_APPLICATIONS: Final = 4
MAX_KEYS: Final = 64
MAX_LENGTH: Final = 128

_POOL: Final = "name=pool,type=CephPoolname name=app,type=CephString"
_SURE: Final = "name=yes_i_really_mean_it,type=CephBool,req=false"


class ApplicationCommands:
    """See the module."""

    def __init__(self, osd: OSDMonitor) -> None:
        self._osd = osd

    def _pool(self, args: Args) -> tuple[int, str, PGPool]:
        name = args.need_str("pool")
        number = self._osd.pool_id(name)
        if number is None:
            raise fail(errno.ENOENT, f"unrecognized pool '{name}'")
        for word in "key", "value":
            if args.get_str(word) == "all":
                raise fail(errno.EINVAL, f"{word} cannot be 'all'")
        return number, name, self._osd.map.pools[number]

    @command(
        f"osd pool application enable {_POOL},goodchars=[A-Za-z0-9-_.] {_SURE}",
        module="osd",
        perm="rw",
        about="let an application use a pool",
    )
    def enable(self, ctx: CommandContext, args: Args) -> CommandResult:
        number, name, pool = self._pool(args)
        app, known = args.get_str("app") or "", pool.application_metadata
        if not app:
            raise fail(errno.EINVAL, "application name must be provided")
        if is_tier(pool):
            raise fail(errno.EINVAL, "application must be enabled on base tier")
        if app not in known and known and not args.get_bool("yes_i_really_mean_it"):
            raise fail(
                errno.EPERM,
                f"Are you SURE? Pool '{name}' already has an enabled application; "
                "pass --yes-i-really-mean-it to proceed anyway",
            )
        if app not in known and len(known) >= MAX_APPLICATIONS:
            raise fail(
                errno.EINVAL,
                f"too many enabled applications on pool '{name}'; max {MAX_APPLICATIONS}",
            )
        if len(app) > MAX_LENGTH:
            raise fail(errno.EINVAL, f"application name '{app}' too long; max length {MAX_LENGTH}")
        with self._osd.change() as pending:
            pending.pool(number).application_metadata.setdefault(app, {})
        return CommandResult(0, f"enabled application '{app}' on pool '{name}'")

    @command(
        f"osd pool application disable {_POOL} {_SURE}",
        module="osd",
        perm="rw",
        about="an application does not use a pool any more",
    )
    def disable(self, ctx: CommandContext, args: Args) -> CommandResult:
        number, name, pool = self._pool(args)
        app = args.need_str("app")
        if not args.get_bool("yes_i_really_mean_it"):
            raise fail(
                errno.EPERM,
                "Are you SURE? Disabling an application within a pool might result in loss of "
                "application functionality; pass --yes-i-really-mean-it to proceed anyway",
            )
        if app not in pool.application_metadata:
            return CommandResult(0, f"application '{app}' is not enabled on pool '{name}'")
        with self._osd.change() as pending:
            del pending.pool(number).application_metadata[app]
        return CommandResult(0, f"disable application '{app}' on pool '{name}'")

    @command(
        f"osd pool application set {_POOL} "
        "name=key,type=CephString,goodchars=[A-Za-z0-9-_.] "
        "name=value,type=CephString,goodchars=[A-Za-z0-9-_.=]",
        module="osd",
        perm="rw",
        about="keep a value for an application",
    )
    def set(self, ctx: CommandContext, args: Args) -> CommandResult:
        number, name, pool = self._pool(args)
        app, key, value = (args.get_str(word) or "" for word in ("app", "key", "value"))
        if is_tier(pool):
            raise fail(errno.EINVAL, "application metadata must be set on base tier")
        known = pool.application_metadata.get(app)
        if known is None:
            raise fail(errno.ENOENT, f"application '{app}' is not enabled on pool '{name}'")
        if not key:
            raise fail(errno.EINVAL, "key must be provided")
        if key not in known and len(known) >= MAX_KEYS:
            raise fail(
                errno.EINVAL,
                f"too many keys set for application '{app}' on pool '{name}'; max {MAX_KEYS}",
            )
        if len(key) > MAX_LENGTH:
            raise fail(errno.EINVAL, f"key '{app}' too long; max length {MAX_LENGTH}")
        if len(value) > MAX_LENGTH:
            raise fail(errno.EINVAL, f"value '{value}' too long; max length {MAX_LENGTH}")
        with self._osd.change() as pending:
            pending.pool(number).application_metadata[app][key] = value
        return CommandResult(
            0, f"set application '{app}' key '{key}' to '{value}' on pool '{name}'"
        )

    @command(
        f"osd pool application rm {_POOL} name=key,type=CephString",
        module="osd",
        perm="rw",
        about="forget a value of an application",
    )
    def rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        number, name, pool = self._pool(args)
        app, key = args.need_str("app"), args.need_str("key")
        known = pool.application_metadata.get(app)
        if known is None:
            raise fail(errno.ENOENT, f"application '{app}' is not enabled on pool '{name}'")
        if key not in known:
            return CommandResult(
                0, f"application '{app}' on pool '{name}' does not have key '{key}'"
            )
        with self._osd.change() as pending:
            del pending.pool(number).application_metadata[app][key]
        return CommandResult(0, f"removed application '{app}' key '{key}' on pool '{name}'")

    @command(
        "osd pool application get name=pool,type=CephPoolname,req=false "
        "name=app,type=CephString,req=false name=key,type=CephString,req=false",
        module="osd",
        perm="r",
        about="which applications use a pool, and what is kept for them",
    )
    def get(self, ctx: CommandContext, args: Args) -> CommandResult:
        name, app, key = (args.get_str(word) or "" for word in ("pool", "app", "key"))
        if not name:
            data = {
                self._osd.pool_name(number): _applications(pool)
                for number, pool in sorted(self._osd.map.pools.items())
            }
            return ctx.reply(data, section="pools")
        pool = self._osd.pool_by_name(name)
        if pool is None:
            raise fail(errno.ENOENT, f"unrecognized pool '{name}'")
        if not app:
            return ctx.reply(_applications(pool), section=name)
        known = pool.application_metadata.get(app)
        if known is None:
            raise fail(errno.ENOENT, f"pool '{name}' has no application '{app}'")
        if not key:
            return ctx.reply(dict(sorted(known.items())), section=app)
        if key not in known:
            raise fail(
                errno.ENOENT, f"application '{app}' on pool '{name}' does not have key '{key}'"
            )
        return CommandResult(0, "", f"{known[key]}\n".encode("utf-8", "surrogateescape"))


def _applications(pool: PGPool) -> dict[str, dict[str, str]]:
    return {
        app: dict(sorted(keys.items())) for app, keys in sorted(pool.application_metadata.items())
    }
