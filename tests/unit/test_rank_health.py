"""What a rank complains of: each complaint with its words and details, as monitors show them."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio

from mdsdaemon.config import Config
from mdsdaemon.rank import health
from mdsdaemon.types.health import HealthStatus, MDSHealthType


def a_session(number: int, **changes: Any) -> Any:
    session = SimpleNamespace(
        name=SimpleNamespace(num=number),
        human_name=f"host{number}",
        caps={},
        loads=SimpleNamespace(recall_caps=SimpleNamespace(get=lambda: 0.0)),
        info=SimpleNamespace(completed_requests={}, completed_flushes=set()),
        num_trim_requests_warnings=0,
        num_trim_flushes_warnings=0,
    )
    for name, value in changes.items():
        setattr(session, name, value)
    return session


class Sessions(list[Any]):
    def get_session(self, client: int) -> Any:
        return next((s for s in self if s.name.num == client), None)


def a_rank(**changes: Any) -> Any:
    rank = SimpleNamespace(
        config=Config("mds.a"),
        damage=[],
        mdlog=SimpleNamespace(segments={1: None}),
        locker=SimpleNamespace(
            get_late_revoking_clients=lambda timeout: [], num_inodes_with_caps=7
        ),
        mdsmap=SimpleNamespace(session_timeout=60),
        sessionmap=Sessions(),
        optracker=SimpleNamespace(num_slow=0),
        objecter=SimpleNamespace(ages=lambda now: [0.1]),
        read_only=False,
        store=SimpleNamespace(memory_used=lambda: 0),
        strays=SimpleNamespace(num_strays=3),
    )
    for name, value in changes.items():
        setattr(rank, name, value)
    return rank


def complaints(rank: Any) -> list[tuple[int, int, str, dict[str, str]]]:
    async def collect() -> Any:
        return [(m.type, m.sev, m.message, m.metadata) for m in health.collect(rank)]

    return trio.run(collect)


def test_a_healthy_rank_says_nothing() -> None:
    assert complaints(a_rank()) == []


def test_damage_trim_read_only() -> None:
    rank = a_rank(damage=[1], read_only=True)
    rank.mdlog.segments = dict.fromkeys(range(257))
    assert complaints(rank) == [
        (MDSHealthType.DAMAGE, HealthStatus.ERR, "Metadata damage detected", {}),
        (
            MDSHealthType.TRIM,
            HealthStatus.WARN,
            "Behind on trimming (257/128)",
            {"num_segments": "257", "max_segments": "128"},
        ),
        (MDSHealthType.READ_ONLY, HealthStatus.WARN, "MDS in read-only mode", {}),
    ]
    rank.mdlog.segments.popitem()
    assert MDSHealthType.TRIM not in [c[0] for c in complaints(rank)]


def test_late_clients_each_or_many() -> None:
    rank = a_rank(sessionmap=Sessions(a_session(n) for n in range(1, 12)))
    late = [*range(1, 11), 99]  # 99 has no session any more
    rank.locker.get_late_revoking_clients = lambda timeout: late
    found = complaints(rank)
    assert len(found) == 10
    assert found[0] == (
        MDSHealthType.CLIENT_LATE_RELEASE,
        HealthStatus.WARN,
        "Client host1 failing to respond to capability release",
        {"client_id": "1"},
    )
    late.append(11)
    assert complaints(rank) == [
        (
            MDSHealthType.CLIENT_LATE_RELEASE_MANY,
            HealthStatus.WARN,
            "Many clients (11) failing to respond to capability release",
            {"client_count": "11"},
        )
    ]


def test_recall_and_oldest_tid() -> None:
    slow = a_session(1, caps=dict.fromkeys(range(10_001)))
    slow.loads.recall_caps.get = lambda: 300_000.0
    few = a_session(2, caps=dict.fromkeys(range(10_000)))
    few.loads.recall_caps.get = lambda: 300_000.0
    behind = a_session(3, num_trim_requests_warnings=1)
    behind.info.completed_requests = dict.fromkeys(range(100_000))
    rank = a_rank(sessionmap=Sessions([slow, few, behind]))
    assert [c[:3:2] for c in complaints(rank)] == [
        (MDSHealthType.CLIENT_RECALL, "Client host1 failing to respond to cache pressure"),
        (
            MDSHealthType.CLIENT_OLDEST_TID,
            "Client host3 failing to advance its oldest client/flush tid. ",
        ),
    ]


def test_slow_requests_and_slow_io() -> None:
    rank = a_rank()
    rank.optracker.num_slow = 2
    rank.objecter.ages = lambda now: [31.5, 2.0, 44.9]
    assert [c[2] for c in complaints(rank)] == [
        "2 slow requests are blocked > 30 secs",
        "2 slow metadata IOs are blocked > 30 secs, oldest blocked for 44 secs",
    ]
    rank.objecter.ages = lambda now: [31.0] * 500
    assert complaints(rank)[-1][2].startswith("100+ slow metadata IOs")


def test_cache_too_large() -> None:
    rank = a_rank()
    limit = rank.config.get_int("mds_cache_memory_limit")
    rank.store.memory_used = lambda: limit * 3 // 2 + 1
    assert [c[:3:2] for c in complaints(rank)] == [
        (
            MDSHealthType.CACHE_OVERSIZED,
            "MDS cache is too large (6GB/4GB); 7 inodes in use by clients, 3 stray files",
        )
    ]
    rank.store.memory_used = lambda: limit * 3 // 2
    assert complaints(rank) == []


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1kB"), (5 << 30, "5GB"), (3 << 50, "3PB")],
)
def test_units(size: int, text: str) -> None:
    assert health.in_units(size) == text
