"""Commands about OSDs, pools and placement groups: the embedded cluster beside a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.real.admin import Reply
from tests.real.cluster import RealCluster
from tests.real.daemons import wait_for
from tests.real.embedded_cluster import EmbeddedCluster
from tests.real.embedded_pool_script import (
    OPTIONS,
    REAL_OPTIONS,
    SCRIPT,
    accepted,
    is_momentary,
    masked,
    settled,
    unequal,
)
from tests.real.shapes import differences

NewCluster = Callable[[RealCluster], RealCluster]


def play(cluster: RealCluster) -> list[Reply]:
    replies = []
    for step in SCRIPT:
        if step.arguments:
            replies.append(step.ask(cluster))
        else:
            wait_for(lambda: settled(cluster), 60, "the placement groups are there")
            replies.append(Reply(0, "", ""))
    return replies


def wrong_answers(ours: list[Reply], theirs: list[Reply]) -> list[str]:
    wrong = []
    for step, mine, other in zip(SCRIPT, ours, theirs, strict=True):
        found: list[str] = []
        momentary = is_momentary(str(step))
        if (mine.r, masked(mine.err)) != (other.r, masked(other.err)):
            found.append(f"says: ours {mine.r} {mine.err!r}, the real one {other.r} {other.err!r}")
        if momentary:
            if step.is_json and other.r == 0:
                left = differences(str(step), _json(mine.out), _json(other.out))
                found += [f"form: {path}" for path in (*left[0], *left[1])]
        elif step.is_json and other.out.strip():
            found += unequal(_json(mine.out), _json(other.out))
        elif masked(mine.out) != masked(other.out):
            found.append(f"prints: ours {masked(mine.out)!r}, the real one {masked(other.out)!r}")
        found = [each for each in found if not accepted(str(step), each)]
        if found:
            wrong.append("\n   ".join([str(step), *found]))
    return wrong


def _json(text: str) -> Any:
    """Parsed, where it is JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_every_command_answers_as_a_real_cluster_does(new_cluster: NewCluster) -> None:
    """One script of commands, on both: results, texts, output."""
    script = {"mon_allow_pool_delete": "false"}
    by_osd = {"osd_crush_chooseleaf_type": "0"}
    ours = play(new_cluster(EmbeddedCluster(options=OPTIONS | script | by_osd)))
    real = new_cluster(RealCluster(osd=True, mgr=True, options=REAL_OPTIONS | script))
    real.mon("auth rm", entity="client.badcaps")
    no_pool_of_its_own = {"name": "mgr/devicehealth/enable_monitoring", "value": "false"}
    real.mon("config set", who="mgr", **no_pool_of_its_own, force=True)
    wait_for(lambda: real.mon("mgr stat")["available"], 60, "the manager serves", every=0.2)
    theirs = play(real)
    assert not (wrong := wrong_answers(ours, theirs)), "\n".join(wrong)
