"""Carrying out what `map_handling` decided about a new MDS map.

Behaviour: ceph/ceph, src/mds/MDSDaemon.cc, MDSDaemon::handle_mds_map (Pacific)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mdsdaemon.daemon import lifecycle, map_handling
from mdsdaemon.daemon.commands.table import RANK_COMMANDS
from mdsdaemon.daemon.default_rank import load
from mdsdaemon.daemon.outcome import DaemonAbort
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.interface import RankServices

if TYPE_CHECKING:
    from mdsdaemon.daemon.mds_daemon import MDSDaemon
    from mdsdaemon.messages.mds import MMDSMap


def carry_out(
    mds: MDSDaemon, decision: map_handling.Decision, oldmap: MDSMap, msg: MMDSMap
) -> None:
    """Do what was decided; `mds.mdsmap` is the new map already."""
    match decision:
        case map_handling.Discard(epoch=epoch, have=have):
            mds.log.debug("handle_mds_map old map epoch %d <= %d", epoch, have)
        case map_handling.GotMap(epoch=epoch):
            mds.monc.sub_got("mdsmap", epoch)
        case map_handling.Suicide(reason=reason):
            mds.suicide(reason)
        case map_handling.Respawn(reason=reason):
            mds.respawn(reason)
        case map_handling.Abort(reason=reason):
            raise DaemonAbort(f"handle_mds_map: {reason}")
        case map_handling.StartMgrClient():
            _start_mgr_client(mds)
        case map_handling.MarkDown(gid=gid, addrs=addrs):
            mds.log.debug(" peer mds gid %d removed from map", gid)
            mds.messenger.mark_down_addrs(addrs)
        case map_handling.BecomeStandby():
            mds.log.info("Monitors have assigned me to become a standby.")
            mds.beacon.set_want_state(mds.mdsmap, State.STANDBY)
            load(mds.rank_factory)
        case map_handling.StillStandby():
            mds.log.debug("I am still standby")
        case map_handling.NotInMapYet():
            mds.log.debug("not in map yet")
        case map_handling.CreateRank(rank=rank):
            _create_rank(mds, rank)
        case map_handling.RankHandleMap():
            assert mds.mds_rank is not None
            mds.mds_rank.handle_mds_map(mds.mdsmap, oldmap, source=msg.source)
        case map_handling.NotifyBeacon():
            mds.beacon.notify_mdsmap(mds.mdsmap)


def _start_mgr_client(mds: MDSDaemon) -> None:
    """The managers may know us now: follow their map, which leads to a session."""
    mds.mgrc_started = True
    run = partial(lifecycle.service, mds, "manager session", mds.mgrc.run)
    mds.nursery_or_fail().start_soon(run, name="manager session")
    mds.messenger.add_dispatcher_tail(mds.mgrc)
    mds.monc.sub_want("mgrmap", 0, 0)
    mds.monc.renew_subs()


def _create_rank(mds: MDSDaemon, rank: int) -> None:
    mds.log.info("initializing MDS rank %d", rank)
    services = RankServices(
        name=mds.name,
        gid=mds.gid,
        config=mds.config,
        host=mds.host,
        log=mds.log,
        clog=mds.clog,
        recorder=mds.recorder,
        perf=mds.perf,
        messenger=mds.messenger,
        monc=mds.monc,
        mgrc=mds.mgrc,
        beacon=mds.beacon,
        mdsmap=lambda: mds.mdsmap,
        respawn=mds.respawn,
        suicide=mds.suicide,
        is_leaving=lambda: mds.outcome is not None,
    )
    mds.mds_rank = mds.rank_factory(rank, services)
    mds.mds_rank.init()
    mds.executor.register_commands(RANK_COMMANDS, mds.asok_command)
    mds.rank_created.set()
