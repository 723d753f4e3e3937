"""The session of a client at the level of messages: what it sends, keeps and answers by itself.

See `mini_client`, which makes requests over it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from attrs import define, field

from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.encoding import decode
from mdsdaemon.host import Host
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.base import Message
from mdsdaemon.messages.client_caps import MClientCaps, MClientLease
from mdsdaemon.messages.client_misc import MClientQuota, MClientSnap
from mdsdaemon.messages.client_reply import MClientReply
from mdsdaemon.messages.client_request import MClientRequestForward
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.messages.mds import MMDSMap
from mdsdaemon.net.connection import Connection
from mdsdaemon.net.dispatcher import Dispatcher
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.types.client_ops import CapOp, LeaseOp, SessionOp
from mdsdaemon.types.client_stat import ReplyCap, ReplyEncoding, reply_encoding
from mdsdaemon.types.entity import MDS
from mdsdaemon.types.feature_bitset import FeatureBitset

_RENEW_EVERY = 15.0


@define(eq=False)
class Waiting:
    """A request under way."""

    op: int
    answered: bool = False
    replies: list[MClientReply | MClientRequestForward] = field(factory=list)


def lease_answer(lease: MClientLease, action: LeaseOp) -> MClientLease:
    """The answer to a lease's message: the same with another action."""
    return MClientLease(
        action,
        mask=lease.mask,
        ino=lease.ino,
        first=lease.first,
        last=lease.last,
        seq=lease.seq,
        dname=lease.dname,
    )


class MiniSession(Dispatcher):
    """See the module; made by `mini_client.mini_client`.

    Attributes:
        session: the server's SESSION messages, newest last.
        messages: everything that came from the server, newest last.
        caps: by inode number, the capability as last told by replies and caps messages.
        issue_seqs: by inode number, the number of the grant that came with the last reply: a wish
            counts only if the server has granted nothing since.
        auto_ack: answer a revocation of capabilities or leases at once, by giving up what is asked
            back.
    """

    def __init__(
        self,
        monc: MonClient,
        messenger: Messenger,
        features: FeatureBitset,
        metadata: dict[str, str],
        host: Host,
    ) -> None:
        self.monc, self.messenger, self.host = monc, messenger, host
        self.features, self.metadata = features, metadata
        self.mdsmap = MDSMap()
        self.con: Connection | None = None
        self.session: list[MClientSession] = []
        self.messages: list[Message] = []
        self.caps: dict[int, ReplyCap] = {}
        self.issue_seqs: dict[int, int] = {}
        self.auto_ack = True
        self.encoding: ReplyEncoding | None = None
        self.is_open = False
        self.resets = 0
        self.last_tid = 0
        self._pushes = 0
        self._closing = False
        self.waiting: dict[int, Waiting] = {}
        self._news = trio.lowlevel.ParkingLot()

    # -- what comes in ----------------------------------------------------------------------

    def ms_dispatch(self, msg: Message) -> bool:
        if isinstance(msg, MMDSMap):
            if msg.epoch > self.mdsmap.epoch:
                self.mdsmap = decode(MDSMap, msg.encoded)
            if msg.source is not None and msg.source.type != MDS:
                self.monc.sub_got("mdsmap", msg.epoch)
        elif msg.source is None or msg.source.type != MDS:
            return False
        else:
            self.messages.append(msg)
            self._from_server(msg)
        self._news.unpark_all()
        return True

    def _from_server(self, msg: Message) -> None:
        if isinstance(msg, MClientCaps | MClientLease | MClientSnap | MClientQuota):
            self._pushes += 1
            if self._closing:  # the server has said more than we had heard of
                self.send(MClientSession(SessionOp.REQUEST_CLOSE, seq=self._pushes))
        if isinstance(msg, MClientSession):
            self.session.append(msg)
            if msg.op == SessionOp.OPEN:
                self.is_open = True
            elif msg.op in (SessionOp.CLOSE, SessionOp.REJECT):
                self.is_open = False
            elif msg.op == SessionOp.FLUSHMSG:
                self.send(MClientSession(SessionOp.FLUSHMSG_ACK, seq=msg.seq))
        elif isinstance(msg, MClientReply | MClientRequestForward):
            waiting = self.waiting.get(msg.tid)
            if waiting is not None:
                waiting.replies.append(msg)
                if isinstance(msg, MClientReply):
                    self.handle_reply(waiting.op, msg)
                if waiting.answered and isinstance(msg, MClientReply) and msg.safe:
                    del self.waiting[msg.tid]
        elif isinstance(msg, MClientCaps):
            self._handle_caps(msg)
        elif isinstance(msg, MClientLease) and msg.action == LeaseOp.REVOKE and self.auto_ack:
            self.send(lease_answer(msg, LeaseOp.RELEASE))

    def handle_reply(self, op: int, msg: MClientReply) -> None:
        """A reply came; what it says of capabilities counts from now on."""

    def _handle_caps(self, msg: MClientCaps) -> None:
        cap = self.caps.setdefault(msg.ino, ReplyCap())
        if msg.op == CapOp.EXPORT:
            self.caps.pop(msg.ino)
            return
        if msg.op not in (CapOp.GRANT, CapOp.REVOKE, CapOp.IMPORT):
            return
        cap.caps, cap.wanted, cap.cap_id = msg.caps, msg.wanted, msg.cap_id
        cap.seq, cap.mseq, cap.realm = msg.seq, msg.migrate_seq, msg.realm
        if msg.op == CapOp.REVOKE and self.auto_ack:
            self.send(
                MClientCaps(
                    CapOp.UPDATE,
                    ino=msg.ino,
                    realm=msg.realm,
                    cap_id=msg.cap_id,
                    seq=msg.seq,
                    issue_seq=self.issue_seqs.get(msg.ino, 0),
                    caps=msg.caps,
                    wanted=msg.wanted,
                    migrate_seq=msg.migrate_seq,
                    inline_version=0,
                )
            )

    def ms_handle_reset(self, con: Connection) -> bool:
        return self._gone(con)

    def ms_handle_remote_reset(self, con: Connection) -> None:
        self._gone(con)

    def _gone(self, con: Connection) -> bool:
        if con is not self.con:
            return False
        self.resets += 1
        self.is_open = False
        self._news.unpark_all()
        return True

    async def wait_for(self, there: Callable[[], Any], seconds: float = 20) -> Any:
        """The first true value of `there`, asked again after every message."""
        with trio.fail_after(seconds):
            while not (value := there()):
                await self._news.park()
        return value

    async def wait_until(
        self, ask: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], seconds: float = 20
    ) -> Any:
        """Ask again and again until the answer is good; that answer."""
        with trio.fail_after(seconds):
            while not good(answer := await ask()):  # noqa: ASYNC110 -- the server has no event
                await trio.sleep(0.05)
        return answer

    # -- the session ------------------------------------------------------------------------

    async def connect(self, rank: int = 0) -> Connection:
        """The connection to an active rank."""
        self.monc.sub_want("mdsmap", 0)
        self.monc.renew_subs()

        def active() -> Any:
            gid = self.mdsmap.up.get(rank)
            info = self.mdsmap.mds_info.get(gid or 0)
            return info if info is not None and info.state == State.ACTIVE else None

        info = await self.wait_for(active)
        self.con = self.messenger.connect_to(MDS, info.addrs)
        return self.con

    def send(self, msg: Message) -> None:
        """Send a message of any kind to the server."""
        assert self.con is not None
        self.con.send_message(msg)

    async def open(self, rank: int = 0) -> MClientSession:
        """Connect and open the session; the server's answer (OPEN, or REJECT)."""
        await self.connect(rank)
        self.send(
            MClientSession(
                SessionOp.REQUEST_OPEN, metadata=self.metadata, supported_features=self.features
            )
        )
        ops = (SessionOp.OPEN, SessionOp.REJECT)
        answer: MClientSession = await self.wait_for(
            lambda: next((m for m in self.session if m.op in ops), None)
        )
        assert self.con is not None
        self.encoding = reply_encoding(self.features, self.con.features)
        return answer

    async def close(self) -> None:
        """Close the session, if it is open."""
        if self.is_open:
            self._closing = True
            self.send(MClientSession(SessionOp.REQUEST_CLOSE, seq=self._pushes))
            await self.wait_for(lambda: not self.is_open)

    async def keep_session(self) -> None:
        """Renew the capabilities from time to time, until cancelled."""
        seq = 0
        while True:
            await trio.sleep(_RENEW_EVERY)
            if self.is_open:
                seq += 1
                self.send(MClientSession(SessionOp.REQUEST_RENEWCAPS, seq=seq))
