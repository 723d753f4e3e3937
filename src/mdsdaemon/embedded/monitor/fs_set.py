"""`ceph fs set`: the variables of a file system.

Behaviour: ceph/ceph, src/mon/FSCommands.cc (SetHandler) (Pacific 16.2.15, compared with a live
monitor)
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import FSRoom, command, parse_bool
from mdsdaemon.embedded.monitor.mds_fsmap import parse_int
from mdsdaemon.maps.fs_map import Filesystem
from mdsdaemon.maps.mds_map import (
    FLAG_ALLOW_MULTIMDS_SNAPS,
    FLAG_ALLOW_SNAPS,
    FLAG_ALLOW_STANDBY_REPLAY,
    FLAG_NOT_JOINABLE,
)
from mdsdaemon.maps.mds_states import State
from mdsdaemon.types.feature_bitset import FeatureBitset
from mdsdaemon.types.release import RELEASES

MAX_MDS: Final = 256
MIN_STRIPE_UNIT: Final = 65536
MIN_SESSION_SECONDS: Final = 30

_OLDEST_FEATURES: Final = {
    "octopus": 13,
    "nautilus": 12,
    "mimic": 8,
    "luminous": 7,
    "kraken": 6,
    "jewel": 5,
}
"""The feature that stands for a release, newest first."""

_LAST_RELEASE: Final = "quincy"
_DEPRECATED_CLIENT: Final = (
    "WARNING: setting min_compat_client is deprecated and may not do what you want.\n"
    "The oldest release to set is octopus.\n"
    "Please migrate to `ceph fs required_client_features ...`."
)

VARIABLES: Final = (
    "max_mds|max_file_size|allow_new_snaps|inline_data|cluster_down|allow_dirfrags|balancer|"
    "standby_count_wanted|session_timeout|session_autoclose|allow_standby_replay|down|joinable|"
    "min_compat_client"
)


class FSSet(FSRoom):
    """See the module. Each `_set_NAME` returns the line that the command answers with."""

    @command(
        f"fs set name=fs_name,type=CephString name=var,type=CephChoices,strings={VARIABLES} "
        "name=val,type=CephString name=yes_i_really_mean_it,type=CephBool,req=false "
        "name=yes_i_really_really_mean_it,type=CephBool,req=false",
        module="mds",
        perm="rw",
        about="a variable of a file system",
    )
    def fs_set(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        var = args.get_str("var")
        if not var:
            raise fail(errno.EINVAL, "Invalid variable")
        val = args.get_str("val")
        if val is None:
            raise fail(errno.EINVAL, "")
        setters: dict[str, Callable[[], str]] = {
            "max_mds": lambda: self._max_mds(fs, val),
            "inline_data": lambda: self._inline_data(
                fs, val, sure=args.get_bool("yes_i_really_really_mean_it")
            ),
            "balancer": lambda: self._balancer(fs, val),
            "max_file_size": lambda: self._max_file_size(fs, val),
            "allow_new_snaps": lambda: self._allow_new_snaps(fs, val),
            "allow_multimds": lambda: (
                "Multiple MDS is always enabled. Use the max_mds parameter to control the number "
                "of active MDSs allowed. This command is DEPRECATED and will be REMOVED from "
                "future releases."
            ),
            "allow_multimds_snaps": lambda: self._allow_multimds_snaps(
                fs, val, confirm=args.get_str("confirm") or ""
            ),
            "allow_dirfrags": lambda: (
                "Directory fragmentation is now permanently enabled. This command is DEPRECATED "
                "and will be REMOVED from future releases."
            ),
            "down": lambda: self._down(fs, val),
            "cluster_down": lambda: (
                f"{self._joinable(fs, joinable=not parse_bool(val))} WARNING: cluster_down flag is "
                'deprecated and will be removed in a future version. Please use "joinable".'
            ),
            "joinable": lambda: self._joinable(fs, joinable=parse_bool(val)),
            "standby_count_wanted": lambda: self._standby_count_wanted(fs, val),
            "session_timeout": lambda: self._session(fs, "session_timeout", val),
            "session_autoclose": lambda: self._session(fs, "session_autoclose", val),
            "allow_standby_replay": lambda: self._allow_standby_replay(ctx, fs, val),
            "min_compat_client": lambda: self._min_compat_client(fs, val),
        }
        setter = setters.get(var)
        if setter is None:
            raise fail(errno.EINVAL, f"unknown variable {var}")
        said = setter()
        self.edit.touch()
        self.settle(ctx)
        return CommandResult(0, said)

    def _max_mds(self, fs: Filesystem, val: str) -> str:
        try:
            count = parse_int(val)
        except ValueError as error:
            raise fail(errno.EINVAL, str(error)) from None
        if count <= 0:
            raise fail(errno.EINVAL, "You must specify at least one MDS")
        old = fs.mds_map
        if (
            count > max(1, old.max_mds)
            and old.ever_allowed_features & FLAG_ALLOW_SNAPS
            and not old.test_flag(FLAG_ALLOW_MULTIMDS_SNAPS)
        ):
            raise fail(
                errno.EINVAL,
                "multi-active MDS is not allowed while there are snapshots possibly created by "
                "pre-mimic MDS",
            )
        if count > MAX_MDS:
            raise fail(errno.EINVAL, f"may not have more than {MAX_MDS} MDS ranks")
        mds_map = self.edit.modify_filesystem(fs)
        mds_map.flags &= ~FLAG_NOT_JOINABLE
        mds_map.max_mds = count
        return ""

    def _inline_data(self, fs: Filesystem, val: str, *, sure: bool) -> str:
        enable = parse_bool(val)
        if enable and not sure:
            raise fail(
                errno.EPERM,
                "Inline data support is deprecated and will be removed in a future release. Add "
                "--yes-i-really-really-mean-it if you are certain you want this enabled.",
            )
        self.edit.modify_filesystem(fs).inline_data_enabled = enable
        return f"inline data {'enabled' if enable else 'disabled'}"

    def _balancer(self, fs: Filesystem, val: str) -> str:
        self.edit.modify_filesystem(fs).balancer = val
        if not val:
            return "unsetting the metadata load balancer"
        return f"setting the metadata load balancer to {val}"

    def _max_file_size(self, fs: Filesystem, val: str) -> str:
        size = _number("max_file_size", val)
        if size < MIN_STRIPE_UNIT:
            raise fail(errno.ERANGE, f"max_file_size must at least {MIN_STRIPE_UNIT}")
        self.edit.modify_filesystem(fs).max_file_size = size
        return ""

    def _allow_new_snaps(self, fs: Filesystem, val: str) -> str:
        allow = parse_bool(val)
        self._flag(fs, FLAG_ALLOW_SNAPS, on=allow)
        return f"{'enabled' if allow else 'disabled'} new snapshots"

    def _allow_multimds_snaps(self, fs: Filesystem, val: str, *, confirm: str) -> str:
        allow = parse_bool(val)
        if confirm != "--yes-i-am-really-a-mds":
            raise fail(errno.EPERM, "Warning! This command is for MDS only. Do not run it manually")
        self._flag(fs, FLAG_ALLOW_MULTIMDS_SNAPS, on=allow)
        return f"{'enabled' if allow else 'disabled'} multimds with snapshot"

    def _flag(self, fs: Filesystem, flag: int, *, on: bool) -> None:
        mds_map = self.edit.modify_filesystem(fs)
        if on:
            mds_map.flags |= flag
            mds_map.ever_allowed_features |= flag
            mds_map.explicitly_allowed_features |= flag
        else:
            mds_map.flags &= ~flag

    def _down(self, fs: Filesystem, val: str) -> str:
        down = parse_bool(val)
        mds_map = self.edit.modify_filesystem(fs)
        if down:
            if mds_map.max_mds > 0:
                mds_map.old_max_mds = mds_map.max_mds
                mds_map.max_mds = 0
            return f"{mds_map.fs_name} marked down. "
        mds_map.max_mds = mds_map.old_max_mds or 1
        return f"{mds_map.fs_name} marked up, max_mds = {mds_map.max_mds}"

    def _joinable(self, fs: Filesystem, *, joinable: bool) -> str:
        mds_map = self.edit.modify_filesystem(fs)
        if joinable:
            mds_map.flags &= ~FLAG_NOT_JOINABLE
            return f"{mds_map.fs_name} marked joinable; MDS may join as newly active."
        mds_map.flags |= FLAG_NOT_JOINABLE
        return f"{mds_map.fs_name} marked not joinable; MDS cannot join as newly active."

    def _standby_count_wanted(self, fs: Filesystem, val: str) -> str:
        count = _number("standby_count_wanted", val)
        if count < 0:
            raise fail(errno.ERANGE, "standby_count_wanted must be non-negative")
        self.edit.modify_filesystem(fs).standby_count_wanted = min(count, (1 << 31) - 1)
        return ""

    def _session(self, fs: Filesystem, name: str, val: str) -> str:
        seconds = _number(name, val)
        if seconds < MIN_SESSION_SECONDS:
            raise fail(errno.ERANGE, f"{name} must be at least {MIN_SESSION_SECONDS}s")
        setattr(self.edit.modify_filesystem(fs), name, seconds & 0xFFFFFFFF)
        return ""

    def _allow_standby_replay(self, ctx: CommandContext, fs: Filesystem, val: str) -> str:
        allow = parse_bool(val)
        if not allow:
            for gid, info in sorted(fs.mds_map.mds_info.items()):
                if info.state == State.STANDBY_REPLAY:
                    self.mds.state.fail_gid(gid, ctx.now)
        self._flag(fs, FLAG_ALLOW_STANDBY_REPLAY, on=allow)
        return ""

    def _min_compat_client(self, fs: Filesystem, val: str) -> str:
        known = RELEASES[1 : RELEASES.index(_LAST_RELEASE) + 1]
        if val not in known:
            raise fail(errno.EINVAL, f"version {val} is not recognized")
        number = RELEASES.index(val)
        bits = [bit for name, bit in _OLDEST_FEATURES.items() if number >= RELEASES.index(name)]
        self.edit.modify_filesystem(fs).required_client_features = FeatureBitset.of(bits[:1])
        return _DEPRECATED_CLIENT


def _number(name: str, val: str) -> int:
    try:
        return parse_int(val)
    except ValueError:
        raise fail(errno.EINVAL, f"{name} requires an integer value") from None
