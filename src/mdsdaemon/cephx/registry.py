"""Which authentication methods and connection modes are for whom.

A daemon holds its cluster peers to ``auth_cluster_required`` and clients to
``auth_service_required``; ``auth_supported``, where it is set, stands for all three lists.

Format: ceph/ceph, src/auth/AuthRegistry.cc (Pacific)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Self

from mdsdaemon.cephx.plug import (
    AUTH_METHOD_NAMES,
    CEPH_AUTH_CEPHX,
    CEPH_AUTH_NONE,
    CEPH_CON_MODE_CRC,
    CEPH_CON_MODE_SECURE,
    CEPH_CON_MODE_UNKNOWN,
)
from mdsdaemon.records import evolve, frozen
from mdsdaemon.types.entity import CLIENT, MDS, MGR, MON, OSD

#: The options that ``AuthRegistry.from_config`` reads: on a change, make a new registry.
TRACKED_OPTIONS: Final = (
    "auth_supported",
    "auth_cluster_required",
    "auth_service_required",
    "auth_client_required",
    "ms_mon_cluster_mode",
    "ms_mon_service_mode",
    "ms_mon_client_mode",
    "ms_cluster_mode",
    "ms_service_mode",
    "ms_client_mode",
)

_METHODS: Final = {"cephx": CEPH_AUTH_CEPHX, "none": CEPH_AUTH_NONE}
_MODES: Final = {"crc": CEPH_CON_MODE_CRC, "secure": CEPH_CON_MODE_SECURE}
_DELIMITERS: Final = re.compile(r"[;,=\s]+")

CLUSTER_PEERS: Final = frozenset({MON, MGR, MDS, OSD})


def _numbers(text: str, known: dict[str, int]) -> tuple[int, ...]:
    """A list option's words as numbers, in order; words that are not known here are left out."""
    return tuple(known[word] for word in _DELIMITERS.split(text) if word in known)


def method_names(methods: tuple[int, ...] | list[int]) -> str:
    """For people: ``cephx, none``."""
    return ", ".join(AUTH_METHOD_NAMES.get(m, str(m)) for m in methods) or "no method at all"


@frozen
class AuthRegistry:
    """Allowed methods (CEPH_AUTH_*) and modes (CEPH_CON_MODE_*), each list best first.

    ``my_type`` is the entity type of this process. The defaults are Ceph's.
    """

    my_type: int = MDS
    cluster_methods: tuple[int, ...] = (CEPH_AUTH_CEPHX,)
    service_methods: tuple[int, ...] = (CEPH_AUTH_CEPHX,)
    client_methods: tuple[int, ...] = (CEPH_AUTH_CEPHX, CEPH_AUTH_NONE)
    mon_cluster_modes: tuple[int, ...] = (CEPH_CON_MODE_SECURE, CEPH_CON_MODE_CRC)
    mon_service_modes: tuple[int, ...] = (CEPH_CON_MODE_SECURE, CEPH_CON_MODE_CRC)
    mon_client_modes: tuple[int, ...] = (CEPH_CON_MODE_SECURE, CEPH_CON_MODE_CRC)
    cluster_modes: tuple[int, ...] = (CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE)
    service_modes: tuple[int, ...] = (CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE)
    client_modes: tuple[int, ...] = (CEPH_CON_MODE_CRC, CEPH_CON_MODE_SECURE)

    @classmethod
    def from_config(cls, get_str: Callable[[str], str], my_type: int = MDS) -> Self:
        """From the options TRACKED_OPTIONS; ``get_str`` is a Config's."""
        supported = get_str("auth_supported").strip()

        def methods(option: str) -> tuple[int, ...]:
            return _numbers(supported or get_str(option), _METHODS)

        def modes(option: str) -> tuple[int, ...]:
            return _numbers(get_str(option), _MODES)

        return cls(
            my_type,
            methods("auth_cluster_required"),
            methods("auth_service_required"),
            methods("auth_client_required"),
            modes("ms_mon_cluster_mode"),
            modes("ms_mon_service_mode"),
            modes("ms_mon_client_mode"),
            modes("ms_cluster_mode"),
            modes("ms_service_mode"),
            modes("ms_client_mode"),
        )

    def without_cephx(self) -> Self:
        """For a process without a keyring: what is left of each list."""
        return evolve(
            self,
            cluster_methods=tuple(m for m in self.cluster_methods if m != CEPH_AUTH_CEPHX),
            service_methods=tuple(m for m in self.service_methods if m != CEPH_AUTH_CEPHX),
            client_methods=tuple(m for m in self.client_methods if m != CEPH_AUTH_CEPHX),
        )

    def _lists(self, peer_type: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        mon_like = peer_type in {MON, MGR}
        if self.my_type == CLIENT:
            return self.client_methods, self.mon_client_modes if mon_like else self.client_modes
        if self.my_type in {MON, MGR}:
            if mon_like:
                return self.cluster_methods, self.mon_cluster_modes
            return self.service_methods, self.mon_service_modes
        if mon_like:
            return self.cluster_methods, self.mon_cluster_modes
        if peer_type in {MDS, OSD}:
            return self.cluster_methods, self.cluster_modes
        return self.service_methods, self.service_modes

    def supported_methods(self, peer_type: int) -> tuple[int, ...]:
        """Methods that may be used with a peer of this type, whoever connects."""
        return self._lists(peer_type)[0]

    def supported_modes(self, peer_type: int, method: int | None = None) -> tuple[int, ...]:
        """Modes for a peer of this type; method none has no key and so only crc."""
        modes = self._lists(peer_type)[1]
        if method == CEPH_AUTH_NONE:
            return tuple(mode for mode in modes if mode == CEPH_CON_MODE_CRC)
        return modes

    def pick_mode(self, peer_type: int, method: int, preferred: list[int]) -> int:
        """The first of a peer's preferred modes that is allowed, else CEPH_CON_MODE_UNKNOWN."""
        allowed = self.supported_modes(peer_type, method)
        return next((mode for mode in preferred if mode in allowed), CEPH_CON_MODE_UNKNOWN)

    def accepts(self, peer_type: int, method: int) -> bool:
        """Whether an authorizer of this method is read from a peer of this type."""
        if self.my_type == CLIENT:
            return False
        cluster = peer_type in CLUSTER_PEERS
        return method in (self.cluster_methods if cluster else self.service_methods)
