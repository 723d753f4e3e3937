"""The messages of cephx.

A client proves to a monitor that it has its key (CephXServerChallenge, CephXAuthenticate), gets
tickets (CephXServiceTicket for itself, CephXTicketBlob for the service), and shows one to a
service with a CephXAuthorize under the session key.

Format: ceph/ceph, src/auth/cephx/CephxProtocol.h (Pacific, 16.2.15 for CephXAuthenticate)
"""

from typing import Final

from mdsdaemon.cephx.auth import AuthTicket
from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.encoding import S32, U8, U16, U32, U64, Blob, Bool, Duration, field, wire

CEPHX_GET_AUTH_SESSION_KEY: Final = 0x0100
CEPHX_GET_PRINCIPAL_SESSION_KEY: Final = 0x0200
CEPHX_GET_ROTATING_KEY: Final = 0x0400


@wire(v=1, envelope="version", ceph="CephXServerChallenge")
class CephXServerChallenge:
    """Monitor to client, first."""

    server_challenge: int = field(U64)


@wire(ceph="CephXRequestHeader")
class CephXRequestHeader:
    """Stands before each request of a client; ``request_type`` is CEPHX_GET_*."""

    request_type: int = field(U16)


@wire(ceph="CephXResponseHeader")
class CephXResponseHeader:
    """Stands before each answer; ``status`` is 0 or -errno."""

    request_type: int = field(U16)
    status: int = field(S32, default=0)


@wire(v=1, envelope="version", ceph="CephXTicketBlob")
class CephXTicketBlob:
    """A ticket as its holder has it: a CephXServiceTicketInfo under the service's secret."""

    secret_id: int = field(U64, default=0)
    blob: bytes = field(Blob, default=b"", repr=False)


@wire(ceph="CephXAuthenticate")
class CephXAuthenticate:
    """Client to monitor: ``key`` proves the secret, ``old_ticket`` a claim to its global_id.

    ``other_keys`` (a mask of entity types) asks for service tickets at the same time. Writers of
    version 3 promise to send ``old_ticket`` whenever they have one; the monitor may forgive older
    ones that do not.
    """

    struct_v: int = field(U8, default=3)
    client_challenge: int = field(U64, default=0)
    key: int = field(U64, default=0, repr=False)
    old_ticket: CephXTicketBlob = field(CephXTicketBlob, factory=CephXTicketBlob)
    other_keys: int = field(U32, default=0, only_if="struct_v >= 2")

    @property
    def old_ticket_may_be_omitted(self) -> bool:
        return self.struct_v < 3


@wire(ceph="CephXChallengeBlob")
class CephXChallengeBlob:
    """What is encrypted to make ``CephXAuthenticate.key``."""

    server_challenge: int = field(U64)
    client_challenge: int = field(U64)


@wire(v=1, envelope="version", ceph="CephXServiceTicketRequest")
class CephXServiceTicketRequest:
    """Asks for tickets of the services in ``keys`` (a mask of entity types)."""

    keys: int = field(U32)


@wire(v=1, envelope="version", ceph="CephXServiceTicket")
class CephXServiceTicket:
    """The client's part of a ticket; ``validity`` is a span in nanoseconds."""

    session_key: CryptoKey = field(CryptoKey)
    validity: int = field(Duration, default=0)


@wire(v=1, envelope="version", ceph="CephXServiceTicketInfo")
class CephXServiceTicketInfo:
    """The service's part of a ticket, which only the service can read."""

    ticket: AuthTicket = field(AuthTicket)
    session_key: CryptoKey = field(CryptoKey)


@wire(v=1, envelope="version", ceph="CephXAuthorizeChallenge")
class CephXAuthorizeChallenge:
    """Service to client: answer this to show that the authorizer is not a replay."""

    server_challenge: int = field(U64, repr=False)


@wire(v=2, envelope="version", ceph="CephXAuthorize")
class CephXAuthorize:
    """Client to service, under the session key."""

    nonce: int = field(U64)
    have_challenge: bool = field(Bool, default=False, since=2)
    server_challenge_plus_one: int = field(U64, default=0, since=2, repr=False)


@wire(ceph="CephXAuthorizeReply")
class CephXAuthorizeReply:
    """Service to client, under the session key: proof, and in secure mode the secret (v2)."""

    struct_v: int = field(U8, default=1)
    nonce_plus_one: int = field(U64, default=0)
    connection_secret: bytes = field(Blob, default=b"", only_if="struct_v >= 2", repr=False)
