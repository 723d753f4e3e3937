"""Commands of the manager's modules that work inside a file system, which this monitor lacks.

Subvolumes, clones, snapshot schedules, mirroring and performance figures need a manager with a
client of its own. They are known by name, so that whoever asks is told so.

Format: ceph/ceph, src/pybind/mgr/{volumes,snap_schedule,mirroring,stats}/module.py (Pacific
16.2.15)
"""

from __future__ import annotations

import errno
from typing import Final

from mdsdaemon.embedded.monitor.commands import (
    FLAG_HIDDEN,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)

# Prefix, permissions, arguments: NAME, `?` for one that may be missing, `:i` for a number, `:b` for
# a flag, `:A|B` for a choice.
_COMMANDS: Final = """
fs snapshot mirror enable; w; fs_name?
fs snapshot mirror disable; w; fs_name?
fs snapshot mirror peer_add; w; fs_name remote_cluster_spec? remote_fs_name? remote_mon_host? \
cephx_key?
fs snapshot mirror peer_list; r; fs_name?
fs snapshot mirror peer_remove; w; fs_name peer_uuid?
fs snapshot mirror peer_bootstrap create; w; fs_name client_name site_name?
fs snapshot mirror peer_bootstrap import; w; fs_name token?
fs snapshot mirror add; w; fs_name path?
fs snapshot mirror remove; w; fs_name path?
fs snapshot mirror dirmap; r; fs_name path?
fs snapshot mirror show distribution; r; fs_name?
fs snapshot mirror daemon status; r;
fs snap-schedule status; r; path? fs?
fs snap-schedule list; r; path? recursive?:b fs?
fs snap-schedule add; w; path snap_schedule? start? fs?
fs snap-schedule remove; w; path repeat? start? fs?
fs snap-schedule retention add; w; path retention_spec_or_period retention_count? fs?
fs snap-schedule retention remove; w; path retention_spec_or_period retention_count? fs?
fs snap-schedule activate; w; path repeat? start? fs?
fs snap-schedule deactivate; w; path repeat? start? fs?
fs perf stats; r; mds_rank? client_id? client_ip?
fs subvolumegroup ls; r; vol_name
fs subvolumegroup create; rw; vol_name group_name size?:i pool_layout? uid?:i gid?:i mode?
fs subvolumegroup rm; rw; vol_name group_name force?:b
fs subvolumegroup info; r; vol_name group_name
fs subvolumegroup resize; rw; vol_name group_name new_size no_shrink?:b
fs subvolumegroup exist; r; vol_name
fs subvolume ls; r; vol_name group_name?
fs subvolume create; rw; vol_name sub_name size?:i group_name? pool_layout? uid?:i gid?:i mode? \
namespace_isolated?:b
fs subvolume rm; rw; vol_name sub_name group_name? force?:b retain_snapshots?:b
fs subvolume authorize; rw; vol_name sub_name auth_id group_name? access_level? tenant_id? \
allow_existing_id?:b
fs subvolume deauthorize; rw; vol_name sub_name auth_id group_name?
fs subvolume authorized_list; r; vol_name sub_name group_name?
fs subvolume evict; rw; vol_name sub_name auth_id group_name?
fs subvolumegroup getpath; r; vol_name group_name
fs subvolume getpath; rw; vol_name sub_name group_name?
fs subvolume info; r; vol_name sub_name group_name?
fs subvolume exist; r; vol_name group_name?
fs subvolume metadata set; rw; vol_name sub_name key_name value group_name?
fs subvolume metadata get; r; vol_name sub_name key_name group_name?
fs subvolume metadata ls; r; vol_name sub_name group_name?
fs subvolume metadata rm; rw; vol_name sub_name key_name group_name? force?:b
fs subvolumegroup pin; rw; vol_name group_name pin_type:export|distributed|random pin_setting
fs subvolumegroup snapshot ls; r; vol_name group_name
fs subvolumegroup snapshot create; rw; vol_name group_name snap_name
fs subvolumegroup snapshot rm; rw; vol_name group_name snap_name force?:b
fs subvolume snapshot ls; r; vol_name sub_name group_name?
fs subvolume snapshot create; rw; vol_name sub_name snap_name group_name?
fs subvolume snapshot info; r; vol_name sub_name snap_name group_name?
fs subvolume snapshot metadata set; rw; vol_name sub_name snap_name key_name value group_name?
fs subvolume snapshot metadata get; r; vol_name sub_name snap_name key_name group_name?
fs subvolume snapshot metadata ls; r; vol_name sub_name snap_name group_name?
fs subvolume snapshot metadata rm; rw; vol_name sub_name snap_name key_name group_name? force?:b
fs subvolume snapshot rm; rw; vol_name sub_name snap_name group_name? force?:b
fs subvolume resize; rw; vol_name sub_name new_size group_name? no_shrink?:b
fs subvolume pin; rw; vol_name sub_name pin_type:export|distributed|random pin_setting group_name?
fs subvolume snapshot protect; rw; vol_name sub_name snap_name group_name?
fs subvolume snapshot unprotect; rw; vol_name sub_name snap_name group_name?
fs subvolume snapshot clone; rw; vol_name sub_name snap_name target_sub_name pool_layout? \
group_name? target_group_name?
fs clone status; r; vol_name clone_name group_name?
fs clone cancel; r; vol_name clone_name group_name?
"""

_TYPES: Final = {"": "CephString", "i": "CephInt", "b": "CephBool"}


def _argument(word: str) -> str:
    name, _, kind = word.partition(":")
    text = f"name={name.removesuffix('?')}"
    text += f",type={_TYPES[kind]}" if kind in _TYPES else f",type=CephChoices,strings={kind}"
    return text + (",req=false" if name.endswith("?") else "")


def _descriptions() -> list[tuple[str, str]]:
    """(description, permissions) of each."""
    found = []
    for line in _COMMANDS.strip().splitlines():
        prefix, perm, words = (part.strip() for part in line.split(";"))
        found.append((" ".join([prefix, *map(_argument, words.split())]), perm))
    return found


class FSRefused:
    """See the module."""

    def refuse(self, ctx: CommandContext, args: Args) -> CommandResult:
        raise fail(
            errno.EOPNOTSUPP,
            f"'{ctx.prefix}' is a command of the manager's modules, and this cluster has no "
            "manager; use a Ceph cluster with ceph-mgr for it",
        )

    for _desc, _perm in _descriptions():
        refuse = command(
            _desc,
            module="mgr",
            perm=_perm,
            flags=FLAG_HIDDEN,
            about="needs a manager",
            checked=False,
        )(refuse)
    del _desc, _perm
