"""What the rooms of `ceph fs` and `ceph mds` commands share: who sees what, and how values read."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from mdsdaemon.embedded.monitor import commands
from mdsdaemon.embedded.monitor.commands import Args, CommandContext, F, fail
from mdsdaemon.embedded.monitor.mds_fsmap import FSMapView, parse_int

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.fs_pool_access import PoolAccess
    from mdsdaemon.embedded.monitor.mds_fsmap_edit import FSMapEditor
    from mdsdaemon.embedded.monitor.mds_monitor import MDSMonitor
    from mdsdaemon.maps.fs_map import Filesystem, FSMap

BOOL_WORDS = "value must be false|no|0 or true|yes|1"


def command(
    desc: str, *, module: str, perm: str, about: str = "", flags: int = 0
) -> Callable[[F], F]:
    """`commands.command` for handlers that check their arguments themselves, as Ceph's do."""
    return commands.command(desc, module=module, perm=perm, about=about, flags=flags, checked=False)


class FSRoom:
    """Base of the rooms.

    Attributes:
        mds: the service; `edit` is its FSMap.
    """

    def __init__(self, mds: MDSMonitor) -> None:
        self.mds = mds

    @property
    def pools(self) -> PoolAccess:
        return self.mds.pools

    @property
    def edit(self) -> FSMapEditor:
        return self.mds.state.edit

    @property
    def fsmap(self) -> FSMap:
        return self.mds.fsmap

    def view(self, ctx: CommandContext) -> FSMapView:
        """The FSMap as far as the caller's caps let it see."""
        return self.mds.view(allowed_names(ctx))

    def need_fs(self, ctx: CommandContext, args: Args) -> Filesystem:
        """The file system that the argument ``fs_name`` names, which the caller may change.

        Raises CommandError: ENOENT; EPERM.
        """
        name = args.get_str("fs_name") or ""
        fs = self.edit.by_name(name)
        if fs is None:
            raise fail(errno.ENOENT, f"Filesystem not found: '{name}'")
        need_write(ctx, name, f"Permission denied: '{name}'")
        return fs

    def settle(self, ctx: CommandContext) -> None:
        """The change is complete."""
        self.mds.settle(ctx.now)


def allowed_names(ctx: CommandContext) -> list[str]:
    """The file systems that the caller is confined to; empty: to none."""
    return ctx.session.caps.allowed_fs_names() if ctx.session is not None else []


def need_write(ctx: CommandContext, fs_name: str, text: str = "Permission denied.") -> None:
    """Raises CommandError (EPERM, `text`): the caller may not change that file system."""
    session = ctx.session
    if session is not None and not session.caps.fs_name_capable(session.entity_name, fs_name, "w"):
        raise fail(errno.EPERM, text)


def parse_bool(text: str, complaint: str = BOOL_WORDS) -> bool:
    """A truth value as Ceph's file system commands take it."""
    try:
        number = parse_int(text)
    except ValueError:
        number = -1
    if text in ("false", "no") or number == 0:
        return False
    if text in ("true", "yes") or number == 1:
        return True
    raise fail(errno.EINVAL, complaint)
