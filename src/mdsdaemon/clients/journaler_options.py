"""The options of a journaler."""

from __future__ import annotations

from typing import Self

import attrs

from mdsdaemon.config import Config


@attrs.frozen
class JournalerOptions:
    """Options, under their names in Ceph's configuration as far as they have one there.

    Attributes:
        prezero_periods: journaler_prezero_periods.
        prefetch_periods: journaler_prefetch_periods, of reading ahead.
        write_head_interval: journaler_write_head_interval, seconds.
        max_purge_ops: filer_max_purge_ops, objects that are deleted at once.
        writes_at_once: how many writes are under way before appended entries wait for one to end;
            more make more of them and smaller ones, which costs more than it gains.
        max_unsafe: bytes that are appended and not safe before `room` waits.
        flush_interval: seconds that an entry may wait for somebody to ask for a flush.
    """

    prezero_periods: int = 5
    prefetch_periods: int = 10
    write_head_interval: float = 15
    max_purge_ops: int = 10
    writes_at_once: int = 2
    max_unsafe: int = 64 << 20
    flush_interval: float = 1.0

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """As the daemon's configuration has them."""
        return cls(
            prezero_periods=config.get_int("journaler_prezero_periods"),
            prefetch_periods=config.get_int("journaler_prefetch_periods"),
            write_head_interval=config.get_int("journaler_write_head_interval"),
            max_purge_ops=config.get_int("filer_max_purge_ops"),
        )
