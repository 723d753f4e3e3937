"""docs/lacking-commands.md tells the truth."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

import pytest
from tests.real.cluster import RealCluster
from tests.real.conftest import started
from tests.real.lacking import PATH, clusters, document, wait_for_manager


@pytest.fixture(scope="module")
def both(real_ceph: None) -> Iterator[tuple[RealCluster, RealCluster]]:
    ours, real = clusters()
    with started(ours), started(real):
        wait_for_manager(real)
        yield ours, real


def test_the_list_is_true(both: tuple[RealCluster, RealCluster]) -> None:
    assert document(*both) == PATH.read_text(), "run python -m tests.real.lacking"


def test_none_of_them_is_accepted(both: tuple[RealCluster, RealCluster]) -> None:
    """Each is an error with a sentence."""
    ours, _ = both
    listed = re.findall(r"`([^`]+)`", PATH.read_text().partition("\n## ")[2])
    assert len(listed) > 200
    wrong = []
    for command in listed:
        reply = ours.admin.mon(command)
        if reply.r not in (-errno.EINVAL, -errno.EOPNOTSUPP) or not reply.err:
            wrong.append((command, reply))
    assert not wrong


def test_what_ours_has_a_real_one_has(both: tuple[RealCluster, RealCluster]) -> None:
    ours, real = (each.mon("get_command_descriptions") for each in both)
    prefixes = [
        {tuple(word for word in entry["sig"] if isinstance(word, str)) for entry in each.values()}
        for each in (ours, real)
    ]
    assert prefixes[0] - prefixes[1] == set()
