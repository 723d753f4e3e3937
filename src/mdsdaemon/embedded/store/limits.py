"""Bounds of the object store, by the names of the OSD's options.

Values: ceph/ceph, src/common/options.cc (Pacific)
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs


class SupportsGet(Protocol):
    """What is needed of a configuration."""

    def get(self, name: str) -> Any: ...


@attrs.frozen
class Limits:
    """Sizes in bytes, times in seconds."""

    osd_max_object_size: int = 128 << 20
    osd_max_object_name_len: int = 2048
    osd_max_object_namespace_len: int = 256
    osd_max_attr_name_len: int = 100
    osd_max_attr_size: int = 0
    osd_max_write_size: int = 90
    """MiB."""
    osd_max_pgls: int = 1024
    osd_max_omap_entries_per_request: int = 1024
    osd_max_omap_bytes_per_request: int = 1 << 30
    osd_max_write_op_reply_len: int = 64
    osd_client_watch_timeout: int = 30
    osd_default_notify_timeout: int = 30
    osd_map_share_max_epochs: int = 40
    osd_map_message_max: int = 40
    osd_pg_log_dups_tracked: int = 3000

    @classmethod
    def from_config(cls, config: SupportsGet) -> Limits:
        """The configured values; the defaults where the configuration knows no such option."""
        given = {}
        for attribute in attrs.fields(cls):
            try:
                given[attribute.name] = int(config.get(attribute.name))
            except (KeyError, LookupError):
                continue
        return cls(**given)
