"""The admin socket: `ceph daemon ASOK COMMAND` on the daemon's own machine.

A client connects to a unix socket, sends one JSON object ended by NUL or newline, and reads a
big-endian length and that many bytes. Whoever can open the socket may run every command; the
file's permissions are the only guard.

Format: ceph/ceph, src/common/admin_socket.cc, do_accept and bind_and_listen (Pacific), limits
checked against a live daemon: 1023 bytes without the terminator.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import struct
from contextlib import suppress

import trio

from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.messages.formatter import Result, cpp_strerror

MAX_REQUEST = 1023
MAX_CLIENTS = 16
BACKLOG = 64
REQUEST_TIMEOUT = 10.0
"""Seconds that a client has to send its command."""
SEND_TIMEOUT = 30.0
"""Seconds that a client has to take its answer."""
PING_TIMEOUT = 1.0

_LEGACY_REQUESTS = {0: "0", 1: "perfcounters_dump", 2: "perfcounters_schema"}


class AdminSocketError(Exception):
    """The socket cannot be made; the daemon goes on without."""


class AdminSocket:
    """Serves a `CommandExecutor` on a unix socket.

    `mode` is the permission bits of the socket file (0: as the umask leaves them), `owner` the
    (uid, gid) to give it to.
    """

    def __init__(
        self,
        path: str,
        executor: CommandExecutor,
        *,
        log: logging.Logger,
        mode: int = 0,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.path = path
        self._executor = executor
        self._log = log
        self._mode = mode
        self._owner = owner
        self._sock: trio.socket.SocketType | None = None
        self._inode: tuple[int, int] | None = None

    async def bind(self) -> None:
        """Bind and listen. A socket file that nobody listens at is replaced.

        Raises:
            AdminSocketError: the path is too long, taken by a living daemon, or cannot be used.
        """
        if len(os.fsencode(self.path)) > 107:
            raise AdminSocketError(
                f"admin socket path {self.path} is longer than the 107 bytes that the system "
                "allows; set admin_socket to a shorter one"
            )
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                await sock.bind(self.path)
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise
                await self._remove_stale()
                await sock.bind(self.path)
            if self._mode:
                os.chmod(self.path, self._mode)
            if self._owner is not None:
                os.chown(self.path, *self._owner)
            sock.listen(BACKLOG)
            found = os.lstat(self.path)
        except OSError as e:
            sock.close()
            raise AdminSocketError(
                f"cannot open the admin socket {self.path}: {os.strerror(e.errno or 0)}; "
                "check the folder and its permissions, or set admin_socket"
            ) from e
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self._inode = (found.st_dev, found.st_ino)

    async def _remove_stale(self) -> None:
        if not stat.S_ISSOCK(os.lstat(self.path).st_mode):
            raise AdminSocketError(f"{self.path} is there and is no socket; remove it")
        if await _ping(self.path):
            raise AdminSocketError(
                f"the admin socket {self.path} belongs to a daemon that is running; "
                "stop that one or give this one another name or admin_socket"
            )
        self._log.info("removing the stale admin socket %s", self.path)
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, then remove the socket file. Binds first if need be."""
        if self._sock is None:
            await self.bind()
        sock = self._sock
        assert sock is not None
        clients = trio.CapacityLimiter(MAX_CLIENTS)
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    # Who finds all places taken waits in the backlog.
                    place = object()
                    await clients.acquire_on_behalf_of(place)
                    try:
                        con, _ = await sock.accept()
                    except OSError as e:
                        clients.release_on_behalf_of(place)
                        self._log.error("admin socket %s: cannot accept: %s", self.path, e)
                        await trio.sleep(0.1)
                        continue
                    nursery.start_soon(self._serve, trio.SocketStream(con), clients, place)
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening and remove the file, if it is still ours."""
        if self._sock is None:
            return
        self._sock.close()
        self._sock = None
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self.path)

    async def _serve(
        self, stream: trio.SocketStream, clients: trio.CapacityLimiter, place: object
    ) -> None:
        try:
            async with stream:
                command = None
                with trio.move_on_after(REQUEST_TIMEOUT):
                    command = await _read_request(stream)
                if command is None:
                    self._log.warning(
                        "admin socket: a request was not ended within %d bytes and %g seconds; "
                        "connection closed",
                        MAX_REQUEST,
                        REQUEST_TIMEOUT,
                    )
                    return
                result = await self._executor.execute([command])
                with trio.fail_after(SEND_TIMEOUT):
                    await stream.send_all(_reply(result))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            self._log.debug("admin socket: a client left before it had its answer")
        finally:
            clients.release_on_behalf_of(place)


def _reply(result: Result) -> bytes:
    out = result.out
    if result.r < 0:
        text = f"ERROR: {cpp_strerror(result.r)}\n{result.error}\n"
        out = text.encode("utf-8", "replace") + out
    return struct.pack(">I", len(out)) + out


async def _read_request(stream: trio.SocketStream) -> str | None:
    """One request; None when it is too long or the client ends it early."""
    buffer = bytearray()
    while True:
        if buffer[:1] == b"\0":
            # A client from before 0.48 sends four bytes.
            if len(buffer) >= 4:
                return f'{{"prefix": "{_LEGACY_REQUESTS.get(buffer[3], "foo")}"}}'
        else:
            end = min((i for i in (buffer.find(b"\0"), buffer.find(b"\n")) if i >= 0), default=-1)
            if 0 <= end <= MAX_REQUEST:
                return buffer[:end].decode("utf-8", "surrogateescape")
            if end > MAX_REQUEST or len(buffer) > MAX_REQUEST:
                return None
        data = await stream.receive_some(MAX_REQUEST + 1 - len(buffer) or 1)
        if not data:
            return None
        buffer += data


async def _ping(path: str) -> bool:
    """Whether somebody answers at this socket."""
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with trio.move_on_after(PING_TIMEOUT):
            await sock.connect(path)
            stream = trio.SocketStream(sock)
            await stream.send_all(b'{"prefix":"0"}\0')
            await stream.receive_some(1)
            return True
        # It took the connection but is too busy to answer.
        return True
    except OSError as e:
        return e.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    except trio.BrokenResourceError:
        return False
    finally:
        sock.close()
