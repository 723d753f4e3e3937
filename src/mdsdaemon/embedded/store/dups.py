"""Which requests were done: a client that sends one again gets the first answer again.

Behaviour: ceph/ceph, src/osd/PGLog.h (dups), src/osd/PrimaryLogPG.cc (check_in_progress_op)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from mdsdaemon.types.osd import EVersion

ReqId = tuple[int, int, int, int]
"""(type and number of the client's name, incarnation, tid)."""


@attrs.frozen
class Done:
    """The answer that a request got.

    Attributes:
        returns: (rval, output) of each operation, where the client asked for them.
    """

    version: EVersion
    user_version: int
    result: int
    returns: tuple[tuple[int, bytes], ...]


class RequestLog:
    """The latest `bound` requests that wrote, oldest first; each has a serial number."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._done: dict[ReqId, Done] = {}
        self._serial = 0

    def get(self, reqid: ReqId) -> Done | None:
        """The answer to a request that was done before."""
        return self._done.get(reqid)

    def add(self, reqid: ReqId, done: Done) -> int:
        """Remember an answer, and forget the oldest beyond the bound: its serial number."""
        log = self._done
        log[reqid] = done
        if len(log) > self.bound:
            del log[next(iter(log))]
        self._serial += 1
        return self._serial

    def load(self, entries: list[tuple[int, ReqId, Done]]) -> None:
        """Take up stored answers: (serial number, request, answer)."""
        for serial, reqid, done in sorted(entries, key=lambda entry: entry[0]):
            self._done[reqid] = done
            self._serial = serial
        while len(self._done) > self.bound:
            del self._done[next(iter(self._done))]

    def __len__(self) -> int:
        return len(self._done)
