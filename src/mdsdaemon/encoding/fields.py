"""A field of a schema class: how it lies on the wire, and which of its neighbours go with it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from mdsdaemon import records
from mdsdaemon.encoding.codec import Codec


@records.frozen
class FieldSpec:
    """How one field lies on the wire."""

    codec: Codec[Any]
    since: int = 0
    until: int = 1 << 16
    when: int = 0
    unless: int = 0
    only_if: str = ""
    if_more: bool = False
    length_of: str = ""
    counted_by: str = ""

    def in_version(self, version: int) -> bool:
        """Whether structs of ``version`` have the field."""
        return self.since <= version < self.until

    @property
    def condition(self) -> tuple[int, int, str]:
        """What must hold for the field to be there."""
        return self.when, self.unless, self.only_if

    @property
    def in_run(self) -> bool:
        """Whether the field joins its neighbours of the same condition in one unpack."""
        return self.codec.fixed is not None and not self.if_more

    @property
    def in_usual_run(self) -> bool:
        """As ``in_run``, where the bytes are the usual ones."""
        return self.codec.usual is not None and not self.if_more and not self.counted_by

    @property
    def in_run_out(self) -> bool:
        """Whether the field joins its neighbours of the same condition in one pack."""
        return self.codec.fixed_out is not None

    @property
    def in_usual_run_out(self) -> bool:
        """As ``in_run_out``, where the values are the usual ones."""
        return self.codec.usual_out is not None and not self.counted_by

    @property
    def plain_run(self) -> bool:
        """Whether the field is always there and of a fixed size, known without its value."""
        return self.in_run and not any(self.condition) and not self.length_of


class Renamed(ast.NodeTransformer):
    """Turns the field names in an ``only_if`` expression into what generated code calls them."""

    def __init__(self, prefix: str, fields: set[str]) -> None:
        self.prefix = prefix
        self.fields = fields

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id in self.fields:
            node.id = self.prefix + node.id
        return node


def runs(specs: dict[str, FieldSpec], in_run: Callable[[FieldSpec], bool]) -> list[list[str]]:
    """The fields' names in order, neighbours that are read or written in one step together."""
    found: list[list[str]] = []
    for name, spec in specs.items():
        last = specs[found[-1][-1]] if found else None
        if last is not None and in_run(last) and in_run(spec) and last.condition == spec.condition:
            found[-1].append(name)
        else:
            found.append([name])
    return found


def written(name: str, specs: dict[str, FieldSpec], value: str) -> str:
    """What generated code writes for a field: the value, or the length of what it counts."""
    other = specs[name].length_of
    if not other:
        return f"{value}.{name}"
    # only text has another length on the wire than in Python
    if other in specs and specs[other].codec.counts_bytes_of_text:
        return f"len({value}.{other}.encode('utf-8', 'surrogateescape'))"
    return f"len({value}.{other})"
