"""The cluster log: what the daemon tells the operator through the monitors (`ceph log last`).

Pure state: `LogCarrier` hands batches to the monitor session and the acks back. Entries are kept
until a monitor has stored them, so that they survive the loss of a session; the queue is bounded,
the oldest entries give way.

Source of the behaviour: ceph/ceph, src/common/LogClient.cc (Pacific)
"""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Callable
from typing import Protocol

from mdsdaemon.messages.log import CLOG_CHANNEL_CLUSTER, CLOG_TAGS, ClogType, LogEntry, MLog
from mdsdaemon.types.entity import EntityAddrVec, EntityName, PeerName

MAX_QUEUED = 10_000
NSEC = 1_000_000_000


class LogConfig(Protocol):
    """The part of Config that the log client reads, each time anew."""

    def get_str(self, name: str) -> str: ...

    def get_int(self, name: str) -> int: ...

    def get_float(self, name: str) -> float: ...


class Speaker(Protocol):
    """Under which names and addresses entries are signed (the messenger has them)."""

    @property
    def name(self) -> PeerName: ...

    @property
    def my_addrs(self) -> EntityAddrVec: ...


def channel_setting(text: str, channel: str) -> str:
    """The value for `channel` in an option such as "default=true audit=false", or in "true"."""
    values: dict[str, str] = {}
    for part in text.replace(",", " ").replace(";", " ").split():
        key, sep, value = part.partition("=")
        values[key if sep else "default"] = value if sep else key
    return values.get(channel, values.get("default", ""))


class LogChannel:
    """One channel of the cluster log. Lines of a text become entries of their own."""

    def __init__(self, parent: LogClient, name: str) -> None:
        self.name = name
        self._parent = parent

    def debug(self, text: str) -> None:
        self.do_log(ClogType.DEBUG, text)

    def info(self, text: str) -> None:
        self.do_log(ClogType.INFO, text)

    def sec(self, text: str) -> None:
        self.do_log(ClogType.SEC, text)

    def warn(self, text: str) -> None:
        self.do_log(ClogType.WARN, text)

    def error(self, text: str) -> None:
        self.do_log(ClogType.ERROR, text)

    def do_log(self, prio: ClogType, text: str) -> None:
        """Queue `text` for the monitors, if `clog_to_monitors` lets this channel, and log it."""
        for line in text.splitlines():
            if line:
                self._parent.queue(self.name, prio, line)


class LogClient:
    """The channels of one daemon and their queue to the monitors.

    Args:
        name: the entity that speaks, such as mds.a.
        wall: seconds since the epoch.
        on_queue: called after an entry was queued, so that it is sent soon.
    """

    def __init__(
        self,
        name: EntityName,
        config: LogConfig,
        wall: Callable[[], float],
        speaker: Speaker,
        *,
        log: logging.Logger | None = None,
        on_queue: Callable[[], object] | None = None,
    ) -> None:
        self.name = name
        self.dropped = 0
        self.on_queue = on_queue
        self._config = config
        self._wall = wall
        self._speaker = speaker
        self._log = log if log is not None else logging.getLogger("mdsdaemon.clog")
        self._channels: dict[str, LogChannel] = {}
        self._queue: deque[LogEntry] = deque()
        self._last_log = 0
        self._last_sent = 0

    def create_channel(self, name: str = CLOG_CHANNEL_CLUSTER) -> LogChannel:
        """The channel `name`; the same object each time."""
        return self._channels.setdefault(name, LogChannel(self, name))

    def queue(self, channel: str, prio: ClogType, text: str) -> None:
        """One entry of one line."""
        level = logging.ERROR if prio == ClogType.ERROR else logging.INFO
        self._log.log(level, "log_channel(%s) %s : %s", channel, CLOG_TAGS[prio], text)
        self._last_log += 1
        if channel_setting(self._config.get_str("clog_to_monitors"), channel) != "true":
            return
        entry = LogEntry(
            name=self.name,
            rank=self._speaker.name,
            addrs=self._speaker.my_addrs,
            stamp=int(self._wall() * NSEC),
            seq=self._last_log,
            prio=int(prio),
            msg=text,
            channel=channel,
        )
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(entry)
        if self.on_queue is not None:
            self.on_queue()

    def are_pending(self) -> bool:
        """True when entries wait that this monitor session has not carried yet."""
        return bool(self._queue) and self._queue[-1].seq > self._last_sent

    def get_mon_log_message(self, fsid: uuid.UUID, *, flush: bool = False) -> MLog | None:
        """The next batch, or None. `flush`: a new session, what was not acked goes again."""
        if flush and self._queue:
            self._last_sent = self._queue[0].seq - 1
        if not self.are_pending():
            return None
        limit = self._config.get_int("mon_client_max_log_entries_per_message")
        unsent = [entry for entry in self._queue if entry.seq > self._last_sent]
        if limit > 0:
            unsent = unsent[:limit]
        self._last_sent = unsent[-1].seq
        return MLog(fsid=fsid, entries=unsent)

    def handle_log_ack(self, last: int) -> None:
        """The monitors have stored every entry up to seq `last`."""
        while self._queue and self._queue[0].seq <= last:
            self._queue.popleft()

    def reset(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
        self._last_sent = self._last_log


class LogCarrier:
    """Carries the cluster log over monitor sessions, a batch every `mon_client_log_interval` s.

    `send` takes a message for the session that is open; False when there is none. Times are
    monotonic seconds.
    """

    def __init__(self, config: LogConfig, send: Callable[[MLog], bool]) -> None:
        self.client: LogClient | None = None
        self._config = config
        self._send = send
        self._last_send = 0.0

    def due(self) -> float:
        """When the next batch goes; infinite when nothing waits."""
        if self.client is None or not self.client.are_pending():
            return float("inf")
        return self._last_send + self._config.get_float("mon_client_log_interval")

    def send(self, fsid: uuid.UUID, now: float, *, flush: bool = False) -> None:
        """Send the next batch now. `flush`: in a new session, from what is not stored yet on."""
        self._last_send = now
        if self.client is not None:
            msg = self.client.get_mon_log_message(fsid, flush=flush)
            if msg is not None:
                self._send(msg)

    def handle_ack(self, last: int, fsid: uuid.UUID, now: float) -> None:
        """Entries up to seq `last` are stored; what else waits goes at once."""
        if self.client is not None:
            self.client.handle_log_ack(last)
            self.send(fsid, now)
