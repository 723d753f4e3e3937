"""What a message costs: round trips and streams between two messengers in this process.

    python bench/bench_messenger.py [--count N] [--profile]

Both ends run in one thread, so a round trip costs what it prints on one processor core; between
two processes each pays about half. `--profile` shows where the time of the round trips goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import trio

from mdsdaemon.encoding import U64, Blob
from mdsdaemon.encoding import field as wire_field
from mdsdaemon.host import Host
from mdsdaemon.messages.base import Message, message
from mdsdaemon.msgr2.auth import (
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_CRC,
    CEPH_CON_MODE_SECURE,
    AuthCapsInfo,
    AuthDone,
    AuthKeys,
    AuthRequest,
    PeerIdentity,
)
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.entity import MDS, EntityAddr, EntityAddrVec, EntityName, PeerName

KEYS = AuthKeys(bytes(16), bytes(64))
BATCHES = 20
MODES = {"crc": CEPH_CON_MODE_CRC, "secure": CEPH_CON_MODE_SECURE}


@message(0x7FF1, v=1, compat=1)
class MBench(Message):
    """A number and some payload, as small requests have."""

    number: int = wire_field(U64, default=0)
    payload: bytes = wire_field(Blob, default=b"")


class Open:
    """Authentication that lets everybody in, in a given mode."""

    def __init__(self, con_mode: int) -> None:
        self.con_mode = con_mode

    def client_session(self, peer_type: int, peer_addrs: EntityAddrVec) -> OpenClient:
        return OpenClient(self.con_mode)

    def server_session(self, peer_type: int, now: float) -> OpenServer:
        return OpenServer()


class OpenClient:
    """The connecting half."""

    def __init__(self, con_mode: int) -> None:
        self._request = AuthRequest(CEPH_AUTH_NONE, [con_mode], b"")

    def request(self) -> AuthRequest:
        return self._request

    def bad_method(
        self, method: int, result: int, methods: list[int], modes: list[int]
    ) -> AuthRequest:
        raise AssertionError

    def reply_more(self, payload: bytes) -> bytes:
        raise AssertionError

    def done(self, global_id: int, con_mode: int, payload: bytes) -> AuthKeys:
        return KEYS


class OpenServer:
    """The accepting half."""

    def request(self, method: int, modes: list[int], payload: bytes) -> AuthDone:
        identity = PeerIdentity(EntityName(MDS, "bench"), 1, AuthCapsInfo(True), method)
        return AuthDone(1, modes[0], b"", KEYS, identity)

    def request_more(self, payload: bytes) -> AuthDone:
        raise AssertionError


class Counting(Dispatcher):
    """Counts messages up to a goal; `then` is called for each."""

    def __init__(self) -> None:
        self.seen = 0
        self.goal = 0
        self.reached = trio.Event()
        self.then: Callable[[MBench], None] = lambda msg: None

    def expect(self, goal: int) -> None:
        self.seen, self.goal, self.reached = 0, goal, trio.Event()

    def ms_dispatch(self, msg: Message) -> bool:
        assert isinstance(msg, MBench)
        self.seen += 1
        if self.seen == self.goal:
            self.reached.set()
        else:
            self.then(msg)
        return True


def make(con_mode: int, number: int) -> tuple[Messenger, Counting]:
    """A messenger that serves whoever comes."""
    messenger = Messenger(
        PeerName(MDS, number),
        nonce=number + 1,
        host=Host.system(),
        transport=SocketTransport(),
        options=MessengerOptions(ms_bind_port_max=0),
    )
    dispatcher = Counting()
    messenger.set_authenticator(Open(con_mode))
    messenger.set_default_policy(Policy.lossless_peer())
    messenger.add_dispatcher_tail(dispatcher)
    return messenger, dispatcher


async def measure(mode: str, count: int, size: int, profile: cProfile.Profile | None) -> None:
    """Print what a round trip takes, and how many messages go one way, with `size` bytes."""
    server, there = make(MODES[mode], 0)
    client, here = make(MODES[mode], 1)
    payload = bytes(size)
    async with trio.open_nursery() as nursery:
        addrs = await nursery.start(server.run, [EntityAddr.parse("v2:127.0.0.1:0")])
        await nursery.start(client.run)
        con = client.connect_to(MDS, addrs)

        there.expect(0)
        there.then = lambda msg: send(msg.connection, msg.number)
        here.then = lambda msg: send(con, msg.number + 1)

        def send(to: object, number: int) -> None:
            to.send_message(MBench(number=number, payload=payload))  # type: ignore[attr-defined]

        here.expect(100)
        send(con, 0)
        await here.reached.wait()

        async def round_trips() -> None:
            here.expect(count)
            send(con, 0)
            await here.reached.wait()

        if profile is not None:
            profile.enable()
        best, median = await timed(round_trips, count)
        if profile is not None:
            profile.disable()
        report(f"{mode:6} {size:7} B  round trip", best * 1e6, median * 1e6, "µs")

        async def one_way() -> None:
            there.then = lambda msg: None
            there.expect(count)
            for number in range(count):
                send(con, number)
            await there.reached.wait()

        best, median = await timed(one_way, count)
        report(f"{mode:6} {size:7} B  one way", 1 / best, 1 / median, "messages/s")
        nursery.cancel_scope.cancel()


async def timed(run: Callable[[], Awaitable[None]], count: int) -> tuple[float, float]:
    """Best and median of BATCHES runs, in seconds for each of `count`."""
    took = []
    for _ in range(BATCHES):
        begin = time.perf_counter()
        await run()
        took.append((time.perf_counter() - begin) / count)
    return min(took), statistics.median(took)


def report(what: str, best: float, median: float, unit: str) -> None:
    """One line; on a busy machine the best batch is nearer to the truth than the median."""
    sys.stdout.write(f"{what:32} best {best:10.1f}   median {median:10.1f} {unit}\n")


def main() -> None:
    """Measure both modes with small and large messages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="messages per batch")
    parser.add_argument("--profile", action="store_true", help="profile small round trips in crc")
    args = parser.parse_args()
    if args.profile:
        profile = cProfile.Profile()
        trio.run(measure, "crc", args.count, 100, profile)
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        return
    for mode in MODES:
        trio.run(measure, mode, args.count, 100, None)
        trio.run(measure, mode, max(10, args.count // 20), 1 << 20, None)


if __name__ == "__main__":
    main()
