"""Values of the types that a metadata server reads and writes most, as they are in real work.

Some are taken from a rank that serves a create (`tests.unit.server_kit`), the others are made here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import trio
from attrs import frozen
from tests.unit.server_kit import ServerKit

from mdsdaemon.encoding import decode, encode
from mdsdaemon.maps.mds_info import MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.messages.base import Message, decode_message, encode_message
from mdsdaemon.messages.client_caps import CapItem, MClientCapRelease, MClientCaps, MClientLease
from mdsdaemon.messages.client_reply import (
    ListingWriter,
    MClientReply,
    decode_listing,
    decode_trace,
    encode_trace,
)
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.messages.mgr import MMgrReport, PackedCounters
from mdsdaemon.messages.osd import MOSDOp, MOSDOpReply, OpResults
from mdsdaemon.rank.cache.dentry_codec import decode_dentry, encode_dentry
from mdsdaemon.rank.log.events import decode_event, encode_event
from mdsdaemon.types.backtrace import BackPointer, Backtrace
from mdsdaemon.types.caps import Release
from mdsdaemon.types.client_args import OpenArgs
from mdsdaemon.types.client_ops import READDIR_FRAG_END, CapOp, LeaseOp, MdsOp, SessionOp
from mdsdaemon.types.client_stat import STRUCT_REPLIES, DirStat, InodeStat, LeaseStat
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.osd_op import OSDOp
from mdsdaemon.types.session import SessionInfo
from mdsdaemon.types.stats import FNode

NOW = 1_700_000_000_123_456_789


@frozen
class Codec:
    """Both ways of a value.

    Attributes:
        size: of its bytes.
        there, back: encode the value, decode its bytes.
    """

    name: str
    size: int
    there: Callable[[], Any]
    back: Callable[[], Any]


def of_type(name: str, kind: Any, value: Any) -> Codec:
    """Of a wire type."""
    data = encode(kind, value, FEATURES_PACIFIC)
    return Codec(
        name, len(data), partial(encode, kind, value, FEATURES_PACIFIC), partial(decode, kind, data)
    )


def of_message(message: Message, what: str = "") -> Codec:
    """Of a message: its front."""
    version, compat, front = encode_message(message, FEATURES_PACIFIC)
    kind = type(message)
    return Codec(
        kind.__name__ + what,
        len(front),
        partial(encode_message, message, FEATURES_PACIFIC),
        partial(decode_message, kind.TYPE, version, compat, front, b"", b"", FEATURES_PACIFIC),
    )


def mds_map(daemons: int) -> MDSMap:
    """A map with that many daemons in it."""
    made = MDSMap(epoch=7)
    for n in range(daemons):
        gid = 4100 + n
        addrs = EntityAddrVec.parse(f"[v2:192.168.7.{n % 250}:6800/{gid}]")
        made.mds_info[gid] = MDSInfo(global_id=gid, name=f"daemon-{n}", addrs=addrs, state=-5)
    return made


def listing(stat: InodeStat, count: int = 1000) -> bytes:
    """A directory of so many files."""
    writer, lease = ListingWriter(STRUCT_REPLIES, DirStat()), LeaseStat()
    for n in range(count):
        writer.add(f"file {n}", lease, stat)
    return writer.finish(READDIR_FRAG_END)


def from_clients() -> Iterator[Message]:
    """What clients send most."""
    request = MClientRequest(
        MdsOp.CREATE,
        path=FilePath(1 << 40, "a name"),
        releases=[Release(1, 2, 3, 4, 5, 6, 7)],
        gid_list=[1, 2],
    )
    request.args = OpenArgs(0o102, 0o644)
    yield request
    layout = FileLayout(4 << 20, 1, 4 << 20, 2)
    yield MClientCaps(
        CapOp.GRANT, ino=1 << 40, layout=layout, mtime=NOW, atime=NOW, ctime=NOW, btime=NOW
    )
    yield MClientCapRelease([CapItem((1 << 40) + n, n, 0, 1) for n in range(10)])
    yield MClientLease(LeaseOp.REVOKE, ino=1 << 40, seq=1, dname="a name")
    yield MClientSession(SessionOp.REQUEST_RENEWCAPS, seq=3)


def from_daemons() -> Iterator[Message]:
    """What goes between this daemon, the OSDs, the monitor and the manager."""
    yield MOSDOp(oid="200.00000001", ops=[OSDOp(op=0x2201)], hash=7, osdmap_epoch=9, mtime=NOW)
    yield MOSDOpReply(oid="200.00000001", results=OpResults([OSDOp(op=0x2201)], 0))
    yield MMDSBeacon(
        version=8, fsid=uuid.UUID(int=1), global_id=4711, state=-4, seq=1, name="a",
        sys_info={f"some_key_{n}": "a value of some length" for n in range(20)},
    )  # fmt: skip
    yield MMgrReport("a", packed=PackedCounters(bytes(8 * 200)), service_name="mds")


def from_a_rank() -> Iterator[Codec]:
    """What a create leaves: the reply, the journal's entry, the dentry with its inode."""
    made: list[Codec] = []

    def serve() -> None:
        kit = ServerKit()
        events: list[Any] = []
        kit.mdlog.on_submit.append(events.append)
        client = kit.client()
        client.mkdir("/dir")
        reply = client.create("/dir/a name")
        replies = [m for m in client.con.sent if isinstance(m, MClientReply) and m.trace]
        made.append(of_message(replies[-1]))
        trace, how = reply.trace, STRUCT_REPLIES
        assert trace.target is not None
        made.append(
            Codec(
                "trace of two inodes",
                len(replies[-1].trace),
                partial(encode_trace, how, trace),
                partial(decode_trace, how, replies[-1]),
            )
        )
        entries = listing(trace.target)
        made.append(
            Codec(
                "readdir of 1000 entries",
                len(entries),
                partial(listing, trace.target),
                partial(decode_listing, how, entries),
            )
        )
        data = encode_event(events[-1])
        made.append(
            Codec(
                "EUpdate of a create",
                len(data),
                partial(encode_event, events[-1]),
                partial(decode_event, data),
            )
        )
        directory = next(iter(kit.find("/dir").dirs.values()))
        dentry = next(iter(directory.items.values()))
        value = bytes(encode_dentry(dentry))
        made.append(
            Codec(
                "dentry with its inode",
                len(value),
                partial(encode_dentry, dentry),
                partial(decode_dentry, value),
            )
        )

    async def main() -> None:
        serve()

    trio.run(main)
    return iter(made)


def twenty() -> Iterator[Codec]:
    """All of them."""
    yield from map(of_message, from_clients())
    yield from from_a_rank()
    yield from map(of_message, from_daemons())
    steps = [BackPointer((1 << 40) + n, f"directory {n}", n) for n in range(5)]
    yield of_type("Backtrace", Backtrace, Backtrace(1 << 40, steps, 2))
    yield of_type("FNode", FNode, FNode(version=7))
    info = SessionInfo(completed_requests=dict.fromkeys(range(20), 0))
    yield of_type("SessionInfo", SessionInfo, info)
    for count in (1, 200):
        yield of_type(f"MDSMap of {count}", MDSMap, mds_map(count))
    opening = MClientSession(SessionOp.OPEN, metadata={f"key {n}": "v" for n in range(10)})
    yield of_message(opening, " that opens")
