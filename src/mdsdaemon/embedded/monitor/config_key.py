"""A store of keys and values for modules and people (config-key)."""

from __future__ import annotations

from typing import ClassVar

from mdsdaemon.embedded.monitor.service import Service


class ConfigKeyMonitor(Service):
    """A store of keys and values for modules and people (config-key)."""

    name: ClassVar[str] = "config_key"
