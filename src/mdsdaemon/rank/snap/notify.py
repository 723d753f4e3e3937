"""Telling clients of snapshots that come and go, and of realms that come to be.

Behaviour: ceph/ceph, src/mds/MDCache.cc (do_realm_invalidate_and_update_notify,
notify_global_snaprealm_update, finish_snaprealm_reconnect, prepare_realm_split) (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.messages.client_misc import MClientSnap
from mdsdaemon.rank.cache.inode import GLOBAL_SNAPREALM
from mdsdaemon.types.client_ops import SnapOp

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.snap.snaps import Snaps


class Below:
    """What is in the cache at and below the beginning of a realm.

    Attributes:
        inos: inodes with capabilities that are in the realm itself.
        realms: those that begin right below it.
        sessions: of all clients with a capability there, or further below.
    """

    def __init__(self, snaps: Snaps, top: CInode) -> None:
        self.inos: list[int] = []
        self.realms: list[int] = []
        self.sessions: dict[int, Session] = {}
        todo = [(top, True)]
        while todo:
            inode, is_in = todo.pop()
            if inode.snaprealm_blob and inode is not top:
                if snaps.realm_of(inode).is_parent_global:
                    continue
                if is_in:
                    self.realms.append(inode.ino)
                is_in = False
            if inode.caps:
                if is_in:
                    self.inos.append(inode.ino)
                for client, cap in inode.caps.items():
                    self.sessions[client] = cap.session
            for directory in inode.dirs.values():
                primary = (dn.inode for dn in directory.items.values())
                todo.extend((child, is_in) for child in primary if child is not None)


def announce(rank: RankCore, inode: CInode, after: int, *, new: bool) -> None:
    """Tell the clients that have something in the realm of a directory that it has changed.

    Args:
        after: not before the journal is safe up to there.
        new: the realm has come to be; what is below leaves the realm above for it.
    """
    below = Below(rank.snaps, inode)
    trace = rank.snaps.realm_trace(inode)
    for session in below.sessions.values():
        msg = MClientSnap(op=SnapOp.SPLIT, split=inode.ino, trace=trace)
        if new:
            msg.split_inos, msg.split_realms = list(below.inos), list(below.realms)
        session.send(msg, after)


def announce_later(rank: RankCore, inode: CInode) -> None:
    """Tell of the realm that has just come to be with an inode, once the journal is safe.

    For what was answered early, with the new realm in the reply: nobody waits for this.
    """

    def safe() -> None:
        if inode.snaprealm_blob and rank.cache.get_inode(inode.ino) is inode:
            announce(rank, inode, 0, new=True)

    rank.mdlog.when_safe(rank.mdlog.write_pos, safe, patient=True)


def announce_all(rank: RankCore, after: int, *, removed: bool) -> None:
    """Tell every client which snapshots the file system has now."""
    trace = rank.snaps.global_realm.trace()
    op = SnapOp.DESTROY if removed else SnapOp.UPDATE
    for session in rank.sessionmap:
        if session.is_open() or session.is_stale():
            session.send(MClientSnap(op=op, split=GLOBAL_SNAPREALM, trace=trace), after)


def after_reconnect(rank: RankCore, claimed: dict[int, dict[int, int]]) -> None:
    """Clients are back after a failover: tell them what they have missed.

    Args:
        claimed: by client: the realms that it knows, with the newest change that it knows of.
    """
    snaps = rank.snaps
    for client, realms in claimed.items():
        session = rank.sessionmap.get_session(client)
        if session is None or not session.is_open():
            continue
        for ino, seq in realms.items():
            inode = rank.cache.get_inode(ino)
            if inode is None or snaps.realm_of(inode).inode is not inode:
                continue
            if seq < snaps.newest_seq(inode):
                below = Below(snaps, inode)
                msg = MClientSnap(op=SnapOp.UPDATE, trace=snaps.realm_trace(inode))
                msg.split_realms = below.realms
                session.send(msg)
    if snaps.any_snapshots:
        announce_all(rank, 0, removed=False)


def right_realm(rank: RankCore, session: Session, inode: CInode, claimed: int) -> None:
    """A client claims a capability; tell it if it has the inode in a realm that it is not in."""
    realm = rank.snaps.realm_of(inode)
    if realm.ino == claimed or not claimed:
        return
    msg = MClientSnap(op=SnapOp.SPLIT, split=realm.ino, trace=realm.trace())
    msg.split_inos = [inode.ino]
    session.send(msg)
