"""Ceph's releases by number, as maps carry them.

Format: ceph/ceph, src/common/ceph_releases.h, src/common/ceph_strings.cc (Pacific).
"""

from mdsdaemon.types.features import SERVER_QUINCY, SERVER_REEF

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


def release_name(number: int) -> str:
    """The name of a release number, "unknown" for one that is not known here."""
    return RELEASES[number] if 0 <= number < len(RELEASES) else RELEASES[0]


REEF_FEATURES = SERVER_QUINCY | SERVER_REEF
"""Feature bits of a peer to which structs are written as Reef writes them.

SERVER_REEF alone does not tell: real Pacific daemons (16.2.15) still set its bit by its first
meaning, MON_SINGLE_PAXOS. They do not set that of SERVER_QUINCY.
"""
