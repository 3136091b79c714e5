"""The page of docs says what the results say, and the results what the planner gives."""

from __future__ import annotations

from typing import Any

import pytest
from eplb.sampling import FAMILIES
from measures import CONTENDERS, GOALS, SHAPES, misses, real_rows, synthetic
from pages import page, shape_part
from quality import FILES, PAGE, recorded, text

#: The effort best takes minutes: `make quality`.
QUICK = [contender for contender in CONTENDERS if contender != "minimax best"]


@pytest.fixture(scope="module")
def results() -> Any:
    return recorded()["results"]


def test_the_page_is_made_from_the_results() -> None:
    results = recorded()
    assert page(results) == PAGE.read_text()
    for name, file in FILES.items():
        assert text(results[name]) == file.read_text()
    ours = results["results"]["synthetic"]
    assert len(ours) == len(SHAPES) * len(FAMILIES) * len(CONTENDERS)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_results_are_those_of_the_planner(shape: str, results: Any) -> None:
    rows = [row for row in results["synthetic"] if row["shape"] == shape]
    for row in rows:
        if row["contender"] in QUICK:
            assert synthetic(shape, row["loads"], row["contender"]) == row


def test_goals_are_met(results: Any) -> None:
    assert misses(results["synthetic"]) == []
    at_goals = [row for row in results["synthetic"] if row["shape"] in GOALS["minimax"]]
    assert len(at_goals) == 4 * len(FAMILIES) * len(CONTENDERS)
    worse: Any = [{**row, "balancedness_mean": 0.99} for row in at_goals]
    assert len(misses(worse)) == 4 * len(FAMILIES) * len(GOALS)


def test_the_page_says_which_goals_are_missed(results: Any) -> None:
    """A goal for the mean is missed by a hair; that of another shape is not told of."""
    shape = "256/288/32"
    assert shape_part(shape, results["synthetic"]).endswith("All are met.")
    bad = next(
        row
        for row in results["synthetic"]
        if (row["shape"], row["contender"]) == (shape, "minimax best")
    )
    rows: Any = [
        {**row, "balancedness_mean": 0.99989} if row is bad else row for row in results["synthetic"]
    ]
    told = f"minimax best on {bad['loads']} at {shape}: 0.99989, 0.9999 is the goal"
    assert shape_part(shape, rows).endswith(f"Missed: {told}.")
    assert shape_part("128/144/16", rows).endswith("All are met.")
    assert misses(rows) == [told]


def test_no_published_plan_is_ahead_by_more_than_the_target(results: Any) -> None:
    rows = list(real_rows(QUICK))
    assert rows == [row for row in results["real"] if row["contender"] in QUICK]
    for row in results["real"]:
        if row["contender"] == "minimax":
            assert (row["behind"] or 0) <= 0.0005
        if row["contender"] == "minimax best":
            assert (row["behind"] or 0) <= 0
