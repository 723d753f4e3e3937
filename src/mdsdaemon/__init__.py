"""Ceph's metadata server daemon in Python on Trio.

    config = mdsdaemon.Config("mds.a", {"mon_host": "v2:10.0.0.1:3300", "keyring": "keyring"})
    async with trio.open_nursery() as nursery, mdsdaemon.open_mds(config) as mds:
        await nursery.start(mds.run)
        await mds.wait_for_state("up:standby")

Names are imported when they are first asked for: `python -m mdsdaemon --version` loads none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdsdaemon.version import __version__

if TYPE_CHECKING:
    from mdsdaemon.cluster.cluster import Cluster, open_cluster
    from mdsdaemon.cluster.snapshots import ClusterSnapshot
    from mdsdaemon.config import Config, load_config
    from mdsdaemon.daemon.embed import MDS, open_mds
    from mdsdaemon.daemon.outcome import End, Outcome
    from mdsdaemon.errors import ConfigError, FatalError
    from mdsdaemon.host import Host
    from mdsdaemon.messages.formatter import Reply
    from mdsdaemon.net.memory_network import MemoryNetwork
    from mdsdaemon.rank.interface import Rank, RankFactory, RankServices
    from mdsdaemon.rank.mds_rank import MDSRank
    from mdsdaemon.recorder import FlightRecorder

__all__ = [
    "MDS",
    "Cluster",
    "ClusterSnapshot",
    "Config",
    "ConfigError",
    "End",
    "FatalError",
    "FlightRecorder",
    "Host",
    "MDSRank",
    "MemoryNetwork",
    "Outcome",
    "Rank",
    "RankFactory",
    "RankServices",
    "Reply",
    "__version__",
    "load_config",
    "open_cluster",
    "open_mds",
]

_WHERE = {
    "MDS": "mdsdaemon.daemon.embed",
    "Cluster": "mdsdaemon.cluster.cluster",
    "ClusterSnapshot": "mdsdaemon.cluster.snapshots",
    "Config": "mdsdaemon.config",
    "ConfigError": "mdsdaemon.errors",
    "End": "mdsdaemon.daemon.outcome",
    "FatalError": "mdsdaemon.errors",
    "FlightRecorder": "mdsdaemon.recorder",
    "Host": "mdsdaemon.host",
    "MemoryNetwork": "mdsdaemon.net.memory_network",
    "MDSRank": "mdsdaemon.rank.mds_rank",
    "Outcome": "mdsdaemon.daemon.outcome",
    "Rank": "mdsdaemon.rank.interface",
    "RankFactory": "mdsdaemon.rank.interface",
    "RankServices": "mdsdaemon.rank.interface",
    "Reply": "mdsdaemon.messages.formatter",
    "load_config": "mdsdaemon.config",
    "open_cluster": "mdsdaemon.cluster.cluster",
    "open_mds": "mdsdaemon.daemon.embed",
}


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
