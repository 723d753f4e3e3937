"""Names and addresses: text both ways, both wire forms, and what hostile bytes get."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsdaemon.encoding import DecodeError, decode, encode, from_plain, to_plain
from mdsdaemon.types.entity import (
    MDS,
    EntityAddr,
    EntityAddrVec,
    EntityInst,
    EntityName,
    PeerName,
)

hosts = st.ip_addresses().map(str)
addrs = st.builds(
    EntityAddr,
    st.sampled_from([1, 2, 3]),
    st.integers(0, 2**32 - 1),
    hosts,
    st.integers(0, 65535),
)


@pytest.mark.parametrize(
    ("text", "addr"),
    [
        ("v2:127.0.0.1:6800/42", EntityAddr(2, 42, "127.0.0.1", 6800)),
        ("v1:[::1]:6801/7", EntityAddr(1, 7, "::1", 6801)),
        ("10.1.2.3:0/0", EntityAddr(3, 0, "10.1.2.3", 0)),
        ("-", EntityAddr()),
    ],
)
def test_addresses_as_ceph_writes_them(text: str, addr: EntityAddr) -> None:
    assert str(addr) == text
    assert EntityAddr.parse(text, default_type=3) == addr


@pytest.mark.parametrize("text", ["v2:", "localhost:1", "1.2.3:4", "[::1:5", "1.2.3.4:x", "[1]2"])
def test_text_that_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        EntityAddr.parse(text)


@given(addrs)
def test_text_and_wire_forms_are_one_address(addr: EntityAddr) -> None:
    assert EntityAddr.parse(str(addr), default_type=3) == addr
    assert decode(EntityAddr, encode(EntityAddr, addr)) == addr
    assert from_plain(EntityAddr, to_plain(addr)) == addr
    old = decode(EntityAddr, encode(EntityAddr, addr, 0))
    assert (old.type, old.nonce, old.host, old.port) == (1, addr.nonce, addr.host, addr.port)


@given(st.lists(addrs, min_size=2, max_size=4).map(lambda a: EntityAddrVec(tuple(a))))
def test_vectors(vec: EntityAddrVec) -> None:
    assert EntityAddrVec.parse(str(vec), default_type=3) == vec
    assert decode(EntityAddrVec, encode(EntityAddrVec, vec)) == vec
    assert from_plain(EntityAddrVec, to_plain(vec)) == vec


def test_a_vector_offers_the_address_of_each_protocol() -> None:
    vec = EntityAddrVec.parse("[v2:127.0.0.1:1/0,v1:127.0.0.1:2/0]")
    assert str(vec.msgr2()) == "v2:127.0.0.1:1/0"
    assert str(vec.legacy()) == "v1:127.0.0.1:2/0"
    assert vec.addrs[0] in vec


@given(addrs, st.data())
def test_damaged_addresses_raise_decode_errors_only(addr: EntityAddr, data: st.DataObject) -> None:
    raw = bytearray(encode(EntityAddrVec, EntityAddrVec.of(addr, addr)))
    for _ in range(3):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut])):
        try:
            value = decode(EntityAddrVec, damaged)
        except DecodeError:
            continue
        str(value)
        encode(EntityAddrVec, value)


def test_a_sockaddr_longer_than_its_family_is_refused() -> None:
    body = struct.pack("<III", 2, 0, 20) + struct.pack("<H", 2) + bytes(18)
    with pytest.raises(DecodeError, match="family 2 has 20 bytes"):
        decode(EntityAddr, b"\1\1\1" + struct.pack("<I", len(body)) + body)


def test_names() -> None:
    assert str(EntityName.parse("mds.a.b")) == "mds.a.b"
    assert EntityName.parse("mds.a").type == MDS
    assert str(PeerName(MDS, 0)) == "mds.0"
    assert str(PeerName(MDS, -1)) == "mds.?"
    for bad in ("a", "xyz.a", "mds.", ""):
        with pytest.raises(ValueError, match="not an entity name"):
            EntityName.parse(bad)


def test_an_instance_is_a_name_and_an_address() -> None:
    inst = EntityInst(PeerName(8, 4100), EntityAddr(2, 1, "127.0.0.1", 99))
    assert decode(EntityInst, encode(EntityInst, inst)) == inst
    assert str(inst) == "client.4100 v2:127.0.0.1:99/1"
