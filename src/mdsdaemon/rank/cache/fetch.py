"""Fetching: dentries of a fragment come into the cache, all of them or single ones by name.

A fetch adds what is not in the cache; what is there is newer or the same. However many wait, one
fetch is under way. Where a large fragment is asked for single names, only those are fetched at
first.

Behaviour: ceph/ceph, src/mds/CDir.cc (fetch, _omap_fetched, _load_dentry, go_bad) (Pacific)
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from attrs import define

from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.clients.objecter_ops import ObjectOperation, Output, Result
from mdsdaemon.encoding import DecodeError, decode
from mdsdaemon.rank.cache.dentry_codec import Loaded, decode_dentry, fill_inode, split_key
from mdsdaemon.rank.cache.inode import CInode
from mdsdaemon.rank.cache.lean import make_lean
from mdsdaemon.rank.cache.nests import note_behind
from mdsdaemon.rank.cache.stats import frag_to_inode
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.snap.purge import is_seen
from mdsdaemon.rank.waiting import Gate, MustWait
from mdsdaemon.types.backtrace import Backtrace
from mdsdaemon.types.osd import NOSNAP
from mdsdaemon.types.stats import FNode

if TYPE_CHECKING:
    from mdsdaemon.clients.objecter_ops import OmapVals
    from mdsdaemon.rank.cache.dentry import CDentry
    from mdsdaemon.rank.cache.dir import CDir
    from mdsdaemon.rank.core import RankCore
    from mdsdaemon.rank.damage import DamageEntry

KEYED_ABOVE, KEYED_ABOVE_FULL = 128, 16
"""In fragments of more entries than this (the other one: in a full cache), single names are fetched
by themselves at first."""
KEYED_MIN, KEYED_SHARE, KEYED_SHARE_FULL = 16, 64, 8
"""How many: so many, or every so-manieth entry if that is more. Then all are fetched. In a full
cache that would drive out as much of others: it is done when the single reads have cost as much,
and not before there were as many as entries if all were there once and had to go."""
PAGE = 1024
"""Entries of one read at most (and mds_dir_keys_per_op): to take in so many takes some 50 ms, in
which nobody else is served."""
MISSING = frozenset({errno.ENOENT, errno.ENODATA})
UNREADABLE = frozenset({errno.EIO, errno.EINVAL})


@define(eq=False)
class _Page:
    """One read of a fragment: what of its result is what."""

    header: Output[bytes] | None
    values: Output[OmapVals]
    backtrace: Output[bytes] | None


class Fetcher:
    """See the module."""

    def __init__(self, rank: RankCore) -> None:
        self.rank = rank
        self._single: dict[tuple[CDir, str], Gate] = {}
        rank.damage.on_removed.append(self._damage_removed)

    # -- asking ------------------------------------------------------------------------------

    def need_complete(self, directory: CDir) -> None:
        """See `CacheStore`."""
        if directory.damaged:
            raise FsError(errno.EIO, f"{directory} is damaged")
        if not directory.complete:
            if self.is_gone(directory):
                self._set_empty(directory)
                return
            raise MustWait(self.fetch(directory))

    def lookup(self, directory: CDir, name: str, snapid: int) -> CDentry | None:
        """See `CacheStore`."""
        dn = directory.lookup(name, snapid)
        if dn is not None:
            dn.touched = True
            return dn
        if directory.damaged:
            raise FsError(errno.EIO, f"{directory} is damaged")
        if len(self.rank.damage) and self._is_damaged(directory, name, snapid):
            raise FsError(errno.EIO, f"{directory}/{name} is damaged")
        if directory.complete:
            return None
        names = directory.trimmed_names
        if names is not None and snapid == NOSNAP and name not in names:
            return None
        if snapid == NOSNAP and directory.fetching is None and self._is_worth_it(directory):
            raise MustWait(self._fetch_one(directory, name))
        self.need_complete(directory)
        return directory.lookup(name, snapid)

    def _is_damaged(self, directory: CDir, name: str, snapid: int) -> bool:
        ino, frag, damage = directory.inode.ino, directory.frag, self.rank.damage
        return damage.is_dentry(ino, frag, name) or (
            snapid != NOSNAP and damage.is_dentry(ino, frag, name, snapid)
        )

    def is_gone(self, directory: CDir) -> bool:
        """Whether it is of a directory that was removed: there is nothing in it to be fetched."""
        inode = directory.inode
        return inode.is_stray and not inode.snaprealm_blob

    def _set_empty(self, directory: CDir) -> None:
        if not directory.fnode.version:
            directory.fnode.version = 1
        directory.complete = True
        directory.trimmed_names = None

    # -- all of it ---------------------------------------------------------------------------

    def fetch(self, directory: CDir) -> Gate:
        """Fetch all that is stored, if that is not under way; the gate that opens afterwards.

        An objecter that has stopped fails at once, and the gate stays shut: the rank is at its end.
        """
        gate = directory.fetching
        if gate is None:
            gate = directory.fetching = self.rank.queue.gate()
            directory.loads += 1
            self.rank.counters.mds.inc("dir_fetch")
            self._read_page(directory, "")
        return gate

    def _read_page(self, directory: CDir, after: str) -> None:
        config = self.rank.config
        op, header, backtrace = ObjectOperation(), None, None
        if not after:
            header = op.omap_get_header()
        values = op.omap_get_vals(after, "", min(config.get_int("mds_dir_keys_per_op"), PAGE))
        if not after and not directory.frag.enc and config.get_int("mds_verify_backtrace") > 0:
            backtrace = op.getxattr("parent")
            op.failok()
        page = _Page(header, values, backtrace)
        self.rank.objecter.submit(
            self.rank.metadata_pool,
            directory.object_name,
            op,
            lambda outcome: self._page_read(directory, page, outcome),
        )

    def _is_alive(self, directory: CDir) -> bool:
        """Whether it is still in the cache: it may have been dropped while it was read."""
        inode = directory.inode
        alive = inode.dirs.get(directory.frag) is directory
        return alive and self.rank.cache.get_inode(inode.ino, inode.last) is inode

    def _page_read(self, directory: CDir, page: _Page, outcome: Result | RadosError) -> None:
        if not self._is_alive(directory):
            self._finished(directory)
            return
        if isinstance(outcome, RadosError):
            self._failed(directory, outcome)
            return
        try:
            header = outcome[page.header] if page.header is not None else None
            values = outcome[page.values]
        except RadosError as error:
            self._failed(directory, error)
            return
        if header is not None and not self._take_header(directory, header):
            return
        if page.backtrace is not None:
            self._verify_backtrace(directory.inode, page.backtrace, outcome)
        more = values.more and bool(values.vals)
        if more:  # on its way while this one is taken in
            self._read_page(directory, next(reversed(values.vals)))
        stale = self._stale_before(directory)
        for key, value in values.vals.items():
            self._load(directory, key, value, stale)
        if not more:
            directory.complete = True
            directory.trimmed_names = None
            self._finished(directory)

    def _finished(self, directory: CDir) -> None:
        gate, directory.fetching = directory.fetching, None
        directory.loads -= 1
        directory.keyed = 0
        if gate is not None:
            gate.open()

    # -- one name ----------------------------------------------------------------------------

    def _is_worth_it(self, directory: CDir) -> bool:
        if directory.fnode.version:
            size = directory.fnode.fragstat.size
        else:
            size = directory.inode.inode.dirstat.size // max(len(directory.inode.dirs), 1)
        above, share = KEYED_ABOVE, KEYED_SHARE
        if self.rank.store.is_full():
            above = KEYED_ABOVE_FULL
            share = KEYED_SHARE_FULL if directory.trimmed_names is None else 1
        return size > above and directory.keyed < max(KEYED_MIN, size // share)

    def _fetch_one(self, directory: CDir, name: str) -> Gate:
        gate = self._single.get((directory, name))
        if gate is not None:
            return gate
        gate = self._single[directory, name] = self.rank.queue.gate()
        directory.loads += 1
        directory.keyed += 1
        self.rank.counters.mds.inc("dir_fetch")
        op = ObjectOperation()
        header = op.omap_get_header()
        values = op.omap_get_vals_by_keys([f"{name}_head"])
        self.rank.objecter.submit(
            self.rank.metadata_pool,
            directory.object_name,
            op,
            lambda outcome: self._one_read(directory, name, header, values, outcome),
        )
        return gate

    def _one_read(
        self,
        directory: CDir,
        name: str,
        header: Output[bytes],
        values: Output[dict[str, bytes]],
        outcome: Result | RadosError,
    ) -> None:
        gate = self._single.pop((directory, name))
        directory.loads -= 1
        if not self._is_alive(directory):
            gate.open()
            return
        try:
            if isinstance(outcome, RadosError):
                raise outcome
            found, fnode = outcome[values], outcome[header]
        except RadosError as error:
            if error.errno in MISSING or error.errno in UNREADABLE:
                directory.keyed = 1 << 30  # the fetch of all of it tells what is wrong
                gate.open()
            elif error.errno == errno.ETIMEDOUT:
                gate.open()
            else:
                self.rank.handle_write_error(error)
            return
        if directory.fnode.version or self._take_header(directory, fnode):
            stale = self._stale_before(directory)
            for key, value in found.items():
                self._load(directory, key, value, stale)
            damaged = self._is_damaged(directory, name, NOSNAP)
            if not damaged and name not in directory.items and not directory.complete:
                self.rank.cache.add_dentry(directory, name)
        gate.open()

    def any_load(self, directory: CDir) -> Gate | None:
        """A gate that opens when a read of the fragment is over; None: none is under way."""
        if directory.fetching is not None:
            return directory.fetching
        return next((gate for (at, _), gate in self._single.items() if at is directory), None)

    # -- what was read -----------------------------------------------------------------------

    def _take_header(self, directory: CDir, header: bytes) -> bool:
        clog = self.rank.services.clog
        path = self.rank.cache.path_of(directory.inode)
        if not header:
            clog.error(
                f"dir {directory.dirfrag} object missing on disk; some files may be lost ({path})"
            )
            self.go_bad(directory)
            return False
        try:
            fnode = decode(FNode, header)
        except DecodeError as error:
            clog.warn(f"Corrupt fnode header in {directory.dirfrag}: {error} ({path})")
            self.go_bad(directory)
            return False
        if not directory.fnode.version:
            directory.fnode = fnode
            directory.committed_version = fnode.version
            if frag_to_inode(directory, probe=True):
                note_behind(self.rank, directory.inode)
        return True

    def _stale_before(self, directory: CDir) -> list[int] | None:
        """The snapshots that are left, if some are gone since the fragment was last cleaned."""
        snaps = self.rank.snaps
        known = snaps.purger.live_snaps(directory) if snaps.any_snapshots else None
        return None if known is None else known[1]

    def _load(self, directory: CDir, key: str, value: bytes, live: list[int] | None) -> None:
        name, last = key, NOSNAP
        try:
            name, last = split_key(key)
            loaded = decode_dentry(value)
        except DecodeError as error:
            self._bad_dentry(directory, name, last, str(error))
            return
        dn = directory.lookup_exact(name, last)
        if dn is not None:
            self._compare(directory, dn, loaded)
            return
        if live is not None and last != NOSNAP and not is_seen(live, loaded.first, last):
            self._note_stale(directory, key)
            return
        if last != NOSNAP and directory.lookup(name, last) is not None:
            return
        if loaded.store is not None:
            self._load_primary(directory, name, last, loaded)
        else:
            dn = self.rank.cache.add_dentry(directory, name, loaded.first, last)
            dn.touched = False
            target = self.rank.cache.get_inode(loaded.ino)
            self.rank.cache.link_remote(dn, loaded.ino, loaded.d_type, target)
            dn.version = directory.fnode.version
            dn.alternate_name, dn.store_tail = loaded.alternate_name, loaded.tail

    def _note_stale(self, directory: CDir, key: str) -> None:
        """No snapshot sees it any more: it goes with the next commit, which is due now."""
        if directory.stale_keys is None:
            directory.stale_keys = set()
            if not self.rank.read_only and not self.rank.is_any_replay():
                directory.fnode.version += 1
                directory.mark_dirty(self.rank.mdlog.segment)
        directory.stale_keys.add(key)

    def _load_primary(self, directory: CDir, name: str, last: int, loaded: Loaded) -> None:
        cache, store = self.rank.cache, loaded.store
        assert store is not None
        ino = store.inode.ino
        known = cache.get_inode(ino, last)
        if known is not None:
            self.rank.services.clog.error(
                f"loaded dup inode 0x{ino:x} [{loaded.first:x},{last:x}] v{store.inode.version} at "
                f"{cache.path_of(directory.inode)}/{name}, but inode 0x{ino:x} "
                f"v{known.inode.version} already exists at {cache.path_of(known)}"
            )
            self._bad_dentry(directory, name, last, "its inode has another place")
            return
        inode = CInode(ino, store.inode, loaded.first, last)
        fill_inode(inode, store)
        if not inode.is_dir:
            make_lean(inode)
        if inode.old_inodes:
            inode.first = max(inode.first, max(inode.old_inodes) + 1)
        cache.add_inode(inode)
        dn = cache.add_dentry(directory, name, loaded.first, last)
        dn.touched = False
        cache.link_primary(dn, inode)
        if store.inode.rstat != store.inode.accounted_rstat and last == NOSNAP:
            note_behind(self.rank, inode)
        dn.version = store.inode.version
        dn.alternate_name, dn.store_tail = loaded.alternate_name, loaded.tail

    def _compare(self, directory: CDir, dn: CDentry, loaded: Loaded) -> None:
        """What a replay made dirty may have been stored before the rank failed: then it is clean.

        Only while this cache has not stored the fragment: from then on it knows what is stored.
        """
        if directory.committed_version or not directory.dirty_items:
            return
        if loaded.store is not None:
            same = dn.inode is not None and (
                dn.inode.ino == loaded.store.inode.ino
                and dn.inode.inode.version == loaded.store.inode.version
            )
        else:
            same = (
                dn.is_remote
                and dn.remote_ino == loaded.ino
                and dn.remote_d_type == loaded.d_type
                and dn.alternate_name == loaded.alternate_name
            )
        if same and dn.key not in directory.committing_items:
            directory.dirty_items.pop(dn.key, None)

    # -- what is wrong -----------------------------------------------------------------------

    def _failed(self, directory: CDir, error: RadosError) -> None:
        if error.errno in MISSING:
            self._take_header(directory, b"")
        elif error.errno in UNREADABLE:
            self.rank.services.clog.error(f"dir {directory.dirfrag} cannot be read: {error}")
            self.go_bad(directory)
        elif error.errno == errno.ETIMEDOUT:
            self._finished(directory)  # who waits asks again
        else:
            # fenced, or the cluster is out of reach: the daemon ends, nobody is told anything
            directory.fetching = None
            directory.loads -= 1
            self.rank.handle_write_error(error)

    def go_bad(self, directory: CDir) -> None:
        """A fragment cannot be read: EIO to all who want something of it."""
        ino, path = directory.inode.ino, self.rank.cache.path_of(directory.inode)
        directory.damaged = True
        if self.rank.damage.note_dirfrag(ino, directory.frag, path):
            self.rank.damaged(f"fragment {directory.dirfrag} ({path}) cannot be read")
        if directory.fetching is not None:
            self._finished(directory)

    def _bad_dentry(self, directory: CDir, name: str, last: int, why: str) -> None:
        ino = directory.inode.ino
        path = f"{self.rank.cache.path_of(directory.inode).rstrip('/')}/{name}"
        self.rank.services.clog.warn(
            f"Corrupt dentry '{name}' in dir frag {directory.dirfrag}: {why} ({path})"
        )
        if self.rank.damage.note_dentry(ino, directory.frag, name, last, path):
            self.rank.damaged(f"dentry {path} cannot be read: {why}")

    def _damage_removed(self, entry: DamageEntry) -> None:
        """Somebody may have mended it: look again."""
        inode = self.rank.cache.get_inode(entry.ino)
        directory = inode.dirs.get(entry.frag) if inode is not None else None
        if directory is not None and not directory.new:
            directory.complete = directory.damaged = False
            directory.trimmed_names = None  # what was damaged is not among them

    def _verify_backtrace(self, inode: CInode, output: Output[bytes], result: Result) -> None:
        """A directory's backtrace is read with it: a wrong one is written anew."""
        dn = inode.parent
        if inode.is_base or inode.backtrace_segment is not None or dn is None:
            return
        try:
            steps = decode(Backtrace, result[output]).ancestors
            good = bool(steps) and steps[0].dname == dn.name
            good = good and steps[0].dirino == dn.dir.inode.ino
        except (RadosError, DecodeError):
            good = False
        if not good:
            self.rank.services.clog.error(f"bad backtrace on directory inode 0x{inode.ino:x}")
            inode.backtrace_segment = self.rank.mdlog.segment
            inode.backtrace_segment.dirty_backtraces.add(inode)
