"""A client's session.

Every accepted connection gets a `Session`, rank or not, because a client with `allow *` may send
commands to any daemon. It enters a rank's session map only when the client asks to open it.

What a session is sent keeps its order. A message may have to stay back until the journal is safe up
to some position (`send(…, after=pos)`); later ones stay behind it then.

Behaviour: ceph/ceph, src/mds/SessionMap.h, src/mds/MDSDaemon.cc, ms_handle_accept (Pacific)
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from attrs import define, field

from mdsdaemon.cephx.caps import MDSAuthCaps
from mdsdaemon.rank.sessions.access import check_access
from mdsdaemon.rank.sessions.loads import SessionLoads
from mdsdaemon.rank.sessions.outbox import MAX_PREOPEN, Outbox
from mdsdaemon.rank.tables.intervals import Intervals
from mdsdaemon.types.entity import EntityAddr, EntityAddrVec, EntityInst
from mdsdaemon.types.session import SessionInfo

if TYPE_CHECKING:
    from mdsdaemon.net.connection import Connection
    from mdsdaemon.rank.cache.inode import CInode

__all__ = ["MAX_PREOPEN", "Session", "SessionState"]


class SessionState(IntEnum):
    """The state of a client's session."""

    CLOSED = 0
    OPENING = 1
    OPEN = 2
    CLOSING = 3
    STALE = 4
    KILLING = 5


_STALE = SessionState.STALE


@define(eq=False)
class Session(Outbox):
    """One client: what it may do, what it has, and where it can be reached.

    Attributes:
        name: `name.num` is its global id.
        state_seq: counts the changes of `state`.
        info: what is stored of it; its prealloc_inos only once it is written (see `stored`).
        prealloc_inos: inode numbers that belong to the client; of them free_prealloc_inos are not
            used yet and delegated_inos were handed to the client for creating on its own.
        caps: its capabilities by inode number, the least recently used first. Kept by the locker.
        leases: its leases on dentries. Kept by the locker.
        revoking: numbers of inodes whose capabilities it was told to give back. Kept by the locker.
        requests: those under way, by tid. Kept by the server.
        last_cap_renew, last_seen, birth_time: Trio's clock.
        cap_gen: counts how often its capabilities were made stale.
        requests_dirty: completed_requests or completed_flushes have changed since it was stored.
        last_trim_requests_tid, last_trim_flushes_tid: up to where they were last trimmed.
        reconnecting: its claims after a failover are awaited.
        reclaiming_from: the session of a dead client that it takes over.
    """

    state: SessionState = SessionState.CLOSED
    state_seq: int = 0
    auth_caps: MDSAuthCaps = field(factory=MDSAuthCaps)
    info: SessionInfo = field(init=False)

    prealloc_inos: Intervals = field(factory=Intervals, repr=False)
    free_prealloc_inos: Intervals = field(factory=Intervals, repr=False)
    delegated_inos: Intervals = field(factory=Intervals, repr=False)
    caps: dict[int, Any] = field(factory=dict, repr=False)
    leases: dict[Any, Any] = field(factory=dict, repr=False)
    revoking: set[int] = field(factory=set, repr=False)
    requests: dict[int, Any] = field(factory=dict, repr=False)
    loads: SessionLoads = field(factory=SessionLoads, repr=False)
    last_cap_renew: float = 0.0
    last_seen: float = 0.0
    birth_time: float = 0.0
    cap_gen: int = 0
    requests_dirty: bool = False
    last_trim_requests_tid: int = 0
    last_trim_flushes_tid: int = 0
    num_trim_requests_warnings: int = 0
    num_trim_flushes_warnings: int = 0
    reconnecting: bool = False
    reclaiming_from: Session | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        self.info = SessionInfo(inst=EntityInst(self.name, EntityAddr()))
        if self.connection is not None:
            self._learn(self.connection)

    # -- who it is ---------------------------------------------------------------------------

    @property
    def client(self) -> int:
        """Its number."""
        return self.name.num

    @property
    def addr(self) -> EntityAddr:
        """Where it is, as it stands in blocklists."""
        return self.info.inst.addr

    @property
    def addrs(self) -> EntityAddrVec:
        return EntityAddrVec.of(self.info.inst.addr)

    @property
    def client_metadata(self) -> dict[str, str]:
        """What the client says of itself."""
        return self.info.client_metadata.kv_map

    def has_feature(self, bit: int) -> bool:
        """Whether the client has a CephFS feature."""
        return self.info.client_metadata.features.test(bit)

    @property
    def human_name(self) -> str:
        """Its host and (if short and not the usual one) its key's name; else its number."""
        host = self.client_metadata.get("hostname")
        if host is None:
            return str(self.name.num)
        ident = self.info.auth_name.id
        return f"{host}:{ident}" if ident and ident != "admin" and len(ident) < 16 else host

    def __str__(self) -> str:
        name, number = self.human_name, str(self.name.num)
        return name if name == number else f"{name} ({number})"

    # -- state -------------------------------------------------------------------------------

    def is_closed(self) -> bool:
        return self.state == SessionState.CLOSED

    def is_opening(self) -> bool:
        return self.state == SessionState.OPENING

    def is_open(self) -> bool:
        return self.state == SessionState.OPEN

    def is_closing(self) -> bool:
        return self.state == SessionState.CLOSING

    def is_stale(self) -> bool:
        return self.state is _STALE

    def is_killing(self) -> bool:
        return self.state == SessionState.KILLING

    def set_state(self, state: SessionState) -> None:
        """Change the state; `state_seq` counts the changes. A rank asks its session map instead."""
        if self.state != state:
            self.state = state
            self.state_seq += 1

    def clear(self) -> None:
        """Forget what belonged to the client while it was open."""
        self.prealloc_inos.clear()
        self.free_prealloc_inos.clear()
        self.delegated_inos.clear()
        self._held.clear()
        self.info = SessionInfo(inst=self.info.inst, auth_name=self.info.auth_name)
        self.cap_push_seq = 0
        self.last_cap_renew = 0.0

    def stored(self) -> SessionInfo:
        """What is to be stored of it now."""
        self.info.prealloc_inos = self.prealloc_inos.as_dict()
        return self.info

    # -- sending -----------------------------------------------------------------------------

    def set_connection(self, con: Connection | None) -> None:
        """The client's connection from now on; what waited for one is sent."""
        self.connection = con
        if con is None:
            return
        self._learn(con)
        while self.preopen_out_queue:
            con.send_message(self.preopen_out_queue.popleft())

    def _learn(self, con: Connection) -> None:
        identity = getattr(con, "peer_identity", None)
        if identity is not None:
            self.info.auth_name = identity.entity_name
        addrs = getattr(con, "peer_addrs", None)
        if addrs:
            self.info.inst = EntityInst(self.name, addrs.addrs[0])

    # -- what it may do ----------------------------------------------------------------------

    def check_access(
        self,
        inode: CInode,
        mask: int,
        uid: int,
        gid: int,
        gids: list[int] | tuple[int, ...] = (),
        new_uid: int = -1,
        new_gid: int = -1,
    ) -> None:
        """Whether the client may do what `mask` (MAY_*) says in the name of a user.

        Args:
            gid, gids: the caller's group, and further ones.
            new_uid, new_gid: with MAY_CHOWN and MAY_CHGRP.

        Raises:
            FsError: EACCES: it may not; EIO: it cannot understand the directory's layout.
        """
        check_access(self, inode, mask, uid, gid, gids, new_uid, new_gid)

    # -- inode numbers -----------------------------------------------------------------------

    def take_ino(self, ino: int = 0) -> int:
        """Use one of its numbers: the lowest that is free, or `ino` if it is one of them; else 0.

        It stays in `prealloc_inos` until the caller takes it out.
        """
        if ino:
            if ino not in self.prealloc_inos:
                return 0
            for numbers in (self.delegated_inos, self.free_prealloc_inos):
                if ino in numbers:
                    numbers.erase(ino)
                    return ino
            return 0
        if not self.free_prealloc_inos:
            return 0
        ino = self.free_prealloc_inos.first
        self.free_prealloc_inos.erase(ino)
        return ino

    def delegate_inos(self, want: int) -> dict[int, int]:
        """Numbers for the client to create with on its own, so that it has `want` of them."""
        given = self.free_prealloc_inos.take(want - self.delegated_inos.size)
        for start, length in given.items():
            self.delegated_inos.insert(start, length)
        return given

    def replay_take_ino(self, ino: int) -> None:
        """An event has used one of its numbers."""
        if self.prealloc_inos.discard(ino) and not self.delegated_inos.discard(ino):
            self.free_prealloc_inos.discard(ino)

    def replay_add_prealloc(self, inos: dict[int, int]) -> None:
        """An event has given it numbers."""
        self.prealloc_inos.union(inos)
        self.free_prealloc_inos.union(inos)

    # -- requests and flushes that are done --------------------------------------------------

    def add_completed_request(self, tid: int, created: int) -> None:
        """A request is done; `created`: the inode that it made, or 0."""
        self.info.completed_requests[tid] = created
        self.requests_dirty = True

    def have_completed_request(self, tid: int) -> int | None:
        """The inode that this request made (0: none); None: it was not done."""
        return self.info.completed_requests.get(tid)

    def trim_completed_requests(self, before: int) -> bool:
        """Forget those below `before` (0: all), whose replies have arrived; whether there were."""
        if before and before == self.last_trim_requests_tid:
            return False  # what has come since is newer
        self.last_trim_requests_tid = before
        done = self.info.completed_requests
        gone = [tid for tid in done if before == 0 or tid < before]
        for tid in gone:
            del done[tid]
        return self._trimmed(gone)

    def add_completed_flush(self, tid: int) -> None:
        """A flush of capabilities is done."""
        self.info.completed_flushes.add(tid)
        self.requests_dirty = True

    def have_completed_flush(self, tid: int) -> bool:
        return tid in self.info.completed_flushes

    def trim_completed_flushes(self, before: int) -> bool:
        """Forget those below `before` (0: all); whether there were any."""
        if before and before == self.last_trim_flushes_tid:
            return False
        self.last_trim_flushes_tid = before
        done = self.info.completed_flushes
        gone = [tid for tid in done if before == 0 or tid < before]
        done.difference_update(gone)
        return self._trimmed(gone)

    def _trimmed(self, gone: list[int]) -> bool:
        if gone:
            self.requests_dirty = True
        return bool(gone)

    # -- capabilities, for the locker --------------------------------------------------------

    def notify_cap_release(self, count: int) -> None:
        """The client gave capabilities back."""
        self.loads.recall_caps.hit(-count)
        self.loads.release_caps.hit(count)
