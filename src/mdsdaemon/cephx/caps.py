"""What a client may do on the file system: the mds capability string of its key.

Format: ceph/ceph, src/mds/MDSAuthCaps.h, src/mds/MDSAuthCaps.cc (Pacific), with the grant forms
that Squid added (``fsname``, ``path``, ``root_squash``, ``uid`` and ``gids`` all together).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from enum import IntFlag

from mdsdaemon.cephx import caps_grammar
from mdsdaemon.cephx.auth import AuthCapsInfo
from mdsdaemon.cephx.caps_grammar import CapsError
from mdsdaemon.records import field, frozen
from mdsdaemon.types.entity import EntityAddr

__all__ = [
    "MAY_CHGRP",
    "MAY_CHOWN",
    "MAY_EXECUTE",
    "MAY_FULL",
    "MAY_READ",
    "MAY_SET_VXATTR",
    "MAY_SNAPSHOT",
    "MAY_WRITE",
    "CapsError",
    "MDSAuthCaps",
    "MDSCapGrant",
    "MDSCapMatch",
    "MDSCapSpec",
]

# What an operation asks for (mask of is_capable).
MAY_READ = 1 << 0
MAY_WRITE = 1 << 1
MAY_EXECUTE = 1 << 2
MAY_CHOWN = 1 << 4
MAY_CHGRP = 1 << 5
MAY_SET_VXATTR = 1 << 6
MAY_SNAPSHOT = 1 << 7
MAY_FULL = 1 << 8


class MDSCapSpec(IntFlag):
    """What a grant allows."""

    ALL = 1 << 0
    READ = 1 << 1
    WRITE = 1 << 2
    #: layouts and quotas (virtual extended attributes)
    SET_VXATTR = 1 << 3
    SNAPSHOT = 1 << 4
    #: write although the pools are full
    FULL = 1 << 5

    @classmethod
    def from_letters(cls, letters: str) -> MDSCapSpec:
        """From ``*``, ``all`` or letters of ``rwfps``."""
        if letters in {"*", "all"}:
            return cls.ALL | cls.READ | cls.WRITE | cls.FULL | cls.SET_VXATTR | cls.SNAPSHOT
        spec = cls(0)
        for letter in letters:
            spec |= _LETTERS[letter]
        return spec

    def allows(self, *, read: bool, write: bool) -> bool:
        return bool(self & MDSCapSpec.ALL) or not (
            (read and not self & MDSCapSpec.READ) or (write and not self & MDSCapSpec.WRITE)
        )

    def __str__(self) -> str:
        if self & MDSCapSpec.ALL:
            return "*"
        return "".join(letter for letter, bit in _LETTERS.items() if self & bit)


_LETTERS = {
    "r": MDSCapSpec.READ,
    "w": MDSCapSpec.WRITE,
    "f": MDSCapSpec.FULL,
    "p": MDSCapSpec.SET_VXATTR,
    "s": MDSCapSpec.SNAPSHOT,
}


@frozen
class MDSCapMatch:
    """On what a grant applies: every condition that is set must hold.

    ``uid`` None means any user. ``gids`` (sorted) is looked at only together with ``uid``.
    ``path`` has no leading slash, "" is the whole tree. ``fs_name`` "" or "*" is any file system.
    """

    uid: int | None = None
    gids: tuple[int, ...] = ()
    path: str = ""
    fs_name: str = ""
    root_squash: bool = False

    def is_match_all(self) -> bool:
        """No condition on user and path. Neither fs_name nor root_squash counts (as in Ceph)."""
        return self.uid is None and not self.path

    def match(self, target_path: str, uid: int, gid: int, gids: Collection[int]) -> bool:
        """Whether the grant applies to a caller ``uid:gid`` (further groups: ``gids``) there."""
        if self.uid is not None:
            if self.uid != uid:
                return False
            if self.gids and gid not in self.gids and not set(self.gids).intersection(gids):
                return False
        return self.match_path(target_path)

    def match_path(self, target_path: str) -> bool:
        """Whether ``target_path`` (no leading slash) is ``path`` or stands below it."""
        path = self.path.rstrip("/")
        return not path or target_path == path or target_path.startswith(path + "/")

    def match_fs(self, fs_name: str) -> bool:
        return self.fs_name in {"", "*", fs_name}

    def text(self, quote: str = '"') -> str:
        """The conditions as written in a capability string, each with a space before it."""
        out = f" fsname={self.fs_name}" if self.fs_name else ""
        if self.path:
            out += f" path={quote}/{self.path}{quote}"
        if self.root_squash:
            out += " root_squash"
        if self.uid is not None:
            out += f" uid={self.uid}"
            if self.gids:
                out += " gids=" + ",".join(str(gid) for gid in self.gids)
        return out


@frozen
class MDSCapGrant:
    """One ``allow …`` clause. ``network`` is the text as given; an unusable one never matches."""

    spec: MDSCapSpec
    match: MDSCapMatch = MDSCapMatch()
    network: str = ""

    def network_contains(self, addr: EntityAddr) -> bool:
        """Whether a client at ``addr`` may use this grant."""
        if not self.network:
            return True
        network = _parse_network(self.network)
        if network is None:
            return False
        try:
            return ipaddress.ip_address(addr.host) in network
        except ValueError:  # a blank address, or a scoped one that is no plain address
            return False

    def text(self, quote: str = '"') -> str:
        network = f" network {self.network}" if self.network else ""
        return f"allow {self.spec}{self.match.text(quote)}{network}"


@frozen
class MDSAuthCaps:
    """The grants of a capability string; without any, nothing is allowed.

    `unlimited`: a grant has no condition and every right, so that no path has to be looked at.
    """

    grants: tuple[MDSCapGrant, ...] = ()
    unlimited: bool = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        unlimited = any(
            grant.spec & MDSCapSpec.ALL
            and grant.match.is_match_all()
            and not grant.match.root_squash
            and not grant.network
            for grant in self.grants
        )
        object.__setattr__(self, "unlimited", unlimited)

    @classmethod
    def parse(cls, text: str) -> MDSAuthCaps:
        """From the text of a key's mds caps; raises CapsError where Ceph's parser fails."""
        if text == "allow":  # legacy spelling
            return cls((MDSCapGrant(MDSCapSpec.from_letters("rwps")),))
        return cls(tuple(_grant(clause) for clause in caps_grammar.parse(text)))

    @classmethod
    def allow_everything(cls) -> MDSAuthCaps:
        """Ceph's ``set_allow_all``: what method ``none`` gives."""
        return cls((MDSCapGrant(MDSCapSpec.from_letters("*")),))

    @classmethod
    def from_info(cls, info: AuthCapsInfo) -> MDSAuthCaps:
        """From what a ticket says (Ceph's ``parse_caps``); raises CapsError."""
        if info.allow_all:
            return cls.allow_everything()
        raw = info.caps
        if len(raw) < 4 or int.from_bytes(raw[:4], "little") > len(raw) - 4:
            raise CapsError(
                f"cannot decode an mds caps buffer of {len(raw)} bytes; does the key have mds"
                " caps? (ceph auth get NAME shows them)"
            )
        length = int.from_bytes(raw[:4], "little")
        return cls.parse(raw[4 : 4 + length].decode(errors="surrogateescape"))

    def allow_all(self) -> bool:
        """The right to every command (``tell``) and path."""
        return any(
            grant.match.is_match_all() and grant.spec & MDSCapSpec.ALL for grant in self.grants
        )

    def path_capable(self, inode_path: str) -> bool:
        """Whether the client may have any right at ``inode_path`` (no leading slash)."""
        return any(grant.match.match_path(inode_path) for grant in self.grants)

    def fs_name_capable(self, fs_name: str, mask: int) -> bool:
        """Whether some grant for the file system allows the reads or writes of ``mask``."""
        return self.allow_all() or any(
            (mask & MAY_READ and grant.spec & MDSCapSpec.READ)
            or (mask & MAY_WRITE and grant.spec & MDSCapSpec.WRITE)
            for grant in self.grants
            if grant.match.match_fs(fs_name)
        )

    def is_capable(
        self,
        inode_path: str,
        inode_uid: int,
        inode_gid: int,
        inode_mode: int,
        uid: int,
        gid: int,
        gids: Iterable[int],
        mask: int,
        new_uid: int,
        new_gid: int,
        addr: EntityAddr,
        *,
        fs_name: str | None = None,
    ) -> bool:
        """Whether the operation ``mask`` on an inode is allowed to the caller.

        ``inode_path`` has no leading slash; ``uid:gid`` with further groups ``gids`` is the
        caller, ``addr`` the client's address. ``new_uid``/``new_gid`` matter with MAY_CHOWN and
        MAY_CHGRP. With ``fs_name``, grants of other file systems are left out, as Squid does;
        Pacific checks the file system only when the session opens.
        """
        caller_gids = set(gids)
        for grant in self.grants:
            match, spec = grant.match, grant.spec
            if fs_name is not None and not match.match_fs(fs_name):
                continue
            if not grant.network_contains(addr):
                continue
            if not match.match(inode_path, uid, gid, caller_gids):
                continue
            if not spec.allows(
                read=bool(mask & (MAY_READ | MAY_EXECUTE)), write=bool(mask & MAY_WRITE)
            ):
                continue
            if match.root_squash and 0 in (uid, gid) and mask & MAY_WRITE:
                continue
            if any(mask & may and not spec & bit for may, bit in _SPECIAL):
                continue
            if match.uid is None:
                return True
            usable_gids = set(match.gids) & (caller_gids | {gid})
            if mask & MAY_CHOWN and not (new_uid == uid and inode_uid == uid):
                continue
            if mask & MAY_CHGRP and not (inode_uid == uid and new_gid in usable_gids):
                continue
            if _mode_allows(
                inode_mode, mask, owner=inode_uid == uid, group=inode_gid in usable_gids
            ):
                return True
        return False

    def text(self) -> str:
        """A capability string that parses to the same grants."""
        return ", ".join(
            grant.text("'" if '"' in grant.match.path else '"') for grant in self.grants
        )

    def __str__(self) -> str:
        """As Ceph's log prints it."""
        return f"MDSAuthCaps[{', '.join(grant.text() for grant in self.grants)}]"


_SPECIAL = (
    (MAY_SET_VXATTR, MDSCapSpec.SET_VXATTR),
    (MAY_SNAPSHOT, MDSCapSpec.SNAPSHOT),
    (MAY_FULL, MDSCapSpec.FULL),
)


def _mode_allows(mode: int, mask: int, *, owner: bool, group: bool) -> bool:
    shift = 6 if owner else 3 if group else 0
    bits = mode >> shift
    return not (
        (mask & MAY_READ and not bits & 4)
        or (mask & MAY_WRITE and not bits & 2)
        or (mask & MAY_EXECUTE and not bits & 1)
    )


def _grant(clause: caps_grammar.Clause) -> MDSCapGrant:
    match = MDSCapMatch(
        uid=clause.uid,
        # Groups narrow a user; on their own no check looks at them.
        gids=tuple(sorted(clause.gids)) if clause.uid is not None else (),
        path=clause.path.lstrip("/"),
        fs_name=clause.fs_name,
        root_squash=clause.root_squash,
    )
    return MDSCapGrant(MDSCapSpec.from_letters(clause.spec), match, clause.network)


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    host, slash, prefix = text.partition("/")
    if not slash or not (prefix.isascii() and prefix.isdigit()):
        return None
    try:
        addr = ipaddress.ip_address(host)
    except ValueError:
        return None
    # A prefix longer than the address means the whole address.
    length = addr.max_prefixlen if len(prefix) > 9 else min(int(prefix), addr.max_prefixlen)
    return ipaddress.ip_network((addr, length), strict=False)
