"""What a key allows its owner at the monitor: the mon capability string.

Format: ceph/ceph, src/mon/MonCap.h, MonCap.cc (Pacific)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache

from attrs import field, frozen

from mdsdaemon.embedded.monitor import mon_caps_grammar, mon_profiles
from mdsdaemon.embedded.monitor.mon_caps_grammar import (
    RWX,
    CapsError,
    Constraint,
    MonCapGrant,
    R,
    W,
    X,
)
from mdsdaemon.types.entity import EntityAddr, EntityName

__all__ = ["CapsError", "MonCapGrant", "MonCaps"]

_BITS = {"r": R, "w": W, "x": X}


@frozen
class MonCaps:
    """The grants of a mon caps string; without any, nothing is allowed."""

    text: str = ""
    grants: tuple[MonCapGrant, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> MonCaps:
        """Raises CapsError where Ceph's parser fails, with its words."""
        return _parsed(text)

    @classmethod
    def allow_all(cls) -> MonCaps:
        return cls.parse("allow *")

    def is_allow_all(self) -> bool:
        """Everything, without condition."""
        return any(grant.is_allow_all() for grant in self.grants)

    def is_capable(
        self,
        name: EntityName,
        service: str,
        command: str,
        args: Mapping[str, str],
        perms: str,
        addr: EntityAddr | None,
    ) -> bool:
        """Whether `name` at `addr` may do what takes `perms` (letters of r, w, x).

        That is either something of a service, or the `command` with `args` of that service.
        """
        wanted = 0
        for letter in perms:
            wanted |= _BITS[letter]
        allowed = 0
        for grant in self.grants:
            if grant.network and not _network_contains(grant.network, addr):
                continue
            if grant.is_allow_all():
                return True
            allowed |= _allowed(grant, name, service, command, args)
            if wanted & allowed == wanted:
                return True
        return False

    def allowed_fs_names(self) -> list[str]:
        """The file systems that the caps are confined to; empty: to none."""
        names = [grant.fs_name for grant in self.grants]
        return names if all(names) else []

    def fs_name_capable(self, name: EntityName, fs_name: str, perms: str) -> bool:
        """Whether the caps allow some of `perms` on a file system."""
        mask = 0
        for letter in perms:
            mask |= _BITS[letter]
        for grant in self.grants:
            if grant.is_allow_all():
                return True
            if grant.fs_name in ("", fs_name) and mask & grant.allow:
                return True
            if grant.profile:
                for each in mon_profiles.expand(grant.profile, str(name)):
                    if (
                        each.service in ("fs", "mds")
                        and each.fs_name in ("", fs_name)
                        and each.allow & mask
                    ):
                        return True
        return False


@lru_cache(maxsize=1024)
def _parsed(text: str) -> MonCaps:
    return MonCaps(text, mon_caps_grammar.parse(text))


def _allowed(
    grant: MonCapGrant, name: EntityName, service: str, command: str, args: Mapping[str, str]
) -> int:
    if grant.profile:
        bits = 0
        for each in mon_profiles.expand(grant.profile, str(name)):
            bits |= _allowed(each, name, service, command, args)
        return bits
    if grant.service:
        return grant.allow if grant.service == service else 0
    if grant.command:
        fits = grant.command == command and all(
            key in args and _fits(constraint, args[key]) for key, constraint in grant.args
        )
        return RWX if fits else 0
    if service == "config-key":  # only what allows all gets there without being named
        return 0
    return grant.allow


def _fits(constraint: Constraint, value: str) -> bool:
    if constraint.kind == "prefix":
        return value.startswith(constraint.value)
    if constraint.kind == "regex":
        try:
            return re.fullmatch(constraint.value, value) is not None
        except re.error:
            return False
    return value == constraint.value


@lru_cache(maxsize=256)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _network_contains(text: str, addr: EntityAddr | None) -> bool:
    network = _network(text)
    if network is None or addr is None:
        return False
    try:
        return ipaddress.ip_address(addr.host) in network
    except ValueError:
        return False
