"""The collector of cycles rests where the process is ours, and is let alone where it is not."""

import gc
from collections.abc import Iterator

import pytest

from mdsdaemon import collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.enable()


def test_a_host_program_decides_for_itself() -> None:
    frozen = gc.get_freeze_count()
    with collector.resting():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_nothing_is_collected_while_it_rests() -> None:
    collector.tune()
    frozen = gc.get_freeze_count()
    with collector.resting():
        assert not gc.isenabled()
        kept = [[n] for n in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(kept)


def test_an_error_ends_it_too() -> None:
    collector.tune()
    with pytest.raises(ZeroDivisionError), collector.resting():
        _ = 1 // 0
    assert gc.isenabled()


def test_who_has_no_collections_keeps_none() -> None:
    collector.tune()
    gc.disable()
    with collector.resting():
        pass
    assert not gc.isenabled()
