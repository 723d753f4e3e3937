"""What a peer can do wrong before and after it is known: its connection ends, nothing else."""

import struct
from collections import deque

import pytest
from attrs import evolve
from tests.unit.msgr2_peers import (
    CRC,
    LOSSLESS_PEER,
    SECURE,
    StubAuth,
    at_state,
    framed,
    make_pair,
    make_registry,
    pieces,
    ready_pair,
)

from mdsdaemon.msgr2.auth import AuthError
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.frames import FrameLimits, FrameWriter
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.msgr2.payloads import (
    AuthRequestPayload,
    BannerPayload,
    ClientIdent,
    Reconnect,
    ServerIdent,
    SessionRetry,
    Wait,
    encode_payload,
)
from mdsdaemon.msgr2.registry import AnswerWait
from mdsdaemon.msgr2.session import FaultKind, SessionState
from mdsdaemon.msgr2.states import ALLOWED, State, Tag
from mdsdaemon.types.entity import MON, EntityAddrVec
from mdsdaemon.types.features import MSG_ADDR2

MODES = pytest.mark.parametrize("mode", [CRC, SECURE])
SIDES = pytest.mark.parametrize("side", ["client", "server"])


def change_one_byte(mode: int, side: str, at: int) -> bool:
    """A handshake with one byte changed on its way to `side`; False if it ended before byte `at`.

    Fails if the handshake completes nevertheless.
    """
    pair = make_pair(mode)
    seen = 0
    try:
        while True:
            pair.collect()
            data, _ = pair.towards(side)
            if seen <= at < seen + len(data):
                data[at - seen] ^= 0x40
            seen += len(data)
            if not pair.step():
                break  # a length has grown: the rest of it never comes
    except (ProtocolError, AuthError):
        return True
    assert at >= seen or not pair.ready, f"byte {at}"
    return at < seen


@MODES
@SIDES
def test_every_changed_byte_of_the_handshake_is_noticed(mode: int, side: str) -> None:
    changed = 0
    while change_one_byte(mode, side, changed):
        changed += 1
    assert changed >= 400


def test_a_downgrade_in_the_middle_breaks_the_signature() -> None:
    """The client's modes are changed with all crcs right; both ends see it at the latest then."""
    pair = make_pair(auth=StubAuth(modes=[SECURE, CRC], rounds=0))
    pair.run_until(lambda: pair.client.state is State.AUTH_CONNECTING)
    pair.collect()
    good = framed(
        Tag.AUTH_REQUEST, encode_payload(AuthRequestPayload(2, [SECURE, CRC], b"who I am"))
    )
    bad = framed(Tag.AUTH_REQUEST, encode_payload(AuthRequestPayload(2, [CRC], b"who I am")))
    assert pair.to_server.endswith(good)
    pair.to_server[-len(good) :] = bad
    with pytest.raises(ProtocolError, match="signature is wrong"):
        pair.run()


@SIDES
def test_every_truncation_just_waits(side: str) -> None:
    """Half of anything is no event and no error; the rest completes it."""
    pair = make_pair()
    while not pair.ready:
        pair.collect()
        data, feed_one = pair.towards(side)
        waiting = bytes(data)
        data.clear()
        for at in range(len(waiting) - 1):
            feed_one(waiting[at : at + 1])
        pair.collect()
        feed_one(waiting[-1:])
        data, feed_other = pair.towards("server" if side == "client" else "client")
        feed_other(bytes(data))
        data.clear()


@pytest.mark.parametrize(
    ("banner", "why"),
    [
        (b"GET / HTTP/1.1\r\n", "does not speak Ceph's protocol"),
        (b"ceph v1", "does not speak Ceph's protocol"),
        (b"ceph v027\n", "old protocol"),
        (b"ceph v2\n" + struct.pack("<HQ", 8, 1), "does not decode"),
        (b"ceph v2\n" + struct.pack("<HQQ", 16, 0, 0), "older than we speak"),
        (b"ceph v2\n" + struct.pack("<HQQ", 16, 3, 2), "requires msgr2 features 0x2"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_bad_banners(banner: bytes, why: str, size: int) -> None:
    pair = make_pair()
    pair.to_server += banner
    with pytest.raises(ProtocolError, match=why):
        deque(map(pair.feed_server, pieces(pair.to_server, size)), maxlen=0)
    assert pair.server.closed
    pair.feed_server(b"more")
    assert pair.server.next_event() is None


def test_a_longer_banner_of_a_newer_release_is_taken() -> None:
    pair = make_pair()
    pair.collect()
    assert bytes(pair.to_server[:10]) == b"ceph v2\n\x10\x00"
    assert bytes(pair.to_server[10:]) == encode_payload(BannerPayload(1, 1))
    pair.to_server[8:10] = struct.pack("<H", 20)
    pair.to_server[10:18] = struct.pack("<Q", 3)
    pair.to_server += b"news"
    pair.step()
    assert pair.server.state is State.HELLO_ACCEPTING


OUT_OF_PLACE = [
    (state, tag)
    for state in State
    if state not in (State.DECIDING, State.CLOSED) and "BANNER" not in state.name
    for tag in (*range(25), 255)
    if tag not in list(Tag) or state not in ALLOWED[Tag(tag)]
]
IN_PLACE = [(state, tag) for tag in ALLOWED for state in State if state in ALLOWED[tag]]


def side_of(state: State) -> str:
    return "client" if "CONNECTING" in state.name else "server"


@pytest.mark.parametrize(("state", "tag"), OUT_OF_PLACE, ids=str)
def test_frames_out_of_place(state: State, tag: int) -> None:
    """A frame where it has no business ends the connection, whatever it holds."""
    pair = at_state(state)
    _, feed_one = pair.towards(side_of(state))
    with pytest.raises(ProtocolError, match="out of place"):
        feed_one(framed(tag, bytes(41) if tag == Tag.MESSAGE else b""))
    wire = pair.client if side_of(state) == "client" else pair.server
    assert wire.closed
    assert wire.data_to_send() == b""
    assert not wire.wants_write


@pytest.mark.parametrize(("state", "tag"), IN_PLACE, ids=str)
@pytest.mark.parametrize("size", [0, 1, 7, 200])
def test_payloads_of_nonsense(state: State, tag: Tag, size: int) -> None:
    pair = at_state(state)
    _, feed_one = pair.towards(side_of(state))
    try:
        feed_one(framed(tag, b"\xff" * size))
    except (ProtocolError, AuthError):
        return
    # what is left is numbers, and frames without a payload
    assert size >= 8 or tag is Tag.WAIT or (tag is Tag.SESSION_RESET and size)


def test_a_message_before_authentication_is_not_even_buffered() -> None:
    pair = at_state(State.AUTH_ACCEPTING)
    writer = FrameWriter()
    writer.write(Tag.MESSAGE, bytes(41), bytes(1000))
    with pytest.raises(ProtocolError, match="MESSAGE is out of place"):
        pair.feed_server(writer.take()[:32])


def test_nothing_is_said_after_an_error() -> None:
    pair = ready_pair()
    pair.session.send(MessageFrame(1))
    with pytest.raises(ProtocolError):
        pair.feed_client(b"\xff" * 32)
    assert pair.client.data_to_send() == b""
    assert pair.client.session is pair.session
    assert pair.session.fault().kind is FaultKind.RECONNECT


def test_wrong_type_of_peer() -> None:
    pair = make_pair(server_registry=make_registry(6801, kind=MON))
    with pytest.raises(ProtocolError, match="of type mon, not mds"):
        pair.run()


def test_wrong_target() -> None:
    pair = make_pair()
    pair.server_registry.endpoint.addrs = EntityAddrVec.parse("v2:127.0.0.1:1/1")
    with pytest.raises(ProtocolError, match=r"looks for v2:127\.0\.0\.1:6801/1; we are"):
        pair.run()


def test_server_that_is_somebody_else() -> None:
    pair = at_state(State.SESSION_CONNECTING)
    other = ServerIdent(
        addrs=EntityAddrVec.parse("v2:127.0.0.1:1/1"),
        gid=1,
        global_seq=1,
        supported_features=MSG_ADDR2,
        required_features=0,
        flags=0,
        cookie=1,
    )
    with pytest.raises(ProtocolError, match=r"the peer is v2:127\.0\.0\.1:1/1, not"):
        pair.feed_client(framed(Tag.SERVER_IDENT, encode_payload(other)))


def test_blank_client_address() -> None:
    pair = at_state(State.SESSION_ACCEPTING)
    ident = ClientIdent(
        addrs=EntityAddrVec(),
        target_addr=pair.server_registry.endpoint.addrs.addrs[0],
        gid=1,
        global_seq=1,
        supported_features=MSG_ADDR2,
        required_features=0,
        flags=0,
        cookie=1,
    )
    with pytest.raises(ProtocolError, match="no address of its own"):
        pair.feed_server(framed(Tag.CLIENT_IDENT, encode_payload(ident)))


def test_missing_features_are_told() -> None:
    needs = evolve(LOSSLESS_PEER, features_required=1 << 63)
    pair = make_pair(server_policy=needs)
    with pytest.raises(ProtocolError, match="requires features 0x8000000000000000 that we lack"):
        pair.run()
    assert pair.server.state is State.SESSION_ACCEPTING


def test_client_requires_features_too() -> None:
    pair = make_pair(client_policy=evolve(LOSSLESS_PEER, features_required=1 << 63))
    with pytest.raises(ProtocolError, match="lacks features 0x8000000000000000"):
        pair.run()


def test_wait_ends_the_socket_and_backs_off() -> None:
    pair = at_state(State.SESSION_CONNECTING)
    pair.feed_client(framed(Tag.WAIT, encode_payload(Wait())))
    assert pair.client.closed
    assert pair.session.state is SessionState.WAIT
    fault = pair.session.fault(max_backoff=15.0)
    assert (fault.kind, fault.delay) == (FaultKind.RECONNECT, 15.0)


@pytest.mark.parametrize("tag", [Tag.SESSION_RETRY, Tag.SESSION_RETRY_GLOBAL])
def test_retries_are_bounded_in_number_and_size(tag: Tag) -> None:
    pair = at_state(State.SESSION_RECONNECTING)
    with pytest.raises(ProtocolError, match="above"):
        pair.feed_client(framed(tag, encode_payload(SessionRetry((1 << 64) - 1))))
    pair = at_state(State.SESSION_RECONNECTING)
    retries = b"".join(framed(tag, encode_payload(SessionRetry(n))) for n in range(99))
    with pytest.raises(ProtocolError, match="too many attempts at reconnecting"):
        pair.feed_client(retries)


def test_connect_seq_that_would_overflow_ours() -> None:
    pair = at_state(State.SESSION_ACCEPTING)
    reconnect = Reconnect(
        addrs=pair.client_registry.endpoint.addrs,
        client_cookie=1,
        server_cookie=1,
        global_seq=1,
        connect_seq=(1 << 64) - 1,
        msg_seq=0,
    )
    with pytest.raises(ProtocolError, match="with connect_seq 18446744073709551615"):
        pair.feed_server(framed(Tag.SESSION_RECONNECT, encode_payload(reconnect)))


def test_too_many_bytes_before_authentication() -> None:
    pair = make_pair(auth=StubAuth(modes=[CRC], rounds=1000), limits=FrameLimits(preauth=5000))
    with pytest.raises(ProtocolError, match="too many bytes before authentication"):
        pair.run()


def test_decisions_are_wanted_only_when_asked_for() -> None:
    with pytest.raises(RuntimeError, match="no decision is wanted"):
        ready_pair().server.apply(AnswerWait())
