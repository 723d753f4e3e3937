"""The pools of file systems: what they must be, and adding and removing data pools.

Behaviour: ceph/ceph, src/mon/FSCommands.cc (_check_pool, AddDataPoolHandler,
RemoveDataPoolHandler) (Pacific 16.2.15, compared with a live monitor)
"""

from __future__ import annotations

import errno

from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import FSRoom, command
from mdsdaemon.embedded.monitor.mds_fsmap import parse_int

_POOL = "name=fs_name,type=CephString name=pool,type=CephString"


class FSPools(FSRoom):
    """See the module."""

    @command(f"fs add_data_pool {_POOL}", module="mds", perm="rw", about="one more data pool")
    def fs_add_data_pool(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        name = fs.mds_map.fs_name
        pool = self._pool_or_number(args.get_str("pool") or "")
        note = self.pools.check(pool, "data", force=False)
        if fs.mds_map.is_data_pool(pool):
            return CommandResult(0, f"{note}data pool {pool} is already on fs {name}")
        self.pools.tag(pool, "data", name)
        self.edit.modify_filesystem(fs).data_pools.append(pool)
        self.settle(ctx)
        return CommandResult(0, f"{note}added data pool {pool} to fsmap")

    @command(f"fs rm_data_pool {_POOL}", module="mds", perm="rw", about="one data pool less")
    def fs_rm_data_pool(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        pool = self._pool_or_number(args.get_str("pool") or "")
        if pool < 0:
            raise fail(errno.EINVAL, f"invalid pool id '{pool}'")
        if fs.mds_map.get_first_data_pool() == pool:
            raise fail(errno.EINVAL, "cannot remove default data pool")
        if not fs.mds_map.is_data_pool(pool):
            return CommandResult()
        self.edit.modify_filesystem(fs).data_pools.remove(pool)
        self.settle(ctx)
        return CommandResult(0, f"removed data pool {pool} from fsmap")

    def _pool_or_number(self, text: str) -> int:
        found = self.pools.find(text)
        if found is not None:
            return found
        try:
            return parse_int(text, 32)
        except ValueError:
            raise fail(errno.ENOENT, f"pool '{text}' does not exist") from None
