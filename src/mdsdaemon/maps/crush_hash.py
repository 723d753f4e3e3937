"""The hash and the logarithm of CRUSH, bit for bit.

Robert Jenkins' 32-bit mix over up to four numbers, and a fixed-point log2 by two tables.

Format: ceph/ceph, src/crush/hash.c, src/crush/mapper.c (crush_ln), src/crush/crush_ln_table.h
(Pacific).
"""

import functools
import math

from mdsdaemon.types.name_hash import mix

_M = 0xFFFFFFFF
_SEED = 1315423911
_X = 231232
_Y = 1232


def hash32_2(a: int, b: int) -> int:
    """The hash of two numbers; negative ones count as their 32-bit two's complement."""
    a, b = a & _M, b & _M
    h = _SEED ^ a ^ b
    a, b, h = mix(a, b, h)
    _, a, h = mix(_X, a, h)
    return mix(b, _Y, h)[2]


def hash32_3(a: int, b: int, c: int) -> int:
    """The hash of three numbers."""
    a, b, c = a & _M, b & _M, c & _M
    h = _SEED ^ a ^ b ^ c
    a, b, h = mix(a, b, h)
    c, x, h = mix(c, _X, h)
    y, a, h = mix(_Y, a, h)
    b, x, h = mix(b, x, h)
    return mix(y, c, h)[2]


def hash32_4(a: int, b: int, c: int, d: int) -> int:
    """The hash of four numbers."""
    a, b, c, d = a & _M, b & _M, c & _M, d & _M
    h = _SEED ^ a ^ b ^ c ^ d
    a, b, h = mix(a, b, h)
    c, d, h = mix(c, d, h)
    a, x, h = mix(a, _X, h)
    y, b, h = mix(_Y, b, h)
    c, x, h = mix(c, x, h)
    return mix(y, d, h)[2]


_ONE = 1 << 48
# 2^48 / (1 + k/128), rounded up
_RECIPROCAL = [-(-(1 << 55) // (128 + k)) for k in range(129)]
# 2^48 * log2(1 + k/128); the last entry is not the 2^48 that the formula gives
_LOG_HIGH = [math.floor(_ONE * math.log2(1 + k / 128)) for k in range(128)] + [0xFFFF00000000]

# The table of 2^48 * log2(1 + k/2^15) that every Ceph and kernel carries is off: most entries by
# one constant, some by another amount each. Placement depends on it, so it is a fact of the format.
_LOW_OFFSET = 5493489664
_LOW_EXCEPTIONS = {
    **dict.fromkeys((0, 1, 203, 216, 222, 233, 237, 238, 239, 243, 244, 245, 246), 0),
    **dict.fromkeys(range(248, 256), 0),
    56: 5349423536,
    127: 978272901,
    134: 3588789669,
    181: 4007963589,
    184: 5423282367,
    188: 2201924427,
    193: 3829329171,
    198: 2511158322,
    199: 2670353280,
    200: 3807665765,
    207: 5045407031,
    210: 4635559696,
    212: 3670382108,
    225: 3209098745,
    227: 1514328394,
    228: 2662093655,
    229: 561838844,
    231: 3537203772,
    235: 4861921003,
    236: 5281046906,
    240: 2650193885,
    241: 4203558265,
    247: 362109528,
}
_LOG_LOW = [
    math.floor(_ONE * math.log2(1 + k / 2**15)) + _LOW_EXCEPTIONS.get(k, _LOW_OFFSET)
    for k in range(256)
]


@functools.cache
def ln(value: int) -> int:
    """2^44 * log2(value + 1) for ``0 <= value <= 0xffff``, as the tables give it."""
    x = value + 1
    exponent = 15
    if not x & 0x18000:
        bits = 16 - x.bit_length()
        x <<= bits
        exponent -= bits
    index = (x >> 8) - 128
    low = (x * _RECIPROCAL[index] >> 48) & 0xFF
    return (exponent << 44) + (_LOG_HIGH[index] + _LOG_LOW[low] >> 4)
