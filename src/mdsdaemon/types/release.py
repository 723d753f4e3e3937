"""Ceph's releases by number, as maps carry them.

Format: ceph/ceph, src/common/ceph_releases.h, src/common/ceph_strings.cc (Pacific).
"""

RELEASES = (
    "unknown",
    "argonaut",
    "bobtail",
    "cuttlefish",
    "dumpling",
    "emperor",
    "firefly",
    "giant",
    "hammer",
    "infernalis",
    "jewel",
    "kraken",
    "luminous",
    "mimic",
    "nautilus",
    "octopus",
    "pacific",
    "quincy",
    "reef",
    "squid",
    "tentacle",
)

NAUTILUS = 14
OCTOPUS = 15
PACIFIC = 16
QUINCY = 17
REEF = 18


def release_name(number: int) -> str:
    """The name of a release number, "unknown" for one that is not known here."""
    return RELEASES[number] if 0 <= number < len(RELEASES) else RELEASES[0]
