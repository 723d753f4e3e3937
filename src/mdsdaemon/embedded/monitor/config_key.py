"""A store of keys and values for daemons, modules and people (`ceph config-key`).

The configuration database lies in it, under ``config/`` and ``config-history/``.

Behaviour: ceph/ceph, src/mon/KVMonitor.cc (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, ClassVar

from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.service import Service
from mdsdaemon.messages.mon_server import MKVData

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.embedded.monitor.session import MonSession, Subscription

_KEY = "name=key,type=CephString"
_SET = f"{_KEY} name=val,type=CephString,req=false"


class ConfigKeyMonitor(Service):
    """See the module.

    Attributes:
        data: by key; change it by `set` and `rm`.
    """

    name: ClassVar[str] = "config_key"
    subscriptions: ClassVar[tuple[str, ...]] = ("kv:",)

    def __init__(self, mon: Monitor) -> None:
        super().__init__(mon)
        self.data: dict[str, bytes] = {}
        self.version = 1

    def load(self, records: dict[str, bytes]) -> None:
        self.data = dict(records)

    def restore(self, state: Any) -> None:
        super().restore(state)
        self.version += 1
        for session in self.mon.sessions:
            for what in session.subs:
                if what.startswith("kv:"):
                    self.publish(what)

    def set(self, key: str, value: bytes) -> None:
        """Set one key."""
        self.data[key] = value
        self.put(key, value)
        self._changed(key)

    def rm(self, key: str) -> bool:
        """Remove one key; False: it is not there."""
        if self.data.pop(key, None) is None:
            return False
        self.put(key, None)
        self._changed(key)
        return True

    def with_prefix(self, prefix: str) -> dict[str, bytes]:
        """The part of the store whose keys begin so, in order."""
        return {key: self.data[key] for key in sorted(self.data) if key.startswith(prefix)}

    def _changed(self, key: str) -> None:
        self.version += 1
        if key.startswith("config/"):
            self.mon.config_db.reload()
        for session in self.mon.sessions:
            for what in session.subs:
                if what.startswith("kv:") and key.startswith(what[3:]):
                    self.publish(what)

    # -- subscriptions ------------------------------------------------------------------------

    def check_sub(self, session: MonSession, sub: Subscription) -> None:
        if not session.is_capable("config-key", "r"):
            return
        if sub.next <= self.version:
            prefix = sub.what[3:]
            session.send(MKVData(self.version, prefix, False, dict(self.with_prefix(prefix))))
            session.sent(sub, self.version)

    # -- commands -----------------------------------------------------------------------------

    @command(f"config-key get {_KEY}", module="config-key", perm="r", about="value of a key")
    def config_key_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        value = self.data.get(args.need_str("key"))
        if value is None:
            raise fail(errno.ENOENT, "")
        return CommandResult(0, "", value)

    @command(f"config-key exists {_KEY}", module="config-key", perm="r", about="is the key there")
    def config_key_exists(self, ctx: CommandContext, args: Args) -> CommandResult:
        key = args.need_str("key")
        if key not in self.data:
            raise fail(errno.ENOENT, f"key '{key}' doesn't exist")
        return CommandResult(0, f"key '{key}' exists")

    @command(f"config-key set {_SET}", module="config-key", perm="rw", about="set a key")
    @command(
        f"config-key put {_SET}",
        module="config-key",
        perm="rw",
        flags=FLAG_DEPRECATED,
        about="set a key",
    )
    def config_key_set(self, ctx: CommandContext, args: Args) -> CommandResult:
        key, text = args.need_str("key"), args.get_str("val")
        value = ctx.inbuf if text is None else text.encode(errors="surrogateescape")
        limit = self.mon.config.get_int("mon_config_key_max_entry_size")
        if len(value) > limit:
            raise fail(
                errno.EFBIG,
                f"error: entry size limited to {limit} bytes. "
                "Use 'mon config key max entry size' to manually adjust",
            )
        self.set(key, value)
        return CommandResult(0, f"set {key}")

    @command(f"config-key rm {_KEY}", module="config-key", perm="rw", about="remove a key")
    @command(
        f"config-key del {_KEY}",
        module="config-key",
        perm="rw",
        flags=FLAG_DEPRECATED,
        about="remove a key",
    )
    def config_key_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        self.rm(args.need_str("key"))
        return CommandResult(0, "key deleted")

    @command("config-key ls", module="config-key", perm="r", about="all keys")
    @command(
        "config-key list", module="config-key", perm="r", flags=FLAG_DEPRECATED, about="all keys"
    )
    def config_key_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        return ctx.reply(sorted(self.data), section="keys")

    @command(
        f"config-key dump {_KEY},req=false",
        module="config-key",
        perm="r",
        about="keys (that begin so) and values",
    )
    def config_key_dump(self, ctx: CommandContext, args: Args) -> CommandResult:
        found = self.with_prefix(args.get_str("key") or "")
        shown = {key: _shown(value) for key, value in found.items()}
        return ctx.reply(shown, section="config-key store")


def _shown(value: bytes) -> str:
    if any(byte < 0x20 and byte not in b"\t\n" for byte in value) or any(
        byte >= 0x7F for byte in value
    ):
        return f"<<< binary blob of length {len(value)} >>>"
    return value.decode()
