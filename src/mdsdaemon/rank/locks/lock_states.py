"""The states of the four locks of an inode that capabilities mirror, as tables.

Each lock (file, auth, link, xattr) rests in a state, or moves from one to another. A state says
which bits of a capability the loner may hold (the one client that is interested in writing, if
there is only one) and which everybody may; and what the server itself may do meanwhile.

While a lock moves, a client may keep what both states allow it, and the move is over when nobody
holds more than the new state allows.

Behaviour: ceph/ceph, src/mds/locks.c, src/mds/locks.h, src/mds/SimpleLock.h (Pacific)
"""

from __future__ import annotations

from mdsdaemon.types.client_caps import (
    CAP_GBUFFER,
    CAP_GCACHE,
    CAP_GEXCL,
    CAP_GLAZYIO,
    CAP_GRD,
    CAP_GSHARED,
    CAP_GWR,
    CAP_PIN,
    CAP_SAUTH,
    CAP_SFILE,
    CAP_SLINK,
    CAP_SXATTR,
)

# States.
SYNC = 0
"""Everybody may read."""
LOCK = 1
"""The server may change it."""
EXCL = 2
"""The loner may read and change it on its own."""
MIX = 3
"""Several write: nobody may cache."""
XSYN = 4
"""The loner keeps its buffers while the server reads."""
SCAN = 5
"""The size is being recovered: nobody may do anything."""

STATE_NAMES = ("sync", "lock", "excl", "mix", "xsyn", "scan")

# Locks, in the order in which they are evaluated.
FILE = 0
AUTH = 1
LINK = 2
XATTR = 3
LOCKS = (FILE, AUTH, LINK, XATTR)
LOCK_NAMES = ("file", "auth", "link", "xattr")
INDEX = {name: index for index, name in enumerate(LOCK_NAMES)}

SHIFT = (CAP_SFILE, CAP_SAUTH, CAP_SLINK, CAP_SXATTR)
MASK = (0xFF, 3, 3, 3)

# How the server takes a lock.
RD = 0
WR = 1
X = 2

_READ = CAP_GSHARED | CAP_GCACHE | CAP_GRD
_EXCL = _READ | CAP_GEXCL | CAP_GWR | CAP_GBUFFER
_KEPT = CAP_GCACHE | CAP_GBUFFER

# by state: (what anybody may hold, what the loner may hold)
_FILE = {
    SYNC: (_READ | CAP_GLAZYIO, _READ | CAP_GLAZYIO),
    LOCK: (_KEPT, _KEPT),
    EXCL: (0, _EXCL),
    MIX: (CAP_GRD | CAP_GWR | CAP_GLAZYIO, CAP_GRD | CAP_GWR | CAP_GLAZYIO),
    XSYN: (0, _KEPT),
    SCAN: (0, 0),
}
_SIMPLE = {
    SYNC: (CAP_GSHARED, CAP_GSHARED),
    LOCK: (0, 0),
    EXCL: (0, CAP_GSHARED | CAP_GEXCL),
    MIX: (0, 0),
    XSYN: (0, 0),
    SCAN: (0, 0),
}


def _table(of: dict[int, tuple[int, int]], role: int) -> tuple[tuple[int, ...], ...]:
    """[from][to]: what both allow."""
    states = range(len(STATE_NAMES))
    return tuple(tuple(of[a][role] & of[b][role] for b in states) for a in states)


ANYBODY = (_table(_FILE, 0),) + (_table(_SIMPLE, 0),) * 3
"""[lock][from][to]: bits that a client may hold that is not the loner."""

LONER = (_table(_FILE, 1),) + (_table(_SIMPLE, 1),) * 3
"""[lock][from][to]: bits that the loner may hold."""


def allowed(table: tuple[tuple[tuple[int, ...], ...], ...], states: list[int]) -> int:
    """All bits of a capability that a role may hold.

    Args:
        table: ANYBODY or LONER.
        states: of the four locks, from and to in turn.
    """
    return (
        CAP_PIN
        | table[0][states[0]][states[1]] << CAP_SFILE
        | table[1][states[2]][states[3]] << CAP_SAUTH
        | table[2][states[4]][states[5]] << CAP_SLINK
        | table[3][states[6]][states[7]] << CAP_SXATTR
    )


ALLOWED_AT_REST = allowed(ANYBODY, [SYNC] * 8)
"""What everybody may hold while all locks are at rest: pAsLsXsFscrl."""


def can_take(lock: int, state: int, mode: int, is_loner: bool) -> bool:
    """Whether the server may take a lock that rests in `state`, for the loner or for another."""
    if mode == RD:
        return state in (SYNC, XSYN)
    if mode == WR:
        return state in (LOCK, MIX) or (is_loner and state in (EXCL, XSYN))
    return state == LOCK


def name_of(state: int, target: int) -> str:
    """As in dumps: `sync`, or `excl->sync` while it moves."""
    if state == target:
        return STATE_NAMES[state]
    return f"{STATE_NAMES[state]}->{STATE_NAMES[target]}"
