"""MDRequest: the context of one request while it is tried.

Behaviour: ceph/ceph, src/mds/Mutation.h (MDRequestImpl), src/mds/MDCache.cc (request_start)
(Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.rank.mutation import Mutation
from mdsdaemon.types.entity import CLIENT, PeerName
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.session import MetaReqId

if TYPE_CHECKING:
    from mdsdaemon.messages.client_request import MClientRequest
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.optracker import TrackedOp
    from mdsdaemon.rank.session import Session


class MDRequest:
    """One request.

    Attributes:
        msg: what the client sent. op: its operation (a lookup in place of a completed create).
        client: who sent it, by number. reqid: how the client names it.
        stamp: nanoseconds since the epoch: the time of the change.
        locks: kept by the locker.
        snapid: the snapshot that the path led to; NOSNAP: the live tree.
        has_completed: it was done before, and only its reply is wanted again.
        queued_for_replay: it belongs to what is done before others are served, after a failover.
        getattr_caps: the values that the reply must have.
        created: the inode number that it took; 0: none.
        no_early_reply: the reply waits until the change is safe.
        started: Trio's clock, when it came. op_tracker: what dumps show
            of it while it is under way.
        killed: the session is gone; nobody waits for it.
        flock_waited: it has waited for a file lock.
    """

    __slots__ = (
        "client",
        "created",
        "flock_waited",
        "getattr_caps",
        "has_completed",
        "killed",
        "locks",
        "msg",
        "no_early_reply",
        "op",
        "op_tracker",
        "queued_for_replay",
        "rank",
        "reqid",
        "session",
        "snapid",
        "stamp",
        "started",
    )

    op_tracker: TrackedOp

    def __init__(self, rank: RankCore, session: Session, msg: MClientRequest) -> None:
        self.rank = rank
        self.session = session
        self.msg = msg
        self.op = msg.op
        self.client: int = session.name.num
        self.reqid = MetaReqId(PeerName(CLIENT, self.client), msg.tid)
        self.stamp: int = msg.stamp or rank.now()
        self.locks: Any = None
        self.snapid = NOSNAP
        self.has_completed = False
        self.queued_for_replay = False
        self.getattr_caps = 0
        self.created = 0
        self.no_early_reply = False
        self.killed = False
        self.flock_waited = False
        self.started = 0.0

    @property
    def is_replay(self) -> bool:
        """The client had an unsafe reply to it from a server that is gone."""
        return self.msg.is_replay

    def mutation(self, kind: str) -> Mutation:
        """The change that answers it."""
        return Mutation(
            self.rank,
            kind,
            stamp=self.stamp,
            client=self.client,
            reqid=self.reqid,
            oldest_tid=self.msg.oldest_client_tid,
        )

    def touch_ctime(self, inode: CInode) -> None:
        """The inode, announced, has changed by this request."""
        stored = inode.inode
        stored.ctime = self.stamp
        if self.stamp > stored.rstat.rctime:
            stored.rstat.rctime = self.stamp
        stored.change_attr += 1

    def __str__(self) -> str:
        return str(self.msg)


class Found:
    """Where a path leads.

    Attributes:
        inode: at its end; None: the last name is not there.
        dentry: of the last name, when it was a name and is in the cache (it may be null).
        parent: the directory of the last name; None for a path without names.
        name: the last name, "" for a path without names.
    """

    __slots__ = ("dentry", "inode", "name", "parent")

    def __init__(
        self,
        inode: CInode | None,
        dentry: CDentry | None = None,
        parent: CInode | None = None,
        name: str = "",
    ) -> None:
        self.inode = inode
        self.dentry = dentry
        self.parent = parent
        self.name = name
