"""How fast values become bytes and bytes values: types as a cluster of this size sends them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mdsdaemon.encoding import decode, encode
from mdsdaemon.maps.mds_info import MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.messages.base import decode_message, encode_message
from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.messages.client_reply import ListingWriter, Trace, encode_trace
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.messages.mds import MMDSBeacon
from mdsdaemon.types.caps import Release
from mdsdaemon.types.client_args import OpenArgs
from mdsdaemon.types.client_ops import READDIR_FRAG_END, CapOp, MdsOp
from mdsdaemon.types.client_stat import STRUCT_REPLIES, DirStat, InodeStat, LeaseStat, ReplyCap
from mdsdaemon.types.entity import EntityAddrVec
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.layout import FileLayout
from mdsdaemon.types.mds import FilePath


@dataclass(frozen=True)
class Rate:
    """One operation: seconds for each, bytes each."""

    name: str
    seconds: float
    size: int

    def row(self) -> str:
        rate = self.size / self.seconds / 1e6
        return f"{self.name:32}{self.size:10d}{1e6 * self.seconds:12.1f}{rate:10.1f}"


def best(action: Callable[[], Any], seconds: float = 0.5) -> float:
    """The shortest time of one call, of as many as fit in ``seconds``."""
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        action()
        shortest = min(shortest, time.perf_counter() - begun)
    return shortest


def mds_map(standbys: int) -> MDSMap:
    """A map with that many daemons in it."""
    made = MDSMap(epoch=7)
    for n in range(standbys):
        gid = 4100 + n
        made.mds_info[gid] = MDSInfo(
            global_id=gid,
            name=f"daemon-{n}",
            addrs=EntityAddrVec.parse(f"[v2:192.168.7.{n % 250}:6800/{gid}]"),
            state=-5,
        )
    return made


def beacon() -> MMDSBeacon:
    """The first beacon of a daemon, with its metadata."""
    metadata = {f"some_key_{n}": "a value of some length" for n in range(20)}
    return MMDSBeacon(
        version=8,
        fsid=uuid.UUID(int=1),
        global_id=4711,
        state=-4,
        seq=1,
        name="a",
        sys_info=metadata,
    )


def measure() -> list[Rate]:
    rates: list[Rate] = []
    for count in (1, 200):
        value = mds_map(count)
        data = encode(MDSMap, value)
        assert decode(MDSMap, data) == value
        size = len(data)
        rates += [
            Rate(f"encode MDSMap of {count}", best(partial(encode, MDSMap, value)), size),
            Rate(f"decode MDSMap of {count}", best(partial(decode, MDSMap, data)), size),
        ]
    message = beacon()
    version, compat, front = encode_message(message, FEATURES_PACIFIC)

    def back() -> object:
        return decode_message(MMDSBeacon.TYPE, version, compat, front, b"", b"", FEATURES_PACIFIC)

    back()
    rates += [
        Rate(
            "encode MMDSBeacon", best(lambda: encode_message(message, FEATURES_PACIFIC)), len(front)
        ),
        Rate("decode MMDSBeacon", best(back), len(front)),
    ]
    return rates + of_clients()


def of_clients() -> list[Rate]:
    """What a metadata server writes and reads for each operation of a client."""
    now = 1_700_000_000_123_456_789
    layout = FileLayout(4 << 20, 1, 4 << 20, 2)
    stat = InodeStat(
        1 << 40,
        cap=ReplyCap(0x155, 0, 1, 1, 1, 1, 1),
        layout=layout,
        ctime=now,
        mtime=now,
        atime=now,
        rctime=now,
        btime=now,
        mode=0o100644,
    )
    how = STRUCT_REPLIES

    def inode() -> bytearray:
        out = bytearray()
        how.inode(out, stat, how.features)
        return out

    trace = Trace(stat, DirStat(), "a name", LeaseStat(7, 30000, 1), stat)
    request = MClientRequest(
        MdsOp.CREATE,
        path=FilePath(1 << 40, "a name"),
        releases=[Release(1, 2, 3, 4, 5, 6, 7)],
        gid_list=[1, 2],
    )
    request.args = OpenArgs(0o102, 0o644)
    caps = MClientCaps(
        CapOp.GRANT, ino=1 << 40, layout=layout, mtime=now, atime=now, ctime=now, btime=now
    )
    rates = [
        Rate("encode InodeStat", best(inode), len(inode())),
        Rate(
            "encode a trace of two inodes",
            best(partial(encode_trace, how, trace)),
            len(encode_trace(how, trace)),
        ),
        Rate(
            "encode 1000 entries of a readdir",
            best(partial(listing, stat)),
            len(listing(stat)),
        ),
    ]
    for message in (request, caps):
        version, compat, front = encode_message(message, FEATURES_PACIFIC)
        name = type(message).__name__
        back = partial(
            decode_message, message.TYPE, version, compat, front, b"", b"", FEATURES_PACIFIC
        )
        there = partial(encode_message, message, FEATURES_PACIFIC)
        rates += [
            Rate(f"encode {name}", best(there), len(front)),
            Rate(f"decode {name}", best(back), len(front)),
        ]
    return rates


def listing(stat: InodeStat) -> bytes:
    """A directory of a thousand files."""
    writer, lease = ListingWriter(STRUCT_REPLIES, DirStat()), LeaseStat()
    for n in range(1000):
        writer.add(f"file {n}", lease, stat)
    return writer.finish(READDIR_FRAG_END)


def table(rates: list[Rate]) -> str:
    head = f"{'codec':32}{'bytes':>10}{'µs':>12}{'MB/s':>10}"
    return "\n".join([head, *(rate.row() for rate in rates)])


def as_json(rates: list[Rate]) -> dict[str, object]:
    return {r.name: {"bytes": r.size, "seconds": r.seconds} for r in rates}
