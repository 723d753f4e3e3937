"""Requests inside a rank: from the decoded message to the reply's parts and the journal's bytes.

nox -s bench -- requests        or: python -m bench.requests [--profile OPERATION]

No sockets, no RADOS: one client, the rank of the unit tests, a journal that encodes and forgets.
"""

import argparse
import cProfile
import gc
import pstats
import time
from collections.abc import Callable
from typing import Any

import trio
from bench.figures import LOOP, OURS, Sheet, percentile
from bench.machine import pass_seconds
from bench.plan import Plan
from tests.unit.server_kit import Client, ServerKit

from mdsdaemon.messages.client_request import MClientRequest
from mdsdaemon.rank.log.events import encode_event
from mdsdaemon.types.client_args import GetattrArgs, MkdirArgs, OpenArgs, ReaddirArgs, SetattrArgs
from mdsdaemon.types.client_caps import STAT_CAP_INODE_ALL
from mdsdaemon.types.client_ops import SETATTR_MODE, MdsOp
from mdsdaemon.types.mds import FilePath

COUNT = 3000


class Forgetful:
    """A journal that is safe at once: its cost is the encoding."""

    def __init__(self, kit: ServerKit) -> None:
        self._log = kit.mdlog
        kit.mdlog.submit = self.submit  # type: ignore[method-assign]

    def submit(self, event: Any) -> int:
        log = self._log
        log.event_seq += 1
        log.write_pos += len(encode_event(event)) + 30
        if log.event_seq % 1024 == 0:
            log.start_new_segment()
        return log.write_pos


def requests(client: Client, op: int, count: int, make: Callable[[int], dict[str, Any]]) -> Any:
    """Messages as they come from the decoder."""
    made = []
    for n in range(count):
        fields = make(n)
        client.tid += 1
        args = fields.pop("args", None)
        msg = MClientRequest(op, stamp=client.kit.rank.now(), **fields)
        msg.tid, msg.source, msg.connection = client.tid, client.session.name, client.con
        msg.oldest_client_tid = client.tid
        if args is not None:
            msg.args = args
        made.append(msg)
    return made


def timed(client: Client, name: str, messages: list[Any]) -> list[float]:
    """Handle them one by one; processor seconds of each."""
    rank = client.kit.rank
    samples = []
    for msg in messages:
        begun = time.thread_time()
        rank.server.handle_client_request(msg)
        rank.end_of_dispatch()
        while rank.server.num_requests():
            assert client.answer(), f"{name}: it waits for something else than capabilities"
        samples.append(time.thread_time() - begun)
        client.con.sent.clear()
        client.seen = 0
    return samples


def series(client: Client, count: int) -> dict[str, Callable[[], list[float]]]:
    """What is measured, in this order: each needs what the one before has left."""
    top = client.mkdir("/bench").ino
    client.kit.settle()

    def run(name: str, op: int, make: Callable[[int], dict[str, Any]], times: int = count) -> Any:
        return lambda: timed(client, name, requests(client, op, times, make))

    def at(prefix: str, n: int) -> FilePath:
        return FilePath(top, f"{prefix}{n}")

    return {
        "mkdir": run(
            "mkdir", MdsOp.MKDIR, lambda n: {"path": at("d", n), "args": MkdirArgs(0o755)}
        ),
        "create": run(
            "create", MdsOp.CREATE, lambda n: {"path": at("f", n), "args": OpenArgs(0o101, 0o644)}
        ),
        "lookup": run(
            "lookup",
            MdsOp.LOOKUP,
            lambda n: {"path": at("f", n), "args": GetattrArgs(STAT_CAP_INODE_ALL)},
        ),
        "getattr": run(
            "getattr",
            MdsOp.GETATTR,
            lambda n: {"path": FilePath(top + 1 + n, ""), "args": GetattrArgs(STAT_CAP_INODE_ALL)},
        ),
        "open": run("open", MdsOp.OPEN, lambda n: {"path": at("f", n), "args": OpenArgs(0)}),
        "setattr": run(
            "setattr",
            MdsOp.SETATTR,
            lambda n: {"path": at("f", n), "args": SetattrArgs(mode=0o600, mask=SETATTR_MODE)},
        ),
        "readdir (1000 entries)": run(
            "readdir (1000 entries)",
            MdsOp.READDIR,
            lambda n: {"path": FilePath(top, ""), "args": ReaddirArgs(max_entries=1000, flags=1)},
            20,
        ),
        "rename": run("rename", MdsOp.RENAME, lambda n: {"path": at("g", n), "path2": at("f", n)}),
        "unlink": run("unlink", MdsOp.UNLINK, lambda n: {"path": at("g", n)}),
        "rmdir": run("rmdir", MdsOp.RMDIR, lambda n: {"path": at("d", n)}),
    }


def once(count: int, profile: str = "") -> dict[str, list[float]]:
    """All operations on a rank that is new: processor seconds of each call."""
    samples: dict[str, list[float]] = {}

    async def main() -> None:
        kit = ServerKit(mds_bal_fragment_size_max="1000000", mds_bal_split_size="1000000")
        Forgetful(kit)
        client = kit.client()
        work = series(client, count)
        gc.collect()
        gc.freeze()
        for name, one in work.items():
            if name == profile:
                profiler = cProfile.Profile()
                samples[name] = profiler.runcall(one)
                pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
            else:
                samples[name] = one()
            kit.settle()

    trio.run(main)
    return samples


def measure(sheet: Sheet, plan: Plan) -> None:
    """Each operation, `COUNT` times (or fewer) on some ranks one after the other."""
    for _ in range(plan.pick(5, 2)):
        loop = 1e6 * pass_seconds()
        for name, samples in once(plan.pick(COUNT, 400)).items():
            micro = [1e6 * sample for sample in samples]
            for percent in plan.pick((50, 99), (50,)):
                quantity, value = f"p{percent}", percentile(micro, percent)
                sheet.add(name, LOOP, loop, "µs", quantity=quantity)
                sheet.add(name, OURS, value, "µs", quantity=quantity)


def main() -> None:
    """Where the time of an operation goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="", help="an operation")
    parser.add_argument("--count", type=int, default=COUNT)
    asked = parser.parse_args()
    for name, samples in once(asked.count, asked.profile).items():
        print(f"{name:24}{1e6 * percentile(samples, 50):10.1f} us")  # noqa: T201


if __name__ == "__main__":
    main()
