"""Who we are towards monitors and services: name, key, allowed methods, tickets, our own secrets.

Source of the behaviour: ceph/ceph, src/mon/MonClient.cc, init, get_auth_request,
handle_auth_request (Pacific)
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from mdsdaemon.cephx.client import AuthClient, MonAuth, ServiceAuth
from mdsdaemon.cephx.crypto import CryptoKey
from mdsdaemon.cephx.keyring import KeyringError, find_keyring
from mdsdaemon.cephx.plug import CEPH_AUTH_CEPHX, AuthError
from mdsdaemon.cephx.registry import TRACKED_OPTIONS, AuthRegistry
from mdsdaemon.cephx.service import AuthServer, ServiceServerAuth
from mdsdaemon.cephx.tickets import RotatingKeyRing
from mdsdaemon.clients.errors import MonClientError
from mdsdaemon.clients.mon_auth import Renewal
from mdsdaemon.types.entity import MDS, MGR, MON, OSD, EntityName

if TYPE_CHECKING:
    from mdsdaemon.config import Config
    from mdsdaemon.host import Host

SERVICES = (MDS, OSD, MGR)
"""Entity types whose daemons are given rotating secrets."""


class Identity:
    """See the module.

    Attributes:
        renewal: the session's tickets and our service's rotating secrets.
    """

    def __init__(
        self, name: EntityName, config: Config, host: Host, want_keys: int, log: logging.Logger
    ) -> None:
        self.name = name
        self._config = config
        self._host = host
        self._want_keys = want_keys
        self._log = log
        self._key: CryptoKey | None = None
        self._registry = AuthRegistry.from_config(config.get_str, name.type)
        rotating = RotatingKeyRing(name.type) if name.type in SERVICES else None
        self.renewal = Renewal(config, rotating, log)
        self._server = AuthServer(self._registry, rotating, host.randbytes)

    def init(self) -> None:
        """Read the key.

        Raises:
            KeyringError: cephx is to be used and there is no key.
            MonClientError: the configuration allows no method.
        """
        if CEPH_AUTH_CEPHX in self._registry.supported_methods(MON):
            self._load_key()
        if not self._registry.supported_methods(MON):
            raise MonClientError(
                errno.ENOENT,
                f"no authentication method is allowed for {self.name}",
                "set auth_cluster_required = cephx in ceph.conf",
            )

    def follow_options(self) -> Callable[[], None]:
        """Heed changes of the options about methods and modes, until the result is called."""
        return self._config.observe(TRACKED_OPTIONS, self._options_changed)

    def _load_key(self) -> None:
        config = self._config
        try:
            ring = find_keyring(
                self.name,
                keyring=config.get_str("keyring"),
                key=config.get_str("key"),
                keyfile=config.get_str("keyfile"),
            )
        except KeyringError as error:
            without = self._registry.without_cephx()
            if error.errno != errno.ENOENT or not without.supported_methods(MON):
                raise
            self._log.warning("%s; going on without cephx", error)
            self._registry = self._server.registry = without
        else:
            self._key = ring.get_secret(self.name)

    def _options_changed(self, *_: object) -> None:
        registry = AuthRegistry.from_config(self._config.get_str, self.name.type)
        self._registry = registry if self._key is not None else registry.without_cephx()
        self._server.registry = self._registry

    def mon_auth(self) -> MonAuth:
        """For a connection that may become the session; claims the global_id of the last one."""
        renewal = self.renewal
        return MonAuth(
            self._registry,
            self.name,
            self._key,
            self._want_keys,
            self._host,
            renewal.rotating,
            renewal.client,
        )

    def tell_auth(self) -> MonAuth:
        """For a further connection to a monitor, with a global_id of its own."""
        return MonAuth(self._registry, self.name, self._key, MON, self._host)

    def service_auth(self, peer_type: int) -> ServiceAuth:
        """For a connection to an osd, mds or mgr: our ticket for it."""
        client: AuthClient | None = self.renewal.client
        if client is None:
            raise AuthError(errno.EACCES, "there was no monitor session yet to get tickets in")
        return ServiceAuth(self._registry, peer_type, client)

    def server_auth(self, peer_type: int, now: float) -> ServiceServerAuth:
        """For a peer that connects to us; it has to show a ticket for our service."""
        return self._server.server_session(peer_type, now)
