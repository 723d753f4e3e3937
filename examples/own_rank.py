"""A rank of your own: what the monitors make of it when a daemon is given one.

    python examples/own_rank.py --conf /etc/ceph/ceph.conf --name a [--wait 30]

Prints every call that the daemon makes. Create a file system meanwhile (`ceph fs new …`) and the
daemon becomes up:creating; take the rank away (`ceph mds fail NAME`) and it starts anew.
"""

# ruff: noqa: T201 -- an example talks to who runs it

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import trio

import mdsdaemon
from mdsdaemon.maps.mds_states import state_name
from mdsdaemon.types.entity import MDS, PeerName

if TYPE_CHECKING:
    from mdsdaemon.maps.mds_map import MDSMap
    from mdsdaemon.messages.base import Message


class TalkingRank(mdsdaemon.Rank):
    """Follows the map, serves nothing, and tells what it is asked."""

    def __init__(self, whoami: int, services: mdsdaemon.RankServices) -> None:
        self.whoami = whoami
        self.services = services
        self.ticks = 0

    def init(self) -> None:
        print(f"init: rank {self.whoami}")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        print("run: my tasks would live here")
        task_status.started()
        await trio.sleep_forever()

    def handle_mds_map(
        self, mdsmap: MDSMap, oldmap: MDSMap, *, source: PeerName | None = None
    ) -> None:
        info = mdsmap.mds_info[self.services.gid]
        print(f"handle_mds_map: epoch {mdsmap.epoch}, we are {state_name(info.state)}")
        self.services.messenger.set_myname(PeerName(MDS, self.whoami))
        # Beacons must ask for the state that the map says; asking for up:active is what a rank
        # does when it has made its file system.
        self.services.beacon.set_want_state(mdsmap, info.state)

    def ms_dispatch(self, msg: Message) -> bool:
        print(f"ms_dispatch: {type(msg).__name__} from {msg.source}")
        return False

    def tick(self) -> None:
        self.ticks += 1
        print(f"tick {self.ticks}")

    def handle_asok_command(self, prefix: str, cmdmap: Any, inbl: bytes) -> mdsdaemon.Reply:
        return mdsdaemon.Reply(section="answer", data={"you_said": prefix})

    def dump_status(self) -> dict[str, Any]:
        return {"ticks": self.ticks}

    async def shutdown(self) -> None:
        print("shutdown")

    def is_stopped(self) -> bool:
        return False


async def main(conf: str, name: str, wait: float) -> None:
    config = mdsdaemon.load_config(["-i", name, "-c", conf])
    async with (
        trio.open_nursery() as nursery,
        mdsdaemon.open_mds(config, rank_factory=TalkingRank) as mds,
    ):
        await nursery.start(mds.run)
        await mds.wait_for_state("up:standby", "up:creating")
        print(f"mds.{mds.name} is {state_name(mds.state)} as gid {mds.gid}")
        with trio.move_on_after(wait):
            await mds.wait_for_state("up:creating", "up:replay", "up:standby-replay")
            await trio.sleep(wait)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--conf", required=True, help="ceph.conf of the cluster")
    parser.add_argument("--name", default="a", help="the daemon's name, which has a key")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait for a rank")
    args = parser.parse_args()
    trio.run(main, args.conf, args.name, args.wait)
