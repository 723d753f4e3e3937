"""Names of what a pool has: flags, options by number, modes.

Format: ceph/ceph, src/osd/osd_types.h (pg_pool_t, pool_opts_t), src/common/Checksummer.h (Pacific);
`bulk` and `pg_num_max` as 16.2.15 writes them
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

FLAG_HASHPSPOOL: Final = 1 << 0
FLAG_FULL: Final = 1 << 1
FLAG_NODELETE: Final = 1 << 4
FLAG_NOPGCHANGE: Final = 1 << 5
FLAG_NOSIZECHANGE: Final = 1 << 6
FLAG_NOSCRUB: Final = 1 << 8
FLAG_NODEEP_SCRUB: Final = 1 << 9
FLAG_FULL_QUOTA: Final = 1 << 10
FLAG_NEARFULL: Final = 1 << 11
FLAG_BACKFILLFULL: Final = 1 << 12
FLAG_SELFMANAGED_SNAPS: Final = 1 << 13
FLAG_POOL_SNAPS: Final = 1 << 14
FLAG_BULK: Final = 1 << 17

FLAG_NAMES: Final = {
    "hashpspool": FLAG_HASHPSPOOL,
    "full": FLAG_FULL,
    "ec_overwrites": 1 << 2,
    "incomplete_clones": 1 << 3,
    "nodelete": FLAG_NODELETE,
    "nopgchange": FLAG_NOPGCHANGE,
    "nosizechange": FLAG_NOSIZECHANGE,
    "write_fadvise_dontneed": 1 << 7,
    "noscrub": FLAG_NOSCRUB,
    "nodeep-scrub": FLAG_NODEEP_SCRUB,
    "full_quota": FLAG_FULL_QUOTA,
    "nearfull": FLAG_NEARFULL,
    "backfillfull": FLAG_BACKFILLFULL,
    "selfmanaged_snaps": FLAG_SELFMANAGED_SNAPS,
    "pool_snaps": FLAG_POOL_SNAPS,
    "creating": 1 << 15,
    "eio": 1 << 16,
    "bulk": FLAG_BULK,
}

AUTOSCALE_MODES: Final = ("off", "warn", "on")
CACHE_MODES: Final = (
    "none", "writeback", "forward", "readonly", "readforward", "readproxy", "proxy",
)  # fmt: skip
HIT_SET_TYPES: Final = ("none", "explicit_hash", "explicit_object", "bloom")
CSUM_TYPES: Final = {
    "none": 1, "xxhash32": 2, "xxhash64": 3, "crc32c": 4, "crc32c_16": 5, "crc32c_8": 6,
}  # fmt: skip
COMPRESSION_MODES: Final = ("none", "passive", "aggressive", "force")
COMPRESSION_ALGORITHMS: Final = ("none", "snappy", "zlib", "zstd", "lz4")


@frozen
class PoolOption:
    """One of pool_opts_t: its number and "str", "int" or "float"."""

    key: int
    type: str


OPTIONS: Final = {
    "scrub_min_interval": PoolOption(0, "float"),
    "scrub_max_interval": PoolOption(1, "float"),
    "deep_scrub_interval": PoolOption(2, "float"),
    "recovery_priority": PoolOption(3, "int"),
    "recovery_op_priority": PoolOption(4, "int"),
    "scrub_priority": PoolOption(5, "int"),
    "compression_mode": PoolOption(6, "str"),
    "compression_algorithm": PoolOption(7, "str"),
    "compression_required_ratio": PoolOption(8, "float"),
    "compression_max_blob_size": PoolOption(9, "int"),
    "compression_min_blob_size": PoolOption(10, "int"),
    "csum_type": PoolOption(11, "int"),
    "csum_max_block": PoolOption(12, "int"),
    "csum_min_block": PoolOption(13, "int"),
    "fingerprint_algorithm": PoolOption(14, "str"),
    "pg_num_min": PoolOption(15, "int"),
    "target_size_bytes": PoolOption(16, "int"),
    "target_size_ratio": PoolOption(17, "float"),
    "pg_autoscale_bias": PoolOption(18, "float"),
    "read_lease_interval": PoolOption(19, "float"),
    "dedup_tier": PoolOption(20, "int"),
    "dedup_chunk_algorithm": PoolOption(21, "str"),
    "dedup_cdc_chunk_size": PoolOption(22, "int"),
    "pg_num_max": PoolOption(23, "int"),
}


def flag_names(flags: int) -> list[str]:
    """The names of the bits that are set, in the order of the bits."""
    return [name for name, bit in FLAG_NAMES.items() if flags & bit]


def csum_name(value: str | float) -> str:
    """The name of a checksum's number."""
    return next((name for name, number in CSUM_TYPES.items() if number == value), "???")
