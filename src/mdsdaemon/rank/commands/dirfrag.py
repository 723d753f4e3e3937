"""Commands about the fragments of a directory.

Their errors are words beside the result 0, as with ceph-mds.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, command_dirfrag_split, _merge, _ls (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.messages.cmdparse import CmdMap, get_int, get_str
from mdsdaemon.messages.formatter import NamedList, Reply
from mdsdaemon.rank.cache.fragtree import get_leaves
from mdsdaemon.rank.commands.paths import in_cache, parse_frag

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mds_rank import MDSRank
    from mdsdaemon.types.frag import Frag


def _named(rank: MDSRank, cmdmap: CmdMap) -> tuple[CInode, Frag] | Reply:
    """The directory and the fragment that a command names, or what is wrong with them."""
    path, text = get_str(cmdmap, "path") or "", get_str(cmdmap, "frag") or ""
    inode = in_cache(rank, path)
    if inode is None:
        return Reply(error=f"directory '{path}' inode not in cache")
    frag = parse_frag(text)
    if frag is None:
        return Reply(error=f"frag {text} failed to parse")
    return inode, frag


def split(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Split a fragment by a number of bits; it goes on after the answer."""
    bits = get_int(cmdmap, "bits")
    if bits is None:
        return Reply(error="missing bits argument")
    if bits <= 0:
        return Reply(error="must split by >0 bits")
    named = _named(rank, cmdmap)
    if isinstance(named, Reply):
        return named
    inode, frag = named
    directory = inode.dirs.get(frag)
    if directory is None:
        return Reply(
            error=f"frag 0x{inode.ino:x}/{frag} not in cache "
            "(use `dirfrag ls` to see if it should exist)"
        )
    rank.store.split_dir(directory, bits)
    rank.end_of_dispatch()
    return Reply()


def merge(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """Make one fragment of those below another; it goes on after the answer."""
    named = _named(rank, cmdmap)
    if isinstance(named, Reply):
        return named
    rank.store.merge_dir(*named)
    rank.end_of_dispatch()
    return Reply()


def ls(rank: MDSRank, cmdmap: CmdMap) -> Reply:
    """The fragments that a directory has, in the cache or not."""
    inode = in_cache(rank, get_str(cmdmap, "path") or "")
    if inode is None:
        return Reply(error="directory inode not in cache")
    shown = [
        {"value": leaf.value, "bits": leaf.bits, "str": f"{leaf.value:x}/{leaf.bits}"}
        for leaf in get_leaves(inode.dirfragtree)
    ]
    return Reply(section="frags", data=NamedList("frag", shown))
