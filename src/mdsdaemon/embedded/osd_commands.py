"""`ceph tell osd.0`: the few commands that the embedded OSD has; all others are EINVAL.

Behaviour: ceph/ceph, src/osd/OSD.cc (asok_command), src/common/admin_socket.cc, checked against
16.2.15
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mdsdaemon.config.commands import config_diff, config_get, config_set, config_show
from mdsdaemon.messages.cmdparse import (
    BadCmdGet,
    CmdMap,
    CommandError,
    cmdmap_from_json,
    get_str,
    get_strings,
    parse_signature,
)
from mdsdaemon.messages.formatter import NamedList, dump
from mdsdaemon.version import CEPH_RELEASE, CEPH_RELEASE_TYPE, CEPH_VERSION_SHORT

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.embedded.store.engine import ObjectEngine

Answer = tuple[int, str, Any]
"""0 or -errno, text, data."""

_COMMANDS: Final = {
    "config diff": "what the configuration has beside the defaults",
    "config get name=var,type=CephString": "an option's value",
    "config set name=var,type=CephString name=val,type=CephString,n=N": "set an option",
    "config show": "all options' values",
    "dump_watchers": "the watches of all objects",
    "get_command_descriptions": "these commands",
    "version": "the version",
}


class OSDCommands:
    """The commands of one OSD."""

    def __init__(self, config: Config, engine: ObjectEngine) -> None:
        self._config = config
        self._engine = engine
        self._signatures = [(parse_signature(desc), text) for desc, text in _COMMANDS.items()]
        self._handlers: dict[str, Callable[[CmdMap], Answer]] = {
            "config diff": lambda args: config_diff(config),
            "config get": lambda args: config_get(config, get_str(args, "var") or ""),
            "config set": lambda args: config_set(
                config, get_str(args, "var") or "", get_strings(args, "val") or []
            ),
            "config show": lambda args: config_show(config),
            "dump_watchers": lambda args: (0, "", self._watchers()),
            "get_command_descriptions": lambda args: (0, "", self._descriptions()),
            "version": lambda args: (0, "", _version()),
        }

    def run(self, cmd: list[str]) -> tuple[int, str, bytes]:
        """Run a command as `MCommand` has it: 0 or -errno, a text, the output."""
        try:
            args = cmdmap_from_json(cmd)
            prefix = get_str(args, "prefix") or ""
            found = next((s for s, _ in self._signatures if s.prefix == prefix), None)
            if found is None:
                return (
                    -errno.EINVAL,
                    f"osd.0 of a one-process cluster has no command {prefix!r}",
                    b"",
                )
            found.validate({k: v for k, v in args.items() if k not in ("prefix", "format")})
            r, text, data = self._handlers[prefix](args)
            fmt = get_str(args, "format") or "json-pretty"
        except CommandError as exc:
            return -exc.errno, exc.text, b""
        except BadCmdGet as exc:
            return -errno.EINVAL, f"bad or missing field '{exc}'", b""
        return r, text, dump(prefix.replace(" ", "_"), data, fmt) if r >= 0 else b""

    def _descriptions(self) -> dict[str, Any]:
        return {
            f"cmd{number:03}": {"sig": signature.sig(), "help": text}
            for number, (signature, text) in enumerate(self._signatures)
        }

    def _watchers(self) -> NamedList:
        return NamedList(
            "watch",
            [
                {
                    "namespace": watch.place[1][0],
                    "object": watch.place[1][2],
                    "entity_name": {
                        "type": "client",
                        "num": watch.who.num,
                    },
                    "cookie": watch.cookie,
                    "timeout": watch.timeout,
                    "entity_addr": str(watch.addr),
                }
                for watch in self._engine.watches.all()
            ],
        )


def _version() -> dict[str, str]:
    return {
        "version": CEPH_VERSION_SHORT,
        "release": CEPH_RELEASE,
        "release_type": CEPH_RELEASE_TYPE,
    }
