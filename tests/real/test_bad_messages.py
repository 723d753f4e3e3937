"""Peers that may connect, and then send what they should not: unknown, malformed, not theirs."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from tests.real.cluster import Mds
from tests.real.daemons import wait_for
from tests.real.test_bad_peers import address_of, assert_well
from tests.real.test_msgr2_peer import Caller, service_auth
from tests.real.test_tickets import Tickets

from mdsdaemon.encoding import encode
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.messages.base import Message, encode_message
from mdsdaemon.messages.mds import MCommand, MCommandReply, MMDSMap
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.net.policy import Policy
from mdsdaemon.types.entity import CLIENT, MDS, EntityAddr, PeerName
from mdsdaemon.types.features import FEATURES_PACIFIC

STATUS = '{"prefix": "status", "format": "json"}'


def frame_of(message: Message) -> MessageFrame:
    version, compat, front = encode_message(message, FEATURES_PACIFIC)
    return MessageFrame(message.TYPE, front, version=version, compat_version=compat)


def command(fsid: UUID, *words: str) -> MCommand:
    return MCommand(fsid=fsid, cmd=list(words))


@contextmanager
def client(mds: Mds) -> Iterator[Caller]:
    """client.admin, authenticated and identified, on a connection of its own."""
    tickets = Tickets(mds.cluster)
    host, port = address_of(mds)
    (info,) = (info for info in mds.cluster.mds_infos() if info["name"] == mds.name)
    nonce = info["addrs"]["addrvec"][0]["nonce"]
    target = EntityAddr.parse(f"v2:{host}:{port}/{nonce}")
    name = PeerName(CLIENT, tickets.client.global_id)
    caller = Caller.make(name, MDS, target, Policy.lossy_client())
    with caller.connected(service_auth(tickets.client, 1)):
        caller.session.send(frame_of(command(UUID(mds.cluster.fsid), STATUS)))
        assert caller.message(MCommandReply.TYPE).front
        yield caller


def result(caller: Caller) -> int:
    """The code in the next MCommandReply, its first field."""
    (r,) = struct.unpack_from("<i", caller.message(MCommandReply.TYPE).front)
    return int(r)


def ends(caller: Caller) -> bool:
    """Whether the daemon closes the connection."""
    caller.stream.settimeout(3)
    try:
        while True:
            caller.event()
    except TimeoutError:
        return False
    except (AssertionError, OSError):
        return True


def truncated(fsid: UUID) -> MessageFrame:
    frame = frame_of(command(fsid, STATUS))
    return MessageFrame(frame.type, frame.front[:-5], version=1, compat_version=1)


def of_2_gi_strings(fsid: UUID) -> MessageFrame:
    front = fsid.bytes + struct.pack("<I", 0x7FFFFFFF)
    return MessageFrame(MCommand.TYPE, front, version=1, compat_version=1)


def of_a_later_version(fsid: UUID) -> MessageFrame:
    frame = frame_of(command(fsid, STATUS))
    return MessageFrame(frame.type, frame.front, version=200, compat_version=200)


def of_unknown_type(fsid: UUID) -> MessageFrame:
    return MessageFrame(0x7F00, b"who knows", version=1, compat_version=1)


@pytest.mark.parametrize(
    "wrong",
    [truncated, of_2_gi_strings, of_a_later_version, of_unknown_type],
    ids=lambda f: f.__name__,
)
def test_message_that_does_not_decode(mds: Mds, wrong: object) -> None:
    """Its connection ends, the log says whose and why; others are served."""
    gid = mds.gid()
    with client(mds) as caller:
        host, port = caller.stream.getsockname()
        assert callable(wrong)
        caller.session.send(wrong(UUID(mds.cluster.fsid)))
        caller.flush()
        assert ends(caller)
        if mds.kind == "ours":
            names = (f"{host}:{port}", f"client.{caller.registry.endpoint.name.num}")
            wait_for(lambda: any(n in mds.logged() for n in names), 2, "the log says whose")
    assert_well(mds, gid)


def test_map_from_a_client_is_not_believed(mds: Mds) -> None:
    """A map in which nobody is, of a great epoch: from a monitor it would mean a respawn."""
    gid = mds.gid()
    fsid = UUID(mds.cluster.fsid)
    with client(mds) as caller:
        forged = MDSMap(epoch=1_000_000)
        caller.session.send(
            frame_of(MMDSMap(fsid=fsid, epoch=forged.epoch, encoded=encode(MDSMap, forged)))
        )
        caller.session.send(frame_of(command(fsid, STATUS)))
        assert caller.message(MCommandReply.TYPE).front
    assert_well(mds, gid)
    assert mds.asok("status")["mdsmap_epoch"] < 1_000_000


@pytest.mark.parametrize(
    ("words", "errno"),
    [
        ([], -22),
        (["not JSON"], -22),
        (['{"prefix": "status"'], -22),
        (["[]"], -22),
        (['{"no prefix": 1}'], -22),
        (['{"prefix": ["status"]}'], -22),
        (['{"prefix": "' + "x" * 100_000 + '"}'], -22),
        (['{"prefix": "status", "deep": ' + "[" * 5000 + "]" * 5000 + "}"], -22),
    ],
    ids=lambda value: str(value)[:30],
)
def test_command_that_is_none(mds: Mds, words: list[str], errno: int) -> None:
    """Answered with an error; the connection goes on."""
    gid = mds.gid()
    fsid = UUID(mds.cluster.fsid)
    with client(mds) as caller:
        caller.session.send(frame_of(command(fsid, *words)))
        assert result(caller) == errno
        caller.session.send(frame_of(command(fsid, STATUS)))
        assert result(caller) == 0
    assert_well(mds, gid)
