"""Commands that came by message: kept in a bounded queue, run in the daemon's nursery.

Dispatch is synchronous and must not wait for a command; the answer is sent when it is done.
"""

from __future__ import annotations

import errno
import logging
from collections import deque
from typing import TYPE_CHECKING

import trio

from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.messages.cmdparse import CommandError, cmdmap_from_json
from mdsdaemon.messages.formatter import Result
from mdsdaemon.messages.mds import MCommand, MCommandReply

if TYPE_CHECKING:
    from mdsdaemon.cephx.caps import MDSAuthCaps

MAX_QUEUED = 256
MAX_RUNNING = 16


def reply_to(msg: MCommand, result: Result) -> None:
    """Send the answer over the connection that the command came by."""
    if msg.connection is None:
        return
    reply = MCommandReply(r=result.r, rs=result.error)
    reply.tid = msg.tid
    reply.data = result.out
    msg.connection.send_message(reply)
    msg.connection.push()


def refuse(msg: MCommand, caps: MDSAuthCaps) -> Result | None:
    """The answer to a command that is not to be run; None when it may be tried."""
    if not caps.allow_all():
        return Result(-errno.EACCES, "permission denied", b"")
    if not msg.cmd:
        return Result(-errno.EINVAL, "no command given", b"")
    try:
        cmdmap_from_json(msg.cmd)
    except CommandError as e:
        return Result(-e.errno, e.text.encode("utf-8", "replace").decode()[:512], b"")
    return None


class TellQueue:
    """Runs commands in the order of their arrival, up to MAX_RUNNING at a time."""

    def __init__(self, executor: CommandExecutor, log: logging.Logger) -> None:
        self._executor = executor
        self._log = log
        self._waiting: deque[MCommand] = deque()
        self._workers = 0
        self._nursery: trio.Nursery | None = None

    def queue_tell_command(self, msg: MCommand) -> None:
        """Take a command; when too many wait, its sender is told to come back."""
        if len(self._waiting) >= MAX_QUEUED:
            self._log.warning("refusing a command: %d are waiting already", MAX_QUEUED)
            reply_to(msg, Result(-errno.EBUSY, "too many commands are waiting; try again", b""))
            return
        self._waiting.append(msg)
        self._add_worker()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run commands until cancelled."""
        async with trio.open_nursery() as self._nursery:
            try:
                for _ in self._waiting:
                    self._add_worker()
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def _add_worker(self) -> None:
        if self._nursery is not None and self._workers < MAX_RUNNING:
            self._workers += 1
            self._nursery.start_soon(self._work)

    async def _work(self) -> None:
        """Run what waits, the oldest first, whichever task was started for it."""
        try:
            while self._waiting:
                msg = self._waiting.popleft()
                reply_to(msg, await self._executor.execute(msg.cmd, msg.data))
                if self._waiting:
                    await trio.lowlevel.checkpoint()
        finally:
            self._workers -= 1
