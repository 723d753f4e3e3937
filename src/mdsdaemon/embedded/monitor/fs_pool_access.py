"""What file systems need of the OSDMap's service: which pools there are, and marking them.

Behaviour: ceph/ceph, src/mon/FSCommands.cc (_check_pool, FsNewHandler) (Pacific 16.2.15)
"""

from __future__ import annotations

import errno
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from mdsdaemon.embedded.monitor.commands import fail
from mdsdaemon.embedded.monitor.osd_usage import pool_available
from mdsdaemon.embedded.monitor.pool_options import AUTOSCALE_MODES, FLAG_BULK, OPTIONS
from mdsdaemon.types.pool import FLAG_EC_OVERWRITES, PoolType

if TYPE_CHECKING:
    from mdsdaemon.embedded.monitor.core import Monitor
    from mdsdaemon.types.pool import PGPool

CEPHFS: Final = "cephfs"

_METADATA_OPTIONS: Final = {
    "recovery_priority": 5,
    "pg_num_min": 16,
    "pg_autoscale_bias": 4.0,
}


class PoolAccess:
    """See the module."""

    def __init__(self, mon: Monitor) -> None:
        self.mon = mon

    def find(self, name: str) -> int | None:
        """The id of the pool of that name."""
        return self.mon.osd.pool_id(name)

    def need_id(self, name: str) -> int:
        """The same; raises CommandError (ENOENT)."""
        found = self.find(name)
        if found is None:
            raise fail(errno.ENOENT, f"pool '{name}' does not exist")
        return found

    def exists(self, pool: int) -> bool:
        return pool in self.mon.osd.map.pools

    def name(self, pool: int) -> str:
        """The name of a pool, "" if there is none of that id."""
        return self.mon.osd.pool_name(pool)

    def has_objects(self, pool: int) -> bool:
        """Whether anything lies in the pool."""
        return self.mon.osd.usage.pool(pool).objects > 0

    def used(self, pool: int) -> int:
        """Bytes that lie in the pool, omap included."""
        found = self.mon.osd.usage.pool(pool)
        return found.bytes + found.omap_bytes

    def available(self, pool: int) -> int:
        """Bytes that may still be written to it."""
        osd_map = self.mon.osd.map
        found = osd_map.pools.get(pool)
        return pool_available(osd_map, found, self.mon.osd.usage) if found is not None else 0

    def one_epoch(self) -> AbstractContextManager[object]:
        """All changes of the OSDMap within make one epoch."""
        return self.mon.osd.change()

    def check(self, pool: int, kind: str, *, force: bool) -> str:
        """Whether a pool can hold "metadata", the first "data" or "extra" data of a file system.

        Returns a remark for the answer, mostly none. Raises CommandError (ENOENT, EINVAL).
        """
        found = self.mon.osd.map.pools.get(pool)
        if found is None:
            raise fail(errno.ENOENT, f"pool id '{pool}' does not exist")
        which = f"pool '{self.name(pool)}' (id '{pool}')"
        if found.type == PoolType.ERASURE:
            _check_erasure(found, which, kind, force=force)
        if found.tier_of >= 0:
            raise fail(errno.EINVAL, f" {which} is already in use as a cache tier.")
        apps = found.application_metadata
        if apps and CEPHFS not in apps and not force:
            raise fail(errno.EINVAL, f" {which} has a non-CephFS application enabled.")
        grows = AUTOSCALE_MODES.index("on") == found.pg_autoscale_mode
        if kind != "metadata" and grows and not found.flags & FLAG_BULK:
            name = self.name(pool)
            return (
                f"  Pool '{name}' (id '{pool}') has pg autoscale mode 'on' but is not marked as "
                "bulk.\n  Consider setting the flag by running\n"
                f"    # ceph osd pool set {name} bulk true\n"
            )
        return ""

    def tag(self, pool: int, key: str, fs_name: str) -> None:
        """Note that the file system keeps its "data" or "metadata" in the pool: caps go by it."""
        self.mon.osd.enable_application(pool, CEPHFS, key, fs_name, force=True)

    def tune_metadata(self, pool: int) -> None:
        """Options of a pool of metadata."""
        with self.mon.osd.change() as pending:
            options = pending.pool(pool).opts.opts
            for name, value in _METADATA_OPTIONS.items():
                options[OPTIONS[name].key] = value


def _check_erasure(pool: PGPool, which: str, kind: str, *, force: bool) -> None:
    if kind == "metadata":
        raise fail(
            errno.EINVAL,
            f"{which} is an erasure-coded pool.  Use of erasure-coded pools for CephFS metadata "
            "is not permitted",
        )
    if kind == "data" and not force:
        raise fail(
            errno.EINVAL,
            f"{which} is an erasure-coded pool. Use of an EC pool for the default data pool is "
            "discouraged; see the online CephFS documentation for more information. Use --force "
            "to override.",
        )
    if not pool.flags & FLAG_EC_OVERWRITES:
        raise fail(errno.EINVAL, f"{which} is an erasure-coded pool, with no overwrite support")
