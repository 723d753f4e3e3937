"""The four locks of one inode: where they are, and where they go next.

A model without I/O. It is told who holds which capabilities and what they wish for, and which
requests of the server wait for a lock; `evaluate` moves the locks as far as they can go. What
clients may hold then is `anybody`, and `loner_allowed` for the loner: whoever holds more has to be
asked to give it back, after which `evaluate` comes again.

Requests wait in the order of their tickets. The first in a lock's queue decides where the lock
goes, so that new capabilities against it are not issued; without any, the wishes of clients decide.

Behaviour: ceph/ceph, src/mds/Locker.cc (eval, eval_gather, simple_eval, file_eval),
src/mds/CInode.cc (choose_ideal_loner, try_drop_loner) (Pacific)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from mdsdaemon.rank.locks import lock_states as st
from mdsdaemon.types.client_caps import (
    CAP_ANY_WR,
    CAP_FILE_RD,
    CAP_GBUFFER,
    CAP_GEXCL,
    CAP_GRD,
    CAP_GWR,
    CAP_SFILE,
)

if TYPE_CHECKING:
    from mdsdaemon.rank.waiting import Gate

NOBODY = -1

# Whether the size has to be found out from the objects.
KNOWN = 0
NEEDED = 1
RUNNING = 2

_SIMPLE = (st.AUTH, st.LINK, st.XATTR)
_EXCL_WISHES = tuple(CAP_GEXCL << shift for shift in st.SHIFT)
_WRITES = CAP_GEXCL | CAP_GWR | CAP_GBUFFER
_MAX_STEPS = 64


_MADE = [st.EXCL, st.EXCL, st.SYNC, st.SYNC, st.EXCL, st.EXCL]
_MAKER_FILE = st.allowed(st.LONER, [st.EXCL, st.EXCL, *_MADE])
_MAKER = st.allowed(st.LONER, [st.SYNC, st.SYNC, *_MADE])
_OTHERS_FILE = st.allowed(st.ANYBODY, [st.EXCL, st.EXCL, *_MADE])
_OTHERS = st.allowed(st.ANYBODY, [st.SYNC, st.SYNC, *_MADE])


class Holder(Protocol):
    """A client's capability, as far as the locks ask.

    Attributes:
        issued: bits that the client may have. wanted: bits that it wishes for.
        stale: the client is silent: its wishes do not count.
    """

    @property
    def issued(self) -> int: ...
    @property
    def wanted(self) -> int: ...
    @property
    def stale(self) -> bool: ...


class Intent:
    """A request that takes a lock, or waits for it.

    Attributes:
        ticket: the lower, the earlier it is served.
        client: for whom.
        mode: RD, WR or X of `lock_states`.
        alone: reading, it does not put up with what a loner has buffered.
        held: it has the lock.
    """

    __slots__ = ("alone", "client", "held", "mode", "ticket")

    def __init__(self, ticket: int, client: int, mode: int, *, alone: bool = False) -> None:
        self.ticket = ticket
        self.client = client
        self.mode = mode
        self.alone = alone
        self.held = False

    def bears(self, other: Intent) -> bool:
        """Whether both may have the lock at a time."""
        return self.mode == other.mode and self.mode != st.X


def is_given_back(lock: int, caps: Mapping[int, Holder]) -> bool:
    """Whether no client has anything of what a lock that is not the file's guards.

    Whoever changes that alone, in one go, then finds the lock as good as in LOCK: its way there
    and back would be seen by nobody. So it is with most changes, since clients give back with a
    request what stands against it.
    """
    if lock == st.FILE:
        return False
    guarded = st.MASK[lock] << st.SHIFT[lock]
    return not any(cap.issued & guarded for cap in caps.values())


class InodeLocks:
    """See the module.

    Args:
        is_dir: of a directory; a client that is alone in it is the loner, whatever it wishes.
        delegation: a directory where a subtree begins: it never has a loner, and entries are
            changed while the lock is in MIX.

    Attributes:
        loner: the client that is treated as the only one interested, or NOBODY.
        want_loner: who should be; the loner may have to give something back before that.
        anybody, loner_allowed: bits that may be held now.
        recovery: KNOWN, NEEDED or RUNNING.
        recover_now: set by `evaluate`: the recovery is to be started.
        max_size: a maximum size that a client has asked for and that waits for the file lock.
        gate: opens when something has changed; None: nobody has asked for it.
    """

    __slots__ = (
        "_holding",
        "_states",
        "_wished",
        "anybody",
        "delegation",
        "gate",
        "is_dir",
        "loner",
        "loner_allowed",
        "max_size",
        "queues",
        "recover_now",
        "recovery",
        "want_loner",
    )

    def __init__(self, *, is_dir: bool = False, delegation: bool = False) -> None:
        self.is_dir = is_dir
        self.delegation = delegation
        self.loner = self.want_loner = NOBODY
        self._states = [st.SYNC] * 8
        self._holding = 0
        self._wished = (0, 0, 0, 0, 0)
        self.anybody = self.loner_allowed = st.ALLOWED_AT_REST
        self.queues: list[list[Intent]] = [[], [], [], []]
        self.recovery = KNOWN
        self.recover_now = False
        self.max_size = 0
        self.gate: Gate | None = None

    # -- what is ------------------------------------------------------------------------------

    def state(self, lock: int) -> int:
        """Where the lock is, or comes from."""
        return self._states[2 * lock]

    def target(self, lock: int) -> int:
        """Where the lock is, or goes."""
        return self._states[2 * lock + 1]

    def is_stable(self, lock: int) -> bool:
        return self._states[2 * lock] == self._states[2 * lock + 1]

    @property
    def target_loner(self) -> int:
        """The loner, if it is to stay so."""
        return self.loner if self.loner == self.want_loner else NOBODY

    def allowed_for(self, client: int) -> int:
        """Bits that this client may hold."""
        return self.loner_allowed if client == self.loner else self.anybody

    def at_rest(self) -> bool:
        """Nothing here differs from an inode that has no such object."""
        return (
            self.loner == NOBODY
            and self.want_loner == NOBODY
            and self.recovery == KNOWN
            and not self.max_size
            and not any(self._states)
            and not any(self.queues)
        )

    def name(self, lock: int) -> str:
        """The state in words."""
        return st.name_of(self.state(lock), self.target(lock))

    # -- requests of the server ---------------------------------------------------------------

    def enter(self, lock: int, intent: Intent) -> None:
        """A request wants the lock."""
        queue = self.queues[lock]
        at = len(queue)
        while at and queue[at - 1].ticket > intent.ticket:
            at -= 1
        queue.insert(at, intent)

    def leave(self, lock: int, intent: Intent) -> None:
        """A request has done with the lock."""
        self.let_go(intent)
        self.queues[lock].remove(intent)

    def hold(self, intent: Intent) -> None:
        """A request has its lock until it leaves or lets go."""
        if not intent.held:
            intent.held = True
            self._holding += 1

    def let_go(self, intent: Intent) -> None:
        """A request waits again."""
        if intent.held:
            intent.held = False
            self._holding -= 1

    def may_have(self, lock: int, intent: Intent) -> bool:
        """Whether a request that has entered may have the lock now."""
        if not self.fits(lock, intent.mode, intent.client):
            return False
        for other in self.queues[lock]:
            if other.ticket >= intent.ticket and not self._holding:
                break
            before = other.held or other.ticket < intent.ticket
            if before and other is not intent and not intent.bears(other):
                return False
        return True

    def fits(self, lock: int, mode: int, client: int) -> bool:
        """Whether the lock is where a request for this client can have it."""
        state = self._states[2 * lock]
        if state != self._states[2 * lock + 1]:
            return False
        if lock == st.FILE:
            if mode == st.WR and self.delegation:
                return state == st.MIX
            if self.recovery == RUNNING and state != st.MIX:
                return False
        return st.can_take(lock, state, mode, client == self.loner)

    def may_grow(self, client: int) -> bool:
        """Whether the maximum size of the file may be raised for this client now.

        Also while the loner is asked to give back what it has: it may be waiting for just this.
        """
        state, target = self._states[0], self._states[1]
        if state == target:
            return st.can_take(st.FILE, state, st.WR, client == self.loner)
        return client == self.loner and (state == st.EXCL or target == st.EXCL)

    # -- moves --------------------------------------------------------------------------------

    def set_state(self, lock: int, state: int, target: int | None = None) -> None:
        """Put a lock into a state, or on its way from there to another."""
        self._states[2 * lock] = state
        self._states[2 * lock + 1] = state if target is None else target
        self.anybody = st.allowed(st.ANYBODY, self._states)
        self.loner_allowed = st.allowed(st.LONER, self._states)

    def give_to(self, client: int, *, file: bool) -> None:
        """The client has made the inode, and nobody else knows of it: it is the loner.

        Args:
            file: whether it is alone with what the file lock guards, too.
        """
        self.loner = self.want_loner = client
        state = st.EXCL if file else st.SYNC
        self._states[:] = [state, state, *_MADE]
        self.loner_allowed = _MAKER_FILE if file else _MAKER
        self.anybody = _OTHERS_FILE if file else _OTHERS

    def evaluate(self, caps: Mapping[int, Holder], *, read_only: bool = False) -> bool:
        """Move the locks as far as they go; whether anything has changed.

        Args:
            caps: by client.
            read_only: nothing may be changed: all go to SYNC.
        """
        changed = self.choose_loner(caps, read_only=read_only)
        self._sum_up(caps)
        states, queues = self._states, self.queues
        for _ in range(_MAX_STEPS):
            moved = self._step(st.FILE, read_only)
            _, _, loner_wanted, other_wanted, _ = self._wished
            exclusive = not read_only and self.loner == self.want_loner != NOBODY
            wanted = loner_wanted | other_wanted if exclusive else 0
            for lock in _SIMPLE:
                # most of the time one is where it should be: seen without a call
                state = states[2 * lock]
                if (
                    state == states[2 * lock + 1]
                    and not queues[lock]
                    and state == (st.EXCL if wanted & _EXCL_WISHES[lock] else st.SYNC)
                ):
                    continue
                if self._step(lock, read_only):
                    moved = True
            if self._change_loner(caps):
                moved = True
                self._sum_up(caps)
            if not moved:
                return changed
            changed = True
        raise AssertionError(f"the locks do not settle: {self}")

    def choose_loner(self, caps: Mapping[int, Holder], *, read_only: bool = False) -> bool:
        """See who should be the loner; whether the loner has changed."""
        want = NOBODY
        if not read_only and not self.delegation:
            for client, cap in caps.items():
                if (self.is_dir or cap.wanted & (CAP_ANY_WR | CAP_FILE_RD)) and not cap.stale:
                    if want != NOBODY:
                        want = NOBODY
                        break
                    want = client
        self.want_loner = want
        return self._change_loner(caps)

    def _change_loner(self, caps: Mapping[int, Holder]) -> bool:
        """Make the loner whom it should be, if that can be; whether it has changed."""
        old, new = self.loner, self.want_loner
        if old == new:
            return False
        if old != NOBODY:
            cap = caps.get(old)
            if cap is not None and cap.issued & ~self.anybody:
                return False  # it has more than everybody may
        if self.recovery != KNOWN:
            new = NOBODY  # nobody is given what only a loner may have before the size is known
        self.loner = new
        return new != old

    def _sum_up(self, caps: Mapping[int, Holder]) -> None:
        loner_issued = other_issued = loner_wanted = other_wanted = alive = 0
        for client, cap in caps.items():
            stale = cap.stale
            if client == self.loner:
                loner_issued |= cap.issued
                if not stale:
                    loner_wanted |= cap.wanted
            else:
                other_issued |= cap.issued
                if not stale:
                    other_wanted |= cap.wanted
            alive += not stale
        self._wished = (loner_issued, other_issued, loner_wanted, other_wanted, alive)

    def _step(self, lock: int, read_only: bool) -> bool:
        at = 2 * lock
        state, target = self._states[at], self._states[at + 1]
        if state != target:
            if not self._gathered(lock, target):
                return False
            self.set_state(lock, target)
            return True
        goal = self._goal(lock, state, read_only)
        if goal == state:
            if lock == st.FILE and self.recovery == NEEDED:
                self._recover()
            return False
        self.set_state(lock, state, goal)
        return True

    def _gathered(self, lock: int, target: int) -> bool:
        """Whether nobody holds anything against the new state."""
        loner_issued, other_issued = self._wished[:2]
        shift, mask = st.SHIFT[lock], st.MASK[lock]
        if (other_issued >> shift & mask) & ~st.ANYBODY[lock][target][target]:
            return False
        if (loner_issued >> shift & mask) & ~st.LONER[lock][target][target]:
            return False
        if self._holding:
            for intent in self.queues[lock]:
                is_loner = intent.client == self.loner
                if intent.held and not st.can_take(lock, target, intent.mode, is_loner):
                    return False
        if lock == st.FILE and self.recovery != KNOWN:
            if self.recovery == NEEDED:
                self._recover()
            return False
        return True

    def _recover(self) -> None:
        self.recovery = RUNNING
        self.recover_now = True

    def _goal(self, lock: int, state: int, read_only: bool) -> int:
        """Where a lock that stands still should be."""
        queue = self.queues[lock]
        if queue:
            return self._goal_of(lock, state, queue[0])
        if read_only:
            return st.SYNC
        return self._file_goal(state) if lock == st.FILE else self._simple_goal(lock, state)

    def _goal_of(self, lock: int, state: int, intent: Intent) -> int:
        if lock == st.FILE and intent.mode == st.WR and self.delegation:
            return st.MIX
        if st.can_take(lock, state, intent.mode, intent.client == self.loner):
            return state
        if intent.mode != st.RD:
            return st.LOCK
        if (
            lock == st.FILE
            and state == st.EXCL
            and self.target_loner != NOBODY
            and not self.is_dir
            and not intent.alone
        ):
            return st.XSYN
        return st.SYNC

    def _simple_goal(self, lock: int, state: int) -> int:
        wanted = (self._wished[2] | self._wished[3]) >> st.SHIFT[lock] & st.MASK[lock]
        if self.target_loner != NOBODY and wanted & CAP_GEXCL:
            return st.EXCL
        return st.SYNC

    def _file_goal(self, state: int) -> int:
        loner_issued, _, loner_wanted, other_wanted, alive = self._wished
        loner_wanted >>= CAP_SFILE
        other_wanted >>= CAP_SFILE
        wanted = loner_wanted | other_wanted
        target_loner = self.target_loner
        if state == st.EXCL:
            if self.is_dir:
                lost = alive > 1 or target_loner == NOBODY
            else:
                lost = not (loner_wanted | loner_issued >> CAP_SFILE) & _WRITES
            if not lost and not other_wanted & (CAP_GEXCL | CAP_GWR | CAP_GRD):
                return st.EXCL
            return st.MIX if wanted & CAP_GWR else st.SYNC
        if target_loner != NOBODY and (self.is_dir or wanted & _WRITES):
            return st.EXCL
        if wanted & CAP_GWR:
            return st.MIX if target_loner == NOBODY else state
        if state == st.MIX and self.delegation:
            return st.MIX
        return st.SYNC

    def __str__(self) -> str:
        parts = [f"{name} {self.name(lock)}" for lock, name in enumerate(st.LOCK_NAMES)]
        if self.loner != NOBODY or self.want_loner != NOBODY:
            parts.append(f"loner {self.loner} ({self.want_loner})")
        waiting = [len(queue) for queue in self.queues]
        if any(waiting):
            parts.append(f"waiting {waiting}")
        if self.recovery != KNOWN:
            parts.append("recovering")
        return ", ".join(parts)
