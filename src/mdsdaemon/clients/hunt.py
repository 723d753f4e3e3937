"""The hunt for a monitor: which ones to try next, and how long to wait before the next round.

Pure state. A round picks up to `mon_client_hunt_parallel` monitors of the lowest priority value
not yet tried, at random by weight; when none of the round has answered after `interval()`
seconds, the next round follows. Every hunt after a lost session starts with a longer interval
(`mon_client_hunt_interval_backoff`, at most `..._max_multiple` times), every keepalive that the
monitor answers shortens it again.

Source of the behaviour: ceph/ceph, src/mon/MonClient.cc, _add_conns, _start_hunting, _un_backoff
(Pacific)
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

from mdsdaemon.records import define, field, frozen


class HuntConfig(Protocol):
    """The part of Config that the hunt reads, each time anew."""

    def get_float(self, name: str) -> float: ...

    def get_int(self, name: str) -> int: ...


@frozen
class Candidate:
    """A monitor that can be tried: rank in the monmap, priority (lower first), weight."""

    rank: int
    priority: int = 0
    weight: int = 0


def weighted_shuffle(candidates: Sequence[Candidate], rng: random.Random) -> list[Candidate]:
    """A random order in which heavier candidates tend to come first; even when all weigh 0."""
    rest = list(candidates)
    if not any(c.weight for c in rest):
        rng.shuffle(rest)
        return rest
    order: list[Candidate] = []
    while rest:
        weights = [c.weight for c in rest]
        if any(weights):
            n = rng.choices(range(len(rest)), weights)[0]
        else:
            n = rng.randrange(len(rest))
        order.append(rest.pop(n))
    return order


@define
class Hunt:
    """Back-off and memory of one monitor client's hunts."""

    config: HuntConfig
    rng: random.Random
    tried: set[int] = field(factory=set)
    had_a_connection: bool = False
    multiplier: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.multiplier = self._min_multiple()

    def _min_multiple(self) -> float:
        return self.config.get_float("mon_client_hunt_interval_min_multiple")

    def start(self) -> None:
        """A round begins: back off, unless no monitor was ever reached."""
        if self.had_a_connection:
            self.multiplier = min(
                self.multiplier * self.config.get_float("mon_client_hunt_interval_backoff"),
                self.config.get_float("mon_client_hunt_interval_max_multiple"),
            )

    def finish(self) -> None:
        """The hunt ended, with a session or with a refusal."""
        self.had_a_connection = True
        self.un_backoff()

    def un_backoff(self) -> None:
        """The session is alive: the next hunt may be quicker."""
        self.multiplier = max(
            self._min_multiple(),
            self.multiplier / self.config.get_float("mon_client_hunt_interval_backoff"),
        )

    def interval(self) -> float:
        """Seconds until the next round."""
        return self.config.get_float("mon_client_hunt_interval") * self.multiplier

    def forget_tried(self) -> None:
        """A new monmap: ranks mean something else now."""
        self.tried.clear()

    def next_batch(self, candidates: Iterable[Candidate]) -> list[int]:
        """Ranks to try now, marked as tried; starts over when all were. Empty only without
        candidates."""
        known = list(candidates)
        fresh = [c for c in known if c.rank not in self.tried]
        if not fresh:
            self.tried.clear()
            fresh = known
        if not fresh:
            return []
        lowest = min(c.priority for c in fresh)
        order = weighted_shuffle([c for c in fresh if c.priority == lowest], self.rng)
        parallel = self.config.get_int("mon_client_hunt_parallel")
        if 0 < parallel < len(order):
            order = order[:parallel]
        ranks = [c.rank for c in order]
        self.tried.update(ranks)
        return ranks
