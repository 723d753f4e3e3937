"""One request being worked out: what is there, and what it shall become.

Operations read the object as it is stored and add what they change to `transaction`; nothing is
changed before all of them succeeded. Only existence, size and the other numbers of `oi` show the
operations that follow what those before them did, as in Ceph.

Behaviour: ceph/ceph, src/osd/PrimaryLogPG.h (OpContext)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mdsdaemon.embedded.store.requests import Effects
from mdsdaemon.embedded.store.state import NO_SNAPS, ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from mdsdaemon.embedded.store.content import Content
    from mdsdaemon.embedded.store.engine import ObjectEngine
    from mdsdaemon.embedded.store.requests import OpRequest
    from mdsdaemon.embedded.store.state import ObjectState, PoolStore
    from mdsdaemon.types.pool import PGPool

Step = tuple["Callable[..., object] | None", tuple[Any, ...]]
"""(a method of Content, its arguments); None for the method: the argument replaces the content."""

_BLANK = ObjectInfo()


def nothing(content: Content) -> None:
    """A step that changes nothing but makes the object's record be written."""


class OpContext:
    """See the module.

    Attributes:
        state: the object's head; None where there is none.
        content: what is read: the head's or a clone's; None where there is none.
        obs, existed: the object before the request.
        oi, exists: the object after the operations so far. `oi` is a copy for requests that may
            write; else it is `obs` itself.
        modified: (offset, length) of what was overwritten.
        user_modify: the user's version of the object goes up.
        result: of the operation before.
    """

    __slots__ = (
        "content",
        "effects",
        "engine",
        "existed",
        "exists",
        "modified",
        "modify",
        "mtime",
        "now",
        "obs",
        "oi",
        "pool",
        "pool_info",
        "reads",
        "req",
        "result",
        "snap_seq",
        "snaps",
        "snapset",
        "state",
        "transaction",
        "user_modify",
        "user_version",
        "writes",
        "written",
    )

    def __init__(
        self,
        engine: ObjectEngine,
        req: OpRequest,
        pool: PoolStore,
        pool_info: PGPool,
        state: ObjectState | None,
        obs: ObjectInfo | None,
        content: Content | None,
        now: float,
        *,
        may_write: bool,
    ) -> None:
        self.engine = engine
        self.req = req
        self.pool = pool
        self.pool_info = pool_info
        self.state = state
        self.content = content
        self.now = now
        self.existed = self.exists = obs is not None
        if obs is None:
            self.obs = _BLANK
            self.oi = ObjectInfo() if may_write else _BLANK
        else:
            self.obs = obs
            self.oi = obs.copy() if may_write else obs
        self.snapset = NO_SNAPS if state is None else state.snapset
        self.snap_seq = 0
        self.snaps: list[int] = []
        self.transaction: list[Step] = []
        self.modified: list[tuple[int, int]] = []
        self.user_modify = False
        self.modify = False
        self.mtime = req.mtime
        self.user_version = self.obs.user_version
        self.result = 0
        self.reads = self.writes = self.written = 0
        self.effects: Effects | None = None

    @property
    def there(self) -> bool:
        """Whether the object exists now for its users."""
        return self.exists and not self.oi.whiteout

    def add(self, step: Callable[..., object], *args: Any) -> None:
        """Change the content so at the end."""
        self.transaction.append((step, args))

    def replace(self, content: Content) -> None:
        """From here on the object has this content."""
        self.transaction.append((None, (content,)))

    def create(self) -> None:
        """Make the object exist (maybe_create_new_object)."""
        if not self.exists:
            self.exists = True
            self.add(nothing)
        elif self.oi.whiteout:
            self.oi.whiteout = False

    def effect(self) -> Effects:
        """What the request does beside the object."""
        if self.effects is None:
            self.effects = Effects(self.req.pool, self.req.key)
        return self.effects
