"""States after which a rank is not this daemon's any more; the monitors' next map says so."""

from mdsdaemon.maps.mds_states import State
from mdsdaemon.rank.states.base import StateWork


class Stopped(StateWork):
    """The rank has gone through stopping."""

    state = State.STOPPED


class Damaged(StateWork):
    """The monitors have heard that the rank is damaged."""

    state = State.DAMAGED
