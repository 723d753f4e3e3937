"""What files have only for form's sake, kept once for all of them.

Entries of a directory, its hash function, its fragments, quotas, inline data: a file has none of
them, and a million files would have a million times nothing. The shared ones cannot be changed: who
tries gets a TypeError, and has to put one of its own into the inode.
"""

from __future__ import annotations

from typing import Any

from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.types.frag import Frag, FragTree
from mdsdaemon.types.inode import INLINE_NONE, InlineData
from mdsdaemon.types.layout import DirLayout
from mdsdaemon.types.stats import FragInfo, QuotaInfo


def _frozen(cls: type[Any], *args: Any) -> Any:
    """A value like `cls(*args)`, equal to it, that cannot be changed."""
    model = cls(*args)

    def refuse(self: Any, name: str, value: Any) -> None:
        raise TypeError(f"{cls.__name__}.{name}: this value is shared by all files")

    def equals(self: Any, other: Any) -> bool:
        return other is self or bool(model == other)

    made = type(
        f"Shared{cls.__name__}",
        (cls,),
        {"__slots__": (), "__setattr__": refuse, "__eq__": equals, "__hash__": None},
    )
    value: Any = object.__new__(made)
    for field in cls.__attrs_attrs__:
        object.__setattr__(value, field.name, getattr(model, field.name))
    return value


class _NoSplits(dict[Frag, int]):
    def __setitem__(self, key: Frag, value: int) -> None:
        raise TypeError("only directories are split")


NO_ENTRIES: FragInfo = _frozen(FragInfo)
NO_HASH: DirLayout = _frozen(DirLayout)
NO_QUOTA: QuotaInfo = _frozen(QuotaInfo)
NO_INLINE: InlineData = _frozen(InlineData, INLINE_NONE)
NO_TREE: FragTree = _frozen(FragTree, _NoSplits())


def make_lean(inode: CInode) -> None:
    """Share what a file that comes from its directory's object has like all others."""
    stored = inode.inode
    if stored.dirstat == NO_ENTRIES:
        stored.dirstat = NO_ENTRIES
    if not stored.dir_layout.dir_hash and stored.dir_layout == NO_HASH:
        stored.dir_layout = NO_HASH
    if not stored.quota.is_enabled:
        stored.quota = NO_QUOTA
    if stored.inline_data.version == INLINE_NONE:
        stored.inline_data = NO_INLINE
    if not inode.dirfragtree.splits:
        inode.dirfragtree = NO_TREE
