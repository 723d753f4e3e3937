"""`tell` and the admin socket, beside ceph-mds in the same cluster: the same keys and errors.

Each command goes to both daemons, by both ways, and the outputs are compared by their keys and
kinds of value. What differs and why stands in ACCEPTED.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.real.admin import asok
from tests.real.cluster import Mds, RealCluster
from tests.real.conftest import QUICK, started
from tests.real.shapes import Accepted, differences

Command = tuple[str, dict[str, Any]]

ACCEPTED = [
    Accepted(
        "config diff get",
        "/diff/.*",
        "ceph-mds prints the whole difference whatever is asked; ours what is asked",
    ),
    Accepted("config diff", "/diff/fsid/override str", "ceph-mds sets fsid again from the monmap"),
    Accepted(
        "perf (dump|schema|histogram dump|histogram schema)|perfcounters_(dump|schema)|1|2",
        "/AsyncMessenger::Worker-[12].*",
        "all connections are served by one thread, so there is one worker",
    ),
]

ANSWERED: list[Command] = [
    ("version", {}),
    ("git_version", {}),
    ("0", {}),
    ("status", {}),
    ("get_command_descriptions", {}),
    ("help", {}),
    ("perf dump", {}),
    ("perf dump", {"logger": "throttle-msgr_dispatch_throttler-mds"}),
    ("perf dump", {"logger": "throttle-msgr_dispatch_throttler-mds", "counter": "val"}),
    ("perf dump", {"logger": "nonesuch"}),
    ("perf schema", {}),
    ("perfcounters_dump", {}),
    ("perfcounters_schema", {}),
    ("1", {}),
    ("2", {}),
    ("perf histogram dump", {}),
    ("perf histogram schema", {}),
    ("perf reset", {"var": "all"}),
    ("perf reset", {"var": "nonesuch"}),
    ("config show", {}),
    ("config diff", {}),
    ("config diff get", {"var": "mds_beacon_interval"}),
    ("config diff get", {"var": "no_such_option"}),
    ("config get", {"var": "mds_beacon_interval"}),
    ("config get", {"var": "fsid"}),
    ("config get", {"var": "debug_mds"}),
    ("config get", {"var": "auth_client_required"}),
    ("config help", {"var": "mds_beacon_interval"}),
    ("config help", {"var": "ms_bind_ipv6"}),
    ("config set", {"var": "mds_tick_interval", "val": ["6"]}),
    ("config unset", {"var": "mds_tick_interval"}),
    ("injectargs", {"injected_args": ["--debug_mds=3"]}),
    ("injectargs", {"injected_args": ["--mds_tick_interval", "7"]}),
    ("log dump", {}),
    ("log flush", {}),
    ("log reopen", {}),
    ("dump_mempools", {}),
]

# What a daemon without a rank does not serve, and requests that are wrong.
REFUSED: list[Command] = [
    ("ops", {}),
    ("dump_ops_in_flight", {}),
    ("dump_blocked_ops", {}),
    ("dump_historic_ops", {}),
    ("dump_historic_ops_by_duration", {}),
    ("scrub_path", {"path": "/"}),
    ("scrub start", {"path": "/"}),
    ("scrub abort", {}),
    ("scrub pause", {}),
    ("scrub resume", {}),
    ("scrub status", {}),
    ("tag path", {"path": "/", "tag": "x"}),
    ("flush_path", {"path": "/"}),
    ("flush journal", {}),
    ("dump cache", {}),
    ("cache drop", {}),
    ("cache status", {}),
    ("dump tree", {"root": "/"}),
    ("dump inode", {"number": 1}),
    ("dump loads", {}),
    ("dump snaps", {}),
    ("openfiles ls", {}),
    ("get subtrees", {}),
    ("force_readonly", {}),
    ("session ls", {}),
    ("client ls", {}),
    ("session evict", {"filters": ["id=1"]}),
    ("client evict", {"filters": ["id=1"]}),
    ("session kill", {"client_id": "1"}),
    ("session config", {"client_id": 1, "option": "timeout"}),
    ("client config", {"client_id": 1, "option": "timeout"}),
    ("export dir", {"path": "/", "rank": 0}),
    ("dirfrag split", {"path": "/", "frag": "0/0", "bits": 1}),
    ("dirfrag merge", {"path": "/", "frag": "0/0"}),
    ("dirfrag ls", {"path": "/"}),
    ("damage ls", {}),
    ("damage rm", {"damage_id": 1}),
    ("osdmap barrier", {"target_epoch": 1}),
    ("nonsense", {}),
    ("perf", {}),
    ("config get", {}),
    ("config get", {"var": "no_such_option"}),
    ("config set", {"var": "no_such_option", "val": ["1"]}),
    ("config set", {"var": "mds_tick_interval", "val": ["soon"]}),
    ("config unset", {"var": "no_such_option"}),
    ("config help", {"var": "no_such_option"}),
    ("injectargs", {"injected_args": ["--no_such_option", "1"]}),
    ("heap", {}),
    ("heap", {"heapcmd": "nonsense"}),
    ("cpu_profiler", {}),
    ("session kill", {"client_id": 1}),
    ("osdmap barrier", {"target_epoch": "soon"}),
    ("scrub start", {"path": "/", "scrubops": ["nonsense"]}),
]


def label(command: Command) -> str:
    prefix, arguments = command
    return " ".join([prefix, *map(str, arguments.values())])


@pytest.fixture(scope="module")
def command_cluster(real_ceph: None) -> Iterator[RealCluster]:
    with started(RealCluster(options=QUICK)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pair(command_cluster: RealCluster, request: pytest.FixtureRequest) -> tuple[Mds, Mds]:
    """The daemon under test and a ceph-mds beside it, both up:standby for the whole module."""
    kind = "real" if request.config.getoption("--mds-kind") == "real" else "ours"
    ours = command_cluster.start_mds(kind, "a")
    real = command_cluster.start_real_mds("real")
    ours.wait_standby()
    real.wait_standby()
    return ours, real


def parsed(out: str) -> Any:
    """A command's output as JSON, or as it is where it is not JSON."""
    try:
        return json.loads(out)
    except ValueError:
        return out.strip()


@pytest.mark.parametrize("command", ANSWERED, ids=label)
def test_same_keys_as_ceph_mds(pair: tuple[Mds, Mds], command: Command) -> None:
    prefix, arguments = command
    ours, real = pair
    tell = ours.cluster.tell
    mine, theirs = tell(ours.name, prefix, **arguments), tell(real.name, prefix, **arguments)
    assert (mine.r, mine.err) == (theirs.r, theirs.err)
    assert differences(prefix, parsed(mine.out), parsed(theirs.out), ACCEPTED) == ([], [])
    by_socket = asok(ours.asok_path, prefix, format="json", **arguments).decode()
    assert differences(prefix, parsed(by_socket), parsed(theirs.out), ACCEPTED) == ([], [])


@pytest.mark.parametrize("command", REFUSED, ids=label)
def test_same_refusal_as_ceph_mds(pair: tuple[Mds, Mds], command: Command) -> None:
    prefix, arguments = command
    ours, real = pair
    tell = ours.cluster.tell
    mine, theirs = tell(ours.name, prefix, **arguments), tell(real.name, prefix, **arguments)
    assert (mine.r, mine.out) == (theirs.r, theirs.out)
    # Ours may say more: which argument it is.
    assert re.fullmatch(re.escape(theirs.err) + "(: .+)?", mine.err)
    mine_by_socket = asok(ours.asok_path, prefix, format="json", **arguments).decode()
    theirs_by_socket = asok(real.asok_path, prefix, format="json", **arguments).decode()
    first, text, *rest = theirs_by_socket.split("\n")
    wanted = [re.escape(first), re.escape(text) + "(: .+)?", *map(re.escape, rest)]
    assert re.fullmatch("\n".join(wanted), mine_by_socket)


def test_descriptions_are_those_of_ceph_mds(pair: tuple[Mds, Mds]) -> None:
    """The same signatures in the same order; what each command does is told in other words."""

    def signatures(mds: Mds) -> list[object]:
        told = mds.cluster.tell(mds.name, "get_command_descriptions").json()
        return [(number, entry["sig"]) for number, entry in told.items()]

    ours, real = pair
    assert signatures(ours) == signatures(real)
