"""Server: what becomes of clients' requests.

    handle_client_request → known already? → MDRequest → try of its handler → reply

A try does everything or, having changed nothing, waits (see `rank.waiting`). What changes the tree
is answered twice: at once to the client that asked, and again when the journal has it.

Behaviour: ceph/ceph, src/mds/Server.cc (handle_client_request, dispatch_client_request,
journal_and_reply, early_reply, reply_client_request) (Pacific)
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from mdsdaemon.cephx.caps import MAY_FULL
from mdsdaemon.encoding import encode
from mdsdaemon.maps.mds_states import State
from mdsdaemon.messages.client_reply import CreatedInode, MClientReply
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.server.access import check_access
from mdsdaemon.rank.server.handlers import COUNTERS, HANDLERS, WHEN_FULL
from mdsdaemon.rank.server.open import handle_open
from mdsdaemon.rank.server.reply import put_trace
from mdsdaemon.rank.server.request import MDRequest
from mdsdaemon.rank.server.traverse import NotFound, plain_inode
from mdsdaemon.rank.sessions.completed import forget_requests
from mdsdaemon.rank.waiting import MustWait
from mdsdaemon.types.client_args import GetattrArgs
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL
from mdsdaemon.types.client_ops import MdsOp
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.pool import FLAG_FULL

if TYPE_CHECKING:
    from mdsdaemon.messages.client_request import MClientRequest
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.mutation import Mutation
    from mdsdaemon.rank.session import Session

MAX_UNDER_WAY = 65_536
"""Requests of one client that may wait at a time."""

Handler = Callable[["Server", MDRequest], None]


class Server:
    """See the module.

    Attributes:
        is_full: the metadata pool is full: what needs room is refused.
    """

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self.is_full = False
        self._active: dict[tuple[int, int], MDRequest] = {}
        self._idle = rank.queue.gate()
        self._last_client = self._last_end = self._end_before = 0
        self._handlers: dict[int, Handler] = {int(op): one for op, one in HANDLERS.items()}
        group = rank.counters.server
        self._latency = {int(op): group[name] for op, name in COUNTERS.items()}
        self._received = group["handle_client_request"]
        self._dispatched = group["dispatch_client_request"]
        mds = rank.counters.mds
        self._requests, self._replies = mds["request"], mds["reply"]
        self._reply_latency = mds["reply_latency"]

    def num_requests(self) -> int:
        """Requests under way."""
        return len(self._active)

    async def wait_idle(self) -> None:
        """Wait until no request is under way."""
        while self._active:
            await self._idle.wait()

    def handle_osd_map(self) -> None:
        """Whether the metadata pool is full may have changed."""
        pool = self.rank.objecter.osd_map.pools.get(self.rank.metadata_pool)
        self.is_full = pool is not None and bool(pool.flags & FLAG_FULL)

    # -- receiving ---------------------------------------------------------------------------

    def wants_replay(self, msg: MClientRequest, session: Session) -> bool:
        """Whether a request that came before the rank is active is to be done before others.

        Those are the ones that the client had an unsafe reply to, and retries of completed ones.
        """
        if msg.is_replay or msg.is_async:
            free = session.free_prealloc_inos
            if msg.ino in free and session.have_completed_request(msg.tid) is None:
                free.erase(msg.ino)
                session.delegated_inos.insert(msg.ino)
            return True
        if msg.retry_attempt:
            # older than the client's claim of its capabilities: it gives nothing back
            msg.releases.clear()
            return session.have_completed_request(msg.tid) is not None
        return False

    def handle_client_request(self, msg: MClientRequest, *, replay: bool = False) -> None:
        """A request has come; `replay`: it belongs to what is done again after a failover."""
        rank = self.rank
        self._requests.inc()
        self._received.inc()
        session = rank.sessions.usable_session_of(msg)
        if session is None:
            rank.log.info("no open session for %s, dropping", msg)
            return
        if (session.name.num, msg.tid) in self._active:
            rank.log.debug("%s is under way already, dropping", msg)
            return
        if len(session.requests) >= MAX_UNDER_WAY:
            rank.log.warning("%s has %d requests under way, cut off", session, MAX_UNDER_WAY)
            if msg.connection is not None:
                msg.connection.mark_down()
            return
        req = MDRequest(rank, session, msg)
        req.queued_for_replay = replay
        req.started = msg.recv_stamp or trio.current_time()
        if (msg.is_replay or msg.retry_attempt) and self._done_already(req):
            return
        if msg.oldest_client_tid:
            forget_requests(rank, session, msg.oldest_client_tid)
        self._active[session.name.num, msg.tid] = req
        session.requests[msg.tid] = req
        req.op_tracker = rank.optracker.start(msg.__str__, client=req.client, tid=msg.tid)
        if msg.releases and not msg.is_replay:
            releases, msg.releases = msg.releases, []
            rank.locker.process_releases(session, releases, req)
        rank.queue.attempt(lambda: self._try(req))

    def _done_already(self, req: MDRequest) -> bool:
        """A request that was done before: answered from memory, or made one that only looks.

        True: it is answered.
        """
        session, msg = req.session, req.msg
        created = session.have_completed_request(msg.tid)
        if created is None:
            return False
        req.has_completed = True
        if not session.is_open():
            return True
        is_open = msg.op in (MdsOp.OPEN, MdsOp.CREATE)
        # a client has to learn of an inode that it made, unless it knows it: it replays
        if msg.is_replay or (
            not is_open and (not created or self.rank.state != State.CLIENTREPLAY)
        ):
            reply = self._reply(req, 0)
            if created:
                reply.extra = encode(CreatedInode, CreatedInode(created))
            session.send_when_safe(reply, self.rank.mdlog.write_pos)
            return True
        if not is_open:
            req.op = MdsOp.LOOKUP if msg.wants_dentry else MdsOp.GETATTR
            msg.op = req.op
            msg.args = GetattrArgs(STAT_CAP_INODE_ALL)
        return False

    def others_end(self, client: int) -> int:
        """Where the newest change of another client ends.

        For replies that name nothing that `Sessions.must_follow` could be asked about: an error, or
        that there is nothing to change, may come from any change.
        """
        return self._end_before if client == self._last_client else self._last_end

    # -- trying ------------------------------------------------------------------------------

    def _try(self, req: MDRequest) -> None:
        if req.killed:
            return
        self._dispatched.inc()
        try:
            self._dispatch(req)
        except MustWait:
            req.op_tracker.mark("waiting")
            raise
        except NotFound as error:
            dn = error.found.dentry
            if req.msg.wants_dentry and error.found.parent is not None:
                if dn is None and req.snapid == NOSNAP:
                    dn = self._null_dentry(error.found.parent, error.found.name)
                self.respond(req, dentry=dn, error=error.errno)
            else:
                self.respond(req, error=error.errno)
        except FsError as error:
            self.respond(req, error=error.errno)

    def _null_dentry(self, diri: CInode, name: str) -> CDentry:
        directory = self.rank.store.dir_for(diri, name)
        return self.rank.cache.add_dentry(directory, name)

    def _dispatch(self, req: MDRequest) -> None:
        rank = self.rank
        if rank.read_only and req.msg.may_write:
            raise FsError(errno.EROFS)
        if self.is_full:
            inode = plain_inode(req)
            if req.op in WHEN_FULL:
                try:
                    check_access(req, inode, MAY_FULL)
                except FsError:
                    raise FsError(errno.ENOSPC, "the metadata pool is full") from None
        if req.has_completed and req.op == MdsOp.CREATE:
            handle_open(self, req)  # it is created: only open it
            return
        handler = self._handlers.get(req.op)
        if handler is None:
            raise FsError(errno.EOPNOTSUPP, f"operation {req.op:#x}")
        handler(self, req)

    # -- replying ----------------------------------------------------------------------------

    def _reply(self, req: MDRequest, error: int) -> MClientReply:
        return MClientReply(
            op=req.op,
            result=-error,
            mdsmap_epoch=self.rank.mdsmap.epoch,
            tid=req.msg.tid,
        )

    def respond(
        self,
        req: MDRequest,
        *,
        inode: CInode | None = None,
        dentry: CDentry | None = None,
        extra: bytes = b"",
        error: int = 0,
        after: int = 0,
    ) -> None:
        """The request is over, and has changed nothing.

        Args:
            inode, dentry: what the reply tells of.
            after: not before the journal is safe up to there.
        """
        session = req.session
        if req.locks is not None:
            self.rank.locker.release(req)
        reply = self._reply(req, error)
        if (inode is not None or dentry is not None) and not req.is_replay:
            after = max(after, put_trace(req, reply, inode, dentry))
        reply.extra = extra
        if error:
            after = max(after, self.others_end(req.client))
            if req.queued_for_replay:
                self.rank.services.clog.warn(f"failed to replay {req.reqid} error -{error}")
        elif req.msg.may_write and req.op != MdsOp.SETFILELOCK:
            session.add_completed_request(req.msg.tid, 0)
        session.send(reply, after)
        self._note_latency(req)
        self._finish(req)
        if dentry is not None and dentry.remote_ino and inode is not None and inode.is_stray:
            self.rank.strays.eval_remote(dentry)

    def journal_and_reply(
        self,
        req: MDRequest,
        mut: Mutation,
        *,
        inode: CInode | None = None,
        dentry: CDentry | None = None,
        extra: bytes = b"",
        changed: CInode | None = None,
        truncated: bool = False,
        new_ranges: bool = False,
        submitted: Callable[[int], None] | None = None,
    ) -> None:
        """Submit the change and answer the request.

        Args:
            inode, dentry: what the reply tells of.
            changed: another inode that has changed.
            truncated: `inode` was cut off: clients and objects have to follow.
            new_ranges: clients may write elsewhere in `inode` than before.
            submitted: called with the end of the change in the journal, before the reply is sent.
        """
        rank, session, msg = self.rank, req.session, req.msg
        if truncated:
            # even who asked for it hears of it once it is safe: a client that knew the number of a
            # cut that a failover has undone would take the next one of that number for old
            mut.client = 0
        early = (
            not truncated
            and not req.no_early_reply
            and not mut.blob.allocated_ino
            and not msg.is_replay
            and rank.config.get_bool("mds_early_reply")
        )
        told = not self._leaves_out(truncated)
        ahead = early and submitted is None and rank.locker.leaves_quietly(req)
        if ahead:
            # nobody else is told of it meanwhile: the client can go on while it is journaled
            mut.settle()
            rank.locker.release(req)
            self._reply_to_change(req, inode, dentry, extra, told=told)
            session.push()
        end = mut.submit()
        if submitted is not None:
            submitted(end)
        if req.client != self._last_client:
            self._last_client, self._end_before = req.client, self._last_end
        self._last_end = end
        rank.sessions.note_request(mut, session, msg.tid, req.created)
        if truncated and inode is not None:
            rank.locker.issue_truncate(inode)
        if req.locks is not None:
            rank.locker.release(req)
        if not ahead:
            self._reply_to_change(req, inode, dentry, extra, told=told, end=0 if early else end)
        if early:
            session.send_when_safe(self._reply(req, 0), end)
        self._note_latency(req)
        self._finish(req)
        for one in (inode, changed):
            if one is not None:
                rank.locker.note_changed(one)
        if truncated and inode is not None:
            rank.truncator.start(inode, mut.segment)
        if new_ranges and inode is not None:
            rank.locker.share_when_safe(inode, end)

    def _reply_to_change(
        self,
        req: MDRequest,
        inode: CInode | None,
        dentry: CDentry | None,
        extra: bytes,
        *,
        told: bool,
        end: int = 0,
    ) -> None:
        """Answer, with a trace if it is `told`; once the journal is safe up to `end`, or early."""
        reply = self._reply(req, 0)
        follow = 0
        if told and (inode is not None or dentry is not None) and not req.msg.is_replay:
            follow = put_trace(req, reply, inode, dentry)
        reply.extra = extra
        if not end:
            reply.safe = 0
        req.session.send(reply, end or follow)

    def _leaves_out(self, truncated: bool) -> bool:
        """Whether the reply to a change is to lack its trace, for a test of clients."""
        share = self.rank.config.get_float("mds_inject_traceless_reply_probability")
        return share > 0 and not truncated and self.rank.host.rng.random() < share

    def _note_latency(self, req: MDRequest) -> None:
        if req.is_replay:
            return
        now = trio.current_time()
        latency = now - req.started
        self._replies.inc()
        self._reply_latency.tinc(latency)
        counter = self._latency.get(req.msg.op)
        if counter is not None:
            counter.tinc(latency)
        self.rank.sessionmap.hit_session(req.session, now)

    def _finish(self, req: MDRequest) -> None:
        if req.locks is not None:
            self.rank.locker.release(req)
        session, tid = req.session, req.msg.tid
        session.requests.pop(tid, None)
        del self._active[session.name.num, tid]
        if not self._active:
            self._idle.open()
        req.op_tracker.finish()

    # -- the end of a session ----------------------------------------------------------------

    def kill_requests(self, session: Session) -> None:
        """The session is gone: nobody waits for its requests any more."""
        for req in list(session.requests.values()):
            req.killed = True
            self._finish(req)
