"""How a rank ends: damaged, fenced, or in the way of an error that cannot be dealt with.

Behaviour: ceph/ceph, src/mds/MDSRank.cc, damaged, handle_write_error, boot_start (Pacific)
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from typing import TYPE_CHECKING

from mdsdaemon.clients.objecter_errors import EBLOCKLISTED
from mdsdaemon.encoding import DecodeError
from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.core import RankCore
from mdsdaemon.rank.errors import FsError
from mdsdaemon.rank.log.replay import CorruptJournal

if TYPE_CHECKING:
    from mdsdaemon.rank.states.base import StateWork
    from mdsdaemon.types.health import MDSHealthMetric

FENCED = "we have been blocklisted (fenced), respawning..."


class RankFate(RankCore):
    """The part of MDSRank that ends it. Whatever it decides, the rank does nothing more."""

    work: StateWork | None

    @abstractmethod
    def health(self) -> list[MDSHealthMetric]:
        """The complaints of the next beacons."""

    def leave(self, reason: str) -> None:
        """Start the daemon anew."""
        if not self.leaving:
            self._stop_work()
            self.services.respawn(reason)

    def _stop_work(self) -> None:
        self.leaving = True
        if self.work is not None:
            self.work.scope.cancel()

    def damaged(self, what: str) -> None:
        """This cannot be read or contradicts itself: say so to the monitors, then respawn.

        Nobody serves the rank until an operator has called `ceph mds repaired`.
        """
        if self.leaving:
            return
        self._stop_work()
        services = self.services
        self.log.error("rank %d is damaged: %s", self.whoami, what)
        services.clog.error(f"Error loading MDS rank {self.whoami}: {what}")
        services.recorder.record("damaged", rank=self.whoami, what=what)
        services.beacon.set_want_state(self.mdsmap, State.DAMAGED)
        services.monc.flush_log()
        services.beacon.notify_health(self.health())
        self.spawn(self._say_damaged, "damaged")

    async def _say_damaged(self) -> None:
        # Unheard it is no loss: whoever takes the rank next finds the same.
        timeout = self.config.get_float("mds_mon_shutdown_timeout")
        await self.services.beacon.send_and_wait(timeout)
        self.services.respawn("the rank is damaged")

    def fenced(self) -> None:
        """Our address is on the OSDs' blocklist: another daemon has the rank.

        When the daemon leaves that is as it should be: the monitors fence whoever held a rank.
        """
        if not self.leaving and not self.services.is_leaving():
            self.log.error(FENCED)
            self.leave(FENCED)

    def handle_write_error(self, error: OSError) -> None:
        """RADOS refused a write: respawn when fenced, else as mds_action_on_write_error says."""
        if self.is_end_of_rank(error):
            return
        action = self.config.get_int("mds_action_on_write_error")
        if action >= 2:
            self.log.error("unhandled write error %s, respawning...", error)
            self.leave(f"unhandled write error {error}")
        elif action == 1:
            self.log.error("unhandled write error %s, force readonly...", error)
            self.force_readonly(f"write error: {error}")
        else:
            self.log.error("unhandled write error %s, ignoring it", error)

    def force_readonly(self, why: str) -> None:
        """From now on nothing is changed; clients are told."""
        if self.read_only:
            return
        self.read_only = True
        self.log.error("force file system read-only: %s", why)
        self.services.clog.warn(f"force file system read-only: {why}")
        self.sessions.force_readonly()
        self.mdlog.flush()

    def is_end_of_rank(self, error: OSError) -> bool:
        """Whether an error only says that the rank ends; if we are fenced, it ends now."""
        if self.leaving:
            return True
        if error.errno != EBLOCKLISTED:
            return False
        if not self.objecter.state.stopped:  # else it only says that the rank ends
            self.fenced()
        return True

    def state_failed(self, work: StateWork, error: Exception) -> bool:
        """What a state's work ends with: True when this decides what becomes of the rank."""
        if isinstance(error, DecodeError | CorruptJournal):
            self.damaged(str(error))
        elif isinstance(error, OSError | FsError):
            if isinstance(error, OSError) and self.is_end_of_rank(error):
                return True
            if not work.boots:
                return False
            self._boot_failed(work, error)
        else:
            return self.leaving
        return True

    def _boot_failed(self, work: StateWork, error: OSError | FsError) -> None:
        code = error.errno
        if work.state == State.STANDBY_REPLAY and code == errno.EAGAIN:
            self.leave("we fell behind the journal that we follow")
        elif code in (errno.EINVAL, errno.ENOENT, errno.EIO):
            # ceph-mds gives up on EIO only where it is not the journal's; an object that cannot
            # be read is damage wherever it is met.
            self.damaged(str(error))
        else:
            self.log.error("cannot start rank %d: %s", self.whoami, error)
            self._stop_work()
            self.services.suicide(f"cannot start rank {self.whoami}: {error}")
