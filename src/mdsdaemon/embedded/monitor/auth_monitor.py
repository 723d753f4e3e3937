"""Keys and caps of all entities; who gets in."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mdsdaemon.cephx.auth import AuthCapsInfo
from mdsdaemon.embedded.monitor.mon_caps import MonCaps
from mdsdaemon.embedded.monitor.service import Service
from mdsdaemon.types.entity import EntityName

if TYPE_CHECKING:
    from mdsdaemon.msgr2.auth import Authenticator


class AuthMonitor(Service):
    """Keys and caps of all entities; who gets in."""

    name: ClassVar[str] = "auth"
    authenticator: Authenticator

    def mon_caps(self, name: EntityName, caps: AuthCapsInfo) -> MonCaps:
        """What the entity may do at the monitor."""
        return MonCaps.allow_all()
