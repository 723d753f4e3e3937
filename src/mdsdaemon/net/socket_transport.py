"""Streams over TCP sockets, IPv4 and IPv6."""

from __future__ import annotations

import encodings.idna  # noqa: F401 -- looked for late otherwise, out of reach
import errno
import os
import socket
from typing import TYPE_CHECKING, Final

import trio

from mdsdaemon.net.stream import (
    RECEIVE_SIZE,
    AcceptExhausted,
    BindError,
    ConnectError,
    Listener,
    Stream,
    Transport,
)
from mdsdaemon.types.entity import EntityAddr

if TYPE_CHECKING:
    from typing import Any

LISTEN_BACKLOG: Final = 512
"""Ceph's default of ms_tcp_listen_backlog."""

_STREAK: Final = 16
"""Receives served from a full socket buffer before other tasks get their turn."""

_CLOSED_BY_US = "closed by this process"


def _family(addr: EntityAddr) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in addr.host else socket.AF_INET


def _sockaddr(addr: EntityAddr) -> tuple[Any, ...]:
    """The kernel's form of `addr`, without asking a name server. Raises OSError, errno None."""
    try:
        infos = socket.getaddrinfo(
            addr.host,
            addr.port,
            _family(addr),
            socket.SOCK_STREAM,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
    except OSError:
        raise OSError(f"{addr.host!r} is not an IP address") from None
    return infos[0][4]


def _from_sockaddr(sockaddr: tuple[Any, ...]) -> EntityAddr:
    return EntityAddr(EntityAddr.TYPE_MSGR2, 0, str(sockaddr[0]), int(sockaddr[1]))


def _reason(code: int | None, addr: EntityAddr) -> str:
    """Why a bind failed, and what to do about it."""
    match code:
        case errno.EADDRINUSE:
            return (
                f"port {addr.port} is in use by another process; "
                "stop that process or choose another port"
            )
        case errno.EACCES | errno.EPERM:
            return (
                f"no permission to use port {addr.port}; "
                "choose a port above 1023 or run with CAP_NET_BIND_SERVICE"
            )
        case errno.EADDRNOTAVAIL:
            return f"this host has no address {addr.host}; set public_addr to one that it has"
        case errno.EAFNOSUPPORT:
            return (
                "this host does not support the address family; "
                "set ms_bind_ipv4 and ms_bind_ipv6 to what it supports"
            )
        case errno.EMFILE | errno.ENFILE:
            return "no file descriptor is left; raise the limit (ulimit -n)"
        case None:
            return "the address is not a valid IP address; write it as 192.0.2.1 or 2001:db8::1"
        case _:
            return os.strerror(code)


class SocketStream(Stream):
    """A connected TCP socket, non-blocking, with TCP_NODELAY.

    Operations that need not wait do not pass through the scheduler: a round trip costs one wait
    per side. Every `_STREAK` receives in a row one checkpoint is made, so that a peer that never
    pauses cannot starve the other tasks.
    """

    __slots__ = ("_drained", "_sock", "_streak", "local_addr", "peer_addr")

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, connected and non-blocking. May raise OSError (peer already gone)."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_addr = _from_sockaddr(sock.getsockname())
        self.peer_addr = _from_sockaddr(sock.getpeername())
        self._sock = sock
        self._streak = 0
        self._drained = True  # the last receive did not fill its buffer: wait before the next

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Up to `max_bytes` bytes; b"" at the end of the stream."""
        size = RECEIVE_SIZE if max_bytes is None else max_bytes
        sock = self._sock
        if self._drained:
            self._streak = 0
            await self._wait_readable()
        else:
            self._streak += 1
            if self._streak >= _STREAK:
                self._streak = 0
                await trio.lowlevel.checkpoint()
        while True:
            try:
                data = sock.recv(size)
            except BlockingIOError:
                self._streak = 0
                await self._wait_readable()
            except InterruptedError:
                continue
            except OSError as exc:
                raise self._broken(exc) from exc
            else:
                self._drained = len(data) < size
                return data

    async def _wait_readable(self) -> None:
        if self._sock.fileno() == -1:
            raise trio.ClosedResourceError(_CLOSED_BY_US)
        await trio.lowlevel.wait_readable(self._sock)

    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over a prefix of `data` to the kernel; 0 when its buffer is full."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as exc:
            raise self._broken(exc) from exc

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. After a failure or a cancellation the amount sent is unknown."""
        view = memoryview(data)
        while True:
            view = view[self.send_nowait(view) :]
            if not view:
                return
            await trio.lowlevel.wait_writable(self._sock)

    def close(self) -> None:
        """Close the socket at once."""
        if self._sock.fileno() != -1:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def _broken(self, exc: OSError) -> Exception:
        if self._sock.fileno() == -1:
            return trio.ClosedResourceError(_CLOSED_BY_US)
        return trio.BrokenResourceError(exc.strerror or str(exc))


class SocketListener(Listener):
    """A listening TCP socket."""

    __slots__ = ("_sock", "addr")

    def __init__(self, sock: socket.socket, addr: EntityAddr) -> None:
        self._sock = sock
        self.addr = addr

    async def accept(self) -> SocketStream:
        """The next connection that is still alive when we look at it."""
        while True:
            if self._sock.fileno() == -1:
                raise trio.ClosedResourceError(_CLOSED_BY_US)
            await trio.lowlevel.wait_readable(self._sock)
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                continue
            except OSError as exc:
                if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise AcceptExhausted(self.addr, exc.strerror or str(exc)) from exc
                # What remains are errors of the one connection, pending on the new socket
                # (accept(2): EPROTO, EHOSTUNREACH, ...).
                continue
            try:
                sock.setblocking(False)
                return SocketStream(sock)
            except OSError:  # reset between accept and here
                sock.close()

    def close(self) -> None:
        """Stop listening."""
        if self._sock.fileno() != -1:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()


class SocketTransport(Transport):
    """TCP of the host."""

    def __init__(self, *, backlog: int = LISTEN_BACKLOG, rcvbuf: int = 0) -> None:
        """`rcvbuf`: SO_RCVBUF in bytes, 0 for the system's own (ms_tcp_rcvbuf)."""
        self._backlog = backlog
        self._rcvbuf = rcvbuf

    async def open_stream(self, addr: EntityAddr) -> SocketStream:
        """Connect to `addr`."""
        try:
            sock = socket.socket(_family(addr), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as exc:
            raise ConnectError(addr, exc.strerror or str(exc)) from exc
        try:
            if self._rcvbuf:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._rcvbuf)
            try:
                sock.connect(_sockaddr(addr))
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code)) from None
            return SocketStream(sock)
        except OSError as exc:
            sock.close()
            raise ConnectError(
                addr, exc.strerror or str(exc), refused=exc.errno == errno.ECONNREFUSED
            ) from exc
        except BaseException:
            sock.close()
            raise

    async def listen(self, addr: EntityAddr) -> SocketListener:
        """Bind and listen; an IPv6 wildcard takes IPv6 only, so that IPv4 can have the port too."""
        await trio.lowlevel.checkpoint()
        try:
            sock = socket.socket(_family(addr), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as exc:
            raise BindError(addr, exc.errno, _reason(exc.errno, addr)) from exc
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._rcvbuf:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._rcvbuf)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(_sockaddr(addr))
            sock.listen(self._backlog)
            bound = EntityAddr(addr.type, addr.nonce, addr.host, sock.getsockname()[1])
        except OSError as exc:
            sock.close()
            raise BindError(addr, exc.errno, _reason(exc.errno, addr)) from exc
        return SocketListener(sock, bound)
