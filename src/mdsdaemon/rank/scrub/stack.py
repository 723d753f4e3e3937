"""ScrubStack: what is still to be checked, and the few checks that are under way.

Directories put their fragments on the stack, fragments (in a recursive scrub) their children. At
most mds_max_scrub_ops_in_progress checks run at a time.

Behaviour: ceph/ceph, src/mds/ScrubStack.cc (Pacific)
"""

from __future__ import annotations

import errno
import json
import uuid
from collections import deque
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from mdsdaemon.clients.journaler_errors import JournalError
from mdsdaemon.clients.objecter_errors import RadosError
from mdsdaemon.rank.cache.dir import CDir
from mdsdaemon.rank.cache.fragtree import get_leaves
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.scrub.header import ScrubHeader, Validation
from mdsdaemon.rank.scrub.repair import check_sums, repair_sums
from mdsdaemon.rank.scrub.validate import Validator
from mdsdaemon.rank.waiting import until_done

if TYPE_CHECKING:
    from mdsdaemon.rank.cache.inode import CInode
    from mdsdaemon.rank.mds_rank import MDSRank

Item = tuple["CInode | CDir", ScrubHeader]


class ScrubState(Enum):
    """What the stack is doing, in ceph-mds's words."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"


class ScrubStack:
    """The scrubs of one rank.

    Attributes:
        headers: the scrubs that are not over, by tag.
        aborting: everything on the stack is being given up.
    """

    def __init__(self, rank: MDSRank) -> None:
        self._rank = rank
        self._validator = Validator(rank)
        self.headers: dict[str, ScrubHeader] = {}
        self.state = ScrubState.IDLE
        self.aborting = False
        self._stack: deque[Item] = deque()
        self._on_stack: set[CInode | CDir] = set()
        self._in_progress = 0
        self._settled = trio.lowlevel.ParkingLot()
        self._flushing = False

    # -- asking for one ----------------------------------------------------------------------

    def enqueue(self, inode: CInode, path: str, tag: str, options: frozenset[str]) -> ScrubHeader:
        """Begin to check an inode and, if asked to, all below it.

        Args:
            tag: its name; empty: we make one up.
            options: of `force`, `recursive`, `repair`, `scrub_mdsdir` (with the root).

        Raises:
            FsError: EBUSY: it is being checked; EEXIST: the tag is in use; EAGAIN: being aborted.
        """
        if inode in self._on_stack:
            raise FsError(errno.EBUSY)
        if self.aborting:
            raise FsError(errno.EAGAIN)
        if tag in self.headers:
            raise FsError(errno.EEXIST)
        header = ScrubHeader(
            tag or self._new_tag(),
            self._path(inode),
            inode.ino,
            internal_tag=not tag,
            force="force" in options,
            recursive="recursive" in options,
            repair="repair" in options,
            scrub_mdsdir="scrub_mdsdir" in options and inode.is_root,
        )
        self.headers[header.tag] = header
        mydir = self._rank.cache.mydir
        if header.scrub_mdsdir and mydir is not None:
            self._push(mydir, header)
        self._push(inode, header)
        self._tell("queued", header)
        self._kick()
        return header

    def _new_tag(self) -> str:
        host = self._rank.host
        return str(uuid.UUID(int=host.random_u64() << 64 | host.random_u64(), version=4))

    def _path(self, inode: CInode) -> str:
        return self._rank.cache.path_of(inode)

    def _push(self, thing: CInode | CDir, header: ScrubHeader) -> None:
        if thing in self._on_stack:
            return
        thing.pins += 1
        header.num_pending += 1
        self._on_stack.add(thing)
        self._stack.append((thing, header))

    # -- working -----------------------------------------------------------------------------

    def _kick(self) -> None:
        """Start as many checks as may run."""
        if self.aborting or self.state in (ScrubState.PAUSING, ScrubState.PAUSED):
            if not self._in_progress:
                self._come_to_rest()
            return
        most = max(self._rank.config.get_int("mds_max_scrub_ops_in_progress"), 1)
        while self._in_progress < most and self._stack:
            self._set_state(ScrubState.RUNNING)
            item = self._stack.pop()
            self._in_progress += 1
            self._rank.spawn(partial(self._work, item), "scrub")
        if not self._in_progress and not self._stack:
            self._set_state(ScrubState.IDLE)

    def _come_to_rest(self) -> None:
        state = self.state
        if self.aborting:
            self._give_up()
            state = ScrubState.IDLE
        if self.state == ScrubState.PAUSING:
            state = ScrubState.PAUSED
        self._set_state(state)
        self._settled.unpark_all()

    def _give_up(self) -> None:
        while self._stack:
            self._done(self._stack.pop())
        self.aborting = False

    def _done(self, item: Item) -> None:
        thing, header = item
        thing.pins -= 1
        self._on_stack.discard(thing)
        header.num_pending -= 1

    async def _work(self, item: Item) -> None:
        thing, header = item
        try:
            if isinstance(thing, CDir):
                await self._scrub_dirfrag(thing, header)
            else:
                await self._scrub_inode(thing, header)
        finally:
            self._done(item)
            self._in_progress -= 1
        self._rank.end_of_dispatch()
        self._kick()

    async def _scrub_inode(self, inode: CInode, header: ScrubHeader) -> None:
        rank = self._rank
        dirs: list[CDir] = []
        if inode.is_dir:
            dirs = [rank.cache.add_dir(inode, leaf) for leaf in get_leaves(inode.dirfragtree)]
        for directory in dirs:
            directory.pins += 1  # nor is it split meanwhile
        try:
            for directory in dirs:
                if await self._fetched(directory):
                    self._push(directory, header)
            result = await self._validator.validate(inode, header)
        finally:
            for directory in dirs:
                directory.pins -= 1
        self._judge(inode, header, result)
        inode.inode.last_scrub_version = inode.inode.version
        inode.inode.last_scrub_stamp = rank.now()

    async def _fetched(self, directory: CDir) -> bool:
        """Whether all of the fragment is in the cache; False: it is damaged."""
        try:
            await until_done(lambda: self._rank.store.need_complete(directory))
        except FsError as e:
            self._rank.log.warning("scrub: %s cannot be read: %s", directory, e)
            return False
        return True

    async def _scrub_dirfrag(self, directory: CDir, header: ScrubHeader) -> None:
        if not await self._fetched(directory):
            return
        rank = self._rank
        fnode = directory.fnode
        if header.recursive:
            for dn in directory.items.values():
                inode = dn.inode
                if inode is None:
                    continue
                unchanged = dn.version <= fnode.recursive_scrub_version
                if unchanged and not inode.is_dir and not header.force:
                    continue
                self._push(inode, header)
        if not check_sums(directory):
            rank.log.warning("scrub: %s has sums that its entries do not have", directory)
            if header.repair and not rank.read_only:
                repair_sums(rank, directory)
                header.repaired = True
        fnode.localized_scrub_stamp = rank.now()
        fnode.localized_scrub_version = fnode.version
        if header.recursive:
            fnode.recursive_scrub_stamp = fnode.localized_scrub_stamp
            fnode.recursive_scrub_version = fnode.version

    def _judge(self, inode: CInode, header: ScrubHeader, result: Validation) -> None:
        """Tell of what did not pass."""
        if result.passed:
            return
        rank = self._rank
        path = self._path(inode)
        backtrace, store = result.backtrace, result.inode
        if backtrace.checked and not backtrace.passed and not backtrace.repaired:
            rank.damage.note_backtrace(inode.ino, path)
        elif store.checked and not store.passed and not store.repaired:
            dn = inode.parent
            if dn is not None:
                rank.damage.note_dentry(dn.dir.inode.ino, dn.dir.frag, dn.name, dn.last, path)
        clog = rank.services.clog
        if result.all_damage_repaired():
            clog.info(f"Scrub repaired inode 0x{inode.ino:x} ({path})")
        else:
            clog.warn(
                f"Scrub error on inode 0x{inode.ino:x} ({path}) see mds.{rank.services.name} "
                "log and `damage ls` output for details"
            )
        rank.log.error("scrub error on inode %s: %s", inode, json.dumps(result.dump()))

    # -- control -----------------------------------------------------------------------------

    async def abort(self) -> None:
        """Give up what is on the stack; waits for the checks that are under way."""
        self.aborting = True
        if self._in_progress:
            await self._settled.park()
            return
        self._give_up()
        if self.state != ScrubState.PAUSED:
            self._set_state(ScrubState.IDLE)

    async def pause(self) -> int:
        """Begin no more checks; 0 once none runs, or a negative errno."""
        if self.aborting:
            return -errno.EINVAL
        if self.state in (ScrubState.RUNNING, ScrubState.PAUSING):
            self._set_state(ScrubState.PAUSING)
            if not self._in_progress:
                self._kick()
                return 0
            await self._settled.park()
            return 0 if self.is_paused() else -errno.ECANCELED
        self._set_state(ScrubState.PAUSED)
        return 0

    def resume(self) -> int:
        """Go on; 0 or a negative errno."""
        if self.aborting:
            return -errno.EINVAL
        if self.state == ScrubState.PAUSING:
            self._set_state(ScrubState.RUNNING)
            self._settled.unpark_all()
        elif self.state == ScrubState.PAUSED:
            self._set_state(ScrubState.RUNNING)
        self._kick()
        return 0

    def tick(self) -> None:
        """Scrubs of which nothing is left are over; what they mended is stored."""
        over = [header for header in self.headers.values() if not header.num_pending]
        if not over:
            return
        for header in over:
            del self.headers[header.tag]
        self._summary()
        if any(header.repaired for header in over) and not self._flushing:
            self._flushing = True
            self._rank.spawn(self._flush, "flush after scrub")

    async def _flush(self) -> None:
        try:
            if not self._rank.read_only:
                await self._rank.mdlog.trim_all()
        except (RadosError, JournalError) as e:
            self._rank.handle_write_error(e)
        finally:
            self._flushing = False

    # -- showing -----------------------------------------------------------------------------

    def _set_state(self, state: ScrubState) -> None:
        if self.state != state:
            self.state = state
            self._summary()

    def _tell(self, what: str, header: ScrubHeader) -> None:
        self._rank.services.clog.info(f"scrub {what} for path: {header.path}")
        self._summary()

    def _summary(self) -> None:
        self._rank.services.clog.info(f"scrub summary: {self.summary()}")

    def summary(self) -> str:
        """In a few words, for the cluster log and the manager."""
        if self.state == ScrubState.IDLE:
            if not self.headers:
                return "idle"
            words = "idle+waiting"
        elif self.state == ScrubState.RUNNING:
            words = "aborting" if self.aborting else "active"
        else:
            words = self.state.value.lower() + ("+aborting" if self.aborting else "")
        if self.headers:
            words += f" paths [{','.join(header.path for header in self.headers.values())}]"
        return words

    def is_paused(self) -> bool:
        """Whether nothing begins, and nothing is under way."""
        return self.state == ScrubState.PAUSED

    def is_idle(self) -> bool:
        """Whether nothing is asked for."""
        return self.summary() == "idle"

    def status(self) -> dict[str, Any]:
        """As `scrub status` shows it."""
        size = f" ({len(self._on_stack)} inodes in the stack)"
        if self.state == ScrubState.IDLE:
            words = "no active scrubs running"
            if self.headers:
                words = "IDLE (waiting for more scrubs)"
        elif self.state == ScrubState.RUNNING:
            words = ("ABORTING" if self.aborting else "scrub active") + size
        else:
            words = self.state.value + ("+ABORTING" if self.aborting else "") + size
        scrubs = {tag: header.dump() for tag, header in sorted(self.headers.items())}
        return {"status": words, "scrubs": scrubs}
