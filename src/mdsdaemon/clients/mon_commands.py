"""Commands to the monitors and version requests: sent, sent again, answered.

An ordinary command goes to whichever monitor the session is with, and again to the next one when
the session is lost before the answer. A tell command is for one monitor, over a connection of its
own (or the session, if that is with it).

Source of the behaviour: ceph/ceph, src/mon/MonClient.cc, _send_command (Pacific)
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.messages.mds import MCommand, MCommandReply
from mdsdaemon.messages.mon import (
    MMonCommand,
    MMonCommandAck,
    MMonGetVersion,
    MMonGetVersionReply,
)
from mdsdaemon.records import define, field, frozen
from mdsdaemon.types.entity import EntityAddrVec

if TYPE_CHECKING:
    from mdsdaemon.maps.mon_map import MonMap
    from mdsdaemon.messages.base import Message
    from mdsdaemon.net.connection import Connection

T = TypeVar("T")

MAX_OUTSTANDING = 10_000


@frozen
class CommandReply:
    """`r` is 0 or -errno, `outs` the status text, `outbl` the output."""

    r: int
    outs: str = ""
    outbl: bytes = field(default=b"", repr=False)


@define(eq=False)
class Waiter(Generic[T]):
    """One caller that waits for an answer or a MonClientError."""

    _result: T | None = field(default=None, init=False)
    _error: MonClientError | None = field(default=None, init=False)
    _finished: trio.Event = field(factory=trio.Event, init=False)

    async def wait(self) -> T:
        await self._finished.wait()
        if self._error is not None:
            raise self._error
        assert self._result is not None  # finish() set it
        return self._result

    def finish(self, result: T) -> None:
        if not self._finished.is_set():
            self._result = result
            self._finished.set()

    def fail(self, error: MonClientError) -> None:
        if not self._finished.is_set():
            self._error = error
            self._finished.set()


@define(eq=False)
class MonCommand:
    """A command on its way. A `target` (a rank, or a name such as "a") makes it a tell command."""

    tid: int
    cmd: list[str]
    inbl: bytes = field(default=b"", repr=False)
    target: int | str | None = None
    con: Connection | None = None
    attempts: int = 0
    last_attempt: float = 0.0
    waiter: Waiter[CommandReply] = field(factory=Waiter)


@define(eq=False)
class VersionRequest:
    """A question for the newest and oldest epoch of the map `what`."""

    handle: int
    what: str
    waiter: Waiter[tuple[int, int]] = field(factory=Waiter)


class Session(Protocol):
    """What the table needs of the monitor client."""

    @property
    def monmap(self) -> MonMap: ...

    def send_in_session(self, msg: Message) -> bool:
        """Send over the open session; False when there is none."""
        ...

    def open_tell(self, addrs: EntityAddrVec) -> Connection | None:
        """A connection for a tell command; None: that monitor is the session's."""
        ...

    def directed_retries(self) -> int: ...

    def hunt_interval(self) -> float: ...


class RequestTable:
    """All commands and version requests without an answer."""

    def __init__(self, session: Session, log: logging.Logger) -> None:
        self._session = session
        self._log = log
        self._last_tid = 0
        self._last_handle = 0
        self.in_session = False
        self.commands: dict[int, MonCommand] = {}
        self.versions: dict[int, VersionRequest] = {}

    # -- from callers --------------------------------------------------------------------

    async def command(self, cmd: list[str], inbl: bytes, target: int | str | None) -> CommandReply:
        """Send and wait; a cancelled caller's command is forgotten."""
        self._check_room()
        self._last_tid += 1
        command = self.commands[self._last_tid] = MonCommand(self._last_tid, cmd, inbl, target)
        try:
            self._send(command)
            return await command.waiter.wait()
        finally:
            self._forget(command)

    async def version(self, what: str) -> tuple[int, int]:
        """(newest, oldest) epoch of a map."""
        self._check_room()
        self._last_handle += 1
        request = self.versions[self._last_handle] = VersionRequest(self._last_handle, what)
        try:
            self._ask(request)
            return await request.waiter.wait()
        finally:
            self.versions.pop(request.handle, None)

    def _check_room(self) -> None:
        if len(self.commands) + len(self.versions) >= MAX_OUTSTANDING:
            raise MonClientError(errno.EBUSY, f"{MAX_OUTSTANDING} requests wait for a monitor")

    # -- sending -------------------------------------------------------------------------

    def session_opened(self) -> None:
        """A new session: everything without an answer goes (again)."""
        self.in_session = True
        for command in list(self.commands.values()):
            self._send(command)
        for request in self.versions.values():
            self._ask(request)

    def session_lost(self) -> None:
        """The session is over; until the next one everything waits."""
        self.in_session = False
        for command in self.commands.values():
            self._drop_con(command)

    def _send(self, command: MonCommand) -> None:
        if not self.in_session:
            return
        if command.target is not None:
            self._send_tell(command, command.target)
            return
        msg = MMonCommand(fsid=self._session.monmap.fsid, cmd=command.cmd)
        msg.tid = command.tid
        msg.data = command.inbl
        self._session.send_in_session(msg)

    def _send_tell(self, command: MonCommand, target: int | str) -> None:
        monmap = self._session.monmap
        command.attempts += 1
        command.last_attempt = trio.current_time()
        self._drop_con(command)
        if command.attempts > self._session.directed_retries():
            self._fail(command, errno.ENXIO, f"mon.{target} does not answer")
            return
        name = target
        if isinstance(target, int) or target.isdigit():
            rank = int(target)
            if not 0 <= rank < len(monmap.ranks):
                self._fail(command, errno.ENOENT, f"there is no monitor of rank {rank}")
                return
            name = monmap.ranks[rank]
        addrs = monmap.get_addrs(str(name))
        if not addrs:
            self._fail(command, errno.ENOENT, f"there is no monitor mon.{name}")
            return
        msg = MCommand(fsid=monmap.fsid, cmd=command.cmd)
        msg.tid = command.tid
        msg.data = command.inbl
        con = self._session.open_tell(addrs)
        if con is None:
            self._session.send_in_session(msg)
        else:
            command.con = con
            con.send_message(msg)

    def _ask(self, request: VersionRequest) -> None:
        if self.in_session:
            self._session.send_in_session(MMonGetVersion(handle=request.handle, what=request.what))

    def check_tells(self, now: float) -> None:
        """Send tell commands again that have had no answer for a while."""
        if not self.in_session:
            return
        for command in self._tells():
            if now >= command.last_attempt + self._session.hunt_interval():
                self._log.info("no answer to tell command %d, trying again", command.tid)
                self._send(command)

    def next_check(self) -> float:
        """When `check_tells` has something to do; infinite without tell commands."""
        if not self.in_session:
            return float("inf")
        waits = [c.last_attempt + self._session.hunt_interval() for c in self._tells()]
        return min(waits, default=float("inf"))

    def _tells(self) -> list[MonCommand]:
        return [c for c in self.commands.values() if c.target is not None]

    # -- answers -------------------------------------------------------------------------

    def reset(self, con: Connection) -> None:
        """The connection of a tell command is gone."""
        for command in self._tells():
            if command.con is con:
                self._send(command)

    def handle_ack(self, msg: MMonCommandAck | MCommandReply) -> bool:
        """A command's result; False when nobody waits for it."""
        command = self.commands.get(msg.tid)
        if command is None:
            return False
        command.waiter.finish(CommandReply(msg.r, msg.rs, msg.data))
        return True

    def handle_version(self, msg: MMonGetVersionReply) -> None:
        request = self.versions.get(msg.handle)
        if request is not None:
            request.waiter.finish((msg.version, msg.oldest_version))

    # -- the end -------------------------------------------------------------------------

    def close(self, error: MonClientError) -> None:
        """Every caller gets `error`."""
        self.in_session = False
        for command in list(self.commands.values()):
            self._drop_con(command)
            command.waiter.fail(error)
        for request in self.versions.values():
            request.waiter.fail(error)

    def _fail(self, command: MonCommand, number: int, text: str) -> None:
        command.waiter.fail(MonClientError(number, text))

    def _forget(self, command: MonCommand) -> None:
        self.commands.pop(command.tid, None)
        self._drop_con(command)

    def _drop_con(self, command: MonCommand) -> None:
        if command.con is not None:
            command.con.mark_down()
            command.con = None
