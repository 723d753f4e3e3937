"""Frames sealed with AES-128-GCM and counted nonces, and the signature of a handshake.

Format: ceph/ceph, src/msg/async/crypto_onwire.cc, src/include/crc32c.h (Pacific)
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mdsdaemon.msgr2.auth import SECURE_CONNECTION_SECRET_LEN
from mdsdaemon.msgr2.errors import ProtocolError

GCM_TAG_LEN = 16
SIGNATURE_LEN = 32

_KEY_LEN = 16
_NONCE_LEN = 12
_NONCE = Struct("<IQ")
_COUNTER_MASK = (1 << 64) - 1

Buffer = bytes | bytearray | memoryview


def sign(session_key: bytes, transcript: Buffer) -> bytes:
    """The AUTH_SIGNATURE over one direction's bytes before authentication; zeros without a key."""
    if not session_key:
        return bytes(SIGNATURE_LEN)
    return hmac.new(session_key, transcript, sha256).digest()


class _Nonces:
    """Nonces of one direction: a fixed u32 and a counter that only goes forward.

    Raises ProtocolError when all 2**64 are used up.
    """

    __slots__ = ("_counter", "_fixed", "_left")

    def __init__(self, first: bytes) -> None:
        self._fixed, self._counter = _NONCE.unpack(first)
        self._left = _COUNTER_MASK + 1

    def take(self) -> bytes:
        if not self._left:
            raise ProtocolError("the connection has used up its nonces")
        nonce = _NONCE.pack(self._fixed, self._counter)
        self._counter = (self._counter + 1) & _COUNTER_MASK
        self._left -= 1
        return nonce


class GcmSeal:
    """Encrypts one direction."""

    __slots__ = ("_aead", "_nonces")

    def __init__(self, key: bytes, first_nonce: bytes) -> None:
        self._aead = AESGCM(key)
        self._nonces = _Nonces(first_nonce)

    def seal(self, plain: Buffer) -> bytes:
        """Ciphertext followed by its tag; each call uses up one nonce."""
        return self._aead.encrypt(self._nonces.take(), plain, None)


class GcmOpen:
    """Decrypts one direction."""

    __slots__ = ("_aead", "_nonces")

    def __init__(self, key: bytes, first_nonce: bytes) -> None:
        self._aead = AESGCM(key)
        self._nonces = _Nonces(first_nonce)

    def open(self, sealed: Buffer) -> bytes:
        """The plain bytes of a ciphertext with its tag; each call uses up one nonce.

        Raises ProtocolError for anything that the peer did not seal as its next one.
        """
        try:
            return self._aead.decrypt(self._nonces.take(), sealed, None)
        except InvalidTag:
            raise ProtocolError("a frame's authentication tag is wrong") from None


def gcm_pair(connection_secret: bytes, *, server: bool) -> tuple[GcmSeal, GcmOpen]:
    """Both directions of secure mode.

    The secret holds a key, the nonce of what the server sends, the nonce of what the client sends.

    Raises:
        ProtocolError: the secret is too short.
    """
    if len(connection_secret) < SECURE_CONNECTION_SECRET_LEN:
        raise ProtocolError("authentication gave no connection secret for secure mode")
    key = connection_secret[:_KEY_LEN]
    from_server = connection_secret[_KEY_LEN : _KEY_LEN + _NONCE_LEN]
    from_client = connection_secret[_KEY_LEN + _NONCE_LEN : SECURE_CONNECTION_SECRET_LEN]
    if server:
        return GcmSeal(key, from_server), GcmOpen(key, from_client)
    return GcmSeal(key, from_client), GcmOpen(key, from_server)
