"""Bytes that no peer of ours would send, in every state: one kind of error, bounded memory."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.msgr2_peers import CRC, SECURE, Pair, at_state, framed, make_pair

from mdsdaemon.msgr2.auth import AuthError
from mdsdaemon.msgr2.errors import ProtocolError
from mdsdaemon.msgr2.frames import FrameLimits
from mdsdaemon.msgr2.message import MSG_HEADER2, MessageFrame
from mdsdaemon.msgr2.payloads import PAYLOADS, decode_payload, encode_payload
from mdsdaemon.msgr2.states import ALLOWED, State, Tag

SIDES = pytest.mark.parametrize("side", ["client", "server"])
LIMITS = FrameLimits(control=2000, front=3000, middle=3000, data=3000, preauth=20_000)
LONGEST = 10_000
IN_PLACE = sorted(
    ((state, tag) for tag in ALLOWED for state in ALLOWED[tag]),
    key=lambda place: (place[0].value, place[1]),
)


def side_of(state: State) -> str:
    return "client" if "CONNECTING" in state.name else "server"


def feed(pair: Pair, side: str, data: bytes) -> None:
    """Whatever it is: events, or one of the two errors and a closed wire."""
    wire = pair.client if side == "client" else pair.server
    try:
        pair.towards(side)[1](data)
    except (ProtocolError, AuthError):
        pass
    else:
        assert wire._reader.buffered < LONGEST
        return
    assert wire.closed
    assert wire.next_event() is None
    assert wire._reader.buffered == 0


@SIDES
@settings(max_examples=150)
@given(
    mode=st.sampled_from([CRC, SECURE]),
    good=st.integers(0, 1200),
    changes=st.lists(st.tuples(st.integers(0, 1200), st.integers(1, 255)), max_size=3),
    garbage=st.lists(st.binary(max_size=400), max_size=5),
)
def test_a_handshake_that_goes_astray(
    side: str, mode: int, good: int, changes: list[tuple[int, int]], garbage: list[bytes]
) -> None:
    """The first `good` bytes of a true handshake, some of them changed, and then anything."""
    pair = make_pair(mode, limits=LIMITS)
    seen = 0
    wire = pair.client if side == "client" else pair.server
    while seen < good and not wire.closed:
        try:
            pair.collect()
        except ProtocolError:
            break
        data, _ = pair.towards(side)
        for at, change in changes:
            if seen <= at < seen + len(data):
                data[at - seen] ^= change
        seen += len(data)
        try:
            if not pair.step(97):
                break
        except (ProtocolError, AuthError):
            break
    for piece in garbage:
        feed(pair, side, piece)


@settings(max_examples=300)
@given(data=st.data())
def test_well_framed_nonsense_in_every_state(data: st.DataObject) -> None:
    """True frames whose payload is a mutilated true payload, or anything."""
    state, tag = data.draw(st.sampled_from(IN_PLACE))
    pair = at_state(state)
    for _ in range(data.draw(st.integers(1, 3))):
        feed(pair, side_of(state), framed(tag, data.draw(payloads(pair, tag))))
    try:
        for _ in range(5):
            pair.step()
    except (ProtocolError, AuthError):
        pass


def payloads(pair: Pair, tag: Tag) -> st.SearchStrategy[bytes]:
    if tag is Tag.MESSAGE:
        return st.binary(min_size=MSG_HEADER2.size, max_size=MSG_HEADER2.size)
    addrs = pair.server_registry.endpoint.addrs
    number = st.one_of(st.integers(0, 5), st.integers(0, (1 << 64) - 1))
    by_name: dict[str, st.SearchStrategy[object]] = {
        "addrs": st.just(addrs),
        "target_addr": st.just(addrs.addrs[0]),
        "peer_addr": st.just(addrs.addrs[0]),
        "gid": st.integers(-(1 << 63), (1 << 63) - 1),
        "auth_payload": st.binary(max_size=60),
        "signature": st.binary(min_size=32, max_size=32),
        "full": st.booleans(),
        "result": st.integers(-(1 << 31), (1 << 31) - 1),
        "entity_type": st.integers(0, 255),
    }
    for name in ("method", "con_mode"):
        by_name[name] = st.integers(0, (1 << 32) - 1)
    for name in ("preferred_modes", "allowed_methods", "allowed_modes"):
        by_name[name] = st.lists(st.integers(0, (1 << 32) - 1), max_size=4)
    anything = st.binary(max_size=120)
    cls = PAYLOADS.get(tag)
    if cls is None:
        return anything
    fields = {field.name: by_name.get(field.name, number) for field in attrs.fields(cls)}
    true = st.builds(cls, **fields).map(encode_payload)
    return st.one_of(true, st.builds(mutilate, true, st.integers(0, 300), anything), anything)


def mutilate(payload: bytes, at: int, change: bytes) -> bytes:
    at %= len(payload) + 1
    return payload[:at] + change + payload[at + len(change) :]


@pytest.mark.parametrize("cls", sorted(set(PAYLOADS.values()), key=str))
@given(data=st.binary(max_size=200))
def test_payloads_decode_or_say_why(cls: type[object], data: bytes) -> None:
    try:
        payload = decode_payload(cls, data)
    except ProtocolError:
        return
    # what was understood is written again as something that reads the same
    assert decode_payload(cls, encode_payload(payload)) == payload


@pytest.mark.parametrize("mode", [CRC, SECURE])
def test_a_message_beyond_the_limits_is_refused_by_its_first_bytes(mode: int) -> None:
    pair = make_pair(mode, limits=LIMITS)
    pair.run()
    pair.session.send(MessageFrame(1, front=bytes(3001)))
    with pytest.raises(ProtocolError, match="3001 bytes of front, 3000 are taken"):
        pair.feed_server(pair.client.data_to_send()[:96])
    assert pair.server.closed
