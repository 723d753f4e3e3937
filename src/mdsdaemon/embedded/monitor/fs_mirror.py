"""`ceph fs mirror`: which file systems are copied to which other clusters.

The monitor only keeps the list; the mirroring itself is a daemon's business.

Behaviour: ceph/ceph, src/mon/FSCommands.cc (Pacific 16.2.15, compared with a live monitor)
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
from mdsdaemon.maps.fs_map import ClusterInfo, Filesystem, MirrorInfo, Peer

_FS = "name=fs_name,type=CephString"


class FSMirror(FSRoom):
    """See the module."""

    @command(f"fs mirror enable {_FS}", module="mds", perm="rw", about="let it be mirrored")
    def enable(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        if not fs.mirror_info.mirrored:
            self._replace(ctx, fs, MirrorInfo(True, fs.mirror_info.peers))
        return CommandResult()

    @command(f"fs mirror disable {_FS}", module="mds", perm="rw", about="mirror it no more")
    def disable(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self.need_fs(ctx, args)
        if fs.mirror_info.mirrored:
            self._replace(ctx, fs, MirrorInfo())
        return CommandResult()

    @command(
        f"fs mirror peer_add {_FS} name=uuid,type=CephString "
        "name=remote_cluster_spec,type=CephString name=remote_fs_name,type=CephString",
        module="mds",
        perm="rw",
        about="mirror it to CLIENT@CLUSTER",
    )
    def peer_add(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self._mirrored(ctx, args)
        uuid, remote_fs = args.get_str("uuid") or "", args.get_str("remote_fs_name") or ""
        client, at, cluster = (args.get_str("remote_cluster_spec") or "").partition("@")
        if not at:
            raise fail(errno.EINVAL, "invalid remote cluster spec -- should be <client>@<cluster>")
        remote = ClusterInfo(client, cluster, remote_fs)
        peers = fs.mirror_info.peers
        if any(peer.uuid == uuid or peer.remote == remote for peer in peers):
            return CommandResult(0, "peer already exists")
        made = sorted([*peers, Peer(uuid, remote)], key=lambda peer: peer.uuid)
        self._replace(ctx, fs, MirrorInfo(True, made))
        return CommandResult()

    @command(
        f"fs mirror peer_remove {_FS} name=uuid,type=CephString",
        module="mds",
        perm="rw",
        about="mirror it there no more",
    )
    def peer_remove(self, ctx: CommandContext, args: Args) -> CommandResult:
        fs = self._mirrored(ctx, args)
        uuid = args.get_str("uuid") or ""
        left = [peer for peer in fs.mirror_info.peers if peer.uuid != uuid]
        if len(left) == len(fs.mirror_info.peers):
            return CommandResult(0, f"cannot find peer with uuid: {uuid}")
        self._replace(ctx, fs, MirrorInfo(True, left))
        return CommandResult()

    def _mirrored(self, ctx: CommandContext, args: Args) -> Filesystem:
        fs = self.need_fs(ctx, args)
        if not fs.mirror_info.mirrored:
            name = fs.mds_map.fs_name
            raise fail(errno.EINVAL, f"Mirroring not enabled for filesystem '{name}'")
        return fs

    def _replace(self, ctx: CommandContext, fs: Filesystem, info: MirrorInfo) -> None:
        fs.mirror_info = info
        self.edit.modify_filesystem(fs)
        self.settle(ctx)
