"""The bits of capabilities, and what they mean for files that are open.

Format: ceph/ceph, src/include/ceph_fs.h, src/common/ceph_fs.cc, src/mds/mdstypes.h (Pacific).
"""

from mdsdaemon.types.client_ops import O_ACCMODE, O_DIRECTORY, O_LAZY, O_RDONLY, O_WRONLY

LOCK_DN = 1 << 0
"""The bit of a dentry's lock in the `mask` of a lease."""

# What a capability lets its holder do with what one lock guards.
CAP_GSHARED = 1
CAP_GEXCL = 2
CAP_GCACHE = 4
CAP_GRD = 8
CAP_GWR = 16
CAP_GBUFFER = 32
CAP_GWREXTEND = 64
CAP_GLAZYIO = 128

# Where the bits of each lock lie.
CAP_SAUTH = 2
CAP_SLINK = 4
CAP_SXATTR = 6
CAP_SFILE = 8

CAP_PIN = 1
CAP_AUTH_SHARED = CAP_GSHARED << CAP_SAUTH
CAP_AUTH_EXCL = CAP_GEXCL << CAP_SAUTH
CAP_LINK_SHARED = CAP_GSHARED << CAP_SLINK
CAP_LINK_EXCL = CAP_GEXCL << CAP_SLINK
CAP_XATTR_SHARED = CAP_GSHARED << CAP_SXATTR
CAP_XATTR_EXCL = CAP_GEXCL << CAP_SXATTR
CAP_FILE_SHARED = CAP_GSHARED << CAP_SFILE
CAP_FILE_EXCL = CAP_GEXCL << CAP_SFILE
CAP_FILE_CACHE = CAP_GCACHE << CAP_SFILE
CAP_FILE_RD = CAP_GRD << CAP_SFILE
CAP_FILE_WR = CAP_GWR << CAP_SFILE
CAP_FILE_BUFFER = CAP_GBUFFER << CAP_SFILE
CAP_FILE_WREXTEND = CAP_GWREXTEND << CAP_SFILE
CAP_FILE_LAZYIO = CAP_GLAZYIO << CAP_SFILE

CAP_ANY_SHARED = CAP_AUTH_SHARED | CAP_LINK_SHARED | CAP_XATTR_SHARED | CAP_FILE_SHARED
CAP_ANY_RD = CAP_ANY_SHARED | CAP_FILE_RD | CAP_FILE_CACHE
CAP_ANY_EXCL = CAP_AUTH_EXCL | CAP_LINK_EXCL | CAP_XATTR_EXCL | CAP_FILE_EXCL
CAP_ANY_FILE_RD = CAP_FILE_RD | CAP_FILE_CACHE | CAP_FILE_SHARED
CAP_ANY_FILE_WR = CAP_FILE_WR | CAP_FILE_BUFFER | CAP_FILE_EXCL
CAP_ANY_WR = CAP_ANY_EXCL | CAP_ANY_FILE_WR
CAP_ANY = CAP_ANY_RD | CAP_ANY_EXCL | CAP_ANY_FILE_WR | CAP_FILE_LAZYIO | CAP_PIN

# On directories some bits of the file stand for operations done without waiting for the server.
CAP_ANY_DIR_OPS = CAP_FILE_CACHE | CAP_FILE_RD | CAP_FILE_WREXTEND | CAP_FILE_LAZYIO

STAT_CAP_INODE_ALL = CAP_PIN | CAP_ANY_SHARED
"""`mask` of a getattr that asks for all: the capabilities with which clients answer themselves."""

CAP_FLAG_AUTH = 1 << 0
"""In `flags` of a capability in a reply: the server is the one that decides."""

CLIENT_CAPS_SYNC = 1 << 0
"""Somebody waits for the acknowledgement."""
CLIENT_CAPS_PENDING_CAPSNAP = 1 << 2
"""In `flags` that a client sends with its caps: what it holds for a snapshot follows."""

# How files are open.
FILE_MODE_PIN = 0
FILE_MODE_RD = 1
FILE_MODE_WR = 2
FILE_MODE_RDWR = 3
FILE_MODE_LAZY = 4

_LETTERS = "sxcrwbal"
_GENERIC = tuple(
    "".join(letter for bit, letter in enumerate(_LETTERS) if caps >> bit & 1) for caps in range(256)
)


def gcap_string(caps: int) -> str:
    """The bits of one lock as Ceph prints them: letters of ``sxcrwbal``."""
    return _GENERIC[caps & 0xFF]


def ccap_string(caps: int) -> str:
    """Capabilities as Ceph prints them: ``pAsLsXsFsxcrwb``, ``-`` for none."""
    out = "p" if caps & CAP_PIN else ""
    for letter, shift in (("A", CAP_SAUTH), ("L", CAP_SLINK), ("X", CAP_SXATTR)):
        if caps >> shift & 3:
            out += letter + _GENERIC[caps >> shift & 3]
    if caps >> CAP_SFILE:
        out += "F" + _GENERIC[caps >> CAP_SFILE & 0xFF]
    return out or "-"


def flags_to_mode(flags: int) -> int:
    """How a file opened with Ceph's ``O_*`` flags is open: bits of ``FILE_MODE_*``."""
    if flags & O_DIRECTORY:
        return FILE_MODE_PIN
    access = flags & O_ACCMODE
    mode = {O_RDONLY: FILE_MODE_RD, O_WRONLY: FILE_MODE_WR}.get(access, FILE_MODE_RDWR)
    return mode | FILE_MODE_LAZY if flags & O_LAZY else mode


def caps_for_mode(mode: int) -> int:
    """The capabilities that a client wants for a file that is open so."""
    caps = CAP_PIN
    if mode & FILE_MODE_RD:
        caps |= CAP_FILE_SHARED | CAP_FILE_RD | CAP_FILE_CACHE
    if mode & FILE_MODE_WR:
        caps |= CAP_FILE_EXCL | CAP_FILE_WR | CAP_FILE_BUFFER
        caps |= CAP_AUTH_SHARED | CAP_AUTH_EXCL | CAP_XATTR_SHARED | CAP_XATTR_EXCL
    if mode & FILE_MODE_LAZY:
        caps |= CAP_FILE_LAZYIO
    return caps
