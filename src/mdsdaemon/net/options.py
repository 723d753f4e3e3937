"""The numbers a messenger runs by, under the names of Ceph's options."""

from __future__ import annotations

from typing import Protocol

from mdsdaemon.records import frozen


class SupportsRecord(Protocol):
    """What the messenger wants of the flight recorder."""

    def message(self, kind: str, con: int, name: str, tid: int) -> None:
        """Note a message of connection `con`: its type's name and transaction."""

    def record(self, kind: str, /, **fields: object) -> None:
        """Note an event; `fields` are plain values."""


class SupportsOptions(Protocol):
    """What `MessengerOptions.from_config` wants of a configuration."""

    def get_int(self, name: str) -> int: ...
    def get_float(self, name: str) -> float: ...


@frozen
class MessengerOptions:
    """Seconds, bytes and counts; the defaults are Ceph's, those without `ms_` our own."""

    ms_initial_backoff: float = 0.2
    ms_max_backoff: float = 15.0
    ms_connection_ready_timeout: float = 10.0
    """From opening (or accepting) a socket until messages flow."""
    ms_connection_idle_timeout: float = 900.0
    """A connection on which nothing arrives for so long counts as broken."""
    ms_dispatch_throttle_bytes: int = 100 << 20
    """Bytes of messages read and not yet dispatched, over all connections; 0: no limit."""
    ms_bind_port_min: int = 6800
    ms_bind_port_max: int = 7300
    """The ports tried for an address without one; max 0: the system chooses."""
    ms_bind_retry_count: int = 3
    ms_bind_retry_delay: float = 5.0
    max_handshakes: int = 256
    """Accepted sockets whose peers have not yet authenticated (see handshake_gate)."""
    max_queued_messages: int = 100_000
    """Messages that may wait for one peer; beyond that its connection ends."""

    @classmethod
    def from_config(cls, config: SupportsOptions) -> MessengerOptions:
        """Read what the configuration knows under these names."""
        return cls(
            ms_initial_backoff=config.get_float("ms_initial_backoff"),
            ms_max_backoff=config.get_float("ms_max_backoff"),
            ms_connection_ready_timeout=float(config.get_int("ms_connection_ready_timeout")),
            ms_connection_idle_timeout=float(config.get_int("ms_connection_idle_timeout")),
            ms_dispatch_throttle_bytes=config.get_int("ms_dispatch_throttle_bytes"),
            ms_bind_port_min=config.get_int("ms_bind_port_min"),
            ms_bind_port_max=config.get_int("ms_bind_port_max"),
            ms_bind_retry_count=config.get_int("ms_bind_retry_count"),
            ms_bind_retry_delay=float(config.get_int("ms_bind_retry_delay")),
        )
