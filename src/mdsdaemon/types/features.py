"""Feature bits: what a peer can decode and speak.

A bit that was given a second meaning counts only together with the bits of that meaning's
incarnation, so every constant here is a mask: test it with ``features & MASK == MASK``.

Format: ceph/ceph, src/include/ceph_features.h (Pacific).
"""

_INCARNATION_2 = 1 << 57
_INCARNATION_3 = 1 << 57 | 1 << 28


def _bit(number: int, incarnation: int = 1) -> int:
    return 1 << number | {1: 0, 2: _INCARNATION_2, 3: _INCARNATION_3}[incarnation]


UID = _bit(0)
NOSRCADDR = _bit(1)
SERVER_NAUTILUS = _bit(2, 3)
FLOCK = _bit(3)
SUBSCRIBE2 = _bit(4)
MONNAMES = _bit(5)
RECONNECT_SEQ = _bit(6)
DIRLAYOUTHASH = _bit(7)
OBJECTLOCATOR = _bit(8)
PGID64 = _bit(9)
INCSUBOSDMAP = _bit(10)
PGPOOL3 = _bit(11)
OSDREPLYMUX = _bit(12)
OSDENC = _bit(13)
SERVER_KRAKEN = _bit(14, 2)
MONENC = _bit(15)
SERVER_OCTOPUS = _bit(16, 3)
OSD_REPOP_MLCOD = _bit(16, 3)
OS_PERF_STAT_NS = _bit(17, 3)
CRUSH_TUNABLES = _bit(18)
OSD_PGLOG_HARDLIMIT = _bit(19, 2)
SERVER_PACIFIC = _bit(20, 3)
SERVER_LUMINOUS = _bit(21, 2)
RESEND_ON_SPLIT = _bit(21, 2)
RADOS_BACKOFF = _bit(21, 2)
OSDMAP_PG_UPMAP = _bit(21, 2)
CRUSH_CHOOSE_ARGS = _bit(21, 2)
OSD_FIXED_COLLECTION_LIST = _bit(22, 2)
MSG_AUTH = _bit(23)
RECOVERY_RESERVATION_2 = _bit(24, 2)
CRUSH_TUNABLES2 = _bit(25)
CREATEPOOLID = _bit(26)
REPLY_CREATE_INODE = _bit(27)
SERVER_MIMIC = _bit(28, 2)
MDSENC = _bit(29)
OSDHASHPSPOOL = _bit(30)
SERVER_REEF = _bit(31, 3)
STRETCH_MODE = _bit(32, 3)
SERVER_QUINCY = _bit(33, 3)
RANGE_BLOCKLIST = _bit(34, 3)
OSD_CACHEPOOL = _bit(35)
CRUSH_V2 = _bit(36)
EXPORT_PEER = _bit(37)
OSDMAP_ENC = _bit(39)
MDS_INLINE_DATA = _bit(40)
CRUSH_TUNABLES3 = _bit(41)
OSD_PRIMARY_AFFINITY = _bit(41)
MSGR_KEEPALIVE2 = _bit(42)
OSD_POOLRESEND = _bit(43)
OSD_FADVISE_FLAGS = _bit(46)
MDS_QUOTA = _bit(47)
CRUSH_V4 = _bit(48)
SERVER_SQUID = _bit(49, 3)
SERVER_TENTACLE = _bit(50, 3)
NEW_OSDOP_ENCODING = _bit(56)
MON_STATEFUL_SUB = _bit(57)
SERVER_JEWEL = _bit(57)
CRUSH_TUNABLES5 = _bit(58)
NEW_OSDOPREPLY_ENCODING = _bit(58)
FS_FILE_LAYOUT_V2 = _bit(58)
FS_BTIME = _bit(59)
FS_CHANGE_ATTR = _bit(59)
MSG_ADDR2 = _bit(59)
OSD_RECOVERY_DELETES = _bit(60)
CEPHX_V2 = _bit(61)

FEATURES_PACIFIC = (
    UID
    | NOSRCADDR
    | FLOCK
    | SUBSCRIBE2
    | MONNAMES
    | RECONNECT_SEQ
    | DIRLAYOUTHASH
    | OBJECTLOCATOR
    | PGID64
    | INCSUBOSDMAP
    | PGPOOL3
    | OSDREPLYMUX
    | OSDENC
    | MONENC
    | CRUSH_TUNABLES
    | MSG_AUTH
    | CRUSH_TUNABLES2
    | CREATEPOOLID
    | REPLY_CREATE_INODE
    | MDSENC
    | OSDHASHPSPOOL
    | NEW_OSDOP_ENCODING
    | NEW_OSDOPREPLY_ENCODING
    | OSD_CACHEPOOL
    | CRUSH_V2
    | EXPORT_PEER
    | OSDMAP_ENC
    | MDS_INLINE_DATA
    | CRUSH_TUNABLES3
    | MSGR_KEEPALIVE2
    | OSD_POOLRESEND
    | OSD_FADVISE_FLAGS
    | MDS_QUOTA
    | CRUSH_V4
    | MON_STATEFUL_SUB
    | CRUSH_TUNABLES5
    | SERVER_KRAKEN
    | MSG_ADDR2
    | SERVER_LUMINOUS
    | OSD_RECOVERY_DELETES
    | SERVER_MIMIC
    | RECOVERY_RESERVATION_2
    | SERVER_NAUTILUS
    | CEPHX_V2
    | OSD_PGLOG_HARDLIMIT
    | SERVER_OCTOPUS
    | STRETCH_MODE
    | SERVER_PACIFIC
    | OSD_FIXED_COLLECTION_LIST
)
"""The feature set of Pacific 16.2.0 (CEPH_FEATURES_SUPPORTED_DEFAULT): how we encode."""

FEATURES_ADVERTISED = FEATURES_PACIFIC | RANGE_BLOCKLIST
"""What we tell peers.

16.2.15 advertises bit 31 besides, in its first meaning (MON_SINGLE_PAXOS), which nothing tests any
more. We leave it out: to Reef and later that bit says SERVER_REEF, which we do not speak.
"""


def has(features: int, mask: int) -> bool:
    """Whether a peer with ``features`` has the feature of ``mask``, its incarnation included."""
    return features & mask == mask
