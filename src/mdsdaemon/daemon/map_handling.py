"""What a new MDS map means for this daemon: a pure function from two maps to decisions.

`decide` looks at the maps and at what the daemon is, and returns what has to be done, in order;
`MDSDaemon.handle_mds_map` does it. Nothing here has an effect.

Behaviour: ceph/ceph, src/mds/MDSDaemon.cc, MDSDaemon::handle_mds_map (Pacific)
"""

from mdsdaemon.maps.compat_set import get_compat_set_all
from mdsdaemon.maps.mds_info import RANK_NONE, MDSInfo
from mdsdaemon.maps.mds_map import MDSMap
from mdsdaemon.maps.mds_states import State, state_name
from mdsdaemon.records import frozen
from mdsdaemon.types.entity import EntityAddrVec


@frozen
class Discard:
    """The map is not newer than the one we have."""

    epoch: int
    have: int


@frozen
class GotMap:
    """The map is the daemon's map now: move the subscription on."""

    epoch: int


@frozen
class Suicide:
    """End the daemon: it must not touch this file system."""

    reason: str


@frozen
class Respawn:
    """Start the daemon anew."""

    reason: str


@frozen
class StartMgrClient:
    """First time in the map: the manager may know us, ask for its map."""


@frozen
class MarkDown:
    """A daemon left the map: drop connections to it."""

    gid: int
    addrs: EntityAddrVec


@frozen
class BecomeStandby:
    """The monitors took us as a standby: that is what the beacons say from now on."""


@frozen
class StillStandby:
    """Nothing changed for us."""


@frozen
class NotInMapYet:
    """The monitors have not seen our first beacon yet; keep sending."""


@frozen
class Abort:
    """The map says what cannot be: a bug here or in the monitor."""

    reason: str


@frozen
class CreateRank:
    """We hold (or follow) a rank for the first time."""

    rank: int


@frozen
class RankHandleMap:
    """The rest is the rank's business."""

    rank: int
    incarnation: int
    state: int


@frozen
class NotifyBeacon:
    """Beacons carry the new epoch."""

    epoch: int


Decision = (
    Discard
    | GotMap
    | Suicide
    | Respawn
    | StartMgrClient
    | MarkDown
    | BecomeStandby
    | StillStandby
    | NotInMapYet
    | Abort
    | CreateRank
    | RankHandleMap
    | NotifyBeacon
)

FINAL = (Suicide, Respawn, Abort)
"""Decisions after which nothing more is done with the map."""


def decide(
    oldmap: MDSMap,
    newmap: MDSMap,
    *,
    gid: int,
    want_state: int,
    held_rank: int | None,
) -> list[Decision]:
    """What to do about `newmap`, in order.

    `gid` is this daemon's, `want_state` what its beacons ask for, `held_rank` the rank that it
    has an object for (None: none). A list that ends with one of `FINAL` is to be cut there by
    whoever carries it out; `decide` itself adds nothing after it.
    """
    if newmap.epoch <= oldmap.epoch:
        return [Discard(newmap.epoch, oldmap.epoch)]
    todo: list[Decision] = [GotMap(newmap.epoch)]

    ours = get_compat_set_all()
    if not ours.writeable(newmap.compat):
        missing = ours.unsupported(newmap.compat)
        todo.append(
            Suicide(
                f"MDS map {newmap.epoch} asks for on-disk features that this daemon does not "
                f"have ({missing}); serving it would damage the file system, killing myself. "
                "Run a newer release of mdsdaemon for this cluster"
            )
        )
        return todo

    old = oldmap.mds_info.get(gid)
    new = newmap.mds_info.get(gid)
    if old is not None and new is None:
        todo.append(
            Respawn(
                f"Map removed me {old} from cluster; respawning! "
                "See cluster/monitor logs for details."
            )
        )
        return todo
    if old is None and new is not None:
        todo.append(StartMgrClient())
    todo += [
        MarkDown(peer, info.addrs)
        for peer, info in oldmap.mds_info.items()
        if peer not in newmap.mds_info
    ]

    if new is None or new.rank == RANK_NONE:
        todo.append(_without_rank(old, new, gid, want_state))
    else:
        if held_rank is not None and held_rank != new.rank:
            todo.append(Respawn(f"Invalid rank transition {held_rank}->{new.rank}"))
            return todo
        if held_rank is None:
            todo.append(CreateRank(new.rank))
        todo.append(RankHandleMap(new.rank, new.inc, new.state))
    if not isinstance(todo[-1], FINAL):
        todo.append(NotifyBeacon(newmap.epoch))
    return todo


def _without_rank(old: MDSInfo | None, new: MDSInfo | None, gid: int, want_state: int) -> Decision:
    if new is None:
        if want_state != State.BOOT:
            # ceph-mds asserts here. It comes to this when the monitors gave us another gid.
            return Respawn(
                f"gid {gid} is not in the map, although our beacons ask for "
                f"{state_name(want_state)}"
            )
        return NotInMapYet()
    if new.state != State.STANDBY:
        return Abort(f"the map has us without a rank in state {state_name(new.state)}")
    if old is None:
        return BecomeStandby()
    if old.state != State.STANDBY:
        # ceph-mds would keep the rank that the map has taken from it; no monitor does this.
        return Respawn(f"Invalid transition to standby from {state_name(old.state)}")
    return StillStandby()
