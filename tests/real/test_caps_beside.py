"""Two clients at one file and one directory: the capabilities that each comes to hold are the same
with mdsdaemon as with ceph-mds, step by step.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from attrs import define, field
from tests.real.cluster import RealCluster
from tests.real.mini_client import MiniClient, mini_client

from mdsdaemon.messages.client_session import MClientSession
from mdsdaemon.types.client_args import GetattrArgs, MkdirArgs, OpenArgs, SetattrArgs
from mdsdaemon.types.client_caps import (
    CAP_FILE_SHARED,
    CAP_PIN,
    FILE_MODE_RD,
    FILE_MODE_RDWR,
    STAT_CAP_INODE_ALL,
    caps_for_mode,
    ccap_string,
)
from mdsdaemon.types.client_ops import (
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    SETATTR_MODE,
    SETATTR_SIZE,
    MdsOp,
    SessionOp,
)

SETTLED = 0.7
"""Seconds after which ceph-mds has sent all that follows from a step, its journal being flushed."""
PATIENCE = 8.0
"""Seconds that mdsdaemon is given to come to the same."""

ALL = GetattrArgs(STAT_CAP_INODE_ALL)
FILES = {"f", "g"}


@define(eq=False)
class World:
    """Two clients, and the inode numbers of what they made."""

    a: MiniClient
    b: MiniClient
    inos: dict[str, int] = field(factory=dict)

    def held(self) -> dict[str, str]:
        """Who holds what: ``{"a f": "pAsLsXsFs", …}``.

        But for Fs on directories, which mdsdaemon gives back after a change, and ceph-mds once
        somebody reads the directory.
        """
        return {
            f"{who} {name}": ccap_string(
                client.caps[ino].caps & ~(0 if name in FILES else CAP_FILE_SHARED)
            )
            for who, client in (("a", self.a), ("b", self.b))
            for name, ino in self.inos.items()
            if ino in client.caps
        }

    async def ask(self, who: str, op: MdsOp, path: str, args: Any, keep: str = "") -> None:
        client = self.a if who == "a" else self.b
        answer = await client.request(op, path, args=args)
        assert answer.result == 0, answer.reply
        if keep:
            self.inos[keep] = answer.target.ino


def ask(who: str, op: MdsOp, path: str, args: Any, keep: str = "") -> Callable[[World], Any]:
    return lambda world: world.ask(who, op, path, args, keep)


def want(who: str, name: str, mode: int, keep: int = -1) -> Callable[[World], Any]:
    async def tell(world: World) -> None:
        client = world.a if who == "a" else world.b
        client.want(world.inos[name], caps_for_mode(mode), keep=keep)

    return tell


STEPS: dict[str, Callable[[World], Awaitable[None]]] = {
    "a makes a directory": ask("a", MdsOp.MKDIR, "d", MkdirArgs(0o755), "d"),
    "b looks at it": ask("b", MdsOp.LOOKUP, "d", ALL),
    "a makes a file": ask("a", MdsOp.CREATE, "d/f", OpenArgs(O_CREAT | O_RDWR, 0o640), "f"),
    "b looks at it too": ask("b", MdsOp.GETATTR, "d/f", ALL),
    "b reads it": ask("b", MdsOp.OPEN, "d/f", OpenArgs(O_RDONLY)),
    "a truncates it": ask("a", MdsOp.SETATTR, "d/f", SetattrArgs(size=10, mask=SETATTR_SIZE)),
    "b writes it": ask("b", MdsOp.OPEN, "d/f", OpenArgs(O_RDWR)),
    "b changes its mode": ask(
        "b", MdsOp.SETATTR, "d/f", SetattrArgs(mode=0o600, mask=SETATTR_MODE)
    ),
    "a closes it": want("a", "f", 0),
    "b only reads again": want("b", "f", FILE_MODE_RD),
    "b closes it": want("b", "f", 0),
    "a writes it again": ask("a", MdsOp.OPEN, "d/f", OpenArgs(O_RDWR)),
    "b makes a file beside it": ask(
        "b", MdsOp.CREATE, "d/g", OpenArgs(O_CREAT | O_RDWR, 0o640), "g"
    ),
    "b looks at a's once more": ask("b", MdsOp.GETATTR, "d/f", ALL),
    "b gives that up": want("b", "f", 0, keep=CAP_PIN),
    "a still wants to write": want("a", "f", FILE_MODE_RDWR),
    "b removes the file": ask("b", MdsOp.UNLINK, "d/f", None),
}


async def walk(
    cluster: RealCluster, kind: str, after: Callable[[str, World], Awaitable[None]]
) -> None:
    # from this thread: a daemon dies with the thread that started it
    mds = cluster.start_mds(kind, "a")
    mds.wait_standby()
    cluster.new_fs()
    mds.wait_state("up:active", 30)
    async with mini_client(cluster) as a, mini_client(cluster) as b:
        world = World(a, b, {"root": 1})
        await a.getattr()
        await b.getattr()
        for name, step in STEPS.items():
            await step(world)
            a.send(MClientSession(SessionOp.REQUEST_FLUSH_MDLOG))
            await after(name, world)


async def test_the_same_capabilities(osd_cluster: RealCluster) -> None:
    stock: dict[str, dict[str, str]] = {}

    async def note(name: str, world: World) -> None:
        await trio.sleep(SETTLED)  # what is to come within it is what is compared
        stock[name] = world.held()

    found: list[str] = []

    async def compare(name: str, world: World) -> None:
        expected = stock[name]
        with trio.move_on_after(PATIENCE):
            await world.a.wait_until(_now(world), lambda held: held == expected, PATIENCE + 1)
            return
        held = world.held()
        found.extend(
            f"{name}: {who}: ceph-mds {expected.get(who)}, mdsdaemon {held.get(who)}"
            for who in sorted({*expected, *held})
            if expected.get(who) != held.get(who)
        )

    await walk(osd_cluster, "real", note)
    await trio.to_thread.run_sync(osd_cluster.reset)
    await walk(osd_cluster, "ours", compare)
    assert not found, "\n".join(found)


def _now(world: World) -> Callable[[], Awaitable[dict[str, str]]]:
    async def held() -> dict[str, str]:
        return world.held()

    return held
