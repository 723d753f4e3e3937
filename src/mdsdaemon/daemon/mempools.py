"""The memory pools of `dump_mempools`, by the names that Ceph gives them.

Python has no pools: what is counted is counted where it lies, the rest is 0. The names are those
of 16.2.15, so that whatever reads them finds them.

Format: ceph/ceph, src/include/mempool.h (Pacific)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

POOL_NAMES = (
    "bloom_filter",
    "bluestore_alloc",
    "bluestore_cache_data",
    "bluestore_cache_onode",
    "bluestore_cache_meta",
    "bluestore_cache_other",
    "bluestore_Buffer",
    "bluestore_Extent",
    "bluestore_Blob",
    "bluestore_SharedBlob",
    "bluestore_inline_bl",
    "bluestore_fsck",
    "bluestore_txc",
    "bluestore_writing_deferred",
    "bluestore_writing",
    "bluefs",
    "bluefs_file_reader",
    "bluefs_file_writer",
    "buffer_anon",
    "buffer_meta",
    "osd",
    "osd_mapbl",
    "osd_pglog",
    "osdmap",
    "osdmap_mapping",
    "pgmap",
    "mds_co",
    "unittest_1",
    "unittest_2",
)

MempoolSource = Callable[[], Mapping[str, tuple[int, int]]]
"""Pool → (items, bytes) of what can be counted."""


def mempools(counted: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Every pool with (items, bytes)."""
    return {name: counted.get(name, (0, 0)) for name in POOL_NAMES}
