"""`ceph fs authorize`: a key whose caps are for one file system, or for paths in it.

Behaviour: ceph/ceph, src/mon/AuthMonitor.cc (Pacific 16.2.15, compared with a live monitor)
"""

from __future__ import annotations

import errno

from mdsdaemon.cephx.keyring import KeyRing, parse_entity
from mdsdaemon.embedded.monitor import auth_caps
from mdsdaemon.embedded.monitor.commands import (
    Args,
    CommandContext,
    CommandResult,
    fail,
)
from mdsdaemon.embedded.monitor.fs_room import FSRoom, command
from mdsdaemon.embedded.monitor.mon_caps import CapsError
from mdsdaemon.encoding import Str, encode
from mdsdaemon.messages.formatter import NamedList

_ALL = ("*", "all")
_FLAGS = "ps"


class FSAuthorize(FSRoom):
    """See the module."""

    @command(
        "fs authorize name=filesystem,type=CephString name=entity,type=CephString "
        "name=caps,type=CephString,n=N",
        module="auth",
        perm="rwx",
        about="a key for PATH r|rw[p][s] [root_squash] … of a file system",
    )
    def fs_authorize(self, ctx: CommandContext, args: Args) -> CommandResult:
        try:
            entity = parse_entity(args.get_str("entity") or "")
        except ValueError:
            raise fail(errno.EINVAL, "bad entity name") from None
        name = args.get_str("filesystem") or ""
        if name not in _ALL and self.edit.by_name(name) is None:
            raise fail(errno.EINVAL, f"filesystem {name} does not exist.")
        caps = wanted_caps(name, args.get_strs("caps"))
        try:
            for service in ("mon", "osd", "mds"):
                auth_caps.validate(service, caps[service])
        except CapsError as error:
            raise fail(errno.EINVAL, str(error)) from None
        auth = self.mds.mon.auth
        existing = auth.keys.get(entity)
        if existing is not None and any(
            existing.caps.get(service) != encode(Str, text) for service, text in caps.items()
        ):
            raise fail(
                errno.EINVAL,
                f"{entity} already has fs capabilities that differ from those supplied. To "
                f"generate a new auth key for {entity}, first remove {entity} from configuration "
                f"files, execute 'ceph auth rm {entity}', then execute this command again.",
            )
        made = auth.get_or_create(entity, caps)
        key = made.key.to_base64()
        shown = {s: made.caps_text(s) for s in sorted(made.caps)}
        data = [{"entity": str(entity), "key": key, "caps": shown}]
        text = KeyRing({entity: type(made)(key=made.key)}).text()
        return ctx.reply(NamedList("auth_entities", data), text, section="auth")


def wanted_caps(fs_name: str, words: list[str]) -> dict[str, str]:
    """The caps that `words` (PATH FLAGS [root_squash] …) stand for, by service.

    Raises CommandError: EINVAL, flags are none.
    """
    of_fs = "" if fs_name in _ALL else f" fsname={fs_name}"
    grants: list[str] = []
    writes = False
    left = list(words)
    while len(left) > 1:
        path, flags = left.pop(0), left.pop(0)
        squash = left[:1] == ["root_squash"]
        if squash:
            left.pop(0)
        if flags != "r" and not flags.startswith("rw"):
            raise fail(errno.EINVAL, "Permission flags must start with 'r' or 'rw'.")
        writes = writes or flags.startswith("rw")
        for letter in flags[2:]:
            if letter not in _FLAGS:
                raise fail(errno.EINVAL, f"Unknown permission flag '{letter}'.")
        grant = f"allow {flags}{of_fs}"
        if path != "/":
            grant += f" path={path}"
        grants.append(grant + (" root_squash" if squash else ""))
    return {
        "mds": ", ".join(grants),
        "mon": f"allow r{of_fs}",
        "osd": f"allow {'rw' if writes else 'r'} tag cephfs data={fs_name}",
    }
