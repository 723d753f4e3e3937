"""Configuration that the monitors deliver.

Format: ceph/ceph, src/messages/MConfig.h, MGetConfig.h (Pacific)
"""

from mdsdaemon.encoding import Map, Str, field
from mdsdaemon.messages.base import Message, message
from mdsdaemon.types.entity import EntityName

MSG_CONFIG = 62
MSG_GET_CONFIG = 63


@message(MSG_CONFIG, v=1, compat=1)
class MConfig(Message):
    """Every option that the monitors set for the receiver: name → value as text.

    An option that was in an earlier message and is not in this one is no longer set.
    """

    config: dict[str, str] = field(Map(Str, Str), factory=dict, repr=False)


@message(MSG_GET_CONFIG, v=1, compat=1)
class MGetConfig(Message):
    """Asks once for the configuration of `name` on `host`."""

    name: EntityName = field(EntityName)
    host: str = field(Str, default="")
    device_class: str = field(Str, default="")
