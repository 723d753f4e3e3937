"""A rank of the tests that rests in the state that the monitors put it in, and says so."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.maps.mds_states import State, state_name, state_transition_valid
from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.messages.cmdparse import CmdMap
from mdsdaemon.messages.formatter import Reply
from mdsdaemon.rank.interface import Rank, RankServices
from mdsdaemon.rank.session import Session
from mdsdaemon.types.client_ops import SessionOp
from mdsdaemon.types.entity import MDS, PeerName
from mdsdaemon.types.health import HealthStatus, MDSHealthMetric, MDSHealthType

if TYPE_CHECKING:
    from mdsdaemon.maps.mds_map import MDSMap
    from mdsdaemon.messages.base import Message

NOT_SERVING = "this rank of the tests serves nothing"


class SessionMap:
    """The sessions that clients have asked a rank to open, by name (client.GLOBALID)."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[PeerName, Session] = {}

    def get_session(self, name: PeerName) -> Session | None:
        return self._by_name.get(name)

    def add_session(self, session: Session) -> None:
        self._by_name[session.name] = session

    def remove_session(self, session: Session) -> None:
        self._by_name.pop(session.name, None)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)


class MinimalRank(Rank):
    """Holds a rank without serving it."""

    def __init__(self, whoami: int, services: RankServices) -> None:
        self.whoami = whoami
        self.services = services
        self.sessionmap = SessionMap()
        self.state: int = State.NULL
        self.last_state: int = State.NULL
        self.incarnation = 0
        self.started_at = trio.current_time()
        self._log = services.log

    def init(self) -> None:
        """Say in log and cluster log what to expect."""
        text = f"mds.{self.services.name} was given rank {self.whoami}, but {NOT_SERVING}"
        self._log.warning("%s", text)
        self.services.clog.warn(text)

    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        """Follow the state of the map: the beacons ask for it, and for nothing else."""
        services = self.services
        info = mdsmap.mds_info[services.gid]
        oldstate = self.state
        if not state_transition_valid(oldstate, info.state):
            services.respawn(
                f"Invalid state transition {state_name(oldstate)}->{state_name(info.state)}"
            )
            return
        self.state = info.state
        if self.state == oldstate:
            return
        self.last_state = oldstate
        self.incarnation = info.inc
        if self.state == State.STANDBY_REPLAY:
            self._log.info(
                "handle_mds_map i am now mds.%d.%d replaying mds.%d.%d",
                services.gid,
                self.incarnation,
                self.whoami,
                self.incarnation,
            )
            services.messenger.set_myname(PeerName(MDS, services.gid))
        else:
            self._log.info("handle_mds_map i am now mds.%d.%d", self.whoami, self.incarnation)
            services.messenger.set_myname(PeerName(MDS, self.whoami))
        self._log.info(
            "handle_mds_map state change %s --> %s", state_name(oldstate), state_name(self.state)
        )
        services.beacon.set_want_state(mdsmap, self.state)
        services.beacon.notify_health(self.health())

    def health(self) -> list[MDSHealthMetric]:
        """One complaint, shown by `ceph health detail` as long as the rank is held."""
        return [
            MDSHealthMetric(
                type=MDSHealthType.READ_ONLY,
                sev=HealthStatus.WARN,
                message=f"rank {self.whoami} stays in {state_name(self.state)}: {NOT_SERVING}",
            )
        ]

    def tick(self) -> None:
        """Keep the complaint in the beacons."""
        self.services.beacon.notify_health(self.health())

    def ms_dispatch(self, msg: Message) -> bool:
        """A client that wants a session is told why it gets none; the rest is not for us."""
        if isinstance(msg, MClientSession) and msg.op == SessionOp.REQUEST_OPEN:
            con = msg.connection
            if con is not None:
                reject = MClientSession(op=SessionOp.REJECT, metadata={"error_string": NOT_SERVING})
                con.send_message(reject)
            return True
        return False

    def handle_asok_command(self, prefix: str, cmdmap: CmdMap, inbl: bytes) -> Reply:
        """No command of a rank works here, except the list of sessions."""
        if prefix in ("session ls", "client ls"):
            sessions = [{"id": s.name.num, "state": s.state.name.lower()} for s in self.sessionmap]
            return Reply(section="sessions", data=sessions)
        return Reply.fail(errno.ENOSYS, f"{prefix}: {NOT_SERVING}")

    def dump_status(self) -> dict[str, Any]:
        """The keys of ceph-mds, and one that says that nothing is served."""
        return {
            "fs_name": self.services.mdsmap().fs_name,
            "serving": False,
            "why_not_serving": NOT_SERVING,
            "rank_uptime": trio.current_time() - self.started_at,
        }

    def get_session(self, name: PeerName) -> Session | None:
        return self.sessionmap.get_session(name)

    def is_stopped(self) -> bool:
        return self.state == State.STOPPED
