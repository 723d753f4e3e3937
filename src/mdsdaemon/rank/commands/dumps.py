"""Inodes, fragments and dentries as commands show them.

The keys, their order and their kinds are those of a live ceph-mds 16.2.15; what it tells of locks
and pins is told as far as this rank has the like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.messages.formatter import NamedList
from mdsdaemon.types.client_caps import ccap_string
from mdsdaemon.types.utime import utime_str

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.types.inode import Inode
    from mdsdaemon.types.stats import FragInfo, NestInfo

D_TYPES = {8: "reg", 4: "dir", 10: "lnk", 2: "chr", 6: "blk", 1: "fifo", 12: "sock"}
LOCKS = ("authlock", "linklock", "dirfragtreelock", "filelock", "xattrlock", "snaplock",
         "nestlock", "flocklock", "policylock")  # fmt: skip
AT_REST = {
    "gather_set": [],
    "state": "lock",
    "is_leased": False,
    "num_rdlocks": 0,
    "num_wrlocks": 0,
    "num_xlocks": 0,
    "xlock_by": {},
}
NO_RANK = -2


def dump_stored(inode: Inode) -> dict[str, Any]:
    """inode_t."""
    layout = inode.layout
    return {
        "ino": inode.ino,
        "rdev": inode.rdev,
        "ctime": utime_str(inode.ctime),
        "btime": utime_str(inode.btime),
        "mode": inode.mode,
        "uid": inode.uid,
        "gid": inode.gid,
        "nlink": inode.nlink,
        "dir_layout": {
            "dir_hash": inode.dir_layout.dir_hash,
            "unused1": inode.dir_layout.unused1,
            "unused2": inode.dir_layout.unused2,
            "unused3": inode.dir_layout.unused3,
        },
        "layout": {
            "stripe_unit": layout.stripe_unit,
            "stripe_count": layout.stripe_count,
            "object_size": layout.object_size,
            "pool_id": layout.pool_id,
            "pool_ns": layout.pool_ns,
        },
        "old_pools": NamedList("pool", inode.old_pools),
        "size": inode.size,
        "truncate_seq": inode.truncate_seq,
        "truncate_size": inode.truncate_size,
        "truncate_from": inode.truncate_from,
        "truncate_pending": inode.truncate_pending,
        "mtime": utime_str(inode.mtime),
        "atime": utime_str(inode.atime),
        "time_warp_seq": inode.time_warp_seq,
        "change_attr": inode.change_attr,
        "export_pin": inode.export_pin,
        "export_ephemeral_random_pin": inode.export_ephemeral_random_pin or 0,
        "export_ephemeral_distributed_pin": inode.export_ephemeral_distributed_pin,
        "client_ranges": NamedList(
            "client",
            [
                {
                    "client": client,
                    "byte range": {"first": r.first, "last": r.last},
                    "follows": r.follows,
                }
                for client, r in sorted(inode.client_ranges.items())
            ],
        ),
        "dirstat": dump_fragstat(inode.dirstat),
        "rstat": dump_rstat(inode.rstat),
        "accounted_rstat": dump_rstat(inode.accounted_rstat),
        "version": inode.version,
        "file_data_version": inode.file_data_version,
        "xattr_version": inode.xattr_version,
        "backtrace_version": inode.backtrace_version,
        "stray_prior_path": inode.stray_prior_path,
        "max_size_ever": inode.max_size_ever,
        "quota": {"max_bytes": inode.quota.max_bytes, "max_files": inode.quota.max_files},
        "last_scrub_stamp": utime_str(inode.last_scrub_stamp),
        "last_scrub_version": inode.last_scrub_version,
    }


def dump_fragstat(stat: FragInfo) -> dict[str, Any]:
    """frag_info_t."""
    return {
        "version": stat.version,
        "mtime": utime_str(stat.mtime),
        "num_files": stat.nfiles,
        "num_subdirs": stat.nsubdirs,
        "change_attr": stat.change_attr,
    }


def dump_rstat(stat: NestInfo) -> dict[str, Any]:
    """nest_info_t."""
    return {
        "version": stat.version,
        "rbytes": stat.rbytes,
        "rfiles": stat.rfiles,
        "rsubdirs": stat.rsubdirs,
        "rsnaps": stat.rsnaps,
        "rctime": utime_str(stat.rctime),
    }


def dump_auth(rank: RankCore, *, pins: dict[str, int]) -> dict[str, Any]:
    """What every object of the cache says of who is its authority: always we."""
    return {
        "is_auth": True,
        "auth_state": {"replicas": {}},
        "replica_state": {"authority": [rank.whoami, NO_RANK], "replica_nonce": 0},
        "auth_pins": 0,
        "is_frozen": False,
        "is_freezing": False,
        "pins": pins,
        "nref": sum(pins.values()),
    }


def dump_inode(rank: RankCore, inode: CInode, *, dirfrags: bool = False) -> dict[str, Any]:
    """An inode; with `dirfrags` also its fragments in the cache and their dentries."""
    shown = dump_stored(inode.inode)
    shown["symlink"] = inode.symlink
    shown["xattrs"] = NamedList(
        "xattr",
        [
            {"key": key, "val": value.decode("utf-8", "replace")}
            for key, value in sorted(inode.xattrs.items())
        ],
    )
    shown["dirfragtree"] = {
        "splits": NamedList(
            "split",
            [{"frag": str(frag), "children": bits} for frag, bits in
             sorted(inode.dirfragtree.splits.items())],
        )
    }  # fmt: skip
    shown["old_inodes"] = NamedList(
        "old_inode",
        [
            {
                "last": last,
                "first": old.first,
                **dump_stored(old.inode),
                "xattrs": {
                    key: value.decode("utf-8", "replace") for key, value in old.xattrs.items()
                },
            }
            for last, old in sorted(inode.old_inodes.items())
        ],
    )
    shown["oldest_snap"] = inode.oldest_snap
    shown["damage_flags"] = inode.damage_flags
    shown |= dump_auth(rank, pins=_inode_pins(inode))
    shown["versionlock"] = AT_REST
    shown |= _locks(rank, inode)
    shown["states"] = NamedList("state", _inode_states(inode))
    shown |= _caps(rank, inode)
    if dirfrags:
        shown["dirfrags"] = NamedList(
            "dir", [dump_dir(rank, directory, items=True) for directory in inode.dirs.values()]
        )
    return shown


def _inode_pins(inode: CInode) -> dict[str, int]:
    return {
        "dirfrag": int(bool(inode.dirs)),
        "caps": int(bool(inode.caps)),
        "remoteparent": int(bool(inode.remote_parents)),
        "dirtyparent": int(inode.backtrace_segment is not None),
        "dirty": int(_is_dirty(inode)),
    }


def _is_dirty(inode: CInode) -> bool:
    if inode.parent is not None:
        return inode.parent.is_dirty
    return inode.base_segment is not None


def _inode_states(inode: CInode) -> list[str]:
    states = ["auth"]
    if _is_dirty(inode):
        states.append("dirty")
    if inode.backtrace_segment is not None:
        states.append("dirtyparent")
    return states


def _locks(rank: RankCore, inode: CInode) -> dict[str, Any]:
    return {name: {} for name in LOCKS} | rank.locker.dump_locks(inode)


def _caps(rank: RankCore, inode: CInode) -> dict[str, Any]:
    caps = inode.caps or {}
    return {
        "client_caps": NamedList(
            "client_cap",
            [
                {
                    "client_id": client,
                    "pending": ccap_string(cap.pending),
                    "issued": ccap_string(cap.issued),
                    "wanted": ccap_string(cap.wanted),
                    "last_sent": cap.last_sent,
                }
                for client, cap in sorted(caps.items())
            ],
        ),
        "loner": -1 if inode.locks is None else inode.locks.loner,
        "want_loner": -1 if inode.locks is None else inode.locks.want_loner,
        "mds_caps_wanted": [],
    }


def dump_dir(rank: RankCore, directory: CDir, *, items: bool = False) -> dict[str, Any]:
    """A fragment; with `items` also its dentries."""
    inode = directory.inode
    version = str(directory.fnode.version)
    path = rank.cache.path_of(inode)
    if inode.is_root:
        path = ""
    states = ["auth"]
    if directory.is_dirty:
        states.append("dirty")
    if directory.complete:
        states.append("complete")
    if directory.fetching is not None:
        states.append("fetching")
    base = inode.is_base
    pins = {
        "child": int(bool(directory.items)),
        "subtree": int(base),
        "dirty": int(directory.is_dirty),
    }
    shown = {
        "path": path,
        "dirfrag": str(directory.dirfrag),
        "snapid_first": directory.first,
        "projected_version": version,
        "version": version,
        "committing_version": str(directory.committing_version),
        "committed_version": str(directory.committed_version),
        "is_rep": inode.is_root,
        "dir_auth": str(rank.whoami) if base else "",
        "states": NamedList("state", states),
        **dump_auth(rank, pins=pins),
    }
    if items:
        dentries = directory.all_items()
        shown["dentries"] = NamedList("dentry", [dump_dentry(rank, dn) for dn in dentries])
    return shown


def dump_dentry(rank: RankCore, dn: CDentry) -> dict[str, Any]:
    """A dentry."""
    path_ino, path = path_of_dentry(dn)
    target = dn.inode if dn.inode is not None else dn.remote_inode
    states = ["auth"]
    if dn.is_dirty:
        states.append("dirty")
    pins = {"inodepin": int(dn.inode is not None), "dirty": int(dn.is_dirty)}
    return {
        "path": path,
        "path_ino": path_ino,
        "snap_first": dn.first,
        "snap_last": dn.last,
        "is_primary": dn.is_primary,
        "is_remote": dn.is_remote,
        "is_null": dn.is_null,
        "is_new": False,
        "inode": target.ino if target is not None else dn.remote_ino,
        "remote_type": D_TYPES.get(dn.remote_d_type, "") if dn.is_remote else "",
        "version": dn.version,
        "projected_version": dn.version,
        **dump_auth(rank, pins=pins),
        "lock": {},
        "versionlock": AT_REST,
        "states": NamedList("state", states),
    }


def path_of_dentry(dn: CDentry) -> tuple[int, str]:
    """(number of the base inode, path from there)."""
    names = [dn.name]
    inode = dn.dir.inode
    while inode.parent is not None:
        names.append(inode.parent.name)
        inode = inode.parent.dir.inode
    return inode.ino, "/".join(reversed(names))
