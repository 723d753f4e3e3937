"""The file system that `fake_rank` serves: a tree in memory, and the messages that came."""

from __future__ import annotations

import copy
import stat
from collections.abc import Callable
from typing import Any, TypeVar

import trio
from attrs import define, field

from mdsdaemon.messages.base import Message
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.types.client_stat import InodeStat, ReplyEncoding
from mdsdaemon.types.entity import PeerName
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.layout import DirLayout
from mdsdaemon.types.name_hash import STR_HASH_RJENKINS

M = TypeVar("M", bound=Message)


def changed(value: InodeStat, **fields: Any) -> InodeStat:
    """A copy with other values for some fields."""
    new = copy.copy(value)
    for name, content in fields.items():
        setattr(new, name, content)
    return new


@define(eq=False)
class Node:
    """An inode of the tree."""

    stat: InodeStat
    children: dict[str, Node] = field(factory=dict)
    xattrs: dict[str, bytes] = field(factory=dict)
    parent: Node | None = None


ROOT = InodeStat(
    1,
    mode=stat.S_IFDIR | 0o755,
    version=2,
    dir_layout=DirLayout(STR_HASH_RJENKINS),
    truncate_seq=0,
    xattr_version=1,
    rsubdirs=1,
    ctime=1_700_000_000_123456789,
    mtime=1_600_000_000_987654321,
    btime=1_500_000_000_000000001,
    change_attr=77,
)


class FileSystem:
    """What outlives a rank: the tree, the clients, and every message that came, in order.

    Attributes:
        features: what clients are told of the server.
        listing_limit: entries of a directory that one reply has at most.
        news: unparked after every message.
        how: for each client, how replies are written for it.
    """

    def __init__(self) -> None:
        self.features = CEPHFS_FEATURES_SUPPORTED
        self.messages: list[Message] = []
        self.news = trio.lowlevel.ParkingLot()
        self.root = Node(changed(ROOT))
        self.inodes = {1: self.root}
        self.how: dict[PeerName, ReplyEncoding] = {}
        self.client_features: dict[PeerName, FeatureBitset] = {}
        self.cap_id = 0
        self.listing_limit = 1 << 20

    def received(self, kind: type[M]) -> list[M]:
        """The messages of a class so far."""
        return [msg for msg in self.messages if isinstance(msg, kind)]

    def requests(self, op: int) -> list[MClientRequest]:
        """The requests of an operation so far."""
        return [msg for msg in self.received(MClientRequest) if msg.op == op]

    async def wait_for(self, there: Callable[[], Any], seconds: float = 20) -> Any:
        """The first true value of `there`, asked again after every message."""
        with trio.fail_after(seconds):
            while not (value := there()):
                await self.news.park()
        return value
