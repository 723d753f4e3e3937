"""What a session costs: fading counts of requests, and of capabilities taken, recalled, released.

Behaviour: ceph/ceph, src/mds/SessionMap.h, SessionMap.cc (handle_conf_change) (Pacific)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mdsdaemon.rank.sessions.decay import DecayCounter

if TYPE_CHECKING:
    from mdsdaemon.config import Config

OPTIONS = (
    "mds_request_load_average_decay_rate",
    "mds_recall_max_decay_rate",
    "mds_recall_warning_decay_rate",
    "mds_session_cache_liveness_decay_rate",
    "mds_session_cap_acquisition_decay_rate",
)


class SessionLoads:
    """The counters of one session.

    Attributes:
        load_avg: requests.
        recall_caps: capabilities that were recalled and not given back; release_caps: given back.
        recall_caps_throttle, recall_caps_throttle2o: recalled, for not recalling too many.
        cache_liveness: how lively the client uses what it has.
        cap_acquisition: capabilities got by listing directories.
        recall_limit: how many the client was told to keep, the last time.
    """

    __slots__ = (
        "cache_liveness",
        "cap_acquisition",
        "load_avg",
        "recall_caps",
        "recall_caps_throttle",
        "recall_caps_throttle2o",
        "recall_limit",
        "release_caps",
    )

    def __init__(self) -> None:
        self.load_avg = DecayCounter(60.0)
        self.recall_caps = DecayCounter(60.0)
        self.release_caps = DecayCounter(60.0)
        self.recall_caps_throttle = DecayCounter(1.5)
        self.recall_caps_throttle2o = DecayCounter(0.5)
        self.cache_liveness = DecayCounter(300.0)
        self.cap_acquisition = DecayCounter(30.0)
        self.recall_limit = 0

    def configure(self, config: Config, num_caps: int, changed: Iterable[str] = OPTIONS) -> None:
        """Take the half-lives of options that changed; their counters begin anew."""
        for option in changed:
            rate = config.get_float(option)
            if option == "mds_request_load_average_decay_rate":
                self.load_avg = DecayCounter(rate)
            elif option == "mds_recall_max_decay_rate":
                self.recall_caps_throttle = DecayCounter(rate)
            elif option == "mds_recall_warning_decay_rate":
                self.recall_caps = DecayCounter(rate)
                self.release_caps = DecayCounter(rate)
            elif option == "mds_session_cache_liveness_decay_rate":
                self.cache_liveness = DecayCounter(rate)
                self.cache_liveness.hit(num_caps)  # or the session would be trimmed at once
            elif option == "mds_session_cap_acquisition_decay_rate":
                self.cap_acquisition = DecayCounter(rate)

    def recalled(self, limit: int, num_caps: int) -> int:
        """The client was told to keep `limit`; how many it was not told of before."""
        count = num_caps - limit
        new = count if self.recall_limit != limit else 0
        self.recall_limit = limit
        self.recall_caps_throttle.hit(count)
        self.recall_caps_throttle2o.hit(count)
        self.recall_caps.hit(count)
        return new

    def dump(self) -> dict[str, Any]:
        """As in `session ls`, without load_avg."""
        return {
            "recall_caps": self.recall_caps.dump(),
            "release_caps": self.release_caps.dump(),
            "recall_caps_throttle": self.recall_caps_throttle.dump(),
            "recall_caps_throttle2o": self.recall_caps_throttle2o.dump(),
            "session_cache_liveness": self.cache_liveness.dump(),
            "cap_acquisition": self.cap_acquisition.dump(),
        }
