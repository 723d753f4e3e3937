"""How a connection behaves towards a type of peer when its socket breaks.

Behaviour: ceph/ceph, src/msg/Policy.h (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.records import evolve, field, frozen
from mdsdaemon.types.features import FEATURES_PACIFIC

if TYPE_CHECKING:
    from mdsdaemon.net.throttle import Throttle


@frozen
class Policy:
    """The rules of a connection; made by the class methods, which carry Ceph's names."""

    lossy: bool = False
    """A fault ends the connection, and the dispatcher hears of a reset."""
    server: bool = False
    """This side never reconnects; it waits for the peer to do so."""
    standby: bool = False
    """After a fault with nothing to send, wait instead of reconnecting."""
    resetcheck: bool = True
    """A peer that comes back without its session is told, and counts as reset here too."""
    register_lossy_clients: bool = True
    """An accepted lossy peer has one connection; a new one replaces the old."""
    features_required: int = 0
    features_supported: int = FEATURES_PACIFIC
    throttler_bytes: Throttle | None = field(default=None, eq=False, repr=False)
    throttler_messages: Throttle | None = field(default=None, eq=False, repr=False)

    @classmethod
    def stateful_server(cls, features_required: int = 0) -> Policy:
        """Towards clients with a session (the MDS towards CephFS clients)."""
        return cls(server=True, standby=True, features_required=features_required)

    @classmethod
    def stateless_registered_server(cls, features_required: int = 0) -> Policy:
        """Towards clients without a session, one connection each (the manager, the OSD)."""
        return cls(lossy=True, server=True, resetcheck=False, features_required=features_required)

    @classmethod
    def stateless_server(cls, features_required: int = 0) -> Policy:
        """Towards clients without a session, any number of connections (the monitor)."""
        return cls(
            lossy=True,
            server=True,
            resetcheck=False,
            register_lossy_clients=False,
            features_required=features_required,
        )

    @classmethod
    def lossless_peer(cls, features_required: int = 0) -> Policy:
        """Between equals of one kind (MDS to MDS)."""
        return cls(standby=True, resetcheck=False, features_required=features_required)

    @classmethod
    def lossless_peer_reuse(cls, features_required: int = 0) -> Policy:
        """Between equals, with reset detection (OSD to OSD)."""
        return cls(standby=True, features_required=features_required)

    @classmethod
    def lossy_client(cls, features_required: int = 0) -> Policy:
        """Towards a server that is asked again after a fault (monitor, OSD, manager)."""
        return cls(lossy=True, resetcheck=False, features_required=features_required)

    @classmethod
    def lossless_client(cls, features_required: int = 0) -> Policy:
        """Towards a stateful server (a CephFS client towards the MDS)."""
        return cls(features_required=features_required)

    def with_throttles(self, throttler_bytes: Throttle | None, messages: Throttle | None) -> Policy:
        """The same rules under other limits."""
        return evolve(self, throttler_bytes=throttler_bytes, throttler_messages=messages)


@frozen
class PolicySet:
    """A policy per peer type, and one for the rest."""

    by_type: dict[int, Policy] = field(factory=dict)
    default: Policy = field(factory=Policy)

    def get(self, peer_type: int) -> Policy:
        """The policy towards peers of `peer_type`."""
        return self.by_type.get(peer_type, self.default)
