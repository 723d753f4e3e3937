"""OSD maps, as monitors (and OSDs) send them.

Format: ceph/ceph, src/messages/MOSDMap.h (Pacific)
"""

import uuid

from mdsdaemon.encoding import U32, Blob, Map, Rest, Uuid, field
from mdsdaemon.messages.base import Message, message

CEPH_MSG_OSD_MAP = 41


@message(CEPH_MSG_OSD_MAP, v=4, compat=3)
class MOSDMap(Message):
    """Encoded maps by epoch: whole ones in `maps`, OSDMap::Incremental in `incremental_maps`.

    `oldest_map` and `newest_map` are the epochs that the sender has. The last field held removed
    snapshots before Octopus and is an empty map since.
    """

    fsid: uuid.UUID = field(Uuid)
    incremental_maps: dict[int, bytes] = field(Map(U32, Blob), factory=dict, repr=False)
    maps: dict[int, bytes] = field(Map(U32, Blob), factory=dict, repr=False)
    oldest_map: int = field(U32, default=0, since=2)
    newest_map: int = field(U32, default=0, since=2)
    gap_removed_snaps: bytes = field(Rest, default=bytes(4), since=4, repr=False)

    @property
    def first(self) -> int:
        """The lowest epoch in the message, 0 for none."""
        return min([*self.maps, *self.incremental_maps], default=0)

    @property
    def last(self) -> int:
        """The highest epoch in the message, 0 for none."""
        return max([*self.maps, *self.incremental_maps], default=0)
