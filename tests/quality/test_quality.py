"""Goals are reached, and a plan that is worse is told of."""

from __future__ import annotations

from typing import Any

import pytest
from eplb.sampling import FAMILIES
from measures import CONTENDERS, GOALS, misses, real_rows, synthetic
from tables import shape_part

#: The effort best takes minutes: `make quality`.
QUICK = [contender for contender in CONTENDERS if contender != "minimax best"]


@pytest.mark.parametrize("shape", GOALS["minimax"])
def test_every_family_reaches_the_goal(shape: str) -> None:
    rows: list[Any] = [synthetic(shape, name, "minimax") for name in FAMILIES]
    assert misses(rows) == []
    worse: list[Any] = [{**row, "balancedness_mean": 0.99} for row in rows]
    assert len(misses(worse)) == len(FAMILIES)
    assert shape_part(shape, rows).endswith("All are met.")
    assert misses(worse)[0] in shape_part(shape, worse)


def test_no_published_plan_is_ahead_by_more_than_the_target() -> None:
    rows = [row for row in real_rows(QUICK) if row["contender"] == "minimax"]
    assert len(rows) > 10
    assert [row for row in rows if (row["behind"] or 0) > 0.0005] == []
