"""Peers that send nonsense: their connection ends, the log says who and why, the daemon goes on."""

import os
import random
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from tests.real import raw_msgr2 as msgr2
from tests.real.cluster import Mds
from tests.real.daemons import wait_for
from tests.real.raw_msgr2 import RawPeer

# How long a peer may keep a connection without authenticating (ms_connection_ready_timeout is 10),
# and how long the end of one that has sent nonsense may take.
READY_LIMIT, SOON = 14.0, 3.0

Attack = Callable[[RawPeer], None]


def garbage(peer: RawPeer) -> None:
    peer.send(random.Random(1).randbytes(4096))


def http(peer: RawPeer) -> None:
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


def old_protocol(peer: RawPeer) -> None:
    peer.send(b"ceph v027" + bytes(200))


def banner_of_64_kib(peer: RawPeer) -> None:
    peer.send(b"ceph v2\n" + struct.pack("<H", 0xFFFF) + bytes(0xFFFF))


def banner_requiring_the_unknown(peer: RawPeer) -> None:
    peer.send(b"ceph v2\n" + struct.pack("<HQQ", 16, 0xFFFF, 0x8000))


def frame_of_4_gib(peer: RawPeer) -> None:
    peer.exchange_banners()
    peer.send(msgr2.preamble(msgr2.HELLO, [0xFFFFFFFF]) + bytes(1024))


def four_segments_of_4_gib(peer: RawPeer) -> None:
    peer.exchange_banners()
    peer.send(msgr2.preamble(msgr2.MESSAGE, [0xFFFFFFFF] * 4) + bytes(1024))


def five_segments(peer: RawPeer) -> None:
    peer.exchange_banners()
    peer.send(msgr2.preamble(msgr2.HELLO, [8], segments=5) + bytes(64))


def no_segment(peer: RawPeer) -> None:
    peer.exchange_banners()
    peer.send(msgr2.preamble(msgr2.HELLO, [], segments=0))


def wrong_preamble_crc(peer: RawPeer) -> None:
    peer.exchange_banners()
    data = bytearray(msgr2.hello())
    data[31] ^= 1
    peer.send(bytes(data))


def wrong_segment_crc(peer: RawPeer) -> None:
    peer.exchange_banners()
    data = bytearray(msgr2.hello())
    data[-1] ^= 1
    peer.send(bytes(data))


def garbage_in_hello(peer: RawPeer) -> None:
    peer.exchange_banners()
    peer.send(msgr2.frame(msgr2.HELLO, random.Random(2).randbytes(100)))


def empty_hello(peer: RawPeer) -> None:
    peer.exchange_banners()
    peer.send(msgr2.frame(msgr2.HELLO, b""))


def unknown_tag(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.frame(200, b"12345678"))


def message_before_authentication(peer: RawPeer) -> None:
    peer.greet()
    command = struct.pack("<QhQ", 0, -1, 0) + bytes(16) + struct.pack("<I", 0)
    peer.send(msgr2.frame(msgr2.MESSAGE, msgr2.message_header(97), command, b"", b""))


def identification_before_authentication(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.frame(msgr2.CLIENT_IDENT, bytes(100)))


def reconnect_before_authentication(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.frame(msgr2.SESSION_RECONNECT, bytes(60)))


def auth_done_from_the_client(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.frame(msgr2.AUTH_DONE, bytes(40)))


def more_before_request(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.frame(msgr2.AUTH_REQUEST_MORE, bytes(40)))


def hello_twice(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.hello())


def garbage_authorizer(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.auth_request(2, random.Random(3).randbytes(200)))


def truncated_auth_request(peer: RawPeer) -> None:
    peer.greet()
    peer.send(msgr2.frame(msgr2.AUTH_REQUEST, struct.pack("<II", 2, 0x40000000)))


def garbage_authorizer_as_mds(peer: RawPeer) -> None:
    peer.greet(entity_type=2)
    peer.send(msgr2.auth_request(2, random.Random(4).randbytes(200)))


ENDED: list[Attack] = [
    garbage,
    http,
    old_protocol,
    banner_of_64_kib,
    banner_requiring_the_unknown,
    frame_of_4_gib,
    four_segments_of_4_gib,
    five_segments,
    no_segment,
    wrong_preamble_crc,
    wrong_segment_crc,
    garbage_in_hello,
    empty_hello,
    unknown_tag,
    message_before_authentication,
    identification_before_authentication,
    reconnect_before_authentication,
    auth_done_from_the_client,
    more_before_request,
    hello_twice,
    truncated_auth_request,
]
# Answered with AUTH_BAD_METHOD; who cannot do better loses the connection when the time is over.
REFUSED: list[Attack] = [garbage_authorizer, garbage_authorizer_as_mds]


def silence(peer: RawPeer) -> None:
    pass


def half_a_banner(peer: RawPeer) -> None:
    peer.send(b"ceph v2\n\x10")


def half_a_frame(peer: RawPeer) -> None:
    peer.exchange_banners()
    peer.send(msgr2.hello()[:40])


def only_hello(peer: RawPeer) -> None:
    peer.greet()


SILENT: list[Attack] = [silence, half_a_banner, half_a_frame, only_hello]


def address_of(mds: Mds) -> tuple[str, int]:
    """Where it listens for msgr2."""
    (info,) = (info for info in mds.cluster.mds_infos() if info["name"] == mds.name)
    (v2,) = (a for a in info["addrs"]["addrvec"] if a["type"] == "v2")
    host, _, port = v2["addr"].rpartition(":")
    return host, int(port)


def assert_well(mds: Mds, gid: int) -> None:
    """It answers a monitor's client and its own socket, and is what it was."""
    assert mds.running
    assert mds.asok("status")["id"] == gid
    assert mds.cluster.tell(mds.name, "status").json()["id"] == gid
    assert "Traceback" not in mds.logged()


@pytest.mark.parametrize("attack", ENDED, ids=lambda f: f.__name__)
def test_nonsense_ends_the_connection_only(mds: Mds, attack: Attack) -> None:
    gid = mds.gid()
    with RawPeer(address_of(mds)) as peer:
        attack(peer)
        if mds.kind == "ours":  # ceph-mds waits for the rest of some of these
            assert peer.is_closed(SOON)
            wait_for(lambda: peer.name in mds.logged(), 2, f"the log names the peer {peer.name}")
    assert_well(mds, gid)


@pytest.mark.parametrize("attack", REFUSED, ids=lambda f: f.__name__)
def test_garbage_for_an_authorizer_is_refused(mds: Mds, attack: Attack) -> None:
    gid = mds.gid()
    with RawPeer(address_of(mds)) as peer:
        attack(peer)
        if mds.kind == "ours":
            assert peer.read_frame()[0] == msgr2.AUTH_BAD_METHOD
            wait_for(lambda: peer.name in mds.logged(), 2, f"the log names the peer {peer.name}")
        for _ in range(20):  # again and again does not help, and does not go on for ever
            with suppress(OSError):
                peer.send(msgr2.auth_request(2, bytes(200)))
        if mds.kind == "ours":
            assert peer.is_closed(SOON)
    assert_well(mds, gid)


def test_silent_peers_are_let_go(mds: Mds) -> None:
    """Whoever does not authenticate in time loses the connection; all at once, to save time."""
    gid = mds.gid()
    with ExitStack() as stack:
        peers = [stack.enter_context(RawPeer(address_of(mds))) for _ in SILENT]
        for attack, peer in zip(SILENT, peers, strict=True):
            attack(peer)
        end = time.monotonic() + READY_LIMIT
        for attack, peer in zip(SILENT, peers, strict=True):
            closed = peer.is_closed(max(0.1, end - time.monotonic()))
            assert closed or mds.kind == "real", attack.__name__  # ceph-mds waits much longer
    assert_well(mds, gid)


def test_huge_lengths_take_no_memory(mds: Mds) -> None:
    """Fifty connections announce 4 GiB each; the daemon grows by less than a page per byte sent."""
    gid = mds.gid()
    before = mds.resident()
    with ExitStack() as stack:
        for _ in range(50):
            peer = stack.enter_context(RawPeer(address_of(mds)))
            four_segments_of_4_gib(peer)
        wait_for(lambda: mds.gid() == gid, 5, "it answers")
        assert mds.resident() - before < 32 << 20
    assert_well(mds, gid)


def test_three_hundred_idle_connections(mds: Mds) -> None:
    """Connections that say nothing neither stop others nor take much memory."""
    gid = mds.gid()
    before = mds.resident()
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(RawPeer(address_of(mds)))
        assert_well(mds, gid)
        assert mds.resident() - before < 300 * 128 << 10
    assert_well(mds, gid)


def test_every_cut_of_a_right_start(mds: Mds) -> None:
    """A right beginning, cut after each byte by a close: half frames of every kind."""
    gid = mds.gid()
    start = msgr2.BANNER + msgr2.hello() + msgr2.auth_request(2, bytes(30))
    for cut in range(1, len(start), 3):
        with RawPeer(address_of(mds)) as peer:
            peer.send(start[:cut])
    assert_well(mds, gid)


def test_random_flips_in_a_right_start(mds: Mds) -> None:
    gid = mds.gid()
    rng = random.Random(int(os.environ.get("MDSDAEMON_TEST_SEED", "5")))
    start = msgr2.BANNER + msgr2.hello() + msgr2.auth_request(2, bytes(30))
    for _ in range(100):
        data = bytearray(start)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with RawPeer(address_of(mds)) as peer:
            peer.send(bytes(data))
    assert_well(mds, gid)
