"""CRUSH's hash and logarithm against what Ceph's own functions give for the same inputs."""

import hashlib
import struct

from mdsdaemon.maps.crush_hash import hash32_2, hash32_3, hash32_4, ln


def test_hash_of_known_inputs() -> None:
    assert hash32_2(1015568748, 1586005467) == 2802736792
    assert hash32_3(1015568748, 1586005467, 2165703038) == 1890904288
    assert hash32_4(1015568748, 1586005467, 2165703038, 3027450565) == 487231847


def test_two_thousand_hashes() -> None:
    state = 1

    def draw() -> int:
        nonlocal state
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        return state

    lines = []
    for _ in range(2000):
        a, b, c, d = draw(), draw(), draw(), draw()
        lines.append(f"{hash32_2(a, b)} {hash32_3(a, b, c)} {hash32_4(a, b, c, d)}")
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest == "2df3f8bd544622d485187f1946da545b73151ed29b5f6cbd1ec4fc0fa526201d"


def test_every_logarithm() -> None:
    table = struct.pack("<65536Q", *map(ln, range(65536)))
    assert (
        hashlib.sha256(table).hexdigest()
        == "7e86f34e8fedc36c3b6252e5a6e4fe3fa4e115ed44e16f58f7fed6543aa1bd20"
    )


def test_negative_ids_hash_as_their_twos_complement() -> None:
    assert hash32_3(5, -3, 1) == hash32_3(5, 0xFFFFFFFD, 1)
