"""The numbers of `ceph -s` that a manager would report.

Behaviour: ceph/ceph, src/mon/PGMap.cc (PGMapDigest::print_summary) (Pacific)
"""

from __future__ import annotations

from typing import Any, ClassVar

from mdsdaemon.embedded.monitor import osd_pgs
from mdsdaemon.embedded.monitor.service import Service


class MgrStatMonitor(Service):
    """See the module."""

    name: ClassVar[str] = "mgr_stat"

    def summary(self) -> dict[str, Any]:
        """``pgmap`` of `ceph status -f json`."""
        return osd_pgs.summary_json(self.mon.osd.pgs.summary())

    def summary_text(self) -> str:
        """The lines below ``data:`` of `ceph status`."""
        return osd_pgs.summary_text(self.mon.osd.pgs.summary())
