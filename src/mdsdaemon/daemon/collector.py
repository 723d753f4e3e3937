"""Python's collector of reference cycles, set for a process that is a server.

A rank's cache is millions of small objects that live long and are taken apart by hand when they
leave (`cache/trim.py`), so a collection finds little and looks at much. A host program that embeds
a daemon decides for itself; nothing here is called then.
"""

from __future__ import annotations

import gc

YOUNG, MIDDLE, OLD = 50_000, 20, 50
"""Thresholds: a request leaves a few hundred objects for the collector to look at, so that a
collection of the young comes after some hundred requests."""


def tune() -> None:
    """What is loaded by now stays: no collection looks at it again, nor the exit."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    gc.freeze()
    gc.enable()
