"""A client takes over from one that died: the dead one's session is ended first.

Behaviour: ceph/ceph, src/mds/Server.cc (reclaim_session, finish_reclaim_session,
find_session_by_uuid) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdsdaemon.messages.client_misc import RECLAIM_FINISH, RECLAIM_RESET, MClientReclaimReply
from mdsdaemon.types.entity import EntityAddrVec

if TYPE_CHECKING:
    from mdsdaemon.messages.client_misc import MClientReclaim
    from mdsdaemon.rank.session import Session
    from mdsdaemon.rank.sessions.sessions import Sessions


class Reclaim:
    """See the module.

    Attributes:
        gather: sessions that were not claimed in the reconnect window and wait for a successor.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.rank = sessions.rank
        self.gather: set[int] = set()
        self._changed = sessions.rank.queue.gate()

    def find_by_uuid(self, uuid: str, but: Session | None = None) -> Session | None:
        """The session whose client is known by this; of two, the one that takes over."""
        found: Session | None = None
        for session in self.rank.sessionmap:
            if session is but or session.client_metadata.get("uuid") != uuid:
                continue
            if found is None or session.reclaiming_from is found:
                found = session
        return found

    def handle(self, session: Session, msg: MClientReclaim) -> None:
        """A client names the dead one, or has finished with it."""
        if msg.flags & RECLAIM_FINISH:
            self._finish(session, None)
            return
        if not session.is_open() and not session.is_stale():
            self.rank.log.debug("%s is not open, dropping reclaim", session)
            return
        reply = MClientReclaimReply()
        if not msg.uuid:
            reply.result = -errno.EINVAL
        elif msg.flags != RECLAIM_RESET:
            reply.result = -errno.EOPNOTSUPP
        if reply.result:
            session.send(reply)
            return
        target = self.find_by_uuid(msg.uuid, session)
        if target is not None:
            if session.info.auth_name != target.info.auth_name:
                reply.result = -errno.EPERM
                session.send(reply)
                return
            session.reclaiming_from = target
            reply.addrs = EntityAddrVec.of(target.addr)
        self._finish(session, reply)

    def _finish(self, session: Session, reply: MClientReclaimReply | None) -> None:
        target = session.reclaiming_from
        if target is None:
            if reply is not None:
                session.send(reply)
            return
        session.reclaiming_from = None

        def gone() -> None:
            if reply is not None and self.rank.sessionmap.get_session(session.client) is session:
                reply.epoch = self.rank.objecter.epoch
                session.send(reply)

        fenced = self.rank.objecter.osd_map.is_blocklisted(target.addrs)
        if fenced or not self.rank.config.get_bool("mds_session_blocklist_on_evict"):
            self.sessions.closing.kill(target, gone)
        else:
            self.sessions.evictor.start(target, True, gone)

    # -- the wait of clientreplay ------------------------------------------------------------

    def forget(self, session: Session) -> None:
        """The session is gone: nobody has to take it over."""
        if session.client in self.gather:
            self.gather.discard(session.client)
            self._changed.open()

    async def wait(self) -> None:
        """Until no session waits to be taken over."""
        while self.gather:
            await self._changed.wait()
