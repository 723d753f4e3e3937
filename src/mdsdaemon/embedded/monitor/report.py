"""`ceph report`: all there is to know of the cluster's state, for who is asked for help.

Behaviour: ceph/ceph, src/mon/Monitor.cc (handle_command), the services' dump_info (Pacific)
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

from mdsdaemon.checksum import crc32c
from mdsdaemon.embedded.monitor import mds_print, osd_crush, osd_view
from mdsdaemon.embedded.monitor.commands import Args, CommandContext, CommandResult, command
from mdsdaemon.embedded.monitor.service import Service
from mdsdaemon.maps.mon_map import PORT_LEGACY
from mdsdaemon.records import evolve
from mdsdaemon.types.utime import from_seconds, utime_str
from mdsdaemon.version import CEPH_VERSION_SHORT, git_version

_MASK: Final = 0xFFFFFFFF


class ReportService(Service):
    """See the module."""

    name: ClassVar[str] = "report"

    @command(
        "report name=tags,type=CephString,n=N,req=false",
        module="mon",
        perm="r",
        about="all there is to know of the cluster's state",
    )
    def report(self, ctx: CommandContext, args: Args) -> CommandResult:
        mon = self.mon
        data: dict[str, Any] = {
            "cluster_fingerprint": str(mon.fsid),
            "version": CEPH_VERSION_SHORT,
            "commit": git_version(),
            "timestamp": utime_str(from_seconds(ctx.now)),
            "tag": " ".join(args.get_strs("tags")),
            "health": mon.health.summary(detail=True),
            **mon.mon_map.dump_info(),
            **self._osd(),
            "fsmap": mds_print.dump_fsmap(mon.mds.fsmap),
            "mdsmap_first_committed": mon.mds.first_committed,
            "mdsmap_last_committed": mon.mds.fsmap.epoch,
            **mon.auth.dump_info(),
            **self._pgs(ctx),
            "servicemap": mon.mgr.service_map(),
            "paxos": {
                "first_committed": 1,
                "last_committed": mon.transactions.seq,
                "last_pn": 0,
                "accepted_pn": 0,
            },
        }
        result = ctx.reply(data)
        # Ceph's crc32c starts with the seed as it is and does not invert the result
        checksum = ~crc32c(result.outb, ~PORT_LEGACY & _MASK) & _MASK
        return CommandResult(0, f"report {checksum}", result.outb)

    def _osd(self) -> dict[str, Any]:
        osd = self.mon.osd
        newest, oldest = osd.get_version("osdmap") or (osd.map.epoch, 1)
        up = [number for number in osd_view.existing(osd.map) if osd.map.is_up(number)]
        return {
            "osdmap": osd_view.dump_osd_map(osd.map),
            "osd_metadata": [{"id": id_, **data} for id_, data in sorted(osd.metadata.items())],
            "osdmap_clean_epochs": {
                "min_last_epoch_clean": newest,
                "last_epoch_clean": {"per_pool": []},
                "osd_epochs": [{"id": number, "epoch": newest} for number in up],
            },
            "osdmap_first_committed": oldest,
            "osdmap_last_committed": newest,
            "crushmap": osd_crush.dump_crush(osd.map.client.crush),
        }

    def _pgs(self, ctx: CommandContext) -> dict[str, Any]:
        osd = self.mon.osd
        dump = self.mon.commands.find("pg dump")
        assert dump is not None
        assert dump.handler is not None
        answer = dump.handler(evolve(ctx, prefix="pg dump", format="json"), Args({}))
        pgs = json.loads(answer.outb)["pg_map"]
        states = osd.pgs.states()
        return {
            "num_pg": sum(states.values()),
            "num_pg_active": sum(n for name, n in states.items() if "active" in name),
            "num_pg_unknown": states.get("unknown", 0),
            "num_osd": len(pgs["osd_stats"]),
            "pool_sum": pgs["pg_stats_sum"],
            "osd_sum": pgs["osd_stats_sum"],
            "osd_sum_by_class": {},
            "pool_stats": pgs["pool_stats"],
            "osd_stats": pgs["osd_stats"],
            "num_pg_by_state": [{"state": name, "num": n} for name, n in states.items()],
            "num_pg_by_osd": [
                {"osd": number, "num_primary_pg": osd.pgs.on_osd(number)}
                for number in osd_view.existing(osd.map)
            ],
            "purged_snaps": [],
        }
