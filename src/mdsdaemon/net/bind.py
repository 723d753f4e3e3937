"""Binding as Ceph does it: a given port, or the first free one of a range, with retries.

Behaviour: ceph/ceph, src/msg/async/AsyncMessenger.cc (Processor::bind) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import trio

from mdsdaemon.net.stream import BindError
from mdsdaemon.records import evolve

if TYPE_CHECKING:
    import logging

    from mdsdaemon.net.options import MessengerOptions
    from mdsdaemon.net.stream import Listener, Transport
    from mdsdaemon.types.entity import EntityAddr

_WORTH_A_RETRY = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
"""A predecessor may be about to go, and IPv6 addresses come up late at boot."""


async def bind(
    transport: Transport, addr: EntityAddr, options: MessengerOptions, log: logging.Logger
) -> Listener:
    """Listen on `addr`; without a port, on the first free one that `options` names.

    Raises BindError after the last of `ms_bind_retry_count` attempts.
    """
    attempt = 1
    while True:
        try:
            return await _bind_once(transport, addr, options)
        except BindError as exc:
            if attempt >= options.ms_bind_retry_count or exc.errno not in _WORTH_A_RETRY:
                raise
            log.warning("%s; next attempt in %g s", exc, options.ms_bind_retry_delay)
        attempt += 1
        await trio.sleep(options.ms_bind_retry_delay)


async def _bind_once(transport: Transport, addr: EntityAddr, options: MessengerOptions) -> Listener:
    low, high = options.ms_bind_port_min, options.ms_bind_port_max
    if addr.port or not high:
        return await transport.listen(addr)
    for port in range(low, high + 1):
        try:
            return await transport.listen(evolve(addr, port=port))
        except BindError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    raise BindError(
        addr,
        errno.EADDRINUSE,
        f"no port from {low} to {high} is free; stop a process that uses one, "
        "or widen ms_bind_port_min and ms_bind_port_max",
    )
