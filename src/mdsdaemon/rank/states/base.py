"""What a rank does while it is in one state: a synchronous beginning, then a task.

Behaviour: ceph/ceph, src/mds/MDSRank.cc (Pacific)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import trio

if TYPE_CHECKING:
    from mdsdaemon.rank.mds_rank import MDSRank


class StateWork:
    """The work of one state.

    Args:
        before: the work of the state before.

    Attributes:
        state: which state it is of.
        boots: its errors mean that the rank cannot be started.
        scope: cancelled when the map has another state.
    """

    state: ClassVar[int]
    boots: ClassVar[bool] = False

    def __init__(self, rank: MDSRank, *, before: StateWork | None) -> None:
        self.rank = rank
        self.before = None if before is None else type(before).state
        self.carried = None if before is None else before.carry()
        self.scope = trio.CancelScope()

    def enter(self) -> None:
        """The map has the state now. Synchronous: what messages find from here on."""

    async def run(self) -> None:
        """The rest of the work; at its end the next state is requested."""

    def tick(self) -> None:
        """Upkeep that only this state has."""

    def carry(self) -> Any:
        """What the next state's work gets of this one, as `carried`."""
        return None

    def dump_status(self) -> dict[str, Any]:
        """Progress, for `status`."""
        return {}
