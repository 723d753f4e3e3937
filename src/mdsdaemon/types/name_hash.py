"""Hashes of names: in a directory they say which fragment has it and where a readdir comes to it,
of an object in which placement group it is.

Format: ceph/ceph, src/common/ceph_hash.cc (ceph_str_hash), src/include/ceph_hash.h, after Robert
Jenkins' hash of 1996 (public domain) (Pacific).
"""

from struct import Struct

STR_HASH_LINUX = 1
STR_HASH_RJENKINS = 2

_M = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9
_BLOCK = Struct("<III")


def mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    """Jenkins' mix of three 32-bit numbers (http://burtleburtle.net/bob/hash/evahash.html)."""
    a = (a - b - c ^ c >> 13) & _M
    b = (b - c - a ^ a << 8) & _M
    c = (c - a - b ^ b >> 13) & _M
    a = (a - b - c ^ c >> 12) & _M
    b = (b - c - a ^ a << 16) & _M
    c = (c - a - b ^ b >> 5) & _M
    a = (a - b - c ^ c >> 3) & _M
    b = (b - c - a ^ a << 10) & _M
    c = (c - a - b ^ b >> 15) & _M
    return a, b, c


def str_hash_rjenkins(data: bytes) -> int:
    """ceph_str_hash_rjenkins: 32 bits."""
    size = len(data)
    a = b = _GOLDEN
    c = 0
    whole = size - size % 12
    for x, y, z in _BLOCK.iter_unpack(data[:whole]):
        a, b, c = mix((a + x) & _M, (b + y) & _M, (c + z) & _M)
    # the lowest byte of the last block's third word is the length's
    tail = data[whole:]
    last = (tail[:8] + b"\0" * (8 - len(tail)) + b"\0" + tail[8:]).ljust(12, b"\0")
    x, y, z = _BLOCK.unpack(last)
    return mix((a + x) & _M, (b + y) & _M, (c + size + z) & _M)[2]


def str_hash_linux(data: bytes) -> int:
    """ceph_str_hash_linux: 32 bits."""
    value = 0
    for byte in data:
        value = (value + (byte << 4) + (byte >> 4)) * 11 & _M
    return value


def dentry_hash(dir_hash: int, name: str) -> int:
    """The hash of a name in a directory whose layout has `dir_hash`: 32 bits, of which a fragment
    and a readdir's offset see the lower 24.

    Raises:
        ValueError: there is no such hash function.
    """
    data = name.encode("utf-8", "surrogateescape")
    if dir_hash == STR_HASH_RJENKINS:
        return str_hash_rjenkins(data)
    if dir_hash in (0, STR_HASH_LINUX):
        return str_hash_linux(data)
    raise ValueError(f"no hash function has the number {dir_hash}")
