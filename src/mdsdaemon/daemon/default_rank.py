"""Which rank a daemon holds unless its host program brings one: this release's one switch.

A factory whose attribute `serves_files` is true is one whose ranks become up:active; a one-process
cluster is ready, then, when a client can mount.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mdsdaemon import collector

if TYPE_CHECKING:
    from mdsdaemon.rank.interface import Rank, RankFactory, RankServices


class OnDemand:
    """Makes an `MDSRank`. Its modules are a third of the program, of which a standby needs none."""

    serves_files = True

    def __call__(self, whoami: int, services: RankServices) -> Rank:
        from mdsdaemon.rank.mds_rank import MDSRank

        return MDSRank(whoami, services)

    def load(self) -> None:
        """Load the modules, so that a failover need not."""
        import mdsdaemon.rank.mds_rank  # noqa: F401


DEFAULT_RANK: Final = OnDemand()


def load(factory: RankFactory) -> None:
    """Now is a good time to load what the ranks of a factory need: nobody is served yet."""
    if isinstance(factory, OnDemand):
        with collector.resting():
            factory.load()


def serves_files(factory: RankFactory) -> bool:
    """Whether the ranks that it makes become up:active."""
    return bool(getattr(factory, "serves_files", False))
