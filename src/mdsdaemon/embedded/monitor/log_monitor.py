"""The cluster log: what daemons, the monitor and people say, and which commands were given.

The latest entries of each channel are kept; debug entries (commands that only read) die with the
process.

Behaviour: ceph/ceph, src/mon/LogMonitor.cc, src/common/LogEntry.cc (Pacific)
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from attrs import define

from mdsdaemon.embedded.monitor.commands import Args, CommandContext, CommandResult, command, fail
from mdsdaemon.embedded.monitor.records import pack, unpack
from mdsdaemon.embedded.monitor.service import Service, handles
from mdsdaemon.maps.formatting import dump_addrs
from mdsdaemon.messages.log import (
    CLOG_CHANNEL_AUDIT,
    CLOG_CHANNEL_CLUSTER,
    CLOG_TAGS,
    ClogType,
    LogEntry,
    MLog,
    MLogAck,
)
from mdsdaemon.messages.mon import PaxosHeader
from mdsdaemon.types.entity import MON, EntityAddrVec, EntityName, PeerName
from mdsdaemon.types.utime import from_seconds, utime_str

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription

_LEVELS: Final = {
    "debug": ClogType.DEBUG,
    "info": ClogType.INFO,
    "sec": ClogType.SEC,
    "warn": ClogType.WARN,
    "warning": ClogType.WARN,
    "error": ClogType.ERROR,
    "err": ClogType.ERROR,
}

_Key = tuple[PeerName, int, int]
"""What tells an entry from all others: who said it, when, and its number there."""


@define
class Kept:
    """An entry, and its number in our order."""

    version: int
    entry: LogEntry

    @property
    def record(self) -> str:
        return f"{self.version:016}"


class LogMonitor(Service):
    """See the module.

    Attributes:
        version: of the newest entry.
    """

    name: ClassVar[str] = "log"
    subscriptions: ClassVar[tuple[str, ...]] = ("log-",)

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.version = 0
        self._channels: dict[str, deque[Kept]] = {}
        self._keys: set[_Key] = set()
        self._seq = 0
        self._stored: set[int] = set()

    # -- saying something ---------------------------------------------------------------------

    def cluster(self, level: str, text: str) -> None:
        """Note what the monitor has to say; `level` is debug, info, sec, warn or error."""
        self.mon.logger.info("cluster log: %s", text)
        self._say(CLOG_CHANNEL_CLUSTER, _LEVELS[level], text)

    def audit(self, text: str, *, writes: bool) -> None:
        """Note a command that was given."""
        self._say(CLOG_CHANNEL_AUDIT, ClogType.INFO if writes else ClogType.DEBUG, text)

    def _say(self, channel: str, prio: ClogType, text: str) -> None:
        self._seq += 1
        self.add(
            LogEntry(
                name=EntityName(MON, self.mon.name),
                rank=PeerName(MON, 0),
                addrs=self.mon.addrs,
                stamp=from_seconds(self.mon.host.wall()),
                seq=self._seq,
                prio=prio,
                msg=text,
                channel=channel,
            )
        )

    def add(self, entry: LogEntry) -> None:
        """Keep an entry and show it to who watches."""
        self.version += 1
        kept = Kept(self.version, entry)
        self._keep(kept)
        if entry.prio != ClogType.DEBUG:
            self._stored.add(kept.version)
            self.put(kept.record, pack(entry))
        limit = max(self.mon.config.get_int("mon_log_max_summary"), 1)
        channel = self._channels[entry.channel]
        while len(channel) > limit:
            self._drop(channel.popleft())
        for name, level in _LEVELS.items():
            if entry.prio >= level:
                self.publish(f"log-{name}")

    def _keep(self, kept: Kept) -> None:
        self._channels.setdefault(kept.entry.channel, deque()).append(kept)
        self._keys.add(_key(kept.entry))

    def _drop(self, kept: Kept) -> None:
        self._keys.discard(_key(kept.entry))
        if kept.version in self._stored:
            self._stored.discard(kept.version)
            self.put(kept.record, None)

    # -- state --------------------------------------------------------------------------------

    def create_initial(self) -> None:
        self.cluster("info", f"mkfs {self.mon.fsid}")

    def load(self, records: dict[str, bytes]) -> None:
        self._channels.clear()
        self._keys.clear()
        self._stored.clear()
        for key, value in records.items():
            kept = Kept(int(key), unpack(LogEntry, value))
            self._keep(kept)
            self._stored.add(kept.version)
            self.version = max(self.version, kept.version)

    def snapshot(self) -> Any:
        """Nothing of its own."""

    def restore(self, state: Any) -> None:
        """The log is not turned back: it tells what happened."""

    # -- daemons and watchers -----------------------------------------------------------------

    @handles(MLog)
    def handle_log(self, session: MonSession, msg: MLog) -> None:
        """Entries of a daemon; acknowledged when they are stored."""
        if not session.is_capable("log", "w"):
            self.mon.logger.info("%s may not log: its caps do not say so", session.entity_name)
            return
        if msg.fsid != self.mon.fsid or not msg.entries:
            return
        for entry in msg.entries:
            if _key(entry) not in self._keys:
                entry.channel = entry.channel or CLOG_CHANNEL_CLUSTER
                self.add(entry)
        reply = MLogAck(msg.fsid, msg.entries[-1].seq)
        reply.tid = msg.tid
        session.send(reply)

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        level = _LEVELS.get(sub.what.removeprefix("log-"))
        if level is None or sub.next > self.version:
            return
        first = sub.next or self.version
        entries = [
            kept.entry
            for kept in self._ordered(self._channels)
            if kept.version >= first and kept.entry.prio >= level
        ]
        if entries:
            session.send(MLog(PaxosHeader(self.version), self.mon.fsid, entries))
        session.sent(sub, self.version)

    def _ordered(self, channels: Iterable[str]) -> list[Kept]:
        kept = [one for channel in channels for one in self._channels.get(channel, ())]
        return sorted(kept, key=lambda one: one.version)

    # -- commands -----------------------------------------------------------------------------

    @command(
        "log name=logtext,type=CephString,n=N",
        module="mon",
        perm="rw",
        about="say something in the cluster log",
    )
    def log(self, ctx: CommandContext, args: Args) -> CommandResult:
        level = args.get_str("level") or "info"
        if level not in _LEVELS:
            raise fail(errno.EINVAL, f"Invalid severity '{level}'")
        session = ctx.session
        self.add(
            LogEntry(
                name=session.entity_name if session is not None else EntityName(MON, self.mon.name),
                rank=session.name if session is not None else PeerName(MON, 0),
                addrs=session.addrs if session is not None else EntityAddrVec(),
                stamp=from_seconds(ctx.now),
                seq=0,
                prio=_LEVELS[level],
                msg=" ".join(args.get_strs("logtext")),
            )
        )
        return CommandResult()

    @command(
        "log last name=num,type=CephInt,range=1,req=false "
        "name=level,type=CephChoices,strings=debug|info|sec|warn|error,req=false "
        "name=channel,type=CephChoices,strings=*|cluster|audit|cephadm,req=false",
        module="mon",
        perm="r",
        about="the latest entries of the cluster log",
    )
    def log_last(self, ctx: CommandContext, args: Args) -> CommandResult:
        number = args.get_int("num")
        level = _LEVELS[args.get_str("level") or "info"]
        channel = args.get_str("channel") or CLOG_CHANNEL_CLUSTER
        channels = list(self._channels) if channel == "*" else [channel]
        found = [kept.entry for kept in self._ordered(channels) if kept.entry.prio >= level]
        if channel == "*":
            found.sort(key=lambda entry: entry.stamp)
        found = found[-(20 if number is None else number) :]
        text = "".join(f"{entry_text(entry)}\n" for entry in found)
        return ctx.reply([_dump(entry) for entry in found], text, section="tail")


def _key(entry: LogEntry) -> _Key:
    return entry.rank, entry.stamp, entry.seq


def _tag(prio: int) -> str:
    return CLOG_TAGS.get(ClogType(prio), "[???]") if prio in CLOG_TAGS else "[???]"


def entry_text(entry: LogEntry) -> str:
    """A line, as `ceph -w` and `ceph log last` print it."""
    return (
        f"{utime_str(entry.stamp)} {entry.name} ({entry.rank}) {entry.seq} : "
        f"{entry.channel} {_tag(entry.prio)} {entry.msg}"
    )


def _dump(entry: LogEntry) -> dict[str, Any]:
    return {
        "name": str(entry.name),
        "rank": str(entry.rank),
        "addrs": dump_addrs(entry.addrs),
        "stamp": utime_str(entry.stamp),
        "seq": entry.seq,
        "channel": entry.channel,
        "priority": _tag(entry.prio),
        "message": entry.msg,
    }
