"""The commands of `ceph auth`.

Behaviour: ceph/ceph, src/mon/AuthMonitor.cc (preprocess_command, prepare_command) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from mdsdaemon.cephx.auth import EntityAuth
from mdsdaemon.cephx.keyring import KeyRing, KeyringError, parse_entity
from mdsdaemon.embedded.monitor import auth_caps
from mdsdaemon.embedded.monitor.commands import (
    FLAG_DEPRECATED,
    Args,
    CommandContext,
    CommandResult,
    command,
    fail,
)
from mdsdaemon.embedded.monitor.mon_caps import CapsError
from mdsdaemon.encoding import Str, encode
from mdsdaemon.messages.formatter import NamedList
from mdsdaemon.types.entity import EntityName

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.auth_monitor import AuthMonitor

_ENTITY = "name=entity,type=CephString"
_CAPS = "name=caps,type=CephString,n=N"


class AuthCommands:
    """See the module."""

    def __init__(self, auth: AuthMonitor) -> None:
        self.auth = auth

    # -- reading ----------------------------------------------------------------------------

    @command(
        f"auth export {_ENTITY},req=false",
        module="auth",
        perm="rx",
        about="keyring of one entity, or of all",
    )
    def auth_export(self, ctx: CommandContext, args: Args) -> CommandResult:
        if args.get_str("entity") is None:
            ring = KeyRing(dict(self.auth.keys.entities))
            return self._ring(ctx, ring, "exported master keyring")
        name = _entity(args, "invalid entity_auth ")
        auth = self.auth.keys.get(name)
        if auth is None:
            raise fail(errno.ENOENT, f"no key for auth(key={EntityAuth().key.to_base64()})")
        text = f"export auth(key={auth.key.to_base64()})"
        return self._ring(ctx, KeyRing({name: auth}), text)

    @command(f"auth get {_ENTITY}", module="auth", perm="rx", about="keyring of one entity")
    def auth_get(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = _entity(args, "invalid entity_auth ")
        auth = self.auth.keys.get(name)
        if auth is None:
            raise fail(errno.ENOENT, f"failed to find {name} in keyring")
        return self._ring(ctx, KeyRing({name: auth}), f"exported keyring for {name}")

    @command(f"auth get-key {_ENTITY}", module="auth", perm="rx", about="key of one entity")
    @command(f"auth print-key {_ENTITY}", module="auth", perm="rx", about="key of one entity")
    @command(f"auth print_key {_ENTITY}", module="auth", perm="rx", about="key of one entity")
    def auth_print_key(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = _entity(args, "invalid entity_auth ")
        auth = self.auth.keys.get(name)
        if auth is None:
            raise fail(errno.ENOENT, f"don't have {name}")
        return _key(ctx, auth)

    @command(
        "auth list", module="auth", perm="rx", flags=FLAG_DEPRECATED, about="all keys and caps"
    )
    @command("auth ls", module="auth", perm="rx", about="all keys and caps")
    def auth_ls(self, ctx: CommandContext, args: Args) -> CommandResult:
        entities = sorted(self.auth.keys.entities.items())
        lines: list[str] = []
        for name, auth in entities:
            lines.append(f"{name}\n\tkey: {auth.key.to_base64()}\n")
            lines += [f"\tcaps: [{s}] {auth.caps_text(s)}\n" for s in sorted(auth.caps)]
        found = "installed auth entries:" if entities else "no installed auth entries!"
        data = {"auth_dump": _plain(KeyRing(dict(entities)))}
        return ctx.reply(
            data, "".join(lines), section="auth", outs="" if ctx.structured else f"{found}\n"
        )

    # -- changing ---------------------------------------------------------------------------

    @command("auth import", module="auth", perm="rwx", about="take the keys of a keyring (-i FILE)")
    def auth_import(self, ctx: CommandContext, args: Args) -> CommandResult:
        if not ctx.inbuf:
            raise fail(errno.EINVAL, "auth import: no data supplied")
        ring = _parse(ctx.inbuf)
        if not all(auth.caps for auth in ring.keys.values()):
            raise fail(errno.EINVAL, "auth import: no caps supplied")
        for name, auth in ring.keys.items():
            self.auth.put_entity(name, auth)
        return CommandResult(0, "imported keyring")

    @command(
        f"auth add {_ENTITY} {_CAPS},req=false",
        module="auth",
        perm="rwx",
        about="new entity with these caps, and the key of a keyring (-i FILE) or a new one",
    )
    def auth_add(self, ctx: CommandContext, args: Args) -> CommandResult:
        caps = _caps(args)
        name = _entity(args)
        given = EntityAuth()
        if ctx.inbuf:
            found = _parse(ctx.inbuf).get_auth(name)
            if found is None:
                raise fail(errno.EINVAL, f"key for {name} not found in provided keyring")
            given = found
        _validate(caps)
        if caps and given.caps:
            raise fail(errno.EINVAL, "caps cannot be specified both in keyring and in command")
        coded = {s: encode(Str, text) for s, text in caps.items()} or given.caps
        existing = self.auth.keys.get(name)
        if existing is not None:
            _must_match(name, existing, given, coded, has_secret=bool(ctx.inbuf))
            return CommandResult()
        key = given.key or self.auth.keys.create_key()
        self.auth.put_entity(name, EntityAuth(key=key, caps=coded))
        return CommandResult(0, f"added key for {name}")

    @command(
        f"auth get-or-create-key {_ENTITY} {_CAPS},req=false",
        module="auth",
        perm="rwx",
        about="key of an entity; a new one with these caps if there is none",
    )
    def auth_get_or_create_key(self, ctx: CommandContext, args: Args) -> CommandResult:
        return _key(ctx, self._get_or_create(args)[1], end="\n")

    @command(
        f"auth get-or-create {_ENTITY} {_CAPS},req=false",
        module="auth",
        perm="rwx",
        about="keyring of an entity; a new one with these caps if there is none",
    )
    def auth_get_or_create(self, ctx: CommandContext, args: Args) -> CommandResult:
        name, auth = self._get_or_create(args)
        shown = auth if ctx.structured else EntityAuth(key=auth.key)
        return self._ring(ctx, KeyRing({name: shown}), "")

    def _get_or_create(self, args: Args) -> tuple[EntityName, EntityAuth]:
        caps = _caps(args)
        name = _entity(args)
        _validate(caps)
        existing = self.auth.keys.get(name)
        if existing is not None:
            for service, text in caps.items():
                if existing.caps.get(service) != encode(Str, text):
                    raise fail(
                        errno.EINVAL, f"key for {name} exists but cap {service} does not match"
                    )
        return name, self.auth.get_or_create(name, caps)

    @command(
        f"auth caps {_ENTITY} {_CAPS}",
        module="auth",
        perm="rwx",
        about="replace all caps of an entity",
    )
    def auth_set_caps(self, ctx: CommandContext, args: Args) -> CommandResult:
        caps = _caps(args)
        name = _entity(args)
        existing = self.auth.keys.get(name)
        if existing is None:
            raise fail(errno.ENOENT, f"couldn't find entry {name}")
        _validate(caps)
        coded = {service: encode(Str, text) for service, text in caps.items()}
        self.auth.put_entity(name, EntityAuth(key=existing.key, caps=coded))
        return CommandResult(0, f"updated caps for {name}")

    @command(
        f"auth del {_ENTITY}",
        module="auth",
        perm="rwx",
        flags=FLAG_DEPRECATED,
        about="remove an entity",
    )
    @command(f"auth rm {_ENTITY}", module="auth", perm="rwx", about="remove an entity")
    def auth_rm(self, ctx: CommandContext, args: Args) -> CommandResult:
        name = _entity(args)
        if not self.auth.remove_entity(name):
            return CommandResult(0, f"entity {name} does not exist")
        return CommandResult(0, "updated")

    def _ring(self, ctx: CommandContext, ring: KeyRing, outs: str) -> CommandResult:
        return ctx.reply(_plain(ring), ring.text(), section="auth", outs=outs)


def _plain(ring: KeyRing) -> list[dict[str, Any]]:
    return NamedList(
        "auth_entities",
        [
            {
                "entity": str(name),
                "key": auth.key.to_base64(),
                "caps": {service: auth.caps_text(service) for service in sorted(auth.caps)},
            }
            for name, auth in sorted(ring.keys.items())
        ],
    )


def _key(ctx: CommandContext, auth: EntityAuth, *, end: str = "") -> CommandResult:
    text = auth.key.to_base64()
    return ctx.reply({"key": text}, text + end, section="auth")


def _entity(args: Args, complaint: str = "") -> EntityName:
    text = args.need_str("entity")
    try:
        return parse_entity(text)
    except ValueError:
        why = f"{complaint}{text}" if complaint else "bad entity name"
        raise fail(errno.EINVAL, why) from None


def _caps(args: Args) -> dict[str, str]:
    words = args.get_strs("caps")
    if len(words) % 2:
        raise fail(errno.EINVAL, "bad capabilities request; odd number of arguments")
    return dict(zip(words[0::2], words[1::2], strict=True))


def _validate(caps: dict[str, str]) -> None:
    try:
        auth_caps.validate_all(caps)
    except CapsError as error:
        raise fail(errno.EINVAL, str(error)) from None


def _parse(data: bytes) -> KeyRing:
    try:
        return KeyRing.parse(data, "keyring")
    except KeyringError as error:
        raise fail(errno.EINVAL, f"error decoding keyring {error}") from None


def _must_match(
    name: EntityName,
    existing: EntityAuth,
    given: EntityAuth,
    caps: dict[str, bytes],
    *,
    has_secret: bool,
) -> None:
    if has_secret and existing.key.secret != given.key.secret:
        raise fail(errno.EEXIST, f"entity {name} exists but key does not match")
    if len(caps) != len(existing.caps):
        raise fail(errno.EINVAL, f"entity {name} exists but caps do not match")
    for service, raw in caps.items():
        if existing.caps.get(service) != raw:
            raise fail(errno.EINVAL, f"entity {name} exists but cap {service} does not match")
