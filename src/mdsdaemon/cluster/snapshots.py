"""The whole cluster as it was: what monitor and object store hold, and going back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from mdsdaemon.cluster.cluster import Cluster
    from mdsdaemon.embedded.store.store import StoreSnapshot


@attrs.frozen(eq=False)
class ClusterSnapshot:
    """What one cluster held at one time; good for that cluster only, any number of times."""

    cluster: Cluster = attrs.field(repr=False)
    monitor: dict[str, Any] = attrs.field(repr=False)
    store: StoreSnapshot = attrs.field(repr=False)
