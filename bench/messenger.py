"""What a message costs: round trips and streams between two messengers in this process.

    python -m bench.messenger        shows where the time of the round trips goes

Both ends run in one thread, so a round trip costs what it prints on one processor core; between
two processes each pays about half.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Awaitable, Callable

import trio
from bench.figures import LOOP, OURS, Sheet
from bench.machine import pass_seconds
from bench.plan import Plan

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


async def work(
    mode: str, count: int, size: int, batches: int, profile: cProfile.Profile | None = None
) -> tuple[list[float], list[float]]:
    """Seconds of a round trip, and of a message one way, with `size` bytes: one for each batch."""
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
        trips = [await timed(round_trips, count) for _ in range(batches)]
        if profile is not None:
            profile.disable()

        async def one_way() -> None:
            there.then = lambda msg: None
            there.expect(count)
            for number in range(count):
                send(con, number)
            await there.reached.wait()

        ways = [await timed(one_way, count) for _ in range(batches)]
        nursery.cancel_scope.cancel()
    return trips, ways


async def timed(run: Callable[[], Awaitable[None]], count: int) -> float:
    """Processor seconds for each of `count`: both ends are in this thread, which never waits."""
    begin = time.thread_time()
    await run()
    return (time.thread_time() - begin) / count


def measure(sheet: Sheet, plan: Plan) -> None:
    """Both modes with small and large messages; the best batch of each run."""
    count, batches = plan.pick(500, 300), plan.pick(6, 3)
    for mode in MODES:
        for size, number in ((100, count), (1 << 20, max(10, count // 20))):
            for _ in range(plan.pick(5, 2)):
                loop = pass_seconds()
                trips, ways = trio.run(work, mode, number, size, batches)
                what = "100 bytes" if size == 100 else "1 MiB"
                for name, seconds in ((f"round trip, {what}", trips), (f"one way, {what}", ways)):
                    sheet.add(f"{name}, {mode}", LOOP, 1e6 * loop, "µs")
                    sheet.add(f"{name}, {mode}", OURS, 1e6 * min(seconds), "µs")


def main() -> None:
    """See the module."""
    profile = cProfile.Profile()
    trio.run(work, "crc", 500, 100, 20, profile)
    pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
