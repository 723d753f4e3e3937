"""What a key allows its owner at the monitors.

Format: ceph/ceph, src/mon/MonCap.h and .cc (Pacific).
"""

from mdsdaemon.encoding import Str, field, wire


@wire(v=4, compat=4, ceph="MonCap")
class MonCap:
    """MonCap: a caps string such as ``allow profile mds``; the monitors parse it."""

    text: str = field(Str, default="")
