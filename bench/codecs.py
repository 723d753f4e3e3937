"""How fast values become bytes and bytes values: the twenty types that are met most."""

from __future__ import annotations

from functools import partial

from bench.codec_samples import twenty
from bench.figures import Sheet
from bench.plan import Plan
from bench.timing import beside_loop, best


def measure(sheet: Sheet, plan: Plan) -> None:
    """Operations a second; the best of many in each run."""
    seconds, runs = plan.pick(0.05, 0.03), plan.pick(5, 3)
    for codec in twenty():
        for quantity, action in (("encode", codec.there), ("decode", codec.back)):
            beside_loop(
                sheet,
                f"{codec.name} ({codec.size} bytes)",
                partial(best, action, seconds),
                runs=runs,
                unit="/s",
                better="higher",
                quantity=quantity,
            )
