"""How busy directories and servers are.

Format: ceph/ceph, src/common/DecayCounter.cc, src/mds/mdstypes.h (Pacific).
"""

from mdsdaemon.encoding import F64, Array, field, wire


@wire(v=5, compat=4, ceph="DecayCounter")
class DecayCounter:
    """A count that decays with time: its value when it was written."""

    value: float = field(F64, default=0.0)


def _counters(n: int) -> list[DecayCounter]:
    return [DecayCounter() for _ in range(n)]


@wire(v=2, compat=2, ceph="inode_load_vec_t")
class InodeLoadVec:
    """inode_load_vec_t: reads and writes of an inode."""

    vec: list[DecayCounter] = field(Array(DecayCounter, 2), factory=lambda: _counters(2))


@wire(v=2, compat=2, ceph="dirfrag_load_vec_t")
class DirfragLoadVec:
    """dirfrag_load_vec_t: reads, writes, readdirs, fetches and stores of a fragment."""

    vec: list[DecayCounter] = field(Array(DecayCounter, 5), factory=lambda: _counters(5))


@wire(v=2, compat=2, ceph="mds_load_t")
class MDSLoad:
    """mds_load_t: the load of one server, as its peers balance by it."""

    auth: DirfragLoadVec = field(DirfragLoadVec, factory=DirfragLoadVec)
    all: DirfragLoadVec = field(DirfragLoadVec, factory=DirfragLoadVec)
    req_rate: float = field(F64, default=0.0)
    cache_hit_rate: float = field(F64, default=0.0)
    queue_len: float = field(F64, default=0.0)
    cpu_load_avg: float = field(F64, default=0.0)
