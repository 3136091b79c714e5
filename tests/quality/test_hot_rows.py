"""A few hot experts: single layers, drawn families, groups; and the floor that judges them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import eplb
import pytest
from hard_hot import Case, Floor, cases, hot_misses, measure, planned_rows
from measures import LAYERS
from optima import Instance, instances, recorded
from tables import hot_part


@pytest.mark.parametrize("effort", ["default", "best"])
def test_single_layers_end_within_half_a_percent_of_the_best_that_is_known(effort: str) -> None:
    assert [row for row in planned_rows(effort) if row["gap"] > row["goal"]] == []


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.loads} {case.name()}")
def test_drawn_layers_reach_the_goals(case: Case) -> None:
    rows = [measure(case, contender, LAYERS) for contender in ("minimax fast", "minimax")]
    assert hot_misses(rows) == []
    assert all(row["above_deepseek"] < 0.005 for row in rows[1:])
    worse: list[Any] = [{**row, "over_floor_mean": 0.02} for row in rows]
    assert len(hot_misses(worse)) == 1
    assert case.name() in hot_part(rows, [])


@pytest.mark.parametrize(
    "instance", [one for one in instances() if one.loads.startswith("hot")], ids=str
)
def test_no_proven_optimum_is_below_its_floor(instance: Instance) -> None:
    sizes = "/".join(map(str, instance.sizes))
    row = next(r for r in recorded() if (r["sizes"], r["loads"]) == (sizes, instance.loads))
    optimum = float(Fraction(row["optimum"]))
    _, slots, gpus = instance.sizes
    floor = Floor(instance.load(), slots, gpus, 2 * optimum).least()
    assert sum(instance.load()) / gpus * (1 - 1e-9) <= floor <= optimum * (1 + 1e-9)
    plan = eplb.plan([instance.load()], num_replicas=slots, num_gpus=gpus)
    assert plan.gpu_load.max() >= optimum * (1 - 1e-9)
