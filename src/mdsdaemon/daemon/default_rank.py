"""Which rank a daemon holds unless its host program brings one: this release's one switch.

A factory whose attribute `serves_files` is true is one whose ranks become up:active; a one-process
cluster is ready, then, when a client can mount.
"""

from typing import Final

from mdsdaemon.rank.interface import RankFactory
from mdsdaemon.rank.mds_rank import MDSRank

DEFAULT_RANK: Final[RankFactory] = MDSRank


def serves_files(factory: RankFactory) -> bool:
    """Whether the ranks that it makes become up:active."""
    return bool(getattr(factory, "serves_files", False))
