"""CompatSet: the features that a reader or writer of something must know.

Three sets of numbered, named features. ``compat`` ones matter to nobody, without the ``ro_compat``
ones a thing may be read, without the ``incompat`` ones not even that.

Format: ceph/ceph, src/include/CompatSet.h (Pacific).
"""

from mdsdaemon.encoding import U64, Map, Str, field, wire

MAX_FEATURE = 63
"""Feature ids are bit numbers 1 to 63."""


@wire()
class FeatureSet:
    """Some features: ``names`` by id, and ``mask`` with bit ``id`` set for each of them.

    Bit 0 of the mask carries nothing: Ceph sets it in memory and clears it on the wire; here it is
    clear in both. On the wire it marks sets of a release whose masks were wrong, and their mask is
    made anew from the names.
    """

    mask: int = field(U64, default=0)
    names: dict[int, str] = field(Map(U64, Str), factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.mask & 1:
            self.mask = sum(1 << n for n in self.names if 1 <= n <= MAX_FEATURE)

    def insert(self, number: int, name: str) -> None:
        """Add one feature.

        Raises:
            ValueError: ``number`` is not 1 to 63.
        """
        if not 1 <= number <= MAX_FEATURE:
            raise ValueError(f"feature {number} ({name!r}): ids are 1 to {MAX_FEATURE}")
        self.mask |= 1 << number
        self.names[number] = name

    def missing_from(self, other: "FeatureSet") -> int:
        """The mask of what this set has and ``other`` has not."""
        return self.mask & ~other.mask

    def name_of(self, number: int) -> str:
        """The feature's name, or "unknown" where only its bit came."""
        return self.names.get(number, "unknown")

    def dump(self) -> dict[str, str]:
        """As in Ceph's JSON: ``{"feature_1": name, …}``."""
        return {f"feature_{n}": name for n, name in sorted(self.names.items())}

    def __str__(self) -> str:
        return "{" + ",".join(f"{n}={name}" for n, name in sorted(self.names.items())) + "}"


def _features(mask: int, of: FeatureSet) -> FeatureSet:
    found = FeatureSet()
    for number in range(1, MAX_FEATURE + 1):
        if mask >> number & 1:
            found.insert(number, of.name_of(number))
    return found


@wire(ceph="CompatSet")
class CompatSet:
    """What a daemon knows (its own set) or what a thing needs (the thing's set)."""

    compat: FeatureSet = field(FeatureSet, factory=FeatureSet)
    ro_compat: FeatureSet = field(FeatureSet, factory=FeatureSet)
    incompat: FeatureSet = field(FeatureSet, factory=FeatureSet)

    def readable(self, other: "CompatSet") -> bool:
        """Whether one who knows this set may read what needs ``other``."""
        return not other.incompat.missing_from(self.incompat)

    def writeable(self, other: "CompatSet") -> bool:
        """Whether one who knows this set may write what needs ``other``."""
        return self.readable(other) and not other.ro_compat.missing_from(self.ro_compat)

    def compare(self, other: "CompatSet") -> int:
        """0: same features; 1: all of ``other``'s and more; -1: some of ``other``'s are missing."""
        pairs = (
            (self.compat, other.compat),
            (self.ro_compat, other.ro_compat),
            (self.incompat, other.incompat),
        )
        if all(ours.mask == theirs.mask for ours, theirs in pairs):
            return 0
        return -1 if any(theirs.missing_from(ours) for ours, theirs in pairs) else 1

    def unsupported(self, other: "CompatSet") -> "CompatSet":
        """The features of ``other`` that are missing here, for telling people which."""
        return CompatSet(
            compat=_features(other.compat.missing_from(self.compat), other.compat),
            ro_compat=_features(other.ro_compat.missing_from(self.ro_compat), other.ro_compat),
            incompat=_features(other.incompat.missing_from(self.incompat), other.incompat),
        )

    def merge(self, other: "CompatSet") -> bool:
        """Add the features of ``other``; returns whether any was new."""
        new = self.unsupported(other)
        for ours, added in (
            (self.compat, new.compat),
            (self.ro_compat, new.ro_compat),
            (self.incompat, new.incompat),
        ):
            ours.mask |= added.mask
            ours.names.update(added.names)
        return bool(new.compat.mask or new.ro_compat.mask or new.incompat.mask)

    def dump(self) -> dict[str, dict[str, str]]:
        """As in Ceph's JSON."""
        return {
            "compat": self.compat.dump(),
            "ro_compat": self.ro_compat.dump(),
            "incompat": self.incompat.dump(),
        }

    def __str__(self) -> str:
        return f"compat={self.compat},rocompat={self.ro_compat},incompat={self.incompat}"


MDS_INCOMPAT = {
    1: "base v0.20",
    2: "client writeable ranges",
    3: "default file layouts on dirs",
    4: "dir inode in separate object",
    5: "mds uses versioned encoding",
    6: "dirfrag is stored in omap",
    7: "mds uses inline data",
    8: "no anchor table",
    9: "file layout v2",
    10: "snaprealm v2",
}
"""The MDS's incompat features. Format: ceph/ceph, src/mds/MDSMap.h (Pacific)."""

MDS_INCOMPAT_INLINE = 7


def _mds_set(*left_out: int) -> CompatSet:
    made = CompatSet()
    for number, name in MDS_INCOMPAT.items():
        if number not in left_out:
            made.incompat.insert(number, name)
    return made


def get_compat_set_all() -> CompatSet:
    """Everything that this metadata server knows: the set that its beacons carry."""
    return _mds_set()


def get_compat_set_default() -> CompatSet:
    """What a new file system needs."""
    return _mds_set(MDS_INCOMPAT_INLINE)


def get_compat_set_base() -> CompatSet:
    """What a file system of before compat sets needs."""
    return _mds_set(*range(2, 11))


def get_compat_set_v16_2_4() -> CompatSet:
    """What daemons up to 16.2.4 know, whose entries in the map carry no set."""
    return _mds_set()
