"""The operations of a request, by the code of each: `HANDLERS`."""

from mdsdaemon.embedded.store.ops import attributes, data, objects, omap, snapshots, watching
from mdsdaemon.embedded.store.ops.table import HANDLERS

__all__ = ["HANDLERS", "attributes", "data", "objects", "omap", "snapshots", "watching"]
