"""What a rank does in each state, by the state's number."""

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.states.active import Active
from mdsdaemon.rank.states.base import StateWork
from mdsdaemon.rank.states.clientreplay import ClientReplay
from mdsdaemon.rank.states.creating import Creating
from mdsdaemon.rank.states.ended import Damaged, Stopped
from mdsdaemon.rank.states.reconnect import Reconnect, Resolve
from mdsdaemon.rank.states.rejoin import Rejoin
from mdsdaemon.rank.states.replay import Replay, StandbyReplay
from mdsdaemon.rank.states.starting import Starting
from mdsdaemon.rank.states.stopping import Stopping

STATES: dict[int, type[StateWork]] = {
    State.CREATING: Creating,
    State.STARTING: Starting,
    State.STANDBY_REPLAY: StandbyReplay,
    State.REPLAY: Replay,
    State.RESOLVE: Resolve,
    State.RECONNECT: Reconnect,
    State.REJOIN: Rejoin,
    State.CLIENTREPLAY: ClientReplay,
    State.ACTIVE: Active,
    State.STOPPING: Stopping,
    State.STOPPED: Stopped,
    State.DAMAGED: Damaged,
}

__all__ = ["STATES", "StateWork"]
