"""Messages: a schema whose version stands in the message header, and a registry by type code.

A message's ``front`` segment holds its payload, encoded by its schema; ``middle`` and ``data`` are
opaque segments beside it. Sequence numbers, priorities and the like belong to the header.

Format: ceph/ceph, src/msg/Message.h and .cc (decode_message), src/include/msgr.h (Pacific).
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, dataclass_transform

from mdsdaemon import records
from mdsdaemon.encoding import DecodeError, WireCodec, field, wire, wire_codec, written
from mdsdaemon.encoding.struct_codec import ByValue
from mdsdaemon.messages import catalogue
from mdsdaemon.types.entity import PeerName

M = TypeVar("M", bound="Message")

PRIO_LOW = 64
PRIO_DEFAULT = 127
PRIO_HIGH = 196
PRIO_HIGHEST = 255

TYPES: dict[int, type["Message"]] = {}
"""Message classes by type code; those of modules that are not loaded yet: see `catalogue`."""


@dataclass_transform(kw_only_default=True, field_specifiers=(field, records.field))
def _base(cls: type[M]) -> type[M]:
    return records.define(kw_only=True)(cls)


@_base
class Message:
    """What every message has beside its payload.

    Attributes:
        tid: the sender's transaction number, echoed in the reply.
        priority: order of sending, higher first (127 is usual).
        data, middle: segments beside the payload.
        header_version: the payload's version, as received.
        source: who sent it, by type and number; None for one of ours.
        connection: the connection it came by; None for one of ours.
        recv_stamp: monotonic seconds of its arrival.
    """

    TYPE: ClassVar[int] = 0
    CODEC: ClassVar[WireCodec[Any]]
    PAYLOAD_IN_DATA: ClassVar[bool] = False
    """Whether the payload lies in the ``data`` segment instead of the front."""

    tid: int = records.field(default=0, eq=False)
    priority: int = records.field(default=PRIO_DEFAULT, eq=False, repr=False)
    data: bytes = records.field(default=b"", repr=False)
    middle: bytes = records.field(default=b"", repr=False)
    header_version: int = records.field(default=0, eq=False, repr=False)
    source: PeerName | None = records.field(default=None, eq=False)
    connection: Any = records.field(default=None, eq=False, repr=False)
    recv_stamp: float = records.field(default=0.0, eq=False, repr=False)

    def received(self) -> None:
        """Called once a received message has its segments, to check what hangs together.

        Raises:
            DecodeError: the segments contradict each other.
        """


@dataclass_transform(field_specifiers=(field, records.field))
def message(
    type_code: int,
    *,
    v: int = 1,
    compat: int = 0,
    versions: tuple[tuple[int, int, int], ...] = (),
    newest: int = 0,
    by_value: ByValue | None = None,
) -> Callable[[type[M]], type[M]]:
    """Make a subclass of ``Message`` the message of ``type_code``.

    Args:
        v, compat: HEAD_VERSION and COMPAT_VERSION of Ceph's class.
        versions: ``((feature mask, v, compat), …)`` where what is written depends on the peer.
        newest: the newest version that is read, where it is newer than what is written.
        by_value: ``(message, v, compat) -> (v, compat)`` where the version depends on the message.
    """

    def build(cls: type[M]) -> type[M]:
        cls.TYPE = type_code
        table = versions or ((0, v, compat),)
        made = wire(envelope="header", versions=table, newest=newest, by_value=by_value)(cls)
        if type_code in TYPES:
            raise TypeError(f"{cls.__name__} and {TYPES[type_code].__name__} have one type code")
        TYPES[type_code] = made
        made.CODEC = wire_codec(made)
        return made

    return build


def encode_message(msg: Message, features: int) -> tuple[int, int, bytes]:
    """(header version, compat version, front) of ``msg`` for a peer with ``features``.

    A message whose payload lies in its data segment has that set here, and an empty front.

    Raises:
        EncodeError: a field's value does not fit.
    """
    codec = msg.CODEC
    version, compat = codec.pick(features)
    if codec.by_value is not None:
        version, compat = codec.by_value(msg, version, compat)
    payload = written(codec.encode_body(version), msg, features, codec)
    if msg.PAYLOAD_IN_DATA:
        msg.data = payload
        return version, compat, b""
    return version, compat, payload


def decode_message(
    type_code: int,
    version: int,
    compat: int,
    front: bytes,
    middle: bytes,
    data: bytes,
    features: int,
) -> Message:
    """The message of a received frame; bytes after what we know of its front are skipped.

    Raises:
        DecodeError: unknown type, a compat version newer than ours, or bytes that do not decode.
    """
    cls = TYPES.get(type_code)
    if cls is None:
        catalogue.load(type_code)
        cls = TYPES.get(type_code)
    if cls is None:
        raise DecodeError("Message", "type", 0, f"unknown message type {type_code}")
    codec = cls.CODEC
    if compat > codec.newest:
        why = f"needs version {compat}, {codec.newest} is known here"
        raise DecodeError(cls.__name__, "", 0, why)
    payload = data if cls.PAYLOAD_IN_DATA else front
    msg: Message = codec.decode_body(version)(payload, 0, len(payload), features)[0]
    msg.header_version = version
    msg.middle = middle
    msg.data = data
    msg.received()
    return msg


def payload_summary(msg: Message) -> str:
    """The message's name and transaction number, for logs: never its contents."""
    return f"{type(msg).__name__} tid {msg.tid}" if msg.tid else type(msg).__name__
