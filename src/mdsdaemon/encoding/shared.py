"""Values that are read over and over again, made once.

An entity's name or a directory fragment's is in each of thousands of messages and events. To find
the object that was made of these numbers before takes a fifth of the time of making it again, and
dictionaries find what is the same object without comparing it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mdsdaemon.encoding.codec import Codec, Gen, slots_of


class Known(dict[Any, Any]):
    """Values by the numbers that they are made of; one that is missing is made.

    What it holds came from peers: when it is full, it begins anew.
    """

    AT_MOST = 4096

    def __init__(self, make: Callable[..., Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, parts: Any) -> Any:
        if len(self) >= self.AT_MOST:
            self.clear()
        made = self[parts] = self._make(*parts) if isinstance(parts, tuple) else self._make(parts)
        return made


def known_values(codec: Codec[Any], load: Callable[[Gen, list[str]], str]) -> Known:
    """The values of a codec of a fixed size; `load` is its `Codec.load`, without sharing."""
    g = Gen(type(codec).__name__)
    names = [g.temp() for _ in range(slots_of(codec.fixed or ""))]
    g.line(f"return {load(g, names)}")
    return Known(g.build(", ".join(names), "load"))
