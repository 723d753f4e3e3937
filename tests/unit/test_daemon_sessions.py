"""Sessions of connections, the caps they get, and what becomes of them on a reset."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
from attrs import define, field
from tests.minimal_rank import SessionMap

from mdsdaemon.cephx.plug import AuthCapsInfo, PeerIdentity
from mdsdaemon.daemon import sessions
from mdsdaemon.encoding import Str, encode
from mdsdaemon.messages.client_session import CEPH_MSG_CLIENT_SESSION, MClientSession
from mdsdaemon.rank.session import MAX_PREOPEN, Session, SessionState
from mdsdaemon.types.entity import CLIENT, EntityAddrVec, EntityName, PeerName

LOG = logging.getLogger("test.sessions")


def caps(text: str) -> AuthCapsInfo:
    return AuthCapsInfo(caps=encode(Str, text))


@define(eq=False)
class Con:
    """As much of a connection as the session code looks at."""

    peer_identity: PeerIdentity | None
    peer_type: int = CLIENT
    peer_global_id: int = 4123
    peer_addrs: EntityAddrVec = field(factory=lambda: EntityAddrVec.parse("127.0.0.1:0/5"))
    session: Any = None
    down: bool = False
    sent: list[Any] = field(factory=list)

    def mark_down(self) -> None:
        self.down = True

    def send_message(self, msg: Any) -> bool:
        self.sent.append(msg)
        return True


def a_con(info: AuthCapsInfo) -> Any:
    return Con(PeerIdentity(EntityName(CLIENT, "x"), 4123, info, 2))


class KnowingRank:
    """Knows one session, and counts strangers."""

    def __init__(self, known: Session | None) -> None:
        self.known, self.kicked = known, 0

    def get_session(self, name: PeerName) -> Session | None:
        return self.known if self.known is not None and self.known.name == name else None

    def kick_waiters_for_any_client_connection(self) -> None:
        self.kicked += 1


@pytest.mark.parametrize(
    ("info", "allow_all"),
    [
        (AuthCapsInfo(allow_all=True), True),
        (caps("allow *"), True),
        (caps("allow"), False),
        (caps("allow rw path=/a"), False),
        (caps("allow * path=/a"), False),
        (caps("nonsense"), False),
        (AuthCapsInfo(caps=b""), False),
        (AuthCapsInfo(caps=b"\xff\xff\xff\xff"), False),
    ],
)
def test_who_may_tell(info: AuthCapsInfo, allow_all: bool) -> None:
    con = a_con(info)
    session = sessions.accept(con, None, LOG)
    assert session.auth_caps.allow_all() is allow_all
    assert con.session is session
    assert session.connection is con


def test_unreadable_caps_are_logged_and_allow_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert sessions.parse_caps(caps("allow bogus"), LOG) is None
    assert "auth cap parse error" in caplog.text
    caplog.clear()
    assert not sessions.accept(a_con(caps("allow bogus")), None, LOG).auth_caps.grants
    assert "client.x (client.4123) at v2:127.0.0.1:0/5" in caplog.text


def test_without_identity_nothing_is_allowed() -> None:
    con: Any = Con(None)
    assert not sessions.accept(con, None, LOG).auth_caps.grants


def test_stranger_gets_a_closed_session_in_no_map() -> None:
    rank: Any = KnowingRank(None)
    session = sessions.accept(a_con(caps("allow rw")), rank, LOG)
    assert session.is_closed()
    assert session.name == PeerName(CLIENT, 4123)
    assert rank.kicked == 1


def test_known_client_gets_its_session_and_what_waited() -> None:
    known = Session(PeerName(CLIENT, 4123))
    known.set_state(SessionState.OPEN)
    waiting = MClientSession(op=5)
    known.send(waiting)
    rank: Any = KnowingRank(known)
    con: Any = a_con(caps("allow *"))
    sent: list[Any] = con.sent
    assert sessions.accept(con, rank, LOG) is known
    assert sent == [waiting]
    assert known.connection == con
    assert known.auth_caps.allow_all(), "caps are those of the new ticket"
    assert rank.kicked == 0
    known.send(waiting)
    assert sent == [waiting, waiting]
    # Again on the same connection: nothing is sent twice.
    assert sessions.accept(con, rank, LOG) is known
    assert len(sent) == 2


def test_queue_for_an_absent_client_is_bounded() -> None:
    session = Session(PeerName(CLIENT, 1))
    for seq in range(MAX_PREOPEN + 5):
        session.send(MClientSession(op=5, seq=seq))
    assert len(session.preopen_out_queue) == MAX_PREOPEN


@pytest.mark.parametrize("remote", [False, True])
def test_reset_lets_go_of_a_closed_session(remote: bool) -> None:
    con = a_con(caps("allow *"))
    sessions.accept(con, None, LOG)
    sessions.reset(con, LOG, remote=remote)
    assert con.down
    assert con.session is None


@pytest.mark.parametrize("remote", [False, True])
def test_reset_keeps_an_open_session(remote: bool) -> None:
    con = a_con(caps("allow *"))
    session = sessions.accept(con, None, LOG)
    session.set_state(SessionState.OPEN)
    sessions.reset(con, LOG, remote=remote)
    assert not con.down
    assert con.session is session


@pytest.mark.parametrize(("remote", "down"), [(False, True), (True, False)])
def test_reset_without_a_session(remote: bool, down: bool) -> None:
    con = a_con(caps("allow *"))
    sessions.reset(con, LOG, remote=remote)
    assert con.down is down


def test_session_map_and_state_seq() -> None:
    sessions_ = SessionMap()
    one = Session(PeerName(CLIENT, 1))
    sessions_.add_session(one)
    assert sessions_.get_session(PeerName(CLIENT, 1)) is one
    assert sessions_.get_session(PeerName(CLIENT, 2)) is None
    assert (list(sessions_), len(sessions_)) == ([one], 1)
    sessions_.remove_session(one)
    sessions_.remove_session(one)
    assert len(sessions_) == 0
    assert one.state_seq == 0
    one.set_state(SessionState.OPENING)
    one.set_state(SessionState.OPENING)
    assert one.state_seq == 1


def test_a_daemon_without_a_rank_knows_what_clients_say_first() -> None:
    code = (
        "import mdsdaemon.daemon.mds_daemon; from mdsdaemon.messages import base, catalogue;"
        f"catalogue.load({CEPH_MSG_CLIENT_SESSION});"
        f"assert {CEPH_MSG_CLIENT_SESSION} in base.TYPES"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
