"""Backtraces: where in the tree a file was, kept with its data.

Format: ceph/ceph, src/mds/inode_backtrace.h and .cc (Pacific).
"""

from mdsdaemon.encoding import S64, U64, List, Str, field, wire


@wire(v=2, compat=2, ceph="inode_backpointer_t")
class BackPointer:
    """inode_backpointer_t: one step up: the name within a directory."""

    dirino: int = field(U64, default=0)
    dname: str = field(Str, default="")
    version: int = field(U64, default=0)


@wire(v=5, compat=4, keep_tail=True, ceph="inode_backtrace_t")
class Backtrace:
    """inode_backtrace_t: the steps from an inode up to the root, in xattr ``parent``."""

    ino: int = field(U64, default=0)
    ancestors: list[BackPointer] = field(List(BackPointer), factory=list)
    pool: int = field(S64, default=-1, since=5)
    old_pools: list[int] = field(List(S64), factory=list, since=5)
