"""Keys, and values sealed with them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.cephx.crypto import (
    CryptoKey,
    get_sealed,
    open_sealed,
    put_sealed,
    seal,
    unseal,
)
from mdsdaemon.cephx.tickets import cursor
from mdsdaemon.encoding import U64, Blob, DecodeError, decode, encode
from mdsdaemon.host import Host

HOST = Host.seeded(2)
KEY = CryptoKey.create(HOST.randbytes, HOST.wall())
OTHER = CryptoKey.create(HOST.randbytes, HOST.wall())


@given(st.binary(max_size=200))
def test_encrypt_and_decrypt(plain: bytes) -> None:
    text = KEY.encrypt(plain)
    assert len(text) == (len(plain) // 16 + 1) * 16
    assert KEY.decrypt(text) == plain


def test_decrypt_refuses() -> None:
    text = KEY.encrypt(b"x" * 20)
    for wrong in (b"", text[:-1], text[:16], text + b"\0" * 16):
        with pytest.raises(DecodeError):
            KEY.decrypt(wrong)
    with pytest.raises(DecodeError):
        CryptoKey().decrypt(text)


def test_known_values() -> None:
    key = CryptoKey.from_base64("AQAAAAAAAAAAABAAAAECAwQFBgcICQoLDA0ODw==")
    assert key.secret == bytes(range(16))
    # openssl enc -aes-128-cbc -K 00…0f -iv <hex of the text cephsageyudagreg>; openssl dgst -hmac
    assert key.encrypt(b"").hex() == "7ee5cf4e557c533d502404fc3b64d7e9"
    assert key.encrypt(b"sixteen bytes ok").hex() == (
        "c52899545d8ff9f784a494609637f9739b7c8c2ea866354624fd2be0a645980b"
    )
    assert key.hmac_sha256(b"abc").hex() == (
        "d601cc177559b0248459787f7e804ed7f27689b5995c59b661802d9682fdf8d2"
    )


@given(st.integers(0, 2**64 - 1))
def test_sealed_values(value: int) -> None:
    assert unseal(U64, seal(U64, value, KEY), KEY) == value
    c = cursor(put_sealed(U64, value, KEY) + b"rest", "test")
    assert get_sealed(U64, c, KEY) == value
    assert c.remaining() == 4
    with pytest.raises(DecodeError):
        unseal(U64, seal(U64, value, OTHER), KEY)


@given(st.binary(max_size=100))
def test_unsealing_anything(data: bytes) -> None:
    with pytest.raises(DecodeError):
        unseal(Blob, data, KEY)
    with pytest.raises(DecodeError):
        open_sealed(KEY.encrypt(data), KEY)


def test_base64() -> None:
    assert CryptoKey.from_base64(KEY.to_base64()) == KEY
    text = KEY.to_base64()
    assert CryptoKey.from_base64(f" {text[:10]}\n{text[10:]}\n") == KEY
    assert CryptoKey.from_base64(text.replace("+", "-").replace("/", "_")) == KEY
    short = base64.b64encode(bytes.fromhex("0100" + "00" * 8 + "0f00") + bytes(15)).decode()
    of_type_2 = base64.b64encode(bytes.fromhex("0200" + "00" * 8 + "1000") + bytes(16)).decode()
    empty = base64.b64encode(bytes(12)).decode()
    for wrong in ("", "AQ==", "not base64 !", text[:-4], text + "AAAA", short, of_type_2, empty):
        with pytest.raises(ValueError, match="key") as caught:
            CryptoKey.from_base64(wrong)
        assert not wrong or wrong not in str(caught.value)


def test_wire_form() -> None:
    assert decode(CryptoKey, encode(CryptoKey, KEY)) == KEY
    assert not CryptoKey()
    assert KEY
    assert KEY != OTHER
    with pytest.raises(DecodeError, match="too short"):
        decode(CryptoKey, bytes.fromhex("0100" + "00" * 8 + "0100") + b"x")


def test_secrets_are_in_no_repr() -> None:
    assert repr(KEY.secret) not in repr(KEY)
    assert KEY.to_base64() not in repr(KEY)
