"""A set of small numbers as bits: the features of CephFS clients, and which metrics they report.

Format: ceph/ceph, src/mds/mdstypes.h (feature_bitset_t), src/mds/cephfs_features.h (Pacific).
"""

from collections.abc import Iterable
from typing import Self

from mdsdaemon.encoding import Blob, field, wire

_BLOCK = 8


@wire(ceph="feature_bitset_t", hash=True, frozen=True)
class FeatureBitset:
    """Bits in blocks of 64, least significant byte first: ``blocks`` as they lie on the wire."""

    blocks: bytes = field(Blob, default=b"")

    @classmethod
    def of(cls, bits: Iterable[int]) -> Self:
        """The set of the given bit numbers, in as few blocks as they need."""
        mask = 0
        for bit in bits:
            mask |= 1 << bit
        size = -(-mask.bit_length() // (8 * _BLOCK)) * _BLOCK
        return cls(mask.to_bytes(size, "little"))

    @property
    def mask(self) -> int:
        """All bits as one number."""
        return int.from_bytes(self.blocks, "little")

    def test(self, bit: int) -> bool:
        """Whether the bit is set."""
        return bool(self.mask >> bit & 1)

    def bits(self) -> list[int]:
        """The numbers of the bits that are set, in order."""
        mask = self.mask
        return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]

    def missing_from(self, other: "FeatureBitset") -> list[int]:
        """The bits of this set that ``other`` has not."""
        mask = self.mask & ~other.mask
        return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]

    def __str__(self) -> str:
        return f"0x{self.mask:016x}"


CEPHFS_FEATURE_NAMES = (
    *("reserved",) * 5,
    "jewel",
    "kraken",
    "luminous",
    "mimic",
    "reply_encoding",
    "reclaim_client",
    "lazy_caps_wanted",
    "multi_reconnect",
    "deleg_ino",
    "metric_collect",
    "alternate_name",
    "notify_session_state",
    "op_getvxattr",
    "32bits_retry_fwd",
)
"""CephFS features by bit number, as 16.2.15 knows them (16.2.0 knew those up to 15)."""

CEPHFS_FEATURES_SUPPORTED = FeatureBitset.of(range(len(CEPHFS_FEATURE_NAMES)))
"""What this metadata server tells its clients that it can do: what 16.2.15 tells them."""

METRIC_FEATURES_SUPPORTED = FeatureBitset.of(range(16))
"""The metrics that 16.2.15 tells clients to report: bits of a `MetricSpec`. Our server tells them
none, as it passes none on."""


def dump_cephfs_features(features: FeatureBitset) -> dict[str, str]:
    """The features known here as in Ceph's JSON: ``{"feature_5": "jewel", …}``."""
    names = enumerate(CEPHFS_FEATURE_NAMES)
    return {f"feature_{bit}": name for bit, name in names if features.test(bit)}
