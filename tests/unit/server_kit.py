"""A rank that serves requests, without a cluster: `rank_kit` with sessions, locker and server.

    @in_trio
    def test_mkdir():
        kit = ServerKit()
        client = kit.client()
        reply = client.mkdir("/a")
        assert reply.result == 0

A client waits for its reply: the rank's queue and RADOS go on until it is there. What the client
has got is in `client.con.sent`; replies are decoded as stock clients do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, Self, cast

import attrs
import trio
import trio.testing
from tests.unit.rank_kit import Kit, make_rank, replay_into

from mdsdaemon.cephx.caps import MDSAuthCaps
from mdsdaemon.messages.client_caps import MClientCaps, MClientLease
from mdsdaemon.messages.client_reply import (
    Listing,
    MClientReply,
    Trace,
    decode_listing,
    decode_trace,
)
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.rank.locks.locker import Locker
from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.rank.optracker import OpTracker
from mdsdaemon.rank.server.server import Server
from mdsdaemon.rank.session import Session, SessionState
from mdsdaemon.rank.sessions.sessions import Sessions
from mdsdaemon.rank.snap.snaps import Snaps
from mdsdaemon.rank.tables.inotable import InoTable
from mdsdaemon.rank.tables.openfiles import OpenFileTable
from mdsdaemon.rank.tables.sessionmap import SessionMapStore
from mdsdaemon.types.client_args import (
    FilelockArgs,
    GetattrArgs,
    LookupinoArgs,
    MkdirArgs,
    MknodArgs,
    OpenArgs,
    ReaddirArgs,
    SetattrArgs,
    SetxattrArgs,
)
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL
from mdsdaemon.types.client_ops import READDIR_REPLY_BITFLAGS, CapOp, LeaseOp, MdsOp
from mdsdaemon.types.client_stat import STRUCT_REPLIES
from mdsdaemon.types.entity import CLIENT, PeerName
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURE_NAMES, FeatureBitset
from mdsdaemon.types.features import FEATURES_PACIFIC
from mdsdaemon.types.mds import FilePath

ALL_FEATURES = FeatureBitset.of(range(len(CEPHFS_FEATURE_NAMES)))


def in_trio(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test, which is no coroutine, where there is a Trio clock."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            test(*args, **kwargs)

        trio.run(main, clock=trio.testing.MockClock())

    return wrapper


class FakeConnection:
    """A client's connection: keeps what the rank sends; `pushed`: how much of it was out early."""

    def __init__(self) -> None:
        self.features = FEATURES_PACIFIC
        self.session: Any = None
        self.peer_type = CLIENT
        self.sent: list[Any] = []
        self.pushed = 0
        self.down = False

    def mark_down(self) -> None:
        self.down = True

    def send_message(self, msg: Any) -> None:
        self.sent.append(msg)

    def push(self) -> None:
        self.pushed = len(self.sent)


@attrs.define
class Reply:
    """What a client got: the first reply, and all of them.

    Attributes:
        result: 0 or -errno.
        first, last: the reply that came first (perhaps unsafe), and the last one.
        trace: of the first one that has any.
    """

    result: int
    first: MClientReply
    last: MClientReply
    trace: Trace

    @property
    def errno(self) -> int:
        return -self.result

    @property
    def ino(self) -> int:
        assert self.trace.target is not None
        return self.trace.target.ino


class Client:
    """A client of the kit's rank."""

    def __init__(self, kit: ServerKit, number: int, caps: str, stocked: bool) -> None:
        self.kit = kit
        self.number = number
        self.con = FakeConnection()
        self.session = Session(PeerName(CLIENT, number), cast("Any", self.con))
        self.con.session = self.session
        self.session.auth_caps = MDSAuthCaps.parse(caps)
        self.session.info.client_metadata.features = ALL_FEATURES
        kit.rank.sessionmap.add_session(self.session)
        kit.rank.sessionmap.set_state(self.session, SessionState.OPEN)
        if stocked:
            for start, length in kit.rank.inotable.free.take(1000).items():
                self.session.prealloc_inos.insert(start, length)
                self.session.free_prealloc_inos.insert(start, length)
        kit.clients.append(self)
        self.obedient = True
        self.seen = 0
        self.tid = 0
        self.uid = self.gid = 0

    # -- what it answers ---------------------------------------------------------------------

    def answer(self) -> bool:
        """Give back what it was asked for, as an idle client does at once; whether it was."""
        if not self.obedient:
            return False
        answered = False
        while self.seen < len(self.con.sent):
            msg = self.con.sent[self.seen]
            self.seen += 1
            if isinstance(msg, MClientCaps) and msg.op == CapOp.REVOKE:
                back = MClientCaps(
                    CapOp.UPDATE, msg.ino, msg.realm, msg.cap_id, msg.seq, 0, msg.caps, msg.wanted,
                    0, msg.migrate_seq, size=msg.size, mtime=msg.mtime, atime=msg.atime,
                )  # fmt: skip
                self._say(back, self.kit.rank.locker.handle_client_caps)
                answered = True
            elif isinstance(msg, MClientLease) and msg.action == LeaseOp.REVOKE:
                back_lease = MClientLease(
                    LeaseOp.REVOKE_ACK,
                    msg.mask,
                    msg.ino,
                    msg.first,
                    msg.last,
                    msg.seq,
                    0,
                    msg.dname,
                )
                self._say(back_lease, self.kit.rank.locker.handle_client_lease)
                answered = True
        return answered

    def _say(self, msg: Any, handler: Callable[[Any], None]) -> None:
        msg.source, msg.connection = self.session.name, self.con
        handler(msg)
        self.kit.rank.end_of_dispatch()

    # -- requests ----------------------------------------------------------------------------

    def send(
        self, op: int, path: Any = "", path2: Any = "", args: Any = None, **fields: Any
    ) -> int:
        """Send a request; its tid."""
        self.tid += 1
        msg = MClientRequest(
            op,
            self.uid,
            self.gid,
            path=as_path(path),
            path2=as_path(path2, base=0),
            stamp=self.kit.rank.now(),
        )
        msg.tid = self.tid
        for name, value in fields.items():
            setattr(msg, name, value)
        msg.source = self.session.name
        msg.connection = self.con
        if args is not None:
            msg.args = args
        self.kit.rank.server.handle_client_request(msg)
        self.kit.rank.end_of_dispatch()
        return msg.tid

    def replies(self, tid: int) -> list[MClientReply]:
        """The replies to a request so far."""
        return [m for m in self.con.sent if isinstance(m, MClientReply) and m.tid == tid]

    def ask(
        self, op: int, path: Any = "", path2: Any = "", args: Any = None, **fields: Any
    ) -> Reply:
        """Send a request and wait for its last reply."""
        before = len(self.replies(self.tid + 1))
        tid = self.send(op, path, path2, args, **fields)
        self.kit.settle()
        got = self.replies(tid)[before:]
        assert got, f"no reply to {MdsOp(op).name} {path}"
        assert got[-1].safe, "the safe reply is missing"
        trace = decode_trace(STRUCT_REPLIES, got[0])
        return Reply(got[0].result, got[0], got[-1], trace)

    def mkdir(self, path: Any, mode: int = 0o755, **fields: Any) -> Reply:
        return self.ask(MdsOp.MKDIR, path, args=MkdirArgs(mode), **fields)

    def mknod(self, path: Any, mode: int = 0o100644, rdev: int = 0, **fields: Any) -> Reply:
        return self.ask(MdsOp.MKNOD, path, args=MknodArgs(mode, rdev), **fields)

    def symlink(self, target: str, path: Any, **fields: Any) -> Reply:
        return self.ask(MdsOp.SYMLINK, path, FilePath(0, target), **fields)

    def create(self, path: Any, flags: int = 0o101, mode: int = 0o644, **fields: Any) -> Reply:
        args = fields.pop("args", None) or OpenArgs(flags, mode)
        return self.ask(MdsOp.CREATE, path, args=args, **fields)

    def open(self, path: Any, flags: int = 0, **fields: Any) -> Reply:
        return self.ask(MdsOp.OPEN, path, args=OpenArgs(flags), **fields)

    def lookup(self, path: Any, mask: int = STAT_CAP_INODE_ALL, **fields: Any) -> Reply:
        return self.ask(MdsOp.LOOKUP, path, args=GetattrArgs(mask), **fields)

    def getattr(self, path: Any, mask: int = STAT_CAP_INODE_ALL, **fields: Any) -> Reply:
        return self.ask(MdsOp.GETATTR, path, args=GetattrArgs(mask), **fields)

    def unlink(self, path: Any, **fields: Any) -> Reply:
        return self.ask(MdsOp.UNLINK, path, **fields)

    def rmdir(self, path: Any, **fields: Any) -> Reply:
        return self.ask(MdsOp.RMDIR, path, **fields)

    def rename(self, old: Any, new: Any, **fields: Any) -> Reply:
        return self.ask(MdsOp.RENAME, self.kit.place(new), self.kit.place(old), **fields)

    def link(self, old: Any, new: Any, **fields: Any) -> Reply:
        """`old` is what the new name shall lead to: as clients do, by its number."""
        target = self.kit.find(old) if isinstance(old, str) else None
        source = FilePath(target.ino, "") if target is not None else as_path(old)
        return self.ask(MdsOp.LINK, self.kit.place(new), source, **fields)

    def setattr(self, path: Any, mask: int, **values: Any) -> Reply:
        return self.ask(MdsOp.SETATTR, path, args=SetattrArgs(mask=mask, **values))

    def setxattr(self, path: Any, name: str, value: bytes, flags: int = 0, **fields: Any) -> Reply:
        args = SetxattrArgs(flags)
        return self.ask(MdsOp.SETXATTR, path, FilePath(0, name), args, data=value, **fields)

    def rmxattr(self, path: Any, name: str) -> Reply:
        return self.ask(MdsOp.RMXATTR, path, FilePath(0, name), SetxattrArgs())

    def lookup_ino(self, ino: int, **fields: Any) -> Reply:
        return self.ask(MdsOp.LOOKUPINO, FilePath(ino, ""), args=LookupinoArgs(**fields))

    def setlk(self, path: Any, **args: Any) -> Reply:
        return self.ask(MdsOp.SETFILELOCK, path, args=FilelockArgs(**args))

    def readdir(self, path: Any, offset: str = "", **args: Any) -> Listing:
        """One portion; FsError's errno in `errno` of an empty one."""
        args.setdefault("flags", READDIR_REPLY_BITFLAGS)
        reply = self.ask(MdsOp.READDIR, path, FilePath(0, offset), ReaddirArgs(**args))
        assert reply.result == 0, f"readdir: {reply.errno}"
        return decode_listing(STRUCT_REPLIES, reply.first.extra)

    def names(self, path: Any) -> list[str]:
        """All names in a directory, sorted."""
        return sorted(entry.dname for entry in self.readdir(path).entries)


def as_path(path: Any, base: int = 1) -> FilePath:
    """`/a/b` from the root, an inode number, or a FilePath."""
    if isinstance(path, FilePath):
        return path
    if isinstance(path, int):
        return FilePath(path, "")
    return FilePath(base, path.strip("/"))


class StubStrays:
    """Strays in one directory, and a note of who was looked at."""

    def __init__(self, rank: Any) -> None:
        self.rank = rank
        self.seen: list[int] = []
        self.num_strays = 0

    def stray_dir_inode(self) -> Any:
        return self.rank.cache.inodes[0x600]

    def is_purging(self, inode: Any) -> bool:
        return False

    def eval_stray(self, inode: Any) -> None:
        self.seen.append(inode.ino)

    def eval_remote(self, dn: Any) -> None:
        self.seen.append(dn.remote_ino)


class ServerKit:
    """See the module."""

    def __init__(self, *, objects: Any = None, root: bool = True, **options: str) -> None:
        self.kit: Kit = make_rank(objects=objects, root=root, **cast("Any", options))
        rank = self.rank = cast("Any", self.kit.rank)
        self.mdlog = self.kit.mdlog
        rank.optracker = OpTracker(rank.config, rank.host.wall)
        rank.inotable = InoTable(rank)
        rank.inotable.reset()
        rank.sessionmap = SessionMapStore(rank)
        rank.snaps = Snaps(rank)
        rank.openfiles = OpenFileTable(rank)
        rank.sessions = Sessions(rank)
        rank.strays = StubStrays(rank)
        rank.locker = Locker(rank)
        rank.server = Server(rank)
        self.clients: list[Client] = []
        if not hasattr(rank.objecter, "osd_map"):
            rank.objecter.osd_map = rank.objecter.engine.osd_map
        rank.objecter.epoch = 1

    def client(self, caps: str = "allow *", number: int = 0, *, stocked: bool = True) -> Client:
        """A client with an open session; `stocked`: with inode numbers, as after a create."""
        return Client(self, number or 4100 + len(self.rank.sessionmap) + 1, caps, stocked)

    def find(self, path: str) -> Any:
        """The inode at a path, from the cache; None: there is none."""
        at = self.rank.cache.root
        for name in path.strip("/").split("/"):
            if not name:
                continue
            dn = self.kit.run(partial(self.rank.store.lookup, at, name))
            if dn is None or dn.is_null:
                return None
            at = dn.inode or self.kit.run(partial(self.rank.store.need_remote, dn))
        return at

    def dentry(self, path: str) -> Any:
        """The dentry at a path; None: there is none."""
        above, _, name = path.strip("/").rpartition("/")
        return self.kit.run(partial(self.rank.store.lookup, self.find(above), name))

    def place(self, path: Any) -> FilePath:
        """A path as clients send it: one name below an inode."""
        if not isinstance(path, str):
            return as_path(path)
        above, _, name = path.strip("/").rpartition("/")
        diri = self.find(above)
        assert diri is not None, f"there is no {above}"
        return FilePath(diri.ino, name)

    def settle(self) -> None:
        """Everything that is due happens."""
        while True:
            self.kit.settle()
            self.rank.end_of_dispatch()
            self.kit.settle()
            if not any(client.answer() for client in self.clients):
                return

    def replayed(self) -> Self:
        """Another rank that has only the journal's events."""
        other = type(self)(objects=self.rank.objecter)
        replay_into(other.rank, other.mdlog.segment, [event for _, event in self.mdlog.events])
        return other

    def events(self) -> list[str]:
        """The kinds of all changes so far."""
        return [getattr(event, "type", type(event).__name__) for _, event in self.mdlog.events]


__all__ = ["Client", "Mutation", "Reply", "ServerKit", "as_path", "in_trio"]
