"""Commands that show tables: snapshots, open files, loads.

Behaviour: ceph/ceph, src/mds/MDSRank.cc; src/mds/MDBalancer.cc, dump_loads (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.messages.cmdparse import CmdMap, get_str
from mdsdaemon.messages.formatter import NamedList, Reply
from mdsdaemon.rank.commands import dumps

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mds_rank import MDSRank


def dump_snaps(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Snapshots as the server or (the same here) the client of the table has them."""
    if get_str(cmdmap, "server") == "--server":
        return Reply(section="snapserver", data=rank.snaps.dump_server())
    return Reply(section="snapclient", data=rank.snaps.dump_client())


def openfiles_ls(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Files that clients hold open with a wish to write."""
    seen: dict[CInode, None] = {}
    for segment in rank.mdlog.segments.values():
        for inode in segment.open_files:
            if inode.caps and any(cap.wanted for cap in inode.caps.values()):
                seen[inode] = None
    shown = []
    for inode in seen:
        data = {"path": rank.cache.path_of(inode), **dumps.dump_inode(rank, inode)}
        kept = dict(data)
        for key in (*dumps.LOCKS, *dumps.dump_auth(rank, pins={}), "versionlock", "states"):
            kept.pop(key, None)
        shown.append(kept)
    return Reply(section="openfiles", data=NamedList("file", shown))


def dump_loads(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Popularity by fragment: every figure of it is 0.

    A rank that is alone has nobody to give a part of the tree to, so nothing is measured; the keys
    are there for those who read them.
    """
    none = {
        "Decay Counters": NamedList("Decay Counter", [{"value": 0, "halflife": 5}] * 5),
    }
    frags = []
    root = rank.cache.root
    if root is not None:
        frags = [
            {
                "path": "",
                "dirfrag": str(directory.dirfrag),
                "pop_me": none,
                "pop_nested": none,
                "pop_auth_subtree": none,
                "pop_auth_subtree_nested": none,
            }
            for directory in root.dirs.values()
        ]
    data: dict[str, Any] = {
        "dirfrags": NamedList("dir", frags),
        "mds_load": {
            f"mds.{rank.whoami}": {
                "request_rate": 0,
                "cache_hit_rate": 0,
                "queue_length": 0,
                "cpu_load": 0,
                "mds_load": 0,
                "auth_dirfrags": none,
                "all_dirfrags": none,
            }
        },
        "mds_meta_load": {},
        "mds_import_map": {f"mds.{rank.whoami}": []},
    }
    return Reply(section="loads", data=data)
