"""Timing within one process, beside the calibrating loop."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from bench.figures import LOOP, OURS, Better, Sheet
from bench.machine import pass_seconds

BATCH = 0.001
"""Seconds of calls between two looks at the clock, which takes as long as a small codec."""


def best(action: Callable[[], Any], seconds: float) -> float:
    """Processor seconds of one call: the best of some batches that take so long together."""
    clock = time.thread_time
    begun = clock()
    action()
    calls = max(int(BATCH / max(clock() - begun, 1e-9)), 1)
    shortest, end = float("inf"), clock() + seconds
    while clock() < end or shortest == float("inf"):
        begun = clock()
        for _ in range(calls):
            action()
        shortest = min(shortest, clock() - begun)
    return shortest / calls


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
