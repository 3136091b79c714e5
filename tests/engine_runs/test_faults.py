"""Planted faults: the map in force or the engine's own planner, a line in the log, never a hang."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from engine_runs.case import Case, Told
from engine_runs.faults import BEGIN
from engine_runs.measures import problems
from engine_runs.processes import run
from engine_runs.traffic import v2_lite

if TYPE_CHECKING:
    from pathlib import Path

EXPERTS, WINDOWS = 64, 6
TRAFFIC = v2_lite(WINDOWS)[None, :, :, :3]
ENGINES = pytest.mark.parametrize(
    ("engine", "mode"), [("vllm", "sync"), ("vllm", "async"), ("sglang", "plain")]
)
EVERY = -1


def faulty(engine: str, mode: str, **options: Any) -> list[Told]:
    """What the ranks tell of a run that a fault has not broken."""
    told = run(Case(engine, mode, TRAFFIC, slots=80, **options))
    assert list(problems(told, EXPERTS)) == []
    assert [len(each.maps[0]) for each in told] == [WINDOWS + 1] * 4
    return told


def kept_from(window: int, told: list[Told]) -> bool:
    """Whether the map is the same from before a window to the end."""
    first, *later = told[0].maps[0][window:]
    return all(np.array_equal(first, table) for table in later)


def on_ranks(phy2log: Any) -> Any:
    """Which experts each rank has, whatever the order: vLLM's planner keeps old slots."""
    return np.sort(phy2log.reshape(len(phy2log), 4, -1), axis=2)


@cache
def own_maps(engine: str, mode: str) -> list[Any]:
    """What each rank holds after each window with the engine's own planner."""
    told = faulty(engine, mode, plugin=False)
    return [on_ranks(table) for table in told[0].maps[0]]


def is_own_from(window: int, told: list[Told], engine: str, mode: str) -> bool:
    """Whether the engine's own planner answered from a window on."""
    pairs = zip(told[0].maps[0], own_maps(engine, mode), strict=True)
    same = [np.array_equal(on_ranks(ours), theirs) for ours, theirs in pairs]
    return all(same[window + 1 :])


@ENGINES
@pytest.mark.parametrize("rank", [2, EVERY], ids=["one rank", "every rank"])
def test_a_planner_that_raises_leaves_the_map(engine: str, mode: str, rank: int) -> None:
    told = faulty(engine, mode, faults={rank: ("planner raises",)})
    assert kept_from(BEGIN, told)
    assert not kept_from(BEGIN - 1, told)
    assert "planted: the planner fails" in told[2].log
    assert (rank == EVERY) == ("planted" in told[0].log)
    if rank == 2:
        assert "ranks have other plans, or one of them failed" in told[0].log


@ENGINES
@pytest.mark.parametrize(
    "options",
    [{"faults": {1: ("other version",)}}, {"environment_of": {1: {"EPLB_MOVE_PRICE": "0.5"}}}],
    ids=["version", "option"],
)
def test_ranks_with_other_versions_or_options_use_the_own_planner(
    engine: str, mode: str, options: dict[str, Any]
) -> None:
    told = faulty(engine, mode, **options)
    assert is_own_from(1, told, engine, mode)
    for each in told:
        assert "ranks have other versions or options" in each.log
    assert "9.9.9" in told[3].log or "EPLB_MOVE_PRICE is" in told[3].log


@ENGINES
@pytest.mark.parametrize("fault", ["negative", "not a number"])
def test_loads_that_are_none_leave_the_map(engine: str, mode: str, fault: str) -> None:
    if engine == "vllm" and fault == "not a number":
        pytest.skip("vLLM counts in integers")
    told = faulty(engine, mode, faults={EVERY: (fault,)})
    assert kept_from(BEGIN, told)
    for each in told:
        assert ("negative" if fault == "negative" else "nan") in each.log


@ENGINES
def test_a_map_with_a_hole_is_filled(engine: str, mode: str) -> None:
    told = faulty(engine, mode, faults={EVERY: ("hole",)})
    assert not kept_from(BEGIN, told)
    assert all((table >= 0).all() for table in told[0].maps[0])


@ENGINES
def test_the_off_file_lets_the_own_planner_answer(engine: str, mode: str, tmp_path: Path) -> None:
    """One rank alone makes it: all switch at the same window."""
    file = {"EPLB_OFF_FILE": str(tmp_path / "off")}
    told = faulty(engine, mode, faults={0: ("off file",)}, environment=file)
    assert is_own_from(BEGIN, told, engine, mode)
    assert not is_own_from(BEGIN - 1, told, engine, mode)
    assert "own planner" in told[0].log


@ENGINES
def test_a_rank_without_the_plugin_is_not_waited_for_twice(engine: str, mode: str) -> None:
    told = faulty(
        engine, mode, environment={"EPLB_TIMEOUT": "3"}, environment_of={3: {"EPLB_PLUGIN": "0"}}
    )
    assert is_own_from(0, told, engine, mode)
    assert "3 of 4 ranks answered within 3 s" in told[0].log
    assert told[0].log.count("own planner answers from now on") == 1
    assert "eplb: " not in told[3].log
