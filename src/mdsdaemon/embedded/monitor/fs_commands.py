"""Making, showing, failing and removing file systems.

Behaviour: ceph/ceph, src/mon/FSCommands.cc, MDSMonitor.cc (Pacific 16.2.15, compared with a live
monitor)
"""

from __future__ import annotations

import errno
from typing import Any

from mdsdaemon.embedded.monitor import mds_print
from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import FSRoom, command, parse_bool
from mdsdaemon.embedded.monitor.mds_print import respond
from mdsdaemon.embedded.monitor.mds_state import human_name
from mdsdaemon.maps.fs_map import Filesystem
from mdsdaemon.maps.mds_info import FS_CLUSTER_ID_NONE
from mdsdaemon.maps.mds_map import FLAG_NOT_JOINABLE
from mdsdaemon.messages.formatter import NamedList

_FS = "name=fs_name,type=CephString"
_SURE = "name=yes_i_really_mean_it,type=CephBool,req=false"

_OVERLAY = (
    "is already using one of the specified RADOS pools. This should ONLY be done in emergencies "
    "and after careful reading of the documentation. Pass --allow-dangerous-metadata-overlay to "
    "permit this."
)
_ONE_ONLY = (
    "Creation of multiple filesystems is disabled.  To enable this experimental feature, use "
    "'ceph fs flag set enable_multiple true'"
)


class FSCommands(FSRoom):
    """See the module."""

    # -- reading ----------------------------------------------------------------------------

    @command("fs ls", module="fs", perm="r", about="file systems and their pools")
    def fs_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        data: list[dict[str, Any]] = []
        text = ""
        for fs in self.view(ctx).map.filesystems:
            mds_map = fs.mds_map
            meta = self.pools.name(mds_map.metadata_pool)
            names = [self.pools.name(pool) for pool in mds_map.data_pools]
            data.append(
                {
                    "name": mds_map.fs_name,
                    "metadata_pool": meta,
                    "metadata_pool_id": mds_map.metadata_pool,
                    "data_pool_ids": NamedList("data_pool_id", mds_map.data_pools),
                    "data_pools": NamedList("data_pool", names),
                }
            )
            listed = "".join(f"{name} " for name in names)
            text += f"name: {mds_map.fs_name}, metadata pool: {meta}, data pools: [{listed}]\n"
        return respond(
            ctx,
            NamedList("filesystem", data),
            text or "No filesystems enabled\n",
            section="filesystems",
        )

    @command(f"fs get {_FS}", module="fs", perm="r", about="one file system")
    def fs_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self._see_fs(ctx, args)
        shown = mds_print.dump_filesystem(fs)
        return respond(ctx, shown, mds_print.filesystem_text(fs), section="filesystem")

    def _see_fs(self, ctx: CommandContext, args: Args) -> Filesystem:
        name = args.get_str("fs_name") or ""
        fs = self.view(ctx).by_name(name)
        if fs is None:
            raise fail(errno.ENOENT, f"filesystem '{name}' not found")
        return fs

    @command(f"fs compat show {_FS}", module="mds", perm="r", about="what daemons must know")
    def fs_compat_show(self, ctx: CommandContext, args: Args) -> CommandResult:
        compat = self._see_fs(ctx, args).mds_map.compat
        return respond(ctx, compat.dump(), str(compat))

    @command("fs feature ls", module="mds", perm="r", about="features that clients may need")
    def fs_feature_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        names = mds_print.FEATURE_NAMES
        data = [{"index": index, "name": name} for index, name in enumerate(names)]
        text = "".join(f"{index} {name}\n" for index, name in enumerate(names))
        return respond(ctx, NamedList("feature", data), text, section="cephfs_features")

    # -- making -----------------------------------------------------------------------------

    @command(
        "fs new name=fs_name,type=CephString,goodchars=[A-Za-z0-9-_.] "
        "name=metadata,type=CephString name=data,type=CephString "
        "name=force,type=CephBool,req=false "
        "name=allow_dangerous_metadata_overlay,type=CephBool,req=false "
        "name=fscid,type=CephInt,range=0,req=false name=recover,type=CephBool,req=false",
        module="fs",
        perm="rw",
        about="make a file system of these pools",
    )
    def fs_new(self, ctx: CommandContext, args: Args) -> CommandResult:
        meta_name, data_name = args.get_str("metadata") or "", args.get_str("data") or ""
        metadata, data = self.pools.need_id(meta_name), self.pools.need_id(data_name)
        if data == 0:
            raise fail(
                errno.EINVAL,
                f"pool '{data_name}' has id 0, which CephFS does not allow. Use another pool or "
                "recreate it to get a non-zero pool id.",
            )
        name = args.get_str("fs_name") or ""
        if not name:
            raise fail(errno.EINVAL, "Filesystem name may not be empty")
        existing = self.edit.by_name(name)
        if existing is not None:
            old = existing.mds_map
            if old.get_first_data_pool() == data and old.metadata_pool == metadata:
                return CommandResult(0, f"filesystem '{name}' already exists")
            raise fail(errno.EINVAL, f"filesystem already exists with name '{name}'")
        force = args.get_bool("force")
        if not force and self.pools.has_objects(metadata):
            raise fail(
                errno.EINVAL,
                f"pool '{meta_name}' already contains some objects. Use an empty pool instead.",
            )
        if self.fsmap.filesystems and not self.fsmap.enable_multiple:
            raise fail(errno.EINVAL, _ONE_ONLY)
        overlay = args.get_bool("allow_dangerous_metadata_overlay")
        for fs in self.fsmap.filesystems:
            shared = fs.mds_map.is_data_pool(data) or fs.mds_map.metadata_pool == metadata
            if shared and not overlay:
                raise fail(errno.EEXIST, f"Filesystem '{name}' {_OVERLAY}")
        fscid = args.get_int("fscid")
        if fscid is not None:
            if not force:
                raise fail(errno.EINVAL, "Pass --force to create a file system with a specific ID")
            if self.edit.find(fscid) is not None:
                raise fail(errno.EINVAL, f"filesystem already exists with id '{fscid}'")
        note = self.pools.check(data, "data", force=force)
        note += self.pools.check(metadata, "metadata", force=force)
        with self.pools.one_epoch():
            self.pools.tag(data, "data", name)
            self.pools.tag(metadata, "metadata", name)
            self.pools.tune_metadata(metadata)
        recover = args.get_bool("recover")
        made = self.edit.create_filesystem(
            name,
            metadata,
            data,
            ctx.now,
            fscid=FS_CLUSTER_ID_NONE if fscid is None else fscid,
            recover=recover,
        )
        if not recover:
            # at once, so that no health warning comes and goes
            info = self.edit.find_replacement_for(made, 0)
            if info is not None:
                self.mds.state.clog(
                    "info", f"{human_name(info)} assigned to filesystem {name} as rank 0"
                )
                self.edit.promote(info.global_id, made, 0)
        self.settle(ctx)
        return CommandResult(0, f"{note}new fs with metadata pool {metadata} and data pool {data}")

    # -- unmaking ---------------------------------------------------------------------------

    @command(
        f"fs fail {_FS}", module="fs", perm="rw", about="take a file system and its ranks down"
    )
    def fs_fail(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        self.edit.modify_filesystem(fs).flags |= FLAG_NOT_JOINABLE
        with self.pools.one_epoch():
            for gid in sorted(fs.mds_map.mds_info):
                self.mds.state.fail_gid(gid, ctx.now)
        self.settle(ctx)
        return CommandResult(
            0,
            f"{fs.mds_map.fs_name} marked not joinable; MDS cannot join the cluster. "
            "All MDS ranks marked failed.",
        )

    @command(
        f"fs rm {_FS} {_SURE}", module="fs", perm="rw", about="forget a file system that is down"
    )
    def fs_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("fs_name") or ""
        if self.edit.by_name(name) is None:
            return CommandResult(0, f"filesystem '{name}' does not exist")
        fs = self.need_fs(ctx, args)
        if fs.mds_map.up:
            raise fail(
                errno.EINVAL,
                "all MDS daemons must be inactive/failed before removing filesystem. "
                "See `ceph fs fail`.",
            )
        if not args.get_bool("yes_i_really_mean_it"):
            raise fail(
                errno.EPERM,
                "this is a DESTRUCTIVE operation and will make data in your filesystem permanently "
                "inaccessible.  Add --yes-i-really-mean-it if you are sure you wish to continue.",
            )
        for gid in sorted(fs.mds_map.mds_info):
            self.mds.state.fail_gid(gid, ctx.now)
        self.edit.erase_filesystem(fs)
        self.settle(ctx)
        return CommandResult()

    @command(
        f"fs reset {_FS} {_SURE}",
        module="fs",
        perm="rw",
        about="for disasters: back to one rank, which has failed",
    )
    def fs_reset(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        if fs.mds_map.up:
            raise fail(
                errno.EINVAL,
                "all MDS daemons must be inactive before resetting filesystem: set the "
                "cluster_down flag and use `ceph mds fail` to make this so",
            )
        if not args.get_bool("yes_i_really_mean_it"):
            raise fail(
                errno.EPERM,
                "this is a potentially destructive operation, only for use by experts in disaster "
                "recovery.  Add --yes-i-really-mean-it if you are sure you wish to continue.",
            )
        for gid in sorted(fs.mds_map.mds_info):
            self.mds.state.fail_gid(gid, ctx.now)
        self.edit.reset_filesystem(fs, ctx.now)
        self.settle(ctx)
        return CommandResult()

    # -- the cluster's ----------------------------------------------------------------------

    @command(
        f"fs flag set name=flag_name,type=CephChoices,strings=enable_multiple "
        f"name=val,type=CephString {_SURE}",
        module="fs",
        perm="rw",
        about="a flag of all file systems",
    )
    def fs_flag_set(self, ctx: CommandContext, args: Args) -> CommandResult:
        flag, val = args.get_str("flag_name") or "", args.get_str("val") or ""
        if flag != "enable_multiple":
            raise fail(errno.EINVAL, f"Unknown flag '{flag}'")
        value = parse_bool(
            val, f"value must be false|no|0 or true|yes|1Invalid boolean value '{val}'"
        )
        self.edit.touch()
        self.fsmap.enable_multiple = value
        self.fsmap.ever_enabled_multiple = value or self.fsmap.ever_enabled_multiple
        self.settle(ctx)
        return CommandResult()

    @command(
        f"fs set_default {_FS}",
        module="fs",
        perm="rw",
        flags=FLAG_DEPRECATED,
        about="the file system of clients that name none",
    )
    @command(
        f"fs set-default {_FS}",
        module="fs",
        perm="rw",
        about="the file system of clients that name none",
    )
    def fs_set_default(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        self.edit.touch()
        self.fsmap.legacy_client_fscid = fs.fscid
        self.settle(ctx)
        return CommandResult()
