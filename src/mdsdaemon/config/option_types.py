"""Text to value and back, for every type of Ceph option.

Values in memory: bool, int (int, uint, size in bytes, secs, millisecs), float, and str for all the
rest; addresses and UUIDs are kept as the text that Ceph prints for them. The texts of errors are
those of a live ceph-mds, since `injectargs` returns them.

Format: ceph/ceph, src/common/options.cc, src/common/strtol.cc, src/common/ceph_time.cc (Pacific),
checked against 16.2.15.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from errno import EINVAL, ERANGE

from mdsdaemon.errors import OptionError

Value = bool | int | float | str

_I64 = (-(2**63), 2**63 - 1)
_U64 = (0, 2**64 - 1)
_I32 = (-(2**31), 2**31 - 1)
_TINY = 2.2250738585072014e-308

_INT = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")
# Patterns of what few options are: compiled when one of them is first set.
_FLOAT = r"""[ \t\n\v\f\r]* (?P<sign>[+-]?) (?:
        (?P<word>inf(?:inity)? | nan(?:\([0-9A-Za-z_]*\))?)
      | 0x (?P<hex>(?:[0-9a-f]+ \.? [0-9a-f]* | \.[0-9a-f]+) (?:p[+-]?[0-9]+)?)
      | (?P<dec>(?:[0-9]+ \.? [0-9]* | \.[0-9]+) (?:e[+-]?[0-9]+)?)
    )"""
_SI = {"K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "B": 0}
_IEC = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60, "B": 0}
_SECONDS = {
    unit: seconds
    for seconds, units in (
        (1, "s sec second seconds"),
        (60, "m min minute minutes"),
        (3600, "h hr hour hours"),
        (86400, "d day days"),
        (7 * 86400, "w wk week weeks"),
        (30 * 86400, "mo month months"),
        (365 * 86400, "y yr year years"),
    )
    for unit in units.split()
}
_SPAN = re.compile(r"\s*([0-9]*)\s*([A-Za-z]*)", re.ASCII)
_UUID = r"\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?"
_ADDR = (
    r"(?:(v1|v2|any):)?(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)|([0-9A-Fa-f:.]+))(?::([0-9]{1,5}))?"
    r"(?:/([0-9]{1,10}))?"
)
_LEVELS = re.compile(r"\s*([+-]?[0-9]+)(?:/\s*([+-]?[0-9]+))?", re.ASCII)


def _fail(text: str) -> OptionError:
    return OptionError(EINVAL, text)


def _strict_int(text: str, bounds: tuple[int, int] = _I64) -> int:
    if not _INT.fullmatch(text):
        raise _fail(f"Expected option value to be integer, got '{text}'")
    # More digits than any 64-bit number has would cost time to convert, and fail all the same.
    value = int(text) if len(text) <= 64 else bounds[1] + 1
    if not bounds[0] <= value <= bounds[1]:
        raise _fail(f"The option value '{text}' seems to be invalid")
    return value


def _parse_si(text: str, bounds: tuple[int, int]) -> int:
    """Integers with a decimal suffix, K = 1000, as options of type int and uint take."""
    if not text:
        raise _fail("strict_sistrtoll: value not specified")
    digits, power = text, 0
    if text.strip("0123456789+-"):
        if text[-1] not in _SI:
            raise _fail("strict_si_cast: unit prefix not recognized")
        power = _SI[text[-1]]
        digits = text[:-1] if power else text
    number = _strict_int(digits)
    if number < 0 and bounds[0] == 0:
        raise _fail("strict_sistrtoll: value should not be negative")
    value = int(number * 10**power)
    if not bounds[0] <= value <= bounds[1]:
        raise _fail("strict_sistrtoll: value out of range")
    return value


def _parse_int(text: str) -> int:
    return _parse_si(text, _I64)


def _parse_uint(text: str) -> int:
    return _parse_si(text, _U64)


def _parse_size(text: str) -> int:
    """Bytes, with K = Ki = 1024 and so on."""
    if not text:
        raise _fail("strict_iecstrtoll: value not specified")
    digits = re.match(r"[0-9+-]*", text)
    number, unit = text[: digits.end()] if digits else "", text[digits.end() if digits else 0 :]
    shift = 0
    if unit:
        if unit[-1] == "i" and unit[0] == "B":
            raise _fail('strict_iecstrtoll: illegal prefix "Bi"')
        if len(unit) > 2:
            raise _fail("strict_iecstrtoll: illegal prefix (length > 2)")
        if unit[0] not in _IEC:
            raise _fail("strict_iecstrtoll: unit prefix not recognized")
        shift = _IEC[unit[0]]
    value = _strict_int(number)
    if value < 0:
        raise _fail("strict_iecstrtoll: value should not be negative")
    if value > _U64[1] >> shift:
        raise _fail("strict_iecstrtoll: value seems to be too large")
    return value << shift


def _parse_float(text: str) -> float:
    match = re.match(_FLOAT, text, re.VERBOSE | re.IGNORECASE)
    if match is None:
        raise _fail(f"strict_strtod: expected double, got: '{text}'")
    if match["word"]:
        value = float(match["word"][:3])
    elif match["hex"]:
        try:
            value = float.fromhex("0x" + match["hex"])
        except OverflowError:
            value = math.inf
    else:
        value = float(match["dec"])
    digits = re.split(
        r"[ep]" if match["dec"] else "p", match["dec"] or match["hex"] or "", flags=re.IGNORECASE
    )
    nonzero = digits[0].strip("0.") != ""
    if not match["word"] and (math.isinf(value) or (nonzero and value < _TINY)):
        raise _fail(f"strict_strtod: floating point overflow or underflow parsing '{text}'")
    if match.end() != len(text):
        raise _fail(f"strict_strtod: garbage at end of string. got: '{text}'")
    if math.isnan(value):
        # Ceph takes it; no comparison with it would ever be true again.
        raise _fail(f"strict_strtod: not a number: '{text}'")
    return -value if match["sign"] == "-" else value


def _parse_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    return bool(_strict_int(text, _I32))


def _parse_secs(text: str) -> int:
    """Seconds; also `10s`, `1h30m`, `2 days`."""
    total, pos = 0, 0
    while pos < len(text.rstrip()):
        match = _SPAN.match(text, pos)
        if match is None or not match[1]:
            raise _fail("expected digit")
        number = _strict_int(match[1])
        if match[2]:
            if match[2] not in _SECONDS:
                raise _fail(f"unrecogized unit '{match[2]}'")
            number *= _SECONDS[match[2]]
        elif match.end() < len(text):
            raise _fail(f"unexpected trailing '{text[match.end() :]}'")
        total += number
        pos = match.end()
    if total > _I64[1]:
        raise _fail(f"The option value '{text}' seems to be invalid")
    return total


def _parse_millisecs(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _fail("bad lexical cast: source type value could not be interpreted as target")
    return int(text)


def _parse_uuid(text: str) -> str:
    match = re.fullmatch(_UUID, text, re.IGNORECASE)
    if match is None:
        raise _fail("")
    return "-".join(match.groups()).lower()


def parse_addr(text: str) -> str:
    """An address as Ceph prints it: `10.0.0.1` gives `v2:10.0.0.1:0/0`; `-` stands for none.

    Of a list of addresses the first is taken, as Ceph does.

    Raises:
        OptionError: it is not an address.
    """
    first = text.partition(",")[0].strip()
    if first == "-":
        return "-"
    match = re.fullmatch(_ADDR, first)
    if match is None:
        raise _fail("")
    # Costs 5 ms, and most daemons are told no address.
    from ipaddress import ip_address

    kind, bracketed, v4, v6, port, nonce = match.groups()
    try:
        host = ip_address(bracketed or v4 or v6)
    except ValueError:
        raise _fail("") from None
    if int(port or 0) > 0xFFFF or int(nonce or 0) > 0xFFFFFFFF:
        raise _fail("")
    name = f"[{host}]" if host.version == 6 else str(host)
    return f"{kind or 'v2'}:{name}:{int(port or 0)}/{int(nonce or 0)}"


def _parse_addrvec(text: str) -> str:
    """`[v2:10.0.0.1:6800/0,v1:10.0.0.1:6801/0]`, or one address."""
    body = text.strip()
    if not (re.match(r"\[(v1|v2|any):", body) and body.endswith("]")):
        return parse_addr(text)
    addrs = [parse_addr(item) for item in body[1:-1].split(",")]
    return addrs[0] if len(addrs) == 1 else f"[{','.join(addrs)}]"


def _parse_str(text: str) -> str:
    """Text may end up as a path, for which the system takes neither NUL nor lone surrogates."""
    if "\0" in text:
        raise _fail("a NUL character")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise _fail("not valid Unicode") from None
    return text


PARSERS: dict[str, Callable[[str], Value]] = {
    "bool": _parse_bool,
    "int": _parse_int,
    "uint": _parse_uint,
    "size": _parse_size,
    "float": _parse_float,
    "secs": _parse_secs,
    "millisecs": _parse_millisecs,
    "str": _parse_str,
    "uuid": _parse_uuid,
    "addr": parse_addr,
    "addrvec": _parse_addrvec,
}
"""Option type → text to value; each raises OptionError with Ceph's text."""


def format_value(value: Value) -> str:
    """As `config show` prints it: `true`, `15.000000`, `4294967296`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:f}"
    return str(value)


def parse_debug_level(text: str) -> str:
    """A `debug_*` value, `N` or `N/M` from 0 to 99; returned as `N/M`.

    Raises:
        OptionError: ERANGE or EINVAL.
    """
    match = _LEVELS.match(text)
    if match is None:
        raise _fail("value must take the form N or N/M, where N and M are integers")
    if any(len(n) > 20 or not 0 <= int(n) <= 99 for n in match.groups() if n is not None):
        raise OptionError(ERANGE, "value must be in range [0, 99]")
    return text if match[2] is not None else f"{int(match[1])}/{int(match[1])}"


def debug_levels(value: str) -> tuple[int, int]:
    """(log level, level kept in memory) of a `debug_*` value."""
    match = _LEVELS.match(value)
    if match is None:
        return 0, 0
    return int(match[1]), int(match[2] if match[2] is not None else match[1])
