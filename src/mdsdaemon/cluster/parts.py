"""The parts of a one-process cluster: made, and joined to each other."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from mdsdaemon.cephx.keyring import KeyRing
from mdsdaemon.cephx.registry import AuthRegistry
from mdsdaemon.cluster.daemons import MDSParts
from mdsdaemon.embedded.monitor.core import Monitor
from mdsdaemon.embedded.osd import EmbeddedOSD
from mdsdaemon.embedded.store.engine import ObjectEngine
from mdsdaemon.embedded.store.limits import Limits
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.net.stream import BindError, Transport
from mdsdaemon.types.entity import OSD, EntityAddr

if TYPE_CHECKING:
    import logging

    from mdsdaemon.cephx.auth import EntityAuth
    from mdsdaemon.cluster.options import ClusterOptions
    from mdsdaemon.embedded.storage import Committer
    from mdsdaemon.host import Host
    from mdsdaemon.net.memory_network import MemoryNetwork
    from mdsdaemon.recorder import FlightRecorder

LOOPBACK: Final = "127.0.0.1"
TABLE: Final = "cluster"
"""Records of the cluster as a whole: `mon_port`."""

_ANY_PORT: Final[Mapping[str, str]] = {"ms_bind_port_max": "0"}


@attrs.frozen
class Workshop:
    """Makes the parts, all in the same surroundings."""

    options: ClusterOptions
    host: Host
    log: logging.Logger
    recorder: FlightRecorder
    network: MemoryNetwork | None

    async def monitor(self, committer: Committer) -> Monitor:
        """The monitor, not yet running, with a port that was free a moment ago.

        Raises BindError: the port that was asked for is taken.
        """
        address, transport = self._place("0.1")
        wanted = self.options.mon_port
        # Clients that were there before a restart look for the monitor where it was.
        port = wanted or int(committer.storage.get(TABLE, b"mon_port") or 0)
        if port:
            try:
                # The messenger tries again for a while; a port of loopback is free or it is not.
                (await transport.listen(_v2(address, port))).close()
            except BindError as e:
                if wanted:
                    raise
                self.log.warning("%s; the monitor takes another port than before", e)
                port = 0
        return Monitor(
            config=self.options.config("mon.a"),
            host=self.host,
            transport=transport,
            committer=committer,
            fsid=uuid.UUID(bytes=self.host.randbytes(16), version=4),
            keyring=KeyRing(),
            bind=_v2(address, port),
            log=self.log.getChild("mon.a"),
            recorder=self.recorder,
        )

    def osd(self, committer: Committer, monitor: Monitor) -> tuple[EmbeddedOSD, EntityAddr]:
        """The object store, not yet running, and where it is to listen.

        Raises StorageError: its records are damaged.
        """
        address, transport = self._place("0.2")
        config = self.options.config("osd.0", _ANY_PORT)
        registry = AuthRegistry.from_config(config.get_str, OSD)
        osd = EmbeddedOSD(
            config=config,
            host=self.host,
            transport=transport,
            engine=ObjectEngine(
                host=self.host, limits=Limits.from_config(config), storage=committer.storage
            ),
            committer=committer,
            authenticator=monitor.auth.keys.authenticator_for(OSD, registry),
            log=self.log.getChild("osd.0"),
            recorder=self.recorder,
        )
        return osd, _v2(address, 0)

    def mds(self, name: str, number: int, auth: EntityAuth, monitor: Monitor) -> MDSParts:
        """What the `number`-th metadata server needs."""
        address, transport = self._place(f"{1 + number // 250}.{number % 250 + 2}")
        own = {
            "mon_host": str(monitor.addrs),
            "fsid": str(monitor.fsid),
            "key": auth.key.to_base64(),
            **_ANY_PORT,
        }
        config = self.options.config(f"mds.{name}", own)
        return MDSParts(config, auth, transport, _v2(address, 0))

    def _place(self, last: str) -> tuple[str, Transport]:
        """Address and network of a part: loopback, or a host of its own in memory."""
        if self.network is None:
            return LOOPBACK, SocketTransport()
        address = f"10.0.{last}"
        return address, self.network.transport(address)


def _v2(host: str, port: int) -> EntityAddr:
    return EntityAddr(EntityAddr.TYPE_MSGR2, 0, host, port)
