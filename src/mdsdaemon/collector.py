"""Python's collector of reference cycles, set for a process that is a server.

A rank's cache is millions of small objects that live long and are taken apart by hand when they
leave (`rank/cache/trim.py`), so a collection finds little and looks at much. A host program that
embeds a daemon decides for itself; `tune` is not called then, and `resting` does nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG, MIDDLE, OLD = 50_000, 20, 50
"""Thresholds. Python's own (700 young objects) cost a create a third of its processor time, and
one in a hundred 20 ms; with 100,000 it was 719 µs instead of 1,064, and 5 ms."""


def tune() -> None:
    """What is loaded by now stays: no collection looks at it again, nor the exit."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    gc.freeze()
    gc.enable()


@contextmanager
def resting() -> Iterator[None]:
    """No collections while much is loaded that stays; none looks at it afterwards."""
    if gc.get_threshold() != (YOUNG, MIDDLE, OLD) or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
