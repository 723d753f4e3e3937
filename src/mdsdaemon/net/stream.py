"""Byte streams and listeners as the messenger sees them, whatever carries the bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import trio
import trio.abc

if TYPE_CHECKING:
    from mdsdaemon.types.entity import EntityAddr

RECEIVE_SIZE = 64 * 1024
"""Bytes asked of the transport in one receive, so what one connection may hold unparsed."""


class ConnectError(OSError):
    """A stream could not be opened. `refused`: a host answered that nobody listens there."""

    def __init__(self, addr: EntityAddr, reason: str, *, refused: bool = False) -> None:
        super().__init__(f"cannot connect to {addr}: {reason}")
        self.addr = addr
        self.refused = refused


class BindError(OSError):
    """A listener could not be opened; the text names the address, the cause and the remedy."""

    def __init__(self, addr: EntityAddr, errno: int | None, reason: str) -> None:
        super().__init__(f"cannot bind to {addr}: {reason}")
        self.addr = addr
        self.errno = errno


class AcceptExhausted(OSError):
    """The process or the host has no file descriptor left for one more connection."""

    def __init__(self, addr: EntityAddr, reason: str) -> None:
        super().__init__(
            f"cannot accept on {addr}: {reason}; raise the limit of open files (ulimit -n)"
        )


class Stream(trio.abc.Stream):
    """A connected byte stream.

    `local_addr` and `peer_addr` are the two ends as the transport knows them: type msgr2,
    nonce 0. Errors of every operation: `trio.BrokenResourceError` when the peer or the network
    broke the stream, `trio.ClosedResourceError` after `close()`.
    """

    local_addr: EntityAddr
    peer_addr: EntityAddr

    @abstractmethod
    def send_nowait(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over a prefix of `data` without waiting; returns its length, 0 when full."""

    @abstractmethod
    def close(self) -> None:
        """Close at once, without waiting and without a farewell; idempotent.

        A task that waits in this stream gets `trio.ClosedResourceError`.
        """

    async def wait_send_all_might_not_block(self) -> None:
        """At once: nothing is known before it is tried, and the writer waits in `send_all`."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """`close()` and a checkpoint, as `trio.abc.AsyncResource` wants it."""
        self.close()
        await trio.lowlevel.checkpoint()


class Listener(ABC):
    """A bound address that yields streams. `addr` has the real port."""

    addr: EntityAddr

    @abstractmethod
    async def accept(self) -> Stream:
        """The next connection.

        Raises `AcceptExhausted` when descriptors ran out (try again later),
        `trio.ClosedResourceError` after `close()`.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop listening, at once; idempotent."""


class Transport(ABC):
    """Opens streams and listeners."""

    @abstractmethod
    async def open_stream(self, addr: EntityAddr) -> Stream:
        """Connect to `addr`. Raises `ConnectError`; waits without limit, the caller has one."""

    @abstractmethod
    async def listen(self, addr: EntityAddr) -> Listener:
        """Bind to `addr`; port 0 lets the system choose. Raises `BindError`."""
