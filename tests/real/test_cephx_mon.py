"""cephx with a real monitor: sessions, tickets and their renewal; what it says to wrong keys.

Also: the monitor validates mds caps, and ours parses the same strings.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from attrs import define
from tests.real.admin import AdminConnection
from tests.real.cluster import RealCluster
from tests.real.conftest import QUICK
from tests.real.daemons import wait_for
from tests.real.test_msgr2_peer import Caller, mon_addr

from mdsdaemon.cephx.caps import CapsError, MDSAuthCaps
from mdsdaemon.cephx.client import CephxClient, MonAuth, ServiceAuth
from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.cephx.plug import AuthBadMethod, AuthDone, AuthError, AuthMore
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cephx.service import AuthServer
from mdsdaemon.cephx.tickets import RotatingKeyRing
from mdsdaemon.encoding import decode
from mdsdaemon.host import Host
from mdsdaemon.messages.auth import MAuth, MAuthReply
from mdsdaemon.messages.base import encode_message
from mdsdaemon.msgr2.events import Ready
from mdsdaemon.msgr2.message import MessageFrame
from mdsdaemon.net.policy import Policy
from mdsdaemon.types.entity import AUTH, MDS, MGR, MON, OSD, EntityName, PeerName
from mdsdaemon.types.features import FEATURES_PACIFIC

CEPHX, NONE = 2, 1
CRC, SECURE = 1, 2
HOST = Host.system()
NAME = EntityName(MDS, "g")
WANT = MON | OSD | MDS | MGR


@define
class Session:
    """An open session of mds.g with the monitor."""

    caller: Caller
    client: CephxClient
    ring: RotatingKeyRing

    def ask(self, payload: bytes | None) -> bool:
        """One MAuth and its answer; whether more is needed at once."""
        assert payload is not None
        version, compat, front = encode_message(
            MAuth(protocol=CEPHX, auth_payload=payload), FEATURES_PACIFIC
        )
        self.caller.session.send(
            MessageFrame(MAuth.TYPE, front, version=version, compat_version=compat)
        )
        frame = self.caller.message(MAuthReply.TYPE)
        reply = decode(MAuthReply, frame.front, version=frame.version)
        return self.client.handle_response(reply.result, reply.result_bl)

    def rotate(self) -> None:
        assert self.ask(self.client.build_rotating_request()) is False


def auth_for(
    cluster: RealCluster,
    previous: CephxClient | None = None,
    *,
    modes: tuple[int, ...] = (CRC,),
    name: EntityName = NAME,
    key: CryptoKey | None = None,
) -> MonAuth:
    key = key or KeyRing.load(str(cluster.keyring)).get_secret(NAME)
    registry = AuthRegistry(mon_cluster_modes=modes)
    return MonAuth(registry, name, key, WANT, HOST, RotatingKeyRing(MDS), previous)


@contextmanager
def session(cluster: RealCluster, auth: MonAuth) -> Iterator[Session]:
    caller = Caller.make(PeerName(MDS, -1), MON, mon_addr(cluster), Policy.lossy_client())
    with caller.connected(auth):
        caller.wait(Ready)
        assert isinstance(auth.client, CephxClient)
        assert auth.rotating is not None
        yield Session(caller, auth.client, auth.rotating)


def refused(cluster: RealCluster, auth: MonAuth) -> str:
    with pytest.raises(AuthError) as caught, session(cluster, auth):
        pass
    return str(caught.value)


def shake(client: CephxClient, ring: RotatingKeyRing, mode: int) -> AuthDone | AuthBadMethod:
    """Our ticket for the mds service, shown to our own service side."""
    ours = ServiceAuth(AuthRegistry(), MDS, client)
    theirs = AuthServer(AuthRegistry(), ring, HOST.randbytes).server_session(MDS, HOST.wall())
    request = ours.request()
    verdict = theirs.request(request.method, [mode], request.payload)
    if isinstance(verdict, AuthMore):
        verdict = theirs.request_more(ours.reply_more(verdict.payload))
    if isinstance(verdict, AuthDone):
        assert ours.done(verdict.global_id, verdict.con_mode, verdict.payload) == verdict.keys
    assert not isinstance(verdict, AuthMore)
    return verdict


@pytest.mark.parametrize("mode", [CRC, SECURE])
def test_session_tickets_and_secrets(
    new_cluster: Callable[[RealCluster], RealCluster], mode: int
) -> None:
    names = {CRC: "crc", SECURE: "secure"}
    cluster = new_cluster(RealCluster(mode=names[mode], options=QUICK))
    with session(cluster, auth_for(cluster, modes=(CRC, SECURE))) as s:
        assert s.caller.wire.con_mode == mode
        assert s.client.global_id > 0
        now = HOST.wall()
        # Without a manager or an OSD the monitor has secrets for their services all the same.
        assert s.client.tickets.have(WANT | AUTH, now) == WANT | AUTH
        assert not s.client.need_tickets()
        handler = s.client.tickets.handler(OSD)
        assert handler.expires - now == pytest.approx(3600, abs=30)
        assert handler.renew_after - now == pytest.approx(2700, abs=30)
        s.rotate()
        assert not s.ring.need_new_secrets(now)
        for own_mode in (CRC, SECURE):
            done = shake(s.client, s.ring, own_mode)
            assert isinstance(done, AuthDone)
            assert done.identity.entity_name == NAME
            assert done.identity.global_id == s.client.global_id
            assert str(MDSAuthCaps.from_info(done.identity.caps)) == "MDSAuthCaps[allow rwps]"


def test_renewal(cluster: RealCluster) -> None:
    with session(cluster, auth_for(cluster)) as s:
        tickets = s.client.tickets
        before = {service: t.session_key for service, t in tickets.tickets.items()}
        # Services' tickets by the ticket for tickets.
        tickets.invalidate(OSD)
        tickets.invalidate(MDS)
        assert s.ask(s.client.build_request()) is False
        assert tickets.handler(OSD).session_key != before[OSD]
        assert tickets.handler(AUTH).session_key == before[AUTH]
        assert not s.client.need_tickets()
        # That ticket by the key and itself.
        tickets.invalidate(AUTH)
        tickets.invalidate(MGR)
        assert s.ask(s.client.build_request()) is False
        tickets = s.client.tickets
        assert tickets.handler(AUTH).session_key != before[AUTH]
        assert tickets.handler(MGR).session_key != before[MGR]
        assert not s.client.need_tickets()
        s.rotate()
        assert isinstance(shake(s.client, s.ring, CRC), AuthDone)


def test_global_id_is_taken_up_again(cluster: RealCluster) -> None:
    """In ceph.conf: auth_allow_insecure_global_id_reclaim = false."""
    with session(cluster, auth_for(cluster)) as s:
        first = s.client
    with session(cluster, auth_for(cluster, first)) as s:
        assert s.client.global_id == first.global_id
        second = s.client
    with session(cluster, auth_for(cluster, second)) as s:
        assert s.client.global_id == first.global_id
    with session(cluster, auth_for(cluster)) as s:
        assert s.client.global_id != first.global_id
    thief = CephxClient(NAME, first.key, WANT, HOST, global_id=first.global_id)
    assert f"take up its global_id {first.global_id}" in refused(cluster, auth_for(cluster, thief))


def test_wrong_key_unknown_name_other_methods(cluster: RealCluster) -> None:
    wrong = auth_for(cluster, key=CryptoKey.create(HOST.randbytes, HOST.wall()))
    assert "does not accept the key of mds.g" in refused(cluster, wrong)
    unknown = auth_for(cluster, name=EntityName(MDS, "nobody"))
    assert "does not accept the key of mds.nobody" in refused(cluster, unknown)
    only_none = auth_for(cluster)
    only_none.registry = AuthRegistry(cluster_methods=(NONE,))
    assert "allows cephx, and mds.g may use none" in refused(cluster, only_none)
    none_first = auth_for(cluster)
    none_first.registry = AuthRegistry(cluster_methods=(NONE, CEPHX))
    with session(cluster, none_first) as s:
        assert s.client.method == CEPHX


def test_secrets_rotate_and_old_tickets_are_refused(
    new_cluster: Callable[[RealCluster], RealCluster],
) -> None:
    """Tickets of two seconds: renewed in time they always work, kept they stop to."""
    cluster = new_cluster(RealCluster(options={**QUICK, "auth_service_ticket_ttl": "2"}))
    with session(cluster, auth_for(cluster)) as s:
        s.rotate()
        newest = s.ring.secrets.max_ver
        kept = s.client.copy()
        assert isinstance(shake(kept, s.ring, CRC), AuthDone)
        kept.tickets.tickets[MDS].expires += 3600  # as if our clock stood still

        def rotated() -> bool:
            while s.client.need_tickets():
                s.ask(s.client.build_request())
            if s.ring.need_new_secrets(HOST.wall()):
                s.rotate()
            assert isinstance(shake(s.client, s.ring, CRC), AuthDone)
            return s.ring.secrets.max_ver >= newest + 2

        wait_for(rotated, 60, "the monitor has rotated the secrets twice", every=0.2)
        verdict = shake(kept, s.ring, CRC)
        assert isinstance(verdict, AuthBadMethod)
        assert "too old" in verdict.reason


# ---- mds caps ----

_SPECS = ["*", "all", "rwfps", "rwps", "rwfp", "rwfs", "rwp", "rws", "rwf", "rw", "r", "w", "rx"]
_PARTS = [
    *("fsname=a", "fsname=", "fsname=*", "path=/a", "path='a b'", 'path="x', "path=", "path=a@b"),
    *("root_squash", "root_squashed", "uid=1", "uid=4294967296", "uid=1 gids=1,2", "uid=1 gids=1,"),
    *("gids=1", "network 10.0.0.0/8", "network x", "network [::]/a", "junk"),
]
_SPACES = [" ", " ", " ", "  ", "\t", "\n", "\v", ""]
_BETWEEN = [",", ";", ", ", " ; ", ",,", "\n", ",\n", " "]


def caps_strings(rng: random.Random, count: int) -> Iterator[str]:
    for _ in range(count):
        out = rng.choice(["", "", "", " ", "\v"])
        for n in range(rng.choice([1, 1, 1, 2, 3])):
            out += rng.choice(_BETWEEN) if n else ""
            out += rng.choice(["allow"] * 9 + ["Allow"]) + rng.choice(_SPACES) + rng.choice(_SPECS)
            for part in rng.sample(_PARTS, rng.choice([0, 1, 1, 2, 3])):
                out += rng.choice(_SPACES) + part
        yield out + rng.choice(["", "", "", "\n", ","])


def monitor_takes(admin: AdminConnection, caps: str) -> bool:
    """The key exists with other caps, so that nothing is ever changed."""
    reply = admin.mon("auth get-or-create", entity="client.legacy", caps=["mds", caps])
    assert reply.r < 0, "those are its caps"
    return "capability parse failed" not in reply.err


def test_caps_parse_as_the_monitor_parses_them(cluster: RealCluster) -> None:
    """All that it takes and, beside the forms that came with Squid, nothing else."""
    taken = newer = 0
    for text in caps_strings(random.Random(16215), 2500):
        try:
            caps = MDSAuthCaps.parse(text)
        except CapsError:
            caps = MDSAuthCaps()
        by_monitor = monitor_takes(cluster.admin, text)
        if caps.grants and not by_monitor:
            newer += 1
            assert "uid=" in text or "gids=" in text, text
        else:
            assert bool(caps.grants) == by_monitor, text
            taken += by_monitor
    assert taken > 100
    assert newer > 10
