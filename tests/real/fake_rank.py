"""A rank of the tests that clients can mount: it keeps a small tree in memory, and every message.

It writes its replies with the schemas of `messages/client_*.py` and nothing else, so a stock client
that is content with it has read them as they were meant. It locks nothing and forgets all.
"""

from __future__ import annotations

import errno
import stat
from typing import Any

from tests.real.fake_fs import FileSystem, Node, changed

from mdsdaemon.encoding import encode
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.client_caps import MClientCaps
from mdsdaemon.messages.client_misc import MClientReconnect
from mdsdaemon.messages.client_reply import (
    CreatedInode,
    ListingWriter,
    MClientReply,
    OpencResponse,
    Trace,
    encode_snap_trace,
    set_trace,
)
from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.rank.interface import Rank, RankServices
from mdsdaemon.types.client_caps import (
    CAP_ANY_FILE_RD,
    CAP_ANY_FILE_WR,
    CAP_FLAG_AUTH,
    STAT_CAP_INODE_ALL,
)
from mdsdaemon.types.client_locks import LOCK_UNLOCK, FileLock
from mdsdaemon.types.client_ops import (
    READDIR_FRAG_COMPLETE,
    READDIR_FRAG_END,
    READDIR_HASH_ORDER,
    READDIR_OFFSET_HASH,
    SETATTR_ATIME,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    CapOp,
    MdsOp,
    SessionOp,
)
from mdsdaemon.types.client_stat import (
    DirStat,
    InodeStat,
    LeaseStat,
    ReplyCap,
    ReplyEncoding,
    encode_xattrs,
    reply_encoding,
)
from mdsdaemon.types.entity import MDS, PeerName
from mdsdaemon.types.feature_bitset import (
    METRIC_FEATURES_SUPPORTED,
    FeatureBitset,
)
from mdsdaemon.types.layout import DirLayout, FileLayout
from mdsdaemon.types.name_hash import STR_HASH_RJENKINS, dentry_hash
from mdsdaemon.types.session import MetricSpec
from mdsdaemon.types.snap import SnapRealmInfo

FIRST_INO = 1 << 40
OBJECT_SIZE = 4 << 20


class Refused(Exception):
    """The request's errno."""


_NEXT = {
    State.CREATING: State.ACTIVE,
    State.STARTING: State.ACTIVE,
    State.REPLAY: State.RECONNECT,
    State.REJOIN: State.ACTIVE,
}


class FakeRank(Rank):
    """See the module; `fs` is the file system that it serves."""

    def __init__(self, fs: FileSystem, whoami: int, services: RankServices) -> None:
        self.fs, self.whoami, self.services = fs, whoami, services

    # -- the rank ---------------------------------------------------------------------------

    def init(self) -> None:
        pass

    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        state = mdsmap.mds_info[self.services.gid].state
        self.services.messenger.set_myname(PeerName(MDS, self.whoami))
        layout = FileLayout(OBJECT_SIZE, 1, OBJECT_SIZE, mdsmap.data_pools[0])
        self.fs.root.stat = changed(self.fs.root.stat, layout=layout)
        self._want(_NEXT.get(State(state), state))

    def _want(self, state: int) -> None:
        beacon = self.services.beacon
        changed = beacon.want_state != state
        beacon.set_want_state(self.services.mdsmap(), state)
        if changed:
            beacon.send()

    def is_stopped(self) -> bool:
        return False

    def ms_dispatch(self, msg: Message) -> bool:
        self.fs.messages.append(msg)
        if isinstance(msg, MClientSession):
            self._handle_session(msg)
        elif isinstance(msg, MClientRequest):
            self._handle_request(msg)
        elif isinstance(msg, MClientCaps) and msg.op == CapOp.UPDATE and msg.dirty:
            self._flush(msg)
        elif isinstance(msg, MClientReconnect) and not msg.more:
            msg.connection.send_message(self._opened())
            self._want(State.REJOIN)
        self.fs.news.unpark_all()
        return True

    def _handle_session(self, msg: MClientSession) -> None:
        con = msg.connection
        assert msg.source is not None
        if msg.op == SessionOp.REQUEST_OPEN:
            both = set(msg.supported_features.bits()) & set(self.fs.features.bits())
            features = FeatureBitset.of(both)
            self.fs.how[msg.source] = reply_encoding(features, con.features)
            self.fs.client_features[msg.source] = features
            con.send_message(self._opened())
        elif msg.op == SessionOp.REQUEST_RENEWCAPS:
            con.send_message(MClientSession(SessionOp.RENEWCAPS, seq=msg.seq))
        elif msg.op == SessionOp.REQUEST_CLOSE:
            con.send_message(MClientSession(SessionOp.CLOSE))

    def _opened(self) -> MClientSession:
        """An OPEN, which each time tells the client anew what the server can do."""
        return MClientSession(
            SessionOp.OPEN,
            supported_features=self.fs.features,
            metric_spec=MetricSpec(METRIC_FEATURES_SUPPORTED),
        )

    def _flush(self, msg: MClientCaps) -> None:
        node = self.fs.inodes[msg.ino]
        node.stat = changed(node.stat, size=msg.size, mtime=msg.mtime, atime=msg.atime)
        ack = MClientCaps(
            CapOp.FLUSH_ACK,
            ino=msg.ino,
            realm=1,
            cap_id=msg.cap_id,
            seq=msg.seq,
            dirty=msg.dirty,
            tid=msg.tid,
            inline_version=0,
        )
        msg.connection.send_message(ack)

    # -- requests ---------------------------------------------------------------------------

    def _handle_request(self, msg: MClientRequest) -> None:
        reply = MClientReply(msg.op, tid=msg.tid, mdsmap_epoch=self.services.mdsmap().epoch)
        try:
            handler = getattr(self, f"_do_{MdsOp(msg.op).name.lower()}", None)
            if handler is None:
                raise Refused(errno.EOPNOTSUPP)
            handler(msg, reply)
        except Refused as e:
            reply.result = -e.args[0]
        msg.connection.send_message(reply)

    def _how_for(self, msg: MClientRequest) -> ReplyEncoding:
        assert msg.source is not None
        return self.fs.how[msg.source]

    def _trace(
        self,
        msg: MClientRequest,
        reply: MClientReply,
        target: Node | None,
        dentry: tuple[Node, str] | None = None,
    ) -> None:
        trace = Trace(target=None if target is None else self._told(target, msg))
        if dentry is not None:
            trace.dir = self._told(dentry[0], msg)
            trace.dirfrag, trace.dname, trace.lease = DirStat(), dentry[1], LeaseStat()
        set_trace(reply, self._how_for(msg), trace)
        reply.snapbl = encode_snap_trace([SnapRealmInfo(1, parent_since=1, seq=1)])

    def _told(self, node: Node, msg: MClientRequest) -> InodeStat:
        """The node's attributes with a capability that lets the client cache and read them."""
        caps = STAT_CAP_INODE_ALL
        if msg.op in (MdsOp.OPEN, MdsOp.CREATE) and stat.S_ISREG(node.stat.mode):
            caps |= CAP_ANY_FILE_RD | CAP_ANY_FILE_WR
        self.fs.cap_id += 1
        node.stat = changed(node.stat, version=node.stat.version + 2)
        return changed(
            node.stat,
            cap=ReplyCap(caps, 0, node.stat.ino, self.fs.cap_id, 0, 1, CAP_FLAG_AUTH),
            xattrbl=encode_xattrs(node.xattrs),
            nfiles=sum(not stat.S_ISDIR(n.stat.mode) for n in node.children.values()),
            nsubdirs=sum(stat.S_ISDIR(n.stat.mode) for n in node.children.values()),
            max_size=1 << 30,
        )

    def _walk(self, ino: int, path: str) -> Node:
        node = self.fs.inodes.get(ino)
        if node is None:
            raise Refused(errno.ESTALE)
        for name in path.split("/") if path else []:
            found = node.children.get(name)
            if found is None:
                raise Refused(errno.ENOENT)
            node = found
        return node

    def _split(self, msg: MClientRequest) -> tuple[Node, str]:
        head, _, name = msg.path.path.rpartition("/")
        return self._walk(msg.path.ino, head), name

    def _make(self, msg: MClientRequest, mode: int, **fields: Any) -> tuple[Node, Node, str]:
        parent, name = self._split(msg)
        if name in parent.children:
            raise Refused(errno.EEXIST)
        ino = FIRST_INO + len(self.fs.inodes)
        made = InodeStat(
            ino,
            mode=mode,
            uid=msg.caller_uid,
            gid=msg.caller_gid,
            layout=FileLayout() if stat.S_ISDIR(mode) else self.fs.root.stat.layout,
            dir_layout=DirLayout(STR_HASH_RJENKINS if stat.S_ISDIR(mode) else 0),
            ctime=msg.stamp,
            mtime=msg.stamp,
            btime=msg.stamp,
            xattr_version=1,
            **fields,
        )
        node = self.fs.inodes[ino] = parent.children[name] = Node(made, parent=parent)
        return node, parent, name

    def _do_getattr(self, msg: MClientRequest, reply: MClientReply) -> None:
        self._trace(msg, reply, self._walk(msg.path.ino, msg.path.path))

    def _do_lookup(self, msg: MClientRequest, reply: MClientReply) -> None:
        parent, name = self._split(msg)
        found = parent.children.get(name)
        self._trace(msg, reply, found, (parent, name))
        if found is None:
            reply.result = -errno.ENOENT

    def _do_mkdir(self, msg: MClientRequest, reply: MClientReply) -> None:
        node, parent, name = self._make(msg, stat.S_IFDIR | msg.args.mode, rsubdirs=1)
        self._trace(msg, reply, node, (parent, name))

    def _do_mknod(self, msg: MClientRequest, reply: MClientReply) -> None:
        node, parent, name = self._make(msg, msg.args.mode, rdev=msg.args.rdev)
        self._trace(msg, reply, node, (parent, name))

    def _do_symlink(self, msg: MClientRequest, reply: MClientReply) -> None:
        node, parent, name = self._make(msg, stat.S_IFLNK | 0o777, symlink=msg.path2.path)
        self._trace(msg, reply, node, (parent, name))

    def _do_create(self, msg: MClientRequest, reply: MClientReply) -> None:
        node, parent, name = self._make(msg, stat.S_IFREG | msg.args.mode & 0o7777)
        self._trace(msg, reply, node, (parent, name))
        assert msg.source is not None
        if self.fs.client_features[msg.source].test(13):
            reply.extra = encode(OpencResponse, OpencResponse(node.stat.ino))
        else:
            reply.extra = encode(CreatedInode, CreatedInode(node.stat.ino))

    def _do_open(self, msg: MClientRequest, reply: MClientReply) -> None:
        self._trace(msg, reply, self._walk(msg.path.ino, msg.path.path))

    def _do_link(self, msg: MClientRequest, reply: MClientReply) -> None:
        parent, name = self._split(msg)
        node = self._walk(msg.path2.ino, msg.path2.path)
        parent.children[name] = node
        node.stat = changed(node.stat, nlink=node.stat.nlink + 1)
        self._trace(msg, reply, node, (parent, name))

    def _do_unlink(self, msg: MClientRequest, reply: MClientReply) -> None:
        parent, name = self._split(msg)
        if parent.children.pop(name, None) is None:
            raise Refused(errno.ENOENT)
        self._trace(msg, reply, None, (parent, name))

    _do_rmdir = _do_unlink

    def _do_rename(self, msg: MClientRequest, reply: MClientReply) -> None:
        parent, name = self._split(msg)
        head, _, old = msg.path2.path.rpartition("/")
        node = self._walk(msg.path2.ino, head).children.pop(old)
        parent.children[name] = node
        self._trace(msg, reply, node, (parent, name))

    def _do_setattr(self, msg: MClientRequest, reply: MClientReply) -> None:
        node = self._walk(msg.path.ino, msg.path.path)
        args, new = msg.args, node.stat
        for bit, name in (
            (SETATTR_UID, "uid"),
            (SETATTR_GID, "gid"),
            (SETATTR_MTIME, "mtime"),
            (SETATTR_ATIME, "atime"),
            (SETATTR_SIZE, "size"),
        ):
            if args.mask & bit:
                new = changed(new, **{name: getattr(args, name)})
        if args.mask & (SETATTR_MTIME | SETATTR_ATIME):
            # without it a client believes the times that it has itself
            new = changed(new, time_warp_seq=new.time_warp_seq + 1)
        if args.mask & SETATTR_MODE:
            new = changed(new, mode=new.mode & 0o170000 | args.mode & 0o7777)
        node.stat = new
        self._trace(msg, reply, node)

    def _do_setxattr(self, msg: MClientRequest, reply: MClientReply) -> None:
        node = self._walk(msg.path.ino, msg.path.path)
        node.xattrs[msg.path2.path] = msg.data
        node.stat = changed(node.stat, xattr_version=node.stat.xattr_version + 1)
        self._trace(msg, reply, node)

    def _do_rmxattr(self, msg: MClientRequest, reply: MClientReply) -> None:
        node = self._walk(msg.path.ino, msg.path.path)
        if node.xattrs.pop(msg.path2.path, None) is None:
            raise Refused(errno.ENODATA)
        node.stat = changed(node.stat, xattr_version=node.stat.xattr_version + 1)
        self._trace(msg, reply, node)

    def _do_readdir(self, msg: MClientRequest, reply: MClientReply) -> None:
        node = self._walk(msg.path.ino, msg.path.path)

        def place(name: str) -> tuple[int, str]:
            return dentry_hash(STR_HASH_RJENKINS, name) & 0xFFFFFF, name

        names = sorted(node.children, key=place)
        after = msg.path2.path
        if after:
            names = [name for name in names if place(name) > place(after)]
        most = min(msg.args.max_entries or len(names), self.fs.listing_limit)
        writer = ListingWriter(self._how_for(msg), DirStat())
        for name in names[:most]:
            writer.add(name, LeaseStat(), self._told(node.children[name], msg))
        flags = READDIR_HASH_ORDER | READDIR_OFFSET_HASH
        if len(names) <= most:
            flags |= READDIR_FRAG_END | (0 if after else READDIR_FRAG_COMPLETE)
        reply.extra = writer.finish(flags)
        self._trace(msg, reply, node)

    def _do_setfilelock(self, msg: MClientRequest, reply: MClientReply) -> None:
        self._walk(msg.path.ino, msg.path.path)

    def _do_getfilelock(self, msg: MClientRequest, reply: MClientReply) -> None:
        args = msg.args
        held = FileLock(args.start, args.length, 0, args.owner, args.pid, LOCK_UNLOCK)
        reply.extra = encode(FileLock, held)
