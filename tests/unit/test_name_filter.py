"""The filter of names that have left the cache."""

from __future__ import annotations

from mdsdaemon.rank.cache.name_filter import NameFilter


def test_it_knows_all_and_takes_few_others_for_them() -> None:
    names = NameFilter(5000)
    assert "f0" not in names
    for number in range(5000):
        names.add(f"f{number}")
    assert all(f"f{number}" in names for number in range(5000))
    assert sum(f"g{number}" in names for number in range(5000)) < 100


def test_more_than_it_is_made_for() -> None:
    names = NameFilter(0)
    for number in range(1000):
        names.add(str(number))
    assert all(str(number) in names for number in range(1000))
