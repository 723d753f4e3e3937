"""OSD capabilities: what a key lets its holder do to objects.

    caps = parse_osd_caps("allow rw pool=data namespace=a, allow class-read object_prefix rbd_")
    caps.is_capable(pool_name, namespace, applications, key, read=True, write=False, …)

Behaviour and grammar: ceph/ceph, src/osd/OSDCap.cc, OSDCap.h (Pacific)
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mdsdaemon.embedded.store.op_info import ClassInfo

CAP_R: Final = 1 << 1
CAP_W: Final = 1 << 2
CAP_CLS_R: Final = 1 << 3
CAP_CLS_W: Final = 1 << 4
CAP_X: Final = CAP_CLS_R | CAP_CLS_W
CAP_ANY: Final = 0xFF

Applications = "Mapping[str, Mapping[str, str]]"


class OSDCapsError(ValueError):
    """The text is no OSD capability; says where it stops making sense."""


@attrs.frozen
class Match:
    """Which objects a grant is about; `nspace` None: any, a trailing "*" is a wildcard."""

    pool: str = ""
    nspace: str | None = None
    object_prefix: str = ""
    tag: tuple[str, str, str] | None = None
    """(application, key, value); "*" stands for any key or value."""

    @property
    def everything(self) -> bool:
        """Whether it leaves nothing out."""
        return not (self.pool or self.nspace is not None or self.object_prefix or self.tag)

    def is_match(
        self, pool: str, nspace: str, applications: Mapping[str, Mapping[str, str]], name: str
    ) -> bool:
        """Whether the object is meant."""
        if self.pool and self.pool != pool:
            return False
        if self.nspace is not None and self.nspace != nspace:
            prefix = self.nspace[:-1] if self.nspace.endswith("*") else None
            if prefix is None or not nspace.startswith(prefix):
                return False
        if self.tag is not None and not _tagged(self.tag, applications):
            return False
        return name.startswith(self.object_prefix)


def _tagged(tag: tuple[str, str, str], applications: Mapping[str, Mapping[str, str]]) -> bool:
    application, key, value = tag
    pairs = applications.get(application)
    if pairs is None:
        return False
    if key == "*":
        return value == "*" or value in pairs.values()
    return key in pairs and value in ("*", pairs[key])


@attrs.frozen
class Grant:
    """One grant: bits, or a class with a method or all of its methods, on what `match` says.

    A profile is a grant with `inner` ones, any of which suffices.
    """

    match: Match = attrs.Factory(Match)
    allow: int = 0
    class_name: str = ""
    method_name: str = ""
    network: str = ""
    inner: tuple[Grant, ...] | None = None

    @property
    def allow_all(self) -> bool:
        """Whether it allows everything, leaving the network aside."""
        if self.inner is not None:
            return any(grant.allow_all for grant in self.inner)
        return self.allow == CAP_ANY and self.match.everything

    def is_capable(
        self,
        pool: str,
        nspace: str,
        applications: Mapping[str, Mapping[str, str]],
        name: str,
        read: bool,
        write: bool,
        classes: Sequence[ClassInfo],
        host: str,
        class_allowed: list[bool],
    ) -> bool:
        """Whether it allows the request, with what grants before it allowed of the classes."""
        if self.network and not _in_network(host, self.network):
            return False
        if self.inner is not None:
            return any(
                grant.is_capable(
                    pool, nspace, applications, name, read, write, classes, host, class_allowed
                )
                for grant in self.inner
            )
        if not self.match.is_match(pool, nspace, applications, name):
            return False
        if (read and not self.allow & CAP_R) or (write and not self.allow & CAP_W):
            return False
        if not classes or self.allow == CAP_ANY:
            return True
        for i, called in enumerate(classes):
            if (
                self.class_name == called.class_name
                and self.method_name
                in (
                    "",
                    called.method_name,
                )
            ) or (
                called.allowed
                and not (
                    (called.read and not self.allow & CAP_CLS_R)
                    or (called.write and not self.allow & CAP_CLS_W)
                )
            ):
                class_allowed[i] = True
        return all(class_allowed)


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


@attrs.frozen
class OSDCaps:
    """All grants of a key."""

    grants: tuple[Grant, ...] = ()

    @property
    def allow_all(self) -> bool:
        """Whether a grant allows everything."""
        return any(grant.allow_all for grant in self.grants)

    def is_capable(
        self,
        pool: str,
        nspace: str,
        applications: Mapping[str, Mapping[str, str]],
        name: str,
        *,
        read: bool,
        write: bool,
        classes: Sequence[ClassInfo] = (),
        host: str = "",
    ) -> bool:
        """Whether a request is allowed; `name` is the object's locator key, or its name."""
        allowed = [False] * len(classes)
        return any(
            grant.is_capable(pool, nspace, applications, name, read, write, classes, host, allowed)
            for grant in self.grants
        )


ALL_CAPS: Final = OSDCaps((Grant(allow=CAP_ANY),))


# -- the grammar -------------------------------------------------------------------------

_SPACES = re.compile(r"\s+")
_BLANKS = re.compile(r"[ \t]*")
_QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'")
_QUOTED_OR_EMPTY = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_WORD = re.compile(r"[a-zA-Z0-9_./-]+")
_WILDCARD = re.compile(r"\*|all")
_NETWORK = re.compile(r"[/.:a-fA-F0-9\]\[]+")
_IS_OR_SPACES = re.compile(r"=|\s+")
_IS = re.compile(r"\s*=\s*")


class _Parser:
    """Recursive descent; every rule either moves on or leaves the place as it was."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def literal(self, word: str) -> bool:
        if self.text.startswith(word, self.at):
            self.at += len(word)
            return True
        return False

    def word(self, *, empty: bool = False) -> str | None:
        found = self.take(_QUOTED_OR_EMPTY if empty else _QUOTED)
        if found is not None:
            return found[1] if found[1] is not None else found[2]
        found = self.take(_WORD)
        return None if found is None else found[0]

    def keyed(self, name: str, *, equals: bool = True, empty: bool = False) -> str | None:
        """Spaces, `name`, "=" or spaces, and a word."""
        start = self.at
        separator = _IS_OR_SPACES if equals else _SPACES
        if self.take(_SPACES) and self.literal(name) and self.take(separator):
            value = self.word(empty=empty)
            if value is not None:
                return value
        self.at = start
        return None

    def wildcard_or_word(self) -> str | None:
        if self.take(_WILDCARD):
            return "*"
        return self.word()

    def tag(self) -> tuple[str, str, str] | None:
        start = self.at
        application = self.keyed("tag", equals=False)
        if application is not None and self.take(_SPACES):
            key = self.wildcard_or_word()
            if key is not None and self.take(_IS):
                value = self.wildcard_or_word()
                if value is not None:
                    return application, key, value
        self.at = start
        return None

    def nspace(self) -> str | None:
        value = self.keyed("namespace", empty=True)
        if value is not None and self.literal("*"):
            value += "*"
        return value

    def match(self) -> Match:
        tag = self.tag()
        if tag is not None:
            return Match(tag=tag)
        start = self.at
        nspace = self.nspace()
        tag = self.tag() if nspace is not None else None
        if tag is not None:
            return Match(nspace=nspace, tag=tag)
        self.at = start
        pool = self.keyed("pool") or ""
        nspace = self.nspace()
        prefix = self.keyed("object_prefix", equals=False) or ""
        return Match(pool, nspace, prefix)

    def spec(self) -> Grant | None:
        """Bits, or a class."""
        start = self.at
        if self.take(_SPACES):
            if self.take(_WILDCARD):
                return Grant(allow=CAP_ANY)
            self.at = start
        allow = self.bits()
        if allow is not None:
            return Grant(allow=allow)
        name = self.keyed("class", equals=False)
        if name is None:
            return None
        start, method = self.at, None
        if self.take(_SPACES):
            method = self.word()
        if method is None:
            self.at = start
        return Grant(class_name=name, method_name=method or "")

    def bits(self) -> int | None:
        allow, start = 0, self.at
        if self.take(_SPACES):
            for letter, bit in (("r", CAP_R), ("w", CAP_W), ("x", CAP_X)):
                if self.literal(letter):
                    allow |= bit
        if not allow:
            self.at = start
        for name, bit in (("class-read", CAP_CLS_R), ("class-write", CAP_CLS_W)):
            place = self.at
            if self.take(_SPACES) and self.literal(name):
                allow |= bit
            else:
                self.at = place
        return allow or None

    def network(self) -> str:
        start = self.at
        if self.take(_SPACES) and self.literal("network") and self.take(_SPACES):
            found = self.take(_NETWORK)
            if found is not None:
                return found[0]
        self.at = start
        return ""

    def grant(self) -> Grant | None:
        self.take(_BLANKS)
        start = self.at
        if self.literal("allow"):
            place = self.at
            spec = self.spec()
            if spec is not None:
                made = attrs.evolve(spec, match=self.match())
                return self.finish(made)
            self.at = place
            match = self.match()
            spec = self.spec()
            if spec is not None:
                return self.finish(attrs.evolve(spec, match=match))
        self.at = start
        if self.literal("profile") and self.take(_IS_OR_SPACES):
            name = self.word()
            if name is not None:
                pool = self.keyed("pool") or ""
                match = Match(pool, self.nspace())
                return self.finish(Grant(inner=_profile(name, match)))
        return None

    def finish(self, grant: Grant) -> Grant:
        network = self.network()
        self.take(_BLANKS)
        return attrs.evolve(grant, network=network) if network else grant


def _profile(name: str, match: Match) -> tuple[Grant, ...]:
    """The grants of a profile; an unknown one has none."""
    nowhere = attrs.evolve(match, object_prefix="rbd_header.")
    return {
        "read-only": (Grant(match, CAP_R),),
        "read-write": (Grant(match, CAP_R | CAP_W),),
        "rbd": (
            Grant(Match(object_prefix="rbd_info"), CAP_R),
            Grant(Match(object_prefix="rbd_children"), CAP_CLS_R),
            Grant(Match(object_prefix="rbd_mirroring"), CAP_CLS_R),
            Grant(Match(match.pool), 0, "rbd", "metadata_list"),
            Grant(match, CAP_R | CAP_W | CAP_X),
        ),
        "rbd-read-only": (
            Grant(match, CAP_R | CAP_CLS_R),
            Grant(nowhere, 0, "rbd", "child_attach"),
            Grant(nowhere, 0, "rbd", "child_detach"),
        ),
    }.get(name, ())


def parse_osd_caps(text: str) -> OSDCaps:
    """The grants of a text such as ``allow rw pool=data, allow r``.

    Raises OSDCapsError.
    """
    parser = _Parser(text)
    parser.take(re.compile(r"\s*"))
    grants: list[Grant] = []
    while True:
        place = parser.at
        grant = parser.grant()
        if grant is None:
            parser.at = place
            break
        grants.append(grant)
        if not parser.take(re.compile(r"[;,]")):
            break
    parser.take(re.compile(r"\s*"))
    if not grants or parser.at != len(text):
        raise OSDCapsError(
            f"osd capability parse failed, stopped at '{text[parser.at :]}' of '{text}'"
        )
    return OSDCaps(tuple(grants))
