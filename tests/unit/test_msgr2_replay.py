"""Lossless sessions over sockets that break anywhere: every message once, in order, both ways."""

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.msgr2_peers import (
    CRC,
    LOSSLESS_CLIENT,
    LOSSLESS_PEER,
    SECURE,
    STATEFUL_SERVER,
    Pair,
    StubPolicy,
    make_pair,
    make_registry,
    messages,
)
from tests.unit.msgr2_world import PRIORITIES, World

from mdsdaemon.msgr2.events import Ready, RemoteReset
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.msgr2.session import SessionState

KINDS = pytest.mark.parametrize(
    ("policies", "ports"),
    [
        ((LOSSLESS_PEER, LOSSLESS_PEER), (6800, 6801)),
        ((evolve(LOSSLESS_PEER, resetcheck=True),) * 2, (6801, 6800)),
        ((LOSSLESS_CLIENT, STATEFUL_SERVER), (6800, 6801)),
        ((LOSSLESS_CLIENT, STATEFUL_SERVER), (6801, 6800)),
    ],
    ids=["peers", "peers-resetcheck", "client-lower", "client-higher"],
)


@KINDS
@settings(max_examples=60)
@given(
    seed=st.integers(0, 1 << 32),
    mode=st.sampled_from([CRC, SECURE]),
    break_rate=st.sampled_from([0.01, 0.04, 0.1]),
)
def test_every_message_arrives_once_and_in_order(
    policies: tuple[StubPolicy, StubPolicy],
    ports: tuple[int, int],
    seed: int,
    mode: int,
    break_rate: float,
) -> None:
    world = World.make(seed, policies, mode, ports)
    world.break_rate = break_rate
    sent: tuple[list[int], list[int]] = ([], [])
    # the client speaks first: a server cannot
    first = world.nodes[0].session_with(world.nodes[1])
    tid = 0
    while tid < 40:
        if world.rng.random() < 0.15 or not world.step():
            side = world.rng.randrange(2)
            node = world.nodes[side]
            if node.policy.server and not node.registry.sessions():
                continue
            tid += 1
            sent[side].append(tid)
            world.send(node, tid)
    world.settle()
    assert sorted(world.nodes[1].heard) == sent[0]
    assert sorted(world.nodes[0].heard) == sent[1]
    assert world.nodes[0].resets == world.nodes[1].resets == 0
    assert first.state is SessionState.READY or first.policy.standby
    for node in world.nodes:
        for error in node.errors:
            # a socket that has been overtaken by a later one of the same peer
            assert "of this peer's present session" in str(error)
        for priority in set(PRIORITIES):
            tids = [tid for tid in node.heard if PRIORITIES[tid % len(PRIORITIES)] == priority]
            assert tids == sorted(tids)
        (session,) = node.registry.sessions()
        assert session.skipped == 0
        assert not session.has_queued
        assert session.unacked == 0


def broken_pair(server_policy: StubPolicy) -> Pair:
    """A session that was ready, with three messages on each side that never arrived."""
    pair = make_pair(client_policy=LOSSLESS_CLIENT, server_policy=server_policy)
    pair.run()
    there = pair.server.session
    assert there is not None
    for tid in range(3):
        pair.session.send(MessageFrame(1, tid=tid))
        there.send(MessageFrame(1, tid=100 + tid))
    pair.collect()
    pair.session.fault()
    there.fault()
    return pair


def test_a_server_that_has_started_anew_resets_its_client() -> None:
    old = broken_pair(STATEFUL_SERVER)
    pair = make_pair(
        client_registry=old.client_registry,
        client_policy=LOSSLESS_CLIENT,
        server_policy=STATEFUL_SERVER,
    )
    assert pair.session is old.session
    pair.run()
    assert pair.client_events[2:] == [RemoteReset(), Ready(accepted=False, reconnected=False)]
    assert messages(pair.server_events) == []
    pair.session.send(MessageFrame(1, tid=9))
    pair.run()
    assert [(m.tid, m.seq) for m in messages(pair.server_events)] == [(9, 1)]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [(STATEFUL_SERVER, False), (evolve(STATEFUL_SERVER, resetcheck=False), True)],
)
def test_a_client_that_has_started_anew_resets_its_server(policy: StubPolicy, kept: bool) -> None:
    old = broken_pair(policy)
    fresh = make_registry(6800, seed=1)
    fresh.endpoint.global_seq = 1
    pair = make_pair(
        client_registry=fresh,
        server_registry=old.server_registry,
        client_policy=LOSSLESS_CLIENT,
        server_policy=policy,
    )
    pair.run()
    assert pair.server.session is not None
    assert pair.server.session.owner is old.session.owner
    assert [RemoteReset() in pair.server_events] == [not kept]
    arrived = [(m.tid, m.seq) for m in messages(pair.client_events)]
    assert arrived == ([(100, 1), (101, 2), (102, 3)] if kept else [])
    pair.server.session.send(MessageFrame(1, tid=9))
    pair.run()
    assert messages(pair.client_events)[-1].tid == 9


def test_a_later_socket_silences_the_one_before() -> None:
    old = make_pair()
    old.run()
    there = old.server.session
    assert there is not None
    old.session.fault()
    new = make_pair(client_registry=old.client_registry, server_registry=old.server_registry)
    assert there.wire is old.server
    new.run()
    assert there.wire is new.server
    assert old.server.closed
    assert old.server.session is None
    old.server.receive(b"more")
    assert old.server.next_event() is None
    there.send(MessageFrame(1))
    assert not old.server.wants_write
    assert new.server.wants_write


def test_a_new_attempt_silences_the_one_before() -> None:
    old = make_pair()
    new = make_pair(client_registry=old.client_registry, server_registry=old.server_registry)
    assert old.client.closed
    assert old.client.session is None
    assert new.session.wire is new.client
