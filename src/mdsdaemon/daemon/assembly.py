"""Putting one instance of a daemon together: messenger, clients, commands, admin socket.

Behaviour: ceph/ceph, src/ceph_mds.cc (policies, order), src/common/ceph_context.cc (Pacific)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mdsdaemon.clients.bootstrap import build_initial_monmap
from mdsdaemon.clients.log_client import LogClient
from mdsdaemon.clients.mon_client import MonClient
from mdsdaemon.config import Config, Level
from mdsdaemon.daemon.addresses import local_addresses, pick_addresses
from mdsdaemon.daemon.admin_socket import AdminSocket
from mdsdaemon.daemon.commands.context_commands import ContextCommands, LogHooks
from mdsdaemon.daemon.commands.executor import CommandExecutor
from mdsdaemon.daemon.commands.table import ADMIN_SOCKET_COMMANDS, CONTEXT_COMMANDS
from mdsdaemon.daemon.default_rank import DEFAULT_RANK
from mdsdaemon.daemon.heartbeat import HeartbeatMap
from mdsdaemon.daemon.mds_daemon import MDSDaemon
from mdsdaemon.host import Host
from mdsdaemon.messages.cmdparse import CmdMap
from mdsdaemon.net.counters import add_messenger_counters
from mdsdaemon.net.messenger import Messenger
from mdsdaemon.net.options import MessengerOptions
from mdsdaemon.net.policy import Policy
from mdsdaemon.net.socket_transport import SocketTransport
from mdsdaemon.net.stream import Transport
from mdsdaemon.perf import PerfRegistry, add_context_counters
from mdsdaemon.rank.interface import RankFactory
from mdsdaemon.recorder import FlightRecorder
from mdsdaemon.records import field, frozen
from mdsdaemon.types.entity import CLIENT, MDS, MON, EntityAddr, EntityName, PeerName
from mdsdaemon.types.features import OSDREPLYMUX, PGID64, UID

if TYPE_CHECKING:
    from mdsdaemon.clients.mgr_client import MgrClient


@frozen
class Surroundings:
    """What all instances (lives) of one daemon share.

    name: the daemon's name in the map, where it is not that of its key.
    admin_socket: None opens it where the option is set by somebody; True and False decide.
    binds: the addresses to bind instead of those that the configuration names.
    owner: (uid, gid) that the admin socket is given to.
    """

    config: Config
    host: Host
    log: logging.Logger
    recorder: FlightRecorder
    name: str = ""
    transport: Transport = field(factory=SocketTransport)
    rank_factory: RankFactory = DEFAULT_RANK
    log_hooks: LogHooks = LogHooks()
    admin_socket: bool | None = None
    binds: tuple[EntityAddr, ...] | None = None
    owner: tuple[int, int] | None = None


@frozen
class Instance:
    """One life, ready to run."""

    mds: MDSDaemon
    binds: tuple[EntityAddr, ...]
    admin_socket: AdminSocket | None


async def assemble(around: Surroundings) -> Instance:
    """Make the parts of a new life; only the names of monitors are looked up meanwhile.

    Raises:
        FatalError, MonitorsUnknownError, KeyringError, MonClientError: as the parts do.
    """
    config, log = around.config, around.log
    binds = around.binds
    if binds is None:
        binds = tuple(pick_addresses(config, local_addresses()))
    monmap = await build_initial_monmap(config)
    perf = PerfRegistry()
    messenger = _messenger(around)
    add_messenger_counters(perf, messenger)
    name = EntityName.parse(config.name)
    log_client = LogClient(name, config, around.host.wall, messenger, log=log.getChild("clog"))
    monc = MonClient(
        name=name,
        config=config,
        messenger=messenger,
        host=around.host,
        monmap=monmap,
        log=log.getChild("monc"),
        recorder=around.recorder,
    )
    monc.set_log_client(log_client)
    executor = CommandExecutor()
    mds_name = around.name or config.id

    def make_mgrc() -> MgrClient:
        from mdsdaemon.clients.mgr_client import MgrClient

        return MgrClient(
            mds_name,
            config=config,
            messenger=messenger,
            counters=perf.entries,
            on_map=lambda epoch: monc.sub_got("mgrmap", epoch),
            log=log.getChild("mgrc"),
            recorder=around.recorder,
        )

    heartbeat = HeartbeatMap()
    add_context_counters(perf, workers=heartbeat.counts, pools=dict)
    commands = ContextCommands(
        config,
        perf,
        executor,
        log_hooks=around.log_hooks,
        mempools=dict,
    )
    executor.register_commands(ADMIN_SOCKET_COMMANDS, commands.admin_socket)
    executor.register_commands(CONTEXT_COMMANDS, commands.call)
    executor.on_command = lambda prefix, cmdmap: _note(around, prefix, cmdmap)
    mds = MDSDaemon(
        mds_name,
        config=config,
        host=around.host,
        log=log,
        clog=log_client.create_channel(),
        recorder=around.recorder,
        perf=perf,
        messenger=messenger,
        monc=monc,
        make_mgrc=make_mgrc,
        executor=executor,
        heartbeat=heartbeat,
        rank_factory=around.rank_factory,
    )
    monc.refused_handler = mds.handle_refusal
    return Instance(mds, binds, _admin_socket(around, executor))


def _messenger(around: Surroundings) -> Messenger:
    messenger = Messenger(
        PeerName(MDS, -1),
        nonce=around.host.random_u32(),
        host=around.host,
        transport=around.transport,
        options=MessengerOptions.from_config(around.config),
        log=around.log.getChild("ms"),
        recorder=around.recorder,
    )
    messenger.set_default_policy(Policy.lossy_client(OSDREPLYMUX))
    messenger.set_policy(MON, Policy.lossy_client(UID | PGID64))
    messenger.set_policy(MDS, Policy.lossless_peer(UID))
    messenger.set_policy(CLIENT, Policy.stateful_server(0))
    return messenger


def _admin_socket(around: Surroundings, executor: CommandExecutor) -> AdminSocket | None:
    config = around.config
    path = config.get_str("admin_socket")
    wanted = around.admin_socket
    if wanted is None:
        # A host program has a use for the socket only where somebody set the option.
        wanted = config.level("admin_socket") > Level.DEFAULT
    if not wanted or not path:
        return None
    mode = config.get_str("admin_socket_mode")
    bits = int(mode, 8) if mode and set(mode) <= set("01234567") else 0
    if mode and not bits:
        around.log.error("admin_socket_mode %r is not an octal number such as 0770", mode)
    return AdminSocket(
        path, executor, log=around.log.getChild("asok"), mode=bits, owner=around.owner
    )


def _note(around: Surroundings, prefix: str, cmdmap: CmdMap) -> None:
    around.log.debug("do_command %r", prefix)
    around.recorder.record("command", prefix=prefix)
