"""Which services the monitor has, in the order in which they are made, loaded and ticked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdsdaemon.embedded.monitor.auth_monitor import AuthMonitor
from mdsdaemon.embedded.monitor.command_handler import CommandHandler
from mdsdaemon.embedded.monitor.config_key import ConfigKeyMonitor
from mdsdaemon.embedded.monitor.config_monitor import ConfigMonitor
from mdsdaemon.embedded.monitor.health_monitor import HealthMonitor
from mdsdaemon.embedded.monitor.log_monitor import LogMonitor
from mdsdaemon.embedded.monitor.mds_monitor import MDSMonitor
from mdsdaemon.embedded.monitor.mgr_monitor import MgrMonitor
from mdsdaemon.embedded.monitor.mon_map import MonmapMonitor
from mdsdaemon.embedded.monitor.osd_monitor import OSDMonitor
from mdsdaemon.embedded.monitor.report import ReportService
from mdsdaemon.embedded.monitor.service import Service
from mdsdaemon.embedded.monitor.session_service import SessionService
from mdsdaemon.embedded.monitor.status import StatusService
from mdsdaemon.embedded.monitor.tell import TellService

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor


class Services:
    """The monitor's services as attributes; `services` lists them."""

    mon_map: MonmapMonitor
    auth: AuthMonitor
    config_db: ConfigMonitor
    kv: ConfigKeyMonitor
    log: LogMonitor
    osd: OSDMonitor
    mds: MDSMonitor
    mgr: MgrMonitor
    health: HealthMonitor
    command_handler: CommandHandler
    services: list[Service]

    def make_services(self, mon: Monitor) -> None:
        """Make them all; none may look at another yet."""
        self.mon_map = MonmapMonitor(mon)
        self.auth = AuthMonitor(mon)
        self.config_db = ConfigMonitor(mon)
        self.kv = ConfigKeyMonitor(mon)
        self.log = LogMonitor(mon)
        self.osd = OSDMonitor(mon)
        self.mds = MDSMonitor(mon)
        self.mgr = MgrMonitor(mon)
        self.health = HealthMonitor(mon)
        self.command_handler = CommandHandler(mon)
        self.services = [
            self.mon_map,
            self.auth,
            self.kv,
            self.log,
            self.osd,
            self.config_db,
            self.mds,
            self.mgr,
            self.health,
            self.command_handler,
            SessionService(mon),
            StatusService(mon),
            ReportService(mon),
            TellService(mon),
        ]
