"""Finding what a command names by a path, in the cache only.

Behaviour: ceph/ceph, src/mds/MDCache.cc, cache_traverse (Pacific)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mdsdaemon.rank.cache.inode import MDSDIR, ROOT
from mdsdaemon.types.frag import Frag

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore

_MDSDIR = re.compile(r"~mds(\d+)$")


def split(path: str) -> list[str]:
    """The names of a path."""
    return [name for name in path.split("/") if name]


def start_of(rank: RankCore, path: str) -> tuple[int, list[str]]:
    """(number of the inode where a path begins, names from there).

    A path begins at the root, or with `~mdsdir` or `~mds0` at the rank's own directory.
    """
    names = split(path)
    if names and not path.startswith("/"):
        if names[0] == "~mdsdir":
            return MDSDIR + rank.whoami, names[1:]
        match = _MDSDIR.match(names[0])
        if match:
            return MDSDIR + int(match[1]), names[1:]
    return ROOT, names


def in_cache(rank: RankCore, path: str) -> CInode | None:
    """The inode at a path, if all of the way to it is in the cache."""
    ino, names = start_of(rank, path)
    inode = rank.cache.get_inode(ino)
    for name in names:
        if inode is None:
            return None
        inode = _child(rank, inode, name)
    return inode


def _child(rank: RankCore, inode: CInode, name: str) -> CInode | None:
    for directory in inode.dirs.values():
        dn = directory.items.get(name)
        if dn is not None:
            return dn.inode if dn.inode is not None else dn.remote_inode
    return None


def parse_frag(text: str) -> Frag | None:
    """A fragment as `VALUE/BITS`, the value in hexadecimal; None: it is none."""
    match = re.fullmatch(r"([0-9a-fA-F]+)/(\d+)", text.strip())
    if match is None:
        return None
    value, bits = int(match[1], 16), int(match[2])
    if value > 0xFFFFFF or bits > 24:
        return None
    return Frag.of(value, bits)
