"""The monitor and the object store of the one-process cluster."""
