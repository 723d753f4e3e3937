"""The grammar of the mon capability string.

    grants  := grant ((";" | ",") grant)*
    grant   := "allow" rwxa [network N] [fsname F]
             | ["allow"] "profile" name [network N]
             | "allow" "service" name rwxa [network N]
             | "allow" "command" name ["with" key (=value | prefix value | regex value) …] […]

Format: ceph/ceph, src/mon/MonCap.cc (Pacific)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import frozen

R: Final = 1 << 1
W: Final = 1 << 2
X: Final = 1 << 3
RWX: Final = R | W | X
ANY: Final = 0xFF

_SPACES = re.compile(r"[ \n\t]+")
_RWXA = re.compile(r"\*|all|rw?x?|wx?|x")
_STR = re.compile(r"\"([^\"]+)\"|'([^']+)'|([a-zA-Z0-9_./-]+)")
_NETWORK = re.compile(r"[/.:a-fA-F0-9\]\[]+")
_FS_NAME = re.compile(r"[a-zA-Z0-9_.-]+")
_SEPARATOR = re.compile(r" *[;,] *")


class CapsError(Exception):
    """A capability string that does not parse; the text says where it stopped."""


@frozen
class Constraint:
    """What an argument of a command must be: ``equal``, ``prefix`` or ``regex``."""

    kind: str
    value: str


@frozen
class MonCapGrant:
    """One grant, of one of the forms: blanket, service, profile, command. `allow` is R | W | X."""

    service: str = ""
    profile: str = ""
    command: str = ""
    args: tuple[tuple[str, Constraint], ...] = ()
    allow: int = 0
    network: str = ""
    fs_name: str = ""

    def is_allow_all(self) -> bool:
        """``allow *`` without condition."""
        return self.allow == ANY and not (
            self.service or self.profile or self.command or self.fs_name
        )


class Fail(Exception):
    """This alternative does not match."""


class CapsParser:
    """Reads grants from the left; its methods raise Fail where they find something else."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise Fail
        self.at = found.end()
        return found

    def try_spaces(self) -> None:
        found = _SPACES.match(self.text, self.at)
        if found is not None:
            self.at = found.end()

    def word(self, word: str) -> None:
        if not self.text.startswith(word, self.at):
            raise Fail
        self.at += len(word)

    def try_word(self, word: str) -> bool:
        """Spaces, the word, spaces: all or nothing."""
        start = self.at
        try:
            self.take(_SPACES)
            self.word(word)
            self.take(_SPACES)
        except Fail:
            self.at = start
            return False
        return True

    def string(self) -> str:
        return next(group for group in self.take(_STR).groups() if group is not None)

    def gap(self) -> None:
        """``=`` or spaces."""
        if self.text.startswith("=", self.at):
            self.at += 1
        else:
            self.take(_SPACES)

    def rwxa(self) -> int:
        word = self.take(_RWXA)[0]
        if word in ("*", "all"):
            return ANY
        return sum({"r": R, "w": W, "x": X}[letter] for letter in word)

    def network(self) -> str:
        start = self.at
        try:
            if self.try_word("network"):
                return self.take(_NETWORK)[0]
        except Fail:
            self.at = start
        return ""

    def fs_name(self) -> str:
        start = self.at
        try:
            self.take(_SPACES)
            self.word("fsname")
            self.gap()
            return self.take(_FS_NAME)[0]
        except Fail:
            self.at = start
            return ""

    def equal(self) -> bool:
        """``=`` between a key and its value."""
        if not self.text.startswith("=", self.at):
            return False
        self.at += 1
        return True

    def pair(self) -> tuple[str, Constraint]:
        key = self.string()
        if self.equal():
            return key, Constraint("equal", self.string())
        for kind in ("prefix", "regex"):
            if self.try_word(kind):
                return key, Constraint(kind, self.string())
        raise Fail

    def pairs(self) -> tuple[tuple[str, Constraint], ...]:
        """Any number of pairs, each with spaces before it."""
        found: dict[str, Constraint] = {}
        while True:
            start = self.at
            try:
                self.take(_SPACES)
                key, constraint = self.pair()
            except Fail:
                self.at = start
                return tuple(sorted(found.items(), key=lambda item: item[0]))
            found.setdefault(key, constraint)

    def with_args(self) -> tuple[tuple[str, Constraint], ...]:
        """``with`` and pairs; nothing is taken where no pair follows."""
        start = self.at
        try:
            self.take(_SPACES)
            self.word("with")
        except Fail:
            self.at = start
            return ()
        found = self.pairs()
        if not found:
            self.at = start
        return found

    # -- the four forms ----------------------------------------------------------------------

    def blanket(self) -> MonCapGrant:
        self.word("allow")
        self.take(_SPACES)
        return MonCapGrant(allow=self.rwxa(), network=self.network(), fs_name=self.fs_name())

    def profile(self) -> MonCapGrant:
        if self.text.startswith("allow", self.at):
            self.word("allow")
            self.take(_SPACES)
        self.word("profile")
        self.gap()
        return MonCapGrant(profile=self.string(), network=self.network())

    def service(self) -> MonCapGrant:
        self.word("allow")
        self.take(_SPACES)
        self.word("service")
        self.gap()
        name = self.string()
        self.take(_SPACES)
        return MonCapGrant(service=name, allow=self.rwxa(), network=self.network())

    def command(self) -> MonCapGrant:
        self.word("allow")
        self.take(_SPACES)
        self.word("command")
        self.gap()
        return MonCapGrant(command=self.string(), args=self.with_args(), network=self.network())

    def forms(self) -> tuple[Callable[[], MonCapGrant], ...]:
        """What a grant may be, tried in this order."""
        return (self.blanket, self.profile, self.service, self.command)

    def grant(self) -> MonCapGrant:
        self.try_spaces()
        start = self.at
        for form in self.forms():
            try:
                found = form()
            except Fail:
                self.at = start
                continue
            self.try_spaces()
            return found
        raise Fail

    def grants(self, service: str) -> tuple[MonCapGrant, ...]:
        """All grants; raises CapsError with Ceph's words about the caps of that service."""
        text = self.text
        grants: list[MonCapGrant] = []
        stop = 0
        try:
            grants.append(self.grant())
            stop = self.at
            while True:
                self.take(_SEPARATOR)
                grants.append(self.grant())
                stop = self.at
        except Fail:
            pass
        if not grants or stop != len(text):
            rest = text[stop:]
            where = f"'{rest}' of '{text}'" if rest else f"end of '{text}'"
            raise CapsError(f"{service} capability parse failed, stopped at {where}")
        return tuple(grants)


def parse(text: str) -> tuple[MonCapGrant, ...]:
    """The grants of a capability string.

    Raises:
        CapsError: where Ceph's parser stops before the end.
    """
    return CapsParser(text).grants("mon")


class _MgrCapsParser(CapsParser):
    """A little more than for the monitor: modules, and arguments of profiles."""

    def equal(self) -> bool:
        start = self.at
        self.try_spaces()
        if self.text.startswith("=", self.at):
            self.at += 1
            self.try_spaces()
            return True
        self.at = start
        return False

    def profile(self) -> MonCapGrant:
        found = super().profile()
        if found.network:
            return found
        return MonCapGrant(profile=found.profile, args=self.pairs(), network=self.network())

    def module(self) -> MonCapGrant:
        self.word("allow")
        self.take(_SPACES)
        self.word("module")
        self.gap()
        name = self.string()
        args = self.with_args()
        self.take(_SPACES)
        return MonCapGrant(service=name, args=args, allow=self.rwxa(), network=self.network())

    def forms(self) -> tuple[Callable[[], MonCapGrant], ...]:
        return (self.blanket, self.profile, self.service, self.module, self.command)


def check_mgr_caps(text: str) -> None:
    """Raises CapsError: not in the language of mgr caps (nobody here enforces them).

    Format: ceph/ceph, src/mgr/MgrCap.cc (Pacific)
    """
    _MgrCapsParser(text).grants("mgr")
