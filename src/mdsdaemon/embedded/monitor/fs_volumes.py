"""`ceph fs volume`: a file system together with its pools.

In a real cluster the manager's module ``volumes`` answers these.

Behaviour: ceph/ceph, src/pybind/mgr/volumes/fs/operations/volume.py, fs/volume.py (Pacific
16.2.15)
"""

from __future__ import annotations

import errno
import json
from typing import Any, Final

from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import FSRoom, command
from mdsdaemon.embedded.monitor.fs_tables import format_bytes
from mdsdaemon.embedded.monitor.mds_print import ended_lines
from mdsdaemon.maps.formatting import sockaddr_str

_SURE: Final = "--yes-i-really-mean-it"
_NO_DELETE: Final = (
    "pool deletion is disabled; you must first set the mon_allow_pool_delete config option to "
    "true before volumes can be deleted"
)


class FSVolumes(FSRoom):
    """See the module."""

    @command("fs volume ls", module="mgr", perm="r", about="volumes by name")
    def fs_volume_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        return _json([{"name": fs.mds_map.fs_name} for fs in self.view(ctx).map.filesystems])

    @command(
        "fs volume create name=name,type=CephString,goodchars=[A-Za-z0-9-_.] "
        "name=placement,type=CephString,req=false",
        module="mgr",
        perm="rw",
        about="a file system with new pools",
    )
    def fs_volume_create(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("name") or ""
        metadata, data = f"cephfs.{name}.meta", f"cephfs.{name}.data"
        run = self.mds.run_command
        made: list[str] = []
        for pool, extra in ((metadata, {}), (data, {"bulk": True})):
            existed = self.pools.find(pool) is not None
            result = run(ctx, "osd pool create", pool=pool, **extra)
            if result.r < 0:
                self._remove_pools(ctx, made)
                return result
            if not existed:
                made.append(pool)
        result = run(ctx, "fs new", fs_name=name, metadata=metadata, data=data)
        if result.r < 0:
            self._remove_pools(ctx, made)
            return result
        return CommandResult(0, "Volume created successfully (no MDS daemons created)")

    @command(
        "fs volume rm name=vol_name,type=CephString "
        "name=yes-i-really-mean-it,type=CephString,req=false",
        module="mgr",
        perm="rw",
        about="a file system and all that is in it",
    )
    def fs_volume_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("vol_name") or ""
        sure = args.get("yes-i-really-mean-it")
        if sure is not True and sure != _SURE:
            raise fail(
                errno.EPERM,
                "WARNING: this will *PERMANENTLY DESTROY* all data stored in the filesystem "
                f"'{name}'. If you are *ABSOLUTELY CERTAIN* that is what you want, re-issue the "
                f"command followed by {_SURE}.",
            )
        if not self.mds.mon.config.get_bool("mon_allow_pool_delete"):
            raise fail(errno.EPERM, _NO_DELETE)
        fs = self.view(ctx).by_name(name)
        if fs is None:
            raise fail(errno.ENOENT, f"volume {name} doesn't exist")
        metadata = self.pools.name(fs.mds_map.metadata_pool)
        data = [self.pools.name(pool) for pool in fs.mds_map.data_pools]
        run = self.mds.run_command
        for prefix, extra in (("fs fail", {}), ("fs rm", {"yes_i_really_mean_it": True})):
            result = run(ctx, prefix, fs_name=name, **extra)
            if result.r < 0:
                return result
        for pool in (metadata, *data):
            result = self._remove_pool(ctx, pool)
            if result.r < 0:
                return result
        said = f"metadata pool: {metadata} data pool: {data} removed"
        return CommandResult(0, "", ended_lines(said.encode(errors="surrogateescape")))

    def _remove_pools(self, ctx: CommandContext, names: list[str]) -> None:
        for name in names:
            self._remove_pool(ctx, name)

    def _remove_pool(self, ctx: CommandContext, name: str) -> CommandResult:
        return self.mds.run_command(
            ctx, "osd pool rm", pool=name, pool2=name, yes_i_really_really_mean_it=True
        )

    @command(
        "fs volume info name=vol_name,type=CephString name=human_readable,type=CephBool,req=false",
        module="mgr",
        perm="r",
        about="pools and monitors of a volume",
    )
    def fs_volume_info(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = args.get_str("vol_name") or ""
        fs = self.view(ctx).by_name(name)
        if fs is None:
            raise fail(errno.ENOENT, f"Filesystem {name} does not exist")
        human = args.get_bool("human_readable")
        pools: dict[str, list[dict[str, Any]]] = {"metadata": [], "data": []}
        for pool in (fs.mds_map.metadata_pool, *fs.mds_map.data_pools):
            used, avail = self.pools.used(pool), self.pools.available(pool)
            kind = "metadata" if pool == fs.mds_map.metadata_pool else "data"
            pools[kind].append(
                {
                    "name": self.pools.name(pool),
                    "used": format_bytes(used) if human else used,
                    "avail": format_bytes(avail) if human else avail,
                }
            )
        addrs = [sockaddr_str(addr) for addr in self.mds.mon.addrs.addrs[:1]]
        return _json({"mon_addrs": addrs, "pools": pools})


def _json(data: Any) -> CommandResult:
    """The module writes the same whatever format was asked for."""
    return CommandResult(0, "", ended_lines(json.dumps(data, indent=4, sort_keys=True).encode()))
