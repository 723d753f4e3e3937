"""The clock at the borders of a request's stages."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from bench.stage_clock import REST, STAGES, Clock


def ticking(clock: Clock) -> list[int]:
    """The clock shows what stands in the list."""
    shown = [0]
    clock._now = lambda: shown[0]
    clock.begin()
    return shown


def test_a_stage_does_not_count_what_it_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    now = ticking(clock)
    outer_name, inner_name, *_ = STAGES

    def inner() -> None:
        now[0] += 7

    def outer() -> str:
        now[0] += 2
        timed_inner()
        now[0] += 3
        return "done"

    timed_inner = clock.at(inner_name, inner)
    now[0] += 100
    assert clock.at(outer_name, outer)() == "done"
    now[0] += 11
    monkeypatch.setenv("STAGE_CLOCK", str(tmp_path / "found"))
    clock.write()
    found = json.loads((tmp_path / "found").read_text())
    assert found["stages"][outer_name] == [5e-9, 1]
    assert found["stages"][inner_name] == [7e-9, 1]
    assert found["stages"][REST][0] == pytest.approx(111e-9)
    assert found["total"] == pytest.approx(123e-9)


def test_an_exception_ends_a_stage() -> None:
    clock = Clock()
    now = ticking(clock)
    name = next(iter(STAGES))

    def bad() -> None:
        now[0] += 4
        raise KeyError("x")

    with pytest.raises(KeyError):
        clock.at(name, bad)()
    now[0] += 5
    clock._turn()
    assert (clock.spent[name], clock.spent[REST]) == (4, 5)


@pytest.mark.parametrize("place", [place for places in STAGES.values() for place in places])
def test_what_is_timed_exists(place: str) -> None:
    module, _, path = place.partition(":")
    owner = importlib.import_module(f"mdsdaemon.{module}")
    for part in path.split("."):
        owner = getattr(owner, part)
    assert callable(owner)
