"""How much is measured: what the command line says, and two sizes of everything else."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Self, TypeVar

from attrs import asdict, frozen

T = TypeVar("T")


@frozen
class Plan:
    """What the parts are told.

    Attributes:
        quick: the reduced set, whose figures are compared with those that were kept.
        rounds: lives of each daemon, in turns.
        idle: seconds that a standby is watched; 0: it is not.
        clients: numbers of clients that make operations at a time.
        count: calls of each operation, by all clients together.
        files: more than the cache holds, in a directory and in many.
        python: the interpreter of our daemon, and of what is measured within one process.
    """

    quick: bool = False
    rounds: int = 5
    idle: float = 3.0
    clients: Sequence[int] = (1, 4, 16)
    count: int = 300
    files: int = 10_000
    python: str = sys.executable

    @classmethod
    def reduced(cls, python: str = sys.executable) -> Self:
        """For `--quick`."""
        return cls(
            quick=True, rounds=2, idle=0.0, clients=(1, 4), count=120, files=2_000, python=python
        )

    def pick(self, full: T, quick: T) -> T:
        """One of two, by how much is measured."""
        return quick if self.quick else full

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))
