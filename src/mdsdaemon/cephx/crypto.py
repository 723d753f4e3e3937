"""Secret keys: AES-128-CBC and HMAC-SHA256 as cephx uses them, and sealed values.

Format: ceph/ceph, src/auth/Crypto.cc (CryptoKey, CryptoAESKeyHandler),
src/auth/cephx/CephxProtocol.h (encode_encrypt, decode_decrypt), Pacific.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from typing import Final, Self, TypeVar

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from mdsdaemon.encoding import (
    U16,
    Codec,
    Cursor,
    Custom,
    DecodeError,
    Time,
    decode,
    encode,
    field,
    wire,
)
from mdsdaemon.types.utime import from_seconds

T = TypeVar("T")

CEPH_CRYPTO_NONE: Final = 0
CEPH_CRYPTO_AES: Final = 1

AES_KEY_LEN: Final = 16
AES_BLOCK_LEN: Final = 16
_IV: Final = b"cephsageyudagreg"

AUTH_ENC_MAGIC: Final = 0xFF009CAD8826AA55
_SEAL_HEAD: Final = b"\x01" + AUTH_ENC_MAGIC.to_bytes(8, "little")

#: Where secret bytes come from: ``randbytes(n)`` gives n of them.
RandBytes = Callable[[int], bytes]


def _read_secret(c: Cursor) -> bytes:
    secret = c.raw(c.u16())
    if secret and len(secret) < AES_KEY_LEN:
        raise c.fail(f"a secret of {len(secret)} bytes is too short for a key")
    return secret


def _write_secret(secret: bytes, out: bytearray, features: int) -> None:
    out += len(secret).to_bytes(2, "little")
    out += secret


@wire(ceph="CryptoKey", hash=True, frozen=True)
class CryptoKey:
    """A shared secret.

    ``type`` is CEPH_CRYPTO_AES or, for the empty key, mostly CEPH_CRYPTO_NONE; ``created`` is in
    nanoseconds since the epoch. The secret is in no repr.
    """

    type: int = field(U16, default=CEPH_CRYPTO_NONE)
    created: int = field(Time, default=0)
    secret: bytes = field(Custom(_read_secret, _write_secret, 2), default=b"", repr=False)

    @classmethod
    def create(cls, randbytes: RandBytes, now: float) -> Self:
        """A new AES key."""
        return cls(CEPH_CRYPTO_AES, from_seconds(now), randbytes(AES_KEY_LEN))

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """From the form in which keyrings and ``--key`` hold it.

        Raises:
            ValueError: not such a key; the message does not repeat the text.
        """
        compact = "".join(text.split()).translate(str.maketrans("-_", "+/"))
        try:
            key = decode(cls, base64.b64decode(compact, validate=True))
        except (binascii.Error, DecodeError, ValueError):
            raise ValueError(
                "not a base64 Ceph key such as ceph-authtool --gen-print-key prints"
            ) from None
        if key.type != CEPH_CRYPTO_AES or not key.secret:
            raise ValueError(f"a key of type {key.type}, and only AES keys (type 1) work here")
        return key

    def to_base64(self) -> str:
        """The form that keyrings hold."""
        return base64.b64encode(encode(CryptoKey, self)).decode()

    def __bool__(self) -> bool:
        return bool(self.secret)

    def _cipher(self) -> Cipher[CBC]:
        if self.type != CEPH_CRYPTO_AES:
            raise DecodeError("CryptoKey", "type", 0, f"key type {self.type} encrypts nothing")
        return Cipher(AES(self.secret[:AES_KEY_LEN]), CBC(_IV))

    def encrypt(self, plain: bytes) -> bytes:
        """AES-128-CBC with Ceph's fixed IV and PKCS #7 padding."""
        pad = AES_BLOCK_LEN - len(plain) % AES_BLOCK_LEN
        encryptor = self._cipher().encryptor()
        return encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()

    def decrypt(self, secret_text: bytes) -> bytes:
        """The contrary of ``encrypt``.

        Raises:
            DecodeError: not whole blocks, or padding that no encrypt writes. (Ceph cuts off what
                the last byte says; being strict here refuses most altered texts at once.)
        """
        if not secret_text or len(secret_text) % AES_BLOCK_LEN:
            raise DecodeError("CryptoKey", "", 0, f"{len(secret_text)} bytes are not whole blocks")
        decryptor = self._cipher().decryptor()
        padded = decryptor.update(secret_text) + decryptor.finalize()
        pad = padded[-1]
        if not 1 <= pad <= AES_BLOCK_LEN or padded[-pad:] != bytes([pad]) * pad:
            raise DecodeError("CryptoKey", "", 0, "does not decrypt with this key")
        return padded[:-pad]

    def hmac_sha256(self, data: bytes) -> bytes:
        """HMAC-SHA256 (32 bytes) under the whole secret."""
        return hmac.digest(self.secret, data, "sha256")


def seal(codec: Codec[T] | type[T], value: T, key: CryptoKey) -> bytes:
    """A value encrypted, without a length before it."""
    return key.encrypt(_SEAL_HEAD + encode(codec, value))


def open_sealed(sealed: bytes, key: CryptoKey) -> bytes:
    """The encoding that ``seal`` encrypted; raises DecodeError as ``unseal`` does."""
    plain = key.decrypt(sealed)
    size = len(_SEAL_HEAD)
    if plain[1:size] != _SEAL_HEAD[1:]:
        raise DecodeError("CephX", "magic", 1, "does not decrypt with this key")
    return plain[size:]


def unseal(codec: Codec[T] | type[T], sealed: bytes, key: CryptoKey) -> T:
    """The value that ``seal`` encrypted; bytes after it are what a newer release added.

    Raises:
        DecodeError: another key was used, or the bytes were altered where that shows.
    """
    return decode(codec, open_sealed(sealed, key), partial=True)


def put_sealed(codec: Codec[T] | type[T], value: T, key: CryptoKey) -> bytes:
    """A value encrypted, with its u32 length before it (Ceph's ``encode_encrypt``)."""
    sealed = seal(codec, value, key)
    return len(sealed).to_bytes(4, "little") + sealed


def get_sealed(codec: Codec[T] | type[T], c: Cursor, key: CryptoKey) -> T:
    """Read what ``put_sealed`` wrote (Ceph's ``decode_decrypt``); raises DecodeError."""
    return unseal(codec, c.blob(), key)
