"""The other end of cephx for tests: a key server, and the accepting side of a monitor.

What a monitor does is written down here independently of the client side that is tested with it.
Format: ceph/ceph, src/auth/cephx/CephxServiceHandler.cc, CephxKeyServer.cc (Pacific)
"""

from __future__ import annotations

import errno

from attrs import define, field

from mdsdaemon.cephx.auth import (
    AuthCapsInfo,
    AuthTicket,
    EntityAuth,
    ExpiringCryptoKey,
    RotatingSecrets,
)
from mdsdaemon.cephx.client import client_server_challenge
from mdsdaemon.cephx.crypto import CryptoKey, put_sealed, seal, unseal
from mdsdaemon.cephx.plug import (
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_SECURE,
    AuthBadMethod,
    AuthDone,
    AuthKeys,
    AuthMore,
    PeerIdentity,
)
from mdsdaemon.cephx.tickets import CephxAuthorizer, RotatingKeyRing, cursor
from mdsdaemon.cephx.wire import (
    CEPHX_GET_AUTH_SESSION_KEY,
    CEPHX_GET_PRINCIPAL_SESSION_KEY,
    CEPHX_GET_ROTATING_KEY,
    CephXAuthenticate,
    CephXRequestHeader,
    CephXResponseHeader,
    CephXServerChallenge,
    CephXServiceTicket,
    CephXServiceTicketInfo,
    CephXServiceTicketRequest,
    CephXTicketBlob,
)
from mdsdaemon.encoding import U32, U64, Blob, encode
from mdsdaemon.host import Host
from mdsdaemon.types.entity import AUTH, MDS, MGR, MON, OSD, EntityName
from mdsdaemon.types.utime import NSEC, from_seconds

SERVICES = (AUTH, MON, OSD, MDS, MGR)


@define
class Issued:
    """One ticket in both its parts."""

    service: int
    session_key: CryptoKey
    blob: CephXTicketBlob
    validity: float
    info: CephXServiceTicketInfo

    def authorizer(self, nonce: int, *, global_id: int | None = None) -> CephxAuthorizer:
        """What the ticket's holder shows; ``global_id`` is the claimed one."""
        claimed = self.info.ticket.global_id if global_id is None else global_id
        base = b"\x01" + encode(U64, claimed) + encode(U32, self.service)
        base += encode(CephXTicketBlob, self.blob)
        return CephxAuthorizer(self.service, base, self.session_key, nonce)


@define
class KeyServer:
    """Entities and rotating secrets; times in seconds."""

    host: Host
    service_ttl: float = 3600.0
    mon_ttl: float = 259200.0
    entities: dict[EntityName, EntityAuth] = field(factory=dict)
    rotating: dict[int, RotatingSecrets] = field(factory=dict)
    next_global_id: int = 4100

    def __attrs_post_init__(self) -> None:
        for service in SERVICES:
            self.rotating[service] = RotatingSecrets()
            for _ in range(3):
                self.rotate(service)

    def rotate(self, service: int) -> None:
        """A new next secret; the oldest of more than three goes."""
        secrets = self.rotating[service]
        number = len(secrets.secrets)
        secrets.max_ver += 1
        expiration = self.host.wall() + min(number, 2) * self.service_ttl
        secrets.secrets[secrets.max_ver] = ExpiringCryptoKey(
            CryptoKey.create(self.host.randbytes, self.host.wall()), from_seconds(expiration)
        )
        while len(secrets.secrets) > 3:
            del secrets.secrets[min(secrets.secrets)]

    def add(self, name: EntityName, **caps: str) -> CryptoKey:
        key = CryptoKey.create(self.host.randbytes, self.host.wall())
        coded = {service: AuthCapsInfo.from_text(text).caps for service, text in caps.items()}
        self.entities[name] = EntityAuth(key=key, caps=coded)
        return key

    def ring(self, service: int = MDS) -> RotatingKeyRing:
        """As a service of that type has its secrets."""
        secrets = self.rotating[service]
        return RotatingKeyRing(service, RotatingSecrets(dict(secrets.secrets), secrets.max_ver))

    def issue(
        self,
        service: int,
        name: EntityName,
        global_id: int,
        caps: AuthCapsInfo | None = None,
        *,
        validity: float | None = None,
        secret_id: int | None = None,
    ) -> Issued:
        now = self.host.wall()
        if validity is None:
            validity = self.mon_ttl if service == AUTH else self.service_ttl
        secrets = self.rotating[service].secrets
        number = sorted(secrets)[1] if secret_id is None else secret_id
        ticket = AuthTicket(
            name,
            global_id,
            created=from_seconds(now),
            expires=from_seconds(now + validity),
            caps=caps or AuthCapsInfo(),
        )
        info = CephXServiceTicketInfo(ticket, CryptoKey.create(self.host.randbytes, now))
        blob = seal(CephXServiceTicketInfo, info, secrets[number].key)
        return Issued(service, info.session_key, CephXTicketBlob(number, blob), validity, info)

    def caps(self, name: EntityName, service: int) -> AuthCapsInfo:
        kind = {MON: "mon", OSD: "osd", MDS: "mds", MGR: "mgr"}[service]
        return AuthCapsInfo(caps=self.entities[name].caps.get(kind, b"") if service != MON else b"")


def ticket_reply(
    issued: list[Issued], secret: CryptoKey, old_session_key: CryptoKey | None = None
) -> bytes:
    """Tickets for their holder, whose secret this is; encrypted once more on a reclaim."""
    out = b"\x01" + encode(U32, len(issued))
    for one in issued:
        mine = CephXServiceTicket(one.session_key, round(one.validity * NSEC))
        raw = encode(CephXTicketBlob, one.blob)
        out += encode(U32, one.service) + b"\x01" + put_sealed(CephXServiceTicket, mine, secret)
        if old_session_key is None:
            out += b"\x00" + encode(Blob, raw)
        else:
            out += b"\x01" + put_sealed(Blob, raw, old_session_key)
    return out


@define
class MonServerAuth:
    """The accepting side of a monitor: a ServerAuth, and ``mauth`` for what comes later."""

    keys: KeyServer
    allow_none: bool = False
    con_mode: int = CEPH_CON_MODE_SECURE
    name: EntityName = field(factory=EntityName)
    global_id: int = 0
    status: str = "none"
    challenge: int = 0

    def request(
        self, method: int, modes: list[int], payload: bytes
    ) -> AuthMore | AuthDone | AuthBadMethod:
        c = cursor(payload, "mon")
        assert c.u8() == 10
        self.name = c.get(EntityName)
        claimed = c.u64()
        if method not in (CEPH_AUTH_CEPHX, CEPH_AUTH_NONE) or (
            method == CEPH_AUTH_NONE and not self.allow_none
        ):
            return self.bad(errno.EOPNOTSUPP)
        self.con_mode = modes[0]
        self.status = "reclaim" if claimed else "new"
        self.global_id = claimed or self.keys.next_global_id
        self.keys.next_global_id += 1
        if method == CEPH_AUTH_NONE:
            return AuthDone(
                self.global_id,
                self.con_mode,
                b"",
                AuthKeys(),
                PeerIdentity(self.name, self.global_id, AuthCapsInfo(allow_all=True), method),
            )
        self.challenge = int.from_bytes(self.keys.host.randbytes(8), "little")
        return AuthMore(encode(CephXServerChallenge, CephXServerChallenge(self.challenge)))

    def bad(self, number: int) -> AuthBadMethod:
        methods = [CEPH_AUTH_CEPHX] + [CEPH_AUTH_NONE] * self.allow_none
        return AuthBadMethod(-number, methods, [2, 1])

    def request_more(self, payload: bytes) -> AuthMore | AuthDone | AuthBadMethod:
        answer = self._session_key(payload, self.con_mode == CEPH_CON_MODE_SECURE)
        if isinstance(answer, int):
            return self.bad(answer)
        reply, keys = answer
        identity = PeerIdentity(self.name, self.global_id, AuthCapsInfo(), CEPH_AUTH_CEPHX)
        return AuthDone(self.global_id, self.con_mode, reply, keys, identity)

    def _session_key(self, payload: bytes, secure: bool) -> tuple[bytes, AuthKeys] | int:
        c = cursor(payload, "mon")
        if c.get(CephXRequestHeader).request_type != CEPHX_GET_AUTH_SESSION_KEY:
            return errno.EACCES
        request = c.get(CephXAuthenticate)
        assert request.struct_v == 3
        assert not c.remaining()
        auth = self.keys.entities.get(self.name)
        if auth is None:
            return errno.EACCES
        if request.key != client_server_challenge(
            auth.key, self.challenge, request.client_challenge
        ):
            return errno.EACCES
        old_key: CryptoKey | None = None
        if self.status == "new":
            if request.old_ticket.blob:
                return errno.EINVAL
        else:
            secret = self.keys.rotating[AUTH].secrets.get(request.old_ticket.secret_id)
            if secret is None or not request.old_ticket.blob:
                return errno.EACCES
            old = unseal(CephXServiceTicketInfo, request.old_ticket.blob, secret.key)
            if old.ticket.global_id != self.global_id:
                return errno.EACCES
            old_key = old.session_key
        self.status = "known"
        main = self.keys.issue(AUTH, self.name, self.global_id)
        out = encode(CephXResponseHeader, CephXResponseHeader(CEPHX_GET_AUTH_SESSION_KEY))
        out += ticket_reply([main], auth.key, old_key)
        secret_bytes = self.keys.host.randbytes(64) if secure else b""
        out += encode(Blob, put_sealed(Blob, secret_bytes, main.session_key))
        others = self._issue(request.other_keys & ~AUTH)
        out += encode(Blob, ticket_reply(others, main.session_key) if others else b"")
        return out, AuthKeys(main.session_key.secret, secret_bytes)

    def _issue(self, mask: int) -> list[Issued]:
        return [
            self.keys.issue(s, self.name, self.global_id, self.keys.caps(self.name, s))
            for s in (MON, MDS, OSD, MGR)
            if mask & s
        ]

    def mauth(self, payload: bytes) -> tuple[int, bytes]:
        """An MAuth on the open session: (result, result_bl) of the MAuthReply."""
        c = cursor(payload, "mon")
        kind = c.get(CephXRequestHeader).request_type
        head = encode(CephXResponseHeader, CephXResponseHeader(kind))
        if kind == CEPHX_GET_AUTH_SESSION_KEY:
            answer = self._session_key(payload, secure=False)
            return (-answer, b"") if isinstance(answer, int) else (0, answer[0])
        if kind == CEPHX_GET_ROTATING_KEY:
            secrets = self.keys.rotating[self.name.type]
            key = self.keys.entities[self.name].key
            return 0, head + put_sealed(RotatingSecrets, secrets, key)
        assert kind == CEPHX_GET_PRINCIPAL_SESSION_KEY
        c.skip(1 + 8 + 4)
        blob = c.get(CephXTicketBlob)
        info = unseal(
            CephXServiceTicketInfo, blob.blob, self.keys.rotating[AUTH].secrets[blob.secret_id].key
        )
        c.blob()
        wanted = c.get(CephXServiceTicketRequest).keys
        return 0, head + ticket_reply(self._issue(wanted), info.session_key)
