"""What a codec raises: one error for bytes that do not decode, one for values that do not fit."""

from __future__ import annotations


class DecodeError(ValueError):
    """Bytes from outside do not hold what their type says.

    It is the only exception that decoders raise, whatever the bytes.

    Attributes:
        type: the wire type being read, by its class name.
        field: the field of that type, or "" for its envelope.
        offset: where in the buffer given to ``decode`` reading stopped, in bytes.
        why: what was wrong, for people.
    """

    def __init__(self, type: str, field: str, offset: int, why: str) -> None:  # noqa: A002
        super().__init__(type, field, offset, why)
        self.type = type
        self.field = field
        self.offset = offset
        self.why = why

    def __str__(self) -> str:
        place = f"{self.type}.{self.field}" if self.field else self.type
        return f"{place} at byte {self.offset}: {self.why}"


class EncodeError(ValueError):
    """A value of ours does not fit the wire type it was given to: a bug or an unchecked input."""


def short(where: tuple[str, str], offset: int, end: int, need: int) -> DecodeError:
    """The error for ``need`` bytes wanted at ``offset`` where what holds them ends at ``end``."""
    why = f"needs {need} bytes, {max(end - offset, 0)} are left"
    return DecodeError(where[0], where[1], offset, why)
