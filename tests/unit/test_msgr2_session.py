"""Sessions without sockets: order, acknowledgement, the bound, and what a fault means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.msgr2_peers import (
    LOSSLESS_CLIENT,
    LOSSLESS_PEER,
    LOSSY_CLIENT,
    STATEFUL_SERVER,
    STATELESS_SERVER,
    StubPolicy,
    make_registry,
)

from mdsdaemon.msgr2.message import CEPH_MSG_PRIO_HIGH, CEPH_MSG_PRIO_HIGHEST, MessageFrame
from mdsdaemon.msgr2.session import Fault, FaultKind, Session, SessionState
from mdsdaemon.types.entity import MDS, EntityAddrVec

ADDRS = EntityAddrVec.parse("v2:127.0.0.1:6801/1")


def ready(policy: StubPolicy = LOSSLESS_PEER) -> Session:
    session = Session(MDS, ADDRS, policy)
    session.server_cookie = session.client_cookie = 1
    session.ready()
    return session


def write_all(session: Session) -> list[tuple[int, int]]:
    """(seq, tid) of everything that goes out now."""
    written = []
    while (item := session.next_to_write()) is not None:
        written.append((item[0], item[1].tid))
    return written


def send(session: Session, *tids: int, priority: int = 127, size: int = 0) -> None:
    for tid in tids:
        assert session.send(MessageFrame(1, bytes(size), tid=tid, priority=priority))


def test_order_is_by_priority_then_by_time() -> None:
    session = ready()
    send(session, 1, 2)
    send(session, 3, priority=CEPH_MSG_PRIO_HIGH)
    send(session, 4, priority=0)
    send(session, 5)
    assert session.queued == 5
    assert write_all(session) == [(1, 3), (2, 1), (3, 2), (4, 5), (5, 4)]
    assert not session.has_queued
    assert session.unacked == 5


def test_acknowledged_messages_are_forgotten() -> None:
    session = ready()
    send(session, 1, 2, 3, size=100)
    write_all(session)
    assert session.unacked_bytes == 300
    assert session.acked(2) == 2
    assert session.acked(2) == session.acked(0) == 0
    assert (session.unacked, session.unacked_bytes) == (1, 100)
    assert session.acked(1 << 63) == 1
    assert session.unacked_bytes == 0


def test_lossy_sessions_forget_at_once() -> None:
    session = ready(LOSSY_CLIENT)
    send(session, 1, 2)
    assert write_all(session) == [(1, 1), (2, 2)]
    assert session.unacked == 0
    assert session.received(1)
    assert session.ack_left == 0


def test_unacknowledged_bytes_are_bounded() -> None:
    session = ready()
    session.max_unacked_bytes = 250
    send(session, 1, 2, 3, 4, size=100)
    assert [tid for _, tid in write_all(session)] == [1, 2, 3]
    assert (session.has_queued, session.can_write) == (True, False)
    session.acked(1)
    assert session.can_write
    assert [tid for _, tid in write_all(session)] == [4]


def test_a_resumed_session_sends_what_the_peer_lacks() -> None:
    session = ready()
    send(session, 1, 2, 3)
    write_all(session)
    send(session, 4)
    send(session, 5, priority=CEPH_MSG_PRIO_HIGHEST)
    session.requeue_sent()
    assert (session.out_seq, session.unacked, session.unacked_bytes) == (0, 0, 0)
    session.resume_session(2)
    assert session.out_seq == 2
    assert write_all(session) == [(3, 3), (4, 5), (5, 4)]


def test_a_resumed_session_with_nothing_to_replay_counts_on() -> None:
    session = ready()
    send(session, 1)
    write_all(session)
    session.acked(1)
    # whatever the peer claims: the counter is ours
    session.resume_session((1 << 64) - 1)
    send(session, 2)
    assert write_all(session) == [(2, 2)]


def test_a_new_session_counts_from_one() -> None:
    session = ready()
    send(session, 1, 2)
    write_all(session)
    session.received(7)
    session.begin_session()
    assert (session.out_seq, session.in_seq, session.ack_left) == (0, 0, 0)
    session.resume_session(9)  # numbers of the old session mean nothing any more
    assert write_all(session) == [(1, 1), (2, 2)]


def test_messages_are_encoded_late_and_again_only_for_other_features() -> None:
    class Late:
        priority = 127

        def __init__(self) -> None:
            self.features: list[int] = []

        def frame(self, features: int) -> MessageFrame:
            self.features.append(features)
            return MessageFrame(1, tid=len(self.features))

    session, late = ready(), Late()
    session.features = 5
    session.send(late)
    assert late.features == []
    assert write_all(session) == [(1, 1)]
    session.requeue_sent()
    assert write_all(session) == [(1, 1)]
    session.requeue_sent()
    session.features = 6
    assert write_all(session) == [(1, 2)]
    assert late.features == [5, 6]


def test_a_message_that_does_not_encode_costs_no_number() -> None:
    class Bad:
        priority = 200

        def frame(self, features: int) -> MessageFrame:
            raise ValueError("a bug")

    session = ready()
    session.send(Bad())
    send(session, 1)
    with pytest.raises(ValueError, match="a bug"):
        session.next_to_write()
    assert write_all(session) == [(1, 1)]


def test_old_messages_are_dropped_and_gaps_counted() -> None:
    session = ready()
    assert session.received(1)
    assert not session.received(1)
    assert not session.received(0)
    assert session.received(5)
    assert (session.in_seq, session.ack_left, session.skipped) == (5, 2, 3)


def test_reset_forgets_everything() -> None:
    session = ready()
    send(session, 1, 2)
    session.next_to_write()
    session.connect_seq = session.peer_global_seq = session.in_seq = session.ack_left = 3
    session.reset_session()
    assert not session.has_queued
    assert session.unacked == session.unacked_bytes == 0
    assert session.client_cookie == session.server_cookie == 0
    assert session.connect_seq == session.peer_global_seq == 0
    assert session.in_seq == session.out_seq == session.ack_left == 0


def test_closed_sessions_take_no_messages() -> None:
    session = ready()
    send(session, 1)
    session.close()
    assert not session.send(MessageFrame(1))
    assert not session.has_queued
    assert session.fault() == Fault(FaultKind.RESET)
    assert session.state is SessionState.CLOSED


CONNECTING, READY, WAIT = SessionState.CONNECTING, SessionState.READY, SessionState.WAIT
RESET, STANDBY, RECONNECT = FaultKind.RESET, FaultKind.STANDBY, FaultKind.RECONNECT


@pytest.mark.parametrize(
    ("policy", "state", "queued", "kind", "delay"),
    [
        # lossy: gone once it has been up; before that it tries on
        (LOSSY_CLIENT, READY, 1, RESET, 0),
        (LOSSY_CLIENT, WAIT, 1, RESET, 0),
        (LOSSY_CLIENT, CONNECTING, 0, RECONNECT, 0.2),
        (STATELESS_SERVER, READY, 0, RESET, 0),
        # a server waits for its client, with or without messages
        (STATEFUL_SERVER, READY, 0, STANDBY, 0),
        (STATEFUL_SERVER, READY, 1, STANDBY, 0),
        # peers rest with nothing to say, else reconnect at once
        (LOSSLESS_PEER, READY, 0, STANDBY, 0),
        (LOSSLESS_PEER, READY, 1, RECONNECT, 0),
        (LOSSLESS_PEER, CONNECTING, 0, STANDBY, 0),
        (LOSSLESS_PEER, CONNECTING, 1, RECONNECT, 0.2),
        (LOSSLESS_PEER, WAIT, 0, RECONNECT, 15.0),
        (LOSSLESS_PEER, WAIT, 1, RECONNECT, 15.0),
        # a client with a session always comes back
        (LOSSLESS_CLIENT, READY, 0, RECONNECT, 0),
        (LOSSLESS_CLIENT, CONNECTING, 0, RECONNECT, 0.2),
    ],
)
def test_faults(
    policy: StubPolicy, state: SessionState, queued: int, kind: FaultKind, delay: float
) -> None:
    session = Session(MDS, ADDRS, policy)
    session.state = state
    send(session, *range(queued))
    assert session.fault() == Fault(kind, delay)
    after = {RESET: SessionState.CLOSED, STANDBY: SessionState.STANDBY, RECONNECT: CONNECTING}
    assert session.state is after[kind]


def test_back_off_doubles_up_to_the_maximum_and_starts_again_after_success() -> None:
    session = Session(MDS, ADDRS, LOSSLESS_CLIENT)
    delays = [session.fault(0.2, 3.0).delay for _ in range(6)]
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.0, 3.0])
    session.ready()
    assert session.fault(0.2, 3.0).delay == 0
    assert session.fault(0.2, 3.0).delay == 0.2


def test_a_wanted_keepalive_keeps_a_peer_from_resting() -> None:
    session = Session(MDS, ADDRS, LOSSLESS_PEER)
    session.keepalive_wanted = True
    assert session.fault().kind is RECONNECT


def test_connect_seq_counts_reconnections_of_a_session() -> None:
    endpoint = make_registry(1).endpoint
    session = Session(MDS, ADDRS, LOSSLESS_PEER)
    session.begin_connect(endpoint)
    session.fault()
    assert session.state is SessionState.STANDBY
    session.begin_connect(endpoint)
    assert (session.connect_seq, session.global_seq) == (0, 2)  # there is no session yet
    session.server_cookie = 5
    session.ready()
    session.fault()
    send(session, 1)
    assert session.wants_connect
    session.begin_connect(endpoint)  # out of standby
    assert (session.connect_seq, session.global_seq, session.wants_connect) == (1, 3, False)
    session.fault()  # while connecting
    assert session.connect_seq == 2
    session.ready()
    send(session, 2)
    session.fault()  # out of ready
    assert session.connect_seq == 3


def test_servers_do_not_want_to_connect() -> None:
    session = ready(STATEFUL_SERVER)
    session.fault()
    send(session, 1)
    assert not session.wants_connect


steps = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 255)),
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.just("arrive"), st.integers(0, 8)),
    st.tuples(st.just("resume"), st.just(0)),
)


@given(script=st.lists(steps, max_size=60))
def test_whatever_happens_each_message_arrives_once_and_numbers_have_no_gaps(
    script: list[tuple[str, int]],
) -> None:
    """A model of the peer: it gets a prefix of what was written, and says how far it has come."""
    session = ready()
    tid = peer_seq = 0
    in_flight: list[tuple[int, int]] = []
    arrived: list[int] = []

    def arrive(count: int) -> None:
        nonlocal peer_seq
        for seq, what in in_flight[:count]:
            if seq > peer_seq:
                assert seq == peer_seq + 1
                peer_seq = seq
                arrived.append(what)
        del in_flight[:count]

    for verb, number in [*script, ("resume", 0), ("write", 1000), ("arrive", 1000)]:
        if verb == "send":
            tid += 1
            send(session, tid, priority=number)
        elif verb == "write":
            for _ in range(number):
                item = session.next_to_write()
                if item is not None:
                    in_flight.append((item[0], item[1].tid))
        elif verb == "arrive":
            arrive(number)
            session.acked(peer_seq)
        else:
            in_flight.clear()
            session.fault()
            session.resume_session(peer_seq)
            session.ready()
    assert sorted(arrived) == list(range(1, tid + 1))
