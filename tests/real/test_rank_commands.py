"""The commands of a rank beside ceph-mds: the same keys, the same kinds of value, the same errors.

Each kind of daemon gets a file system of the same content and the same commands, by `ceph tell`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from tests.real.cluster import Mds, RealCluster
from tests.real.daemons import wait_for
from tests.real.rank_world import fill, give, leave, mounted, new_fs
from tests.real.shapes import Accepted, differences

Command = tuple[str, dict[str, Any]]

LOCKS = (
    "(authlock|linklock|dirfragtreelock|filelock|xattrlock|snaplock|nestlock|flocklock|policylock"
    "|lock)"
)

ACCEPTED = [
    Accepted("dump (tree|cache|inode)", f".*/{LOCKS}/.*", "locks are shown as far as we have them"),
    Accepted("dump (tree|cache|inode)", f".*/{LOCKS} .*", "locks are shown as far as we have them"),
    Accepted("dump .*|get subtrees", ".*/pins/.*", "what holds an object is counted otherwise"),
    Accepted("dump (tree|cache|inode)", ".*/states/.*", "states that only a cluster of ranks has"),
    Accepted("dump cache", ".*", "the set of objects in the cache differs"),
    Accepted("dump loads", ".*", "a rank that is alone does not balance: it measures no loads"),
    Accepted("perf (dump|schema)", "/(AsyncMessenger|finisher|throttle|mempool|cct|objecter).*",
             "compared elsewhere, or threads that we do not have"),
    Accepted("(session|client) ls", ".*/(completed_requests|delegated_inos|prealloc_inos)/.*",
             "what is under way at this moment"),
    Accepted("dump_historic_ops.*", "/ops.*", "which requests were the last"),
]  # fmt: skip

ANSWERED: list[Command] = [
    ("status", {}),
    ("dump_ops_in_flight", {}),
    ("ops", {}),
    ("dump_blocked_ops", {}),
    ("dump_historic_ops", {}),
    ("dump_historic_ops_by_duration", {}),
    ("objecter_requests", {}),
    ("get subtrees", {}),
    ("dump tree", {"root": "/t", "depth": 1}),
    ("dump tree", {"root": "/"}),
    ("dump tree", {"root": "/nowhere"}),
    ("dump cache", {}),
    ("dump inode", {"number": 1}),
    ("dump inode", {"number": 77}),
    ("dump loads", {}),
    ("dump snaps", {}),
    ("dump snaps", {"server": "--server"}),
    ("dirfrag ls", {"path": "/t"}),
    ("dirfrag ls", {"path": "/nowhere"}),
    ("dirfrag split", {"path": "/nowhere", "frag": "0/0", "bits": 1}),
    ("dirfrag split", {"path": "/t", "frag": "zz", "bits": 1}),
    ("dirfrag split", {"path": "/t", "frag": "0/0", "bits": 0}),
    ("dirfrag split", {"path": "/t", "frag": "0/2", "bits": 1}),
    ("dirfrag merge", {"path": "/nowhere", "frag": "0/0"}),
    ("dirfrag merge", {"path": "/t", "frag": "zz"}),
    ("openfiles ls", {}),
    ("damage ls", {}),
    ("damage rm", {"damage_id": 5}),
    ("scrub status", {}),
    ("scrub start", {"path": "/nowhere"}),
    ("scrub start", {"path": "/t/f1", "scrubops": ["repair"], "tag": "mine"}),
    ("scrub start", {"path": "/", "scrubops": ["recursive", "scrub_mdsdir"]}),
    ("scrub pause", {}),
    ("scrub resume", {}),
    ("scrub abort", {}),
    ("scrub_path", {"path": "/t"}),
    ("tag path", {"path": "/t", "tag": "x"}),
    ("flush_path", {"path": "/t"}),
    ("flush_path", {"path": "/nowhere"}),
    ("flush journal", {}),
    ("export dir", {"path": "/t", "rank": 1}),
    ("export dir", {"path": "/t", "rank": 0}),
    ("osdmap barrier", {"target_epoch": 3}),
    ("session ls", {}),
    ("session ls", {"filters": ["nonsense"]}),
    ("client ls", {"filters": ["state=open"]}),
    ("session evict", {"filters": ["id=x"]}),
    ("session kill", {"client_id": "99"}),
    ("session config", {"client_id": 99, "option": "timeout"}),
    ("cache status", {}),
    ("cache drop", {"timeout": 1}),
    ("perf dump", {}),
    ("perf schema", {}),
]


def rests(mds: Mds) -> bool:
    return not mds.asok("objecter_requests")["ops"]


def asked(cluster: RealCluster, name: str) -> list[tuple[int, str, Any]]:
    """(result, words, output) of each command."""
    answers: list[tuple[int, str, Any]] = []
    for prefix, arguments in ANSWERED:
        reply = cluster.tell(name, prefix, **arguments)
        out = reply.json() if reply.out.strip() else None
        answers.append((reply.r, reply.err.strip(), out))
    assert sum(out is not None for _, _, out in answers) > len(answers) // 2
    return answers


@pytest.fixture(scope="module")
def answers(_shared_osd_cluster: RealCluster) -> dict[str, list[tuple[int, str, Any]]]:
    cluster = _shared_osd_cluster
    found = {}
    for kind, name in (("real", "a"), ("ours", "b")):
        new_fs(cluster)
        mds = give(cluster, kind, name)
        fill(cluster, "t")
        with mounted(cluster) as fs:
            handle = fs.call("open", "/t/f0", "w", 0o600)
            fs.call("stat", "/t/deep/hard")
            # the client before has left numbers that are deleted: a segment waits for that
            mds.asok("flush journal")
            wait_for(partial(rests, mds), 30, "nothing is under way")
            found[kind] = asked(cluster, name)
            fs.call("close", handle)
            fs.call("unmount")
        leave(mds)
        cluster.reset()
    return found


def plain(text: str) -> str:
    return re.sub(r"\d+", "N", text)


@pytest.mark.parametrize(
    "number", range(len(ANSWERED)), ids=lambda n: f"{ANSWERED[n][0]} {n}".replace(" ", "_")
)
def test_answers_are_alike(answers: dict[str, list[tuple[int, str, Any]]], number: int) -> None:
    prefix, _ = ANSWERED[number]
    code, words, out = answers["ours"][number]
    their_code, their_words, their_out = answers["real"][number]
    assert (code, plain(words)) == (their_code, plain(their_words))
    more, less = differences(prefix, out, their_out, ACCEPTED)
    assert (more, less) == ([], [])
