"""Timing within one process, beside the calibrating loop."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from bench.figures import LOOP, OURS, Better, Sheet
from bench.machine import pass_seconds


def best(action: Callable[[], Any], seconds: float) -> float:
    """The shortest time of one call, of as many as fit in `seconds`."""
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        action()
        shortest = min(shortest, time.perf_counter() - begun)
    return shortest


def processor_seconds(action: Callable[[], Any]) -> float:
    """Processor time of one call, after a collection of garbage."""
    gc.collect()
    begun = time.process_time()
    action()
    return time.process_time() - begun


def beside_loop(
    sheet: Sheet,
    name: str,
    each: Callable[[], float],
    *,
    runs: int,
    unit: str = "µs",
    better: Better = "lower",
    **key: Any,
) -> None:
    """Samples of `each` (seconds for one), each beside the loop's of the same moment.

    In microseconds, or (`unit="/s"`, `better="higher"`) as a rate. A reference to a pass of the
    loop makes the figure one of the code, not of the machine.
    """
    for _ in range(runs):
        for kind, seconds in ((LOOP, pass_seconds()), (OURS, each())):
            value = 1 / seconds if unit == "/s" else 1e6 * seconds
            sheet.add(name, kind, value, unit, better=better, **key)
