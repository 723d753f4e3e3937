"""A CephFS client at the level of messages: it sends what it is told to, and decodes all replies.

    async with mini_client(cluster) as client:
        answer = await client.request(MdsOp.MKDIR, path="dir", args=MkdirArgs(0o755))
        assert answer.result == 0 and answer.target.mode == 0o40755
        listing = (await client.readdir(answer.target.ino)).listing

It believes nothing and caches nothing: capabilities are kept as they come (`caps`), and given up as
soon as they are asked back (`auto_ack`), so that it never stands in another client's way.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define
from tests.real.cluster import RealCluster
from tests.real.mini_session import MiniSession, Waiting

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import Config
from mdsdaemon.encoding import decode
from mdsdaemon.host import Host
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.client_caps import CapItem, MClientCapRelease, MClientCaps
from mdsdaemon.messages.client_misc import MClientQuota, MClientSnap
from mdsdaemon.messages.client_reply import (
    CreatedInode,
    Listing,
    MClientReply,
    OpencResponse,
    Trace,
    VxattrValue,
    decode_listing,
    decode_snap_trace,
    decode_trace,
)
from mdsdaemon.messages.client_request import MClientRequest, MClientRequestForward
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.types.client_args import GetattrArgs, ReaddirArgs
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL
from mdsdaemon.types.client_locks import FileLock
from mdsdaemon.types.client_ops import (
    READDIR_REPLY_BITFLAGS,
    CapOp,
    MdsOp,
    SessionOp,
    mds_op_name,
)
from mdsdaemon.types.client_stat import InodeStat
from mdsdaemon.types.entity import CLIENT, MDS, EntityName, PeerName
from mdsdaemon.types.feature_bitset import CEPHFS_FEATURES_SUPPORTED, FeatureBitset
from mdsdaemon.types.mds import FilePath
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.snap import SnapRealmInfo

ROOT = 1
_EXTRA_IS_A_LISTING = {MdsOp.READDIR, MdsOp.LSSNAP}


@define(eq=False)
class Answer:
    """A reply, decoded whole.

    Attributes:
        reply: the latest one; `told` is the one with the trace, which a safe reply after an unsafe
            one has not.
        extra: what the operation gives beside the trace.
    """

    reply: MClientReply
    told: MClientReply
    trace: Trace
    extra: Any
    realms: list[SnapRealmInfo]

    @property
    def result(self) -> int:
        """0 or -errno."""
        return self.reply.result

    @property
    def target(self) -> InodeStat:
        """The inode of the trace, which must be there."""
        assert self.trace.target is not None, self.reply
        return self.trace.target

    @property
    def listing(self) -> Listing:
        """The extra of a readdir or lssnap."""
        assert isinstance(self.extra, Listing), self.reply
        return self.extra

    @property
    def names(self) -> list[str]:
        """The names of the listing, in its order."""
        return [entry.dname for entry in self.listing.entries]


class MiniClient(MiniSession):
    """See the module; made by `mini_client`."""

    # -- requests ---------------------------------------------------------------------------

    def start(
        self,
        op: int,
        path: str = "",
        *,
        ino: int = ROOT,
        path2: str = "",
        ino2: int = 0,
        args: Any = None,
        tid: int = 0,
        **fields: Any,
    ) -> int:
        """Send a request and return its tid; `fields` are those of an MClientRequest."""
        if not tid:
            self.last_tid += 1
            tid = self.last_tid
        fields.setdefault("oldest_client_tid", min(self.waiting, default=tid))
        fields.setdefault("stamp", int(self.host.wall() * 1e9))
        msg = MClientRequest(
            op,
            path=FilePath(ino, path),
            path2=FilePath(ino2, path2),
            mdsmap_epoch=self.mdsmap.epoch,
            tid=tid,
            **fields,
        )
        if args is not None:
            msg.args = args
        self.waiting[tid] = Waiting(op)
        self.send(msg)
        return tid

    async def reply(self, tid: int, *, safe: bool = False, seconds: float = 20) -> Answer:
        """The first reply to a request, or with `safe` the one that says that it is journaled.

        Until that has come too, the request counts for `oldest_client_tid`.
        """
        waiting = self.waiting[tid]
        flushing = False

        def there() -> Any:
            for msg in waiting.replies:
                if isinstance(msg, MClientRequestForward):
                    raise AssertionError(f"request {tid} was forwarded to rank {msg.dest_mds}")
                if msg.safe or not safe:
                    return msg
            nonlocal flushing
            if waiting.replies and not flushing:
                flushing = True
                self.send(MClientSession(SessionOp.REQUEST_FLUSH_MDLOG))
            return None

        msg: MClientReply = await self.wait_for(there, seconds)
        first = waiting.replies[0]
        assert isinstance(first, MClientReply)
        waiting.answered = True
        if any(isinstance(m, MClientReply) and m.safe for m in waiting.replies):
            del self.waiting[tid]
        answer = self.decode(waiting.op, msg if msg.trace or msg is first else first)
        answer.reply = msg
        return answer

    def handle_reply(self, op: int, msg: MClientReply) -> None:
        answer = self.decode(op, msg)
        told = [answer.trace.dir, answer.trace.target]
        if isinstance(answer.extra, Listing):
            told += [entry.inode for entry in answer.extra.entries]
        for stat in told:
            if stat is not None and stat.cap.cap_id and stat.snapid == NOSNAP:
                self.caps[stat.ino] = copy.copy(stat.cap)
                self.issue_seqs[stat.ino] = stat.cap.seq

    async def request(
        self, op: int, path: str = "", *, safe: bool = False, seconds: float = 20, **fields: Any
    ) -> Answer:
        """Send a request and wait for its reply; see `start` and `reply`."""
        return await self.reply(self.start(op, path, **fields), safe=safe, seconds=seconds)

    def decode(self, op: int, reply: MClientReply) -> Answer:
        """All of a reply: DecodeError if any byte of it is left over or missing."""
        assert self.encoding is not None
        extra: Any = None
        if reply.extra:
            if op in _EXTRA_IS_A_LISTING:
                extra = decode_listing(self.encoding, reply.extra)
            elif op in (MdsOp.CREATE, MdsOp.OPEN):
                deleg = self.features.test(13)
                extra = decode(OpencResponse if deleg else CreatedInode, reply.extra)
            elif op in (MdsOp.GETFILELOCK, MdsOp.SETFILELOCK):
                extra = decode(FileLock, reply.extra)
            elif op == MdsOp.GETVXATTR:
                extra = decode(VxattrValue, reply.extra)
            else:
                raise AssertionError(f"a reply to {mds_op_name(op)} has an extra: {reply.extra!r}")
        return Answer(
            reply,
            reply,
            decode_trace(self.encoding, reply),
            extra,
            decode_snap_trace(reply.snapbl),
        )

    # -- the usual ones ---------------------------------------------------------------------

    async def getattr(self, path: str = "", *, ino: int = ROOT, mask: int = -1) -> Answer:
        """getattr of a path below an inode."""
        mask = STAT_CAP_INODE_ALL if mask < 0 else mask
        return await self.request(MdsOp.GETATTR, path, ino=ino, args=GetattrArgs(mask))

    async def lookup(self, path: str, *, ino: int = ROOT) -> Answer:
        """lookup of a name in a directory."""
        return await self.request(MdsOp.LOOKUP, path, ino=ino, args=GetattrArgs(STAT_CAP_INODE_ALL))

    async def readdir(
        self, ino: int, frag: int = 0, *, after: str = "", max_entries: int = 0, max_bytes: int = 0
    ) -> Answer:
        """One readdir of a fragment, going on after a name."""
        args = ReaddirArgs(frag, max_entries, max_bytes, READDIR_REPLY_BITFLAGS)
        return await self.request(MdsOp.READDIR, ino=ino, path2=after, args=args)

    def want(self, ino: int, wanted: int, *, keep: int = -1) -> None:
        """Tell which capabilities are wished for now, and give up all but `keep` of those held."""
        cap = self.caps[ino]
        cap.caps &= keep
        cap.wanted = wanted
        self.send(
            MClientCaps(
                CapOp.UPDATE,
                ino=ino,
                realm=cap.realm,
                cap_id=cap.cap_id,
                seq=cap.seq,
                issue_seq=self.issue_seqs.get(ino, 0),
                caps=cap.caps,
                wanted=wanted,
                migrate_seq=cap.mseq,
                inline_version=0,
            )
        )

    def release(self, inos: Iterable[int]) -> None:
        """Give capabilities back."""
        items = []
        for ino in inos:
            cap = self.caps.pop(ino, None)
            if cap is not None:
                items.append(CapItem(ino, cap.cap_id, cap.mseq, cap.seq))
        self.send(MClientCapRelease(items))

    def received(self, kind: type[Message]) -> list[Any]:
        """The server's messages of a class so far: `MClientCaps`, `MClientSnap`, …"""
        return [m for m in self.messages if isinstance(m, kind)]

    def quotas(self) -> list[MClientQuota]:
        """The quotas told so far."""
        return self.received(MClientQuota)

    def snaps(self) -> list[MClientSnap]:
        """The changes of snapshots told so far."""
        return self.received(MClientSnap)


@asynccontextmanager
async def mini_client(
    cluster: RealCluster | dict[str, str],
    name: str = "client.admin",
    *,
    features: FeatureBitset = CEPHFS_FEATURES_SUPPORTED,
    metadata: dict[str, str] | None = None,
    open_session: bool = True,
    policy: Policy | None = None,
    **options: str,
) -> AsyncIterator[MiniClient]:
    """A client with an open session at rank 0.

    Args:
        cluster: a real cluster, or the options `mon_host`, `fsid`, `keyring` of any other.
        features: CephFS features that it claims.
        metadata: what it says of itself.
        open_session: False: connected to the monitors only.
        policy: of the connection to the server; its `features_supported` are claimed.
        options: changes of the configuration.
    """
    if isinstance(cluster, RealCluster):
        settings = {
            "mon_host": ",".join(cluster.mon_addrs.values()),
            "fsid": cluster.fsid,
            "keyring": str(cluster.keyring),
        }
    else:
        settings = dict(cluster)
    config = Config(name, settings | options)
    entity, host = EntityName.parse(name), Host.system()
    messenger = Messenger(
        PeerName(CLIENT, -1),
        nonce=host.random_u32(),
        host=host,
        transport=SocketTransport(),
        log=logging.getLogger("test.ms"),
    )
    messenger.set_default_policy(Policy.lossy_client())
    messenger.set_policy(MDS, policy or Policy.lossless_client())
    monc = MonClient(
        name=entity,
        config=config,
        messenger=messenger,
        host=host,
        monmap=await build_initial_monmap(config),
        log=logging.getLogger("test.monc"),
    )
    monc.init()
    said = {"entity_id": entity.id, "hostname": "mini", "root": "/"} | (metadata or {})
    client = MiniClient(monc, messenger, features, said, host)
    messenger.add_dispatcher_tail(client)
    async with trio.open_nursery() as nursery:
        await nursery.start(messenger.run)
        await nursery.start(monc.run)
        with trio.fail_after(20):
            await monc.authenticate()
            messenger.set_myname(PeerName(CLIENT, monc.global_id))
            if open_session:
                answer = await client.open()
                assert answer.op == SessionOp.OPEN, answer
        nursery.start_soon(client.keep_session)
        yield client
        with trio.move_on_after(5):
            await client.close()
        nursery.cancel_scope.cancel()
