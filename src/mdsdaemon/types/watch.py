"""Who watches an object.

Format: ceph/ceph, src/osd/osd_types.h and .cc (Pacific).
"""

from mdsdaemon.encoding import U32, U64, List, field, wire
from mdsdaemon.types.entity import EntityAddr, PeerName


@wire(v=4, compat=3, ceph="watch_info_t")
class WatchInfo:
    """watch_info_t: a watch as the object's metadata keeps it; ``timeout`` in seconds."""

    cookie: int = field(U64, default=0)
    timeout: int = field(U32, default=0)
    addr: EntityAddr = field(EntityAddr, factory=EntityAddr, since=4)


@wire(v=2, compat=1, ceph="watch_item_t")
class WatchItem:
    """watch_item_t: a watch as OSDs list it; ``timeout`` in seconds."""

    name: PeerName = field(PeerName, factory=PeerName)
    cookie: int = field(U64, default=0)
    timeout: int = field(U32, default=0)
    addr: EntityAddr = field(EntityAddr, factory=EntityAddr, since=2)


@wire(v=1, compat=1, ceph="obj_list_watch_response_t")
class WatchList:
    """obj_list_watch_response_t: all watches of an object."""

    entries: list[WatchItem] = field(List(WatchItem), factory=list)
