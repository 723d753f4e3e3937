"""Numbers, tables and spans of time as Ceph prints them, and numbers as it reads them.

Format: ceph/ceph, src/include/types.h (si_u_t, byte_u_t, weightf_t), src/common/TextTable.cc,
src/common/ceph_time.cc (timespan_str), src/common/strtol.cc (Pacific), checked against 16.2.15
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping, Sequence

from mdsdaemon.encoding.codec import struct_of
from mdsdaemon.messages.cmdparse import CommandError

_SI = ("", "k", "M", "G", "T", "P", "E")
_IEC = (" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB")
_IEC_SHIFTS = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60, "B": 0}
_SI_POWERS = {"K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_F32 = struct_of("f")
_INTEGER = re.compile(r"\s*[+-]?[0-9]+")
_FLOAT = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TYPES = {"int": (-(1 << 63), (1 << 63) - 1), "uint": (0, (1 << 64) - 1)}


def _unit(value: int, base: int, units: Sequence[str]) -> str:
    index = 0
    while value // base**index >= base and index < len(units) - 1:
        index += 1
    scale = base**index
    if value % scale == 0:
        return f"{value // scale}{units[index]}"
    text = ""
    for digits in (2, 1, 0):
        text = f"{value / scale:.{digits}f}{units[index]}"
        if len(text) <= 7:
            break
    return text


def si(value: int) -> str:
    """``12``, ``1.23k``, ``2M``."""
    return _unit(value, 1000, _SI)


def iec(value: int) -> str:
    """``301 KiB``, ``4.0 GiB``, ``4 GiB`` (only what is exact has no fraction)."""
    return _unit(value, 1024, _IEC)


def percent(value: float) -> str:
    """A percentage with two digits, ``0`` below a hundredth."""
    return "0" if value < 0.01 else f"{value:.2f}"


def general(value: float) -> str:
    """As C++ streams print a floating point number: six significant digits."""
    return f"{value:g}"


def weight(value: float) -> str:
    """A CRUSH weight: five digits."""
    if value < -0.01:
        return "-"
    return "0" if value < 0.000001 else f"{value:.5f}"


def timespan(seconds: float) -> str:
    """``1.5s``, ``119s``, ``7m``, ``3h``, ``5d``."""
    if seconds < 2:
        return f"{general(max(seconds, 0.0))}s"
    rest = int(seconds)
    for limit, factor, unit in (
        (120, 60, "s"),
        (120, 60, "m"),
        (48, 24, "h"),
        (14, 7, "d"),
    ):
        if rest < limit:
            return f"{rest}{unit}"
        rest //= factor
    days = int(seconds) // 86400
    if rest < 12:
        return f"{rest}w"
    return f"{days // 30}M" if days // 30 < 24 else f"{days // 365}y"


def intervals(value: Mapping[int, int]) -> str:
    """A set of intervals (start → length), in hex: ``[1~1,4~2]``."""
    return "[" + ",".join(f"{start:x}~{length:x}" for start, length in sorted(value.items())) + "]"


def osd_list(osds: Iterable[int]) -> str:
    """``[0,1]``; the place of an OSD that is missing says NONE."""
    return "[" + ",".join("NONE" if osd == 0x7FFFFFFF else str(osd) for osd in osds) + "]"


class Table:
    """A text table: columns two spaces apart, every cell padded, also the last of a line.

    A column is its heading with two marks for the alignment of heading and cells: ``"<>USED"`` has
    its heading at the left and its cells at the right.
    """

    def __init__(self, *columns: str) -> None:
        self._heads = [(column[2:], column[0], column[1]) for column in columns]
        self._rows: list[list[str]] = []

    def row(self, *cells: object) -> None:
        """Add a line; cells that are missing are empty."""
        self._rows.append([*map(str, cells), *[""] * (len(self._heads) - len(cells))])

    def __str__(self) -> str:
        widths = [len(head) for head, _, _ in self._heads]
        for row in self._rows:
            for i, cell in enumerate(row):
                widths[i] = max(widths[i], len(cell))
        lines = [
            "  ".join(
                f"{head:{mark}{width}}"
                for (head, mark, _), width in zip(self._heads, widths, strict=True)
            )
        ]
        for row in self._rows:
            columns = zip(row, self._heads, widths, strict=True)
            lines.append(
                "  ".join(f"{cell:{mark}{width}}" for cell, (_, _, mark), width in columns)
            )
        return "".join(line + "\n" for line in lines)


def parse_int(text: str) -> int:
    """A whole number. Raises ValueError with Ceph's text."""
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(f"Expected option value to be integer, got '{text}'")
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"The option value '{text}' seems to be invalid")
    return value


def parse_float(text: str) -> float:
    """A number of floating point. Raises ValueError with Ceph's text."""
    match = _FLOAT.match(text)
    if match is None:
        raise ValueError(f"strict_strtod: expected double, got: '{text}'")
    if match.end() != len(text):
        raise ValueError(f"strict_strtod: garbage at end of string. got: '{text}'")
    return float(text)


def parse_iec(text: str, kind: str = "int") -> int:
    """A number of bytes: ``4096``, ``4K``, ``4Ki``. Raises ValueError with Ceph's text.

    `kind` is "int" (64 bits with a sign) or "uint".
    """
    if not text:
        raise ValueError("strict_iecstrtoll: value not specified")
    number, unit, shift = text, "", 0
    match = re.search(r"[^0-9+-]", text)
    if match is not None:
        number, unit = text[: match.start()], text[match.start() :]
        if unit[-1] == "i" and unit[0] == "B":
            raise ValueError('strict_iecstrtoll: illegal prefix "Bi"')
        if len(unit) > 2:
            raise ValueError("strict_iecstrtoll: illegal prefix (length > 2)")
        if unit[0] not in _IEC_SHIFTS:
            raise ValueError("strict_iecstrtoll: unit prefix not recognized")
        shift = _IEC_SHIFTS[unit[0]]
    value = parse_int(number)
    low, high = _TYPES[kind]
    if value < 0 and low == 0:
        raise ValueError("strict_iecstrtoll: value should not be negative")
    if value < low >> shift:
        raise ValueError("strict_iecstrtoll: value seems to be too small")
    if value > high >> shift:
        raise ValueError("strict_iecstrtoll: value seems to be too large")
    return value << shift


def parse_si(text: str, kind: str = "int") -> int:
    """A number with a decimal unit: ``1000``, ``1K``. Errors as `parse_iec`."""
    if not text:
        raise ValueError("strict_sistrtoll: value not specified")
    power = 0
    if re.search(r"[^0-9+-]", text) is not None:
        if text[-1] not in _SI_POWERS and text[-1] != "B":
            raise ValueError("strict_si_cast: unit prefix not recognized")
        power = _SI_POWERS.get(text[-1], 0)
    value = parse_int(text[:-1] if power else text)
    low, high = _TYPES[kind]
    if value < 0 and low == 0:
        raise ValueError("strict_sistrtoll: value should not be negative")
    factor: int = 10**power
    if not low // factor <= value <= high // factor:
        raise ValueError("strict_sistrtoll: value out of range")
    return value * factor


def parse_osd_id(text: str) -> int:
    """``0`` or ``osd.0``. Raises CommandError (EINVAL)."""
    try:
        number = parse_int(text.removeprefix("osd."))
    except ValueError as error:
        raise CommandError(errno.EINVAL, f"{error}") from None
    if not 0 <= number < 1 << 31:
        raise CommandError(errno.EINVAL, f"osd id {text} is out of range")
    return number


def single(value: float) -> float:
    """The nearest number that a field of 32 bits holds, as the map will have it."""
    return float(_F32.unpack(_F32.pack(value))[0])


def number(value: float) -> int | float:
    """As Ceph's JSON has it: without a fraction where there is none."""
    return int(value) if value == int(value) else value
