"""Optima proven by HiGHS, a mixed-integer solver, as an oracle for bounds and plans.

The core's integers judge the solver's placements, so that its floats decide nothing but which placement
is looked at, and how far a bound may be trusted. How near plans are to many more such optima is
measured in quality/optima.py.
"""

from __future__ import annotations

from typing import Any

import eplb
import numpy as np
import problems
import pytest
from counts import COUNTS
from optimum import optimum, optimum_on

#: What floats of the solver may be off by.
SLACK = 1e-6


def random_load(random: np.random.Generator, experts: int) -> list[int]:
    return [int(x) for x in random.lognormal(4, 1.2, experts)]


SLOW = pytest.mark.skipif(not problems.DEEP, reason="takes HiGHS half a minute: make verify")
#: Experts, slots, GPUs.
SIZES = [
    (4, 6, 3),
    (5, 8, 4),
    (6, 9, 3),
    (6, 8, 2),
    (8, 8, 4),
    pytest.param(5, 10, 5, marks=SLOW),
]
#: The largest load of a plan of `minimax` over that of the best distinct placement, at most.
WORST = {"default": 1.02, "best": 1.005}


@pytest.mark.parametrize(("experts", "num_replicas", "num_gpus"), SIZES)
def test_bounds_and_plans_against_proven_optima(
    experts: int, num_replicas: int, num_gpus: int
) -> None:
    random = np.random.default_rng(experts * num_replicas)
    sizes: dict[str, Any] = {"num_replicas": num_replicas, "num_gpus": num_gpus}
    for _ in range(3):
        load = random_load(random, experts)
        for distinct in (False, True):
            phy2log, least = optimum(load, num_replicas, num_gpus, distinct=distinct)
            best = eplb.evaluate(eplb.Plan.from_phy2log([phy2log], num_gpus=num_gpus), [load])
            assert eplb.verify(best, [load]).startswith("verified")
            highest = best.certificate.max_load[0]
            assert best.gpu_load.max() == pytest.approx(least, rel=SLACK)
            # In integers: no bound is above a placement that exists.
            assert best.certificate.lower_bound[0] <= highest
            policies: tuple[Any, ...] = ("minimax",) if distinct else ("deepseek", "adaptive")
            for policy in policies:
                plan = eplb.plan([load], **sizes, policy=policy)
                assert plan.certificate.lower_bound == best.certificate.lower_bound
                assert plan.gpu_load.max() >= least * (1 - SLACK)
            COUNTS["optima proven by HiGHS"] += 1
        for effort, worst in WORST.items():
            found: Any = eplb.plan([load], **sizes, policy="minimax", effort=effort)
            assert best.duplicates.tolist() == [0]
            assert found.certificate.max_load[0] <= worst * highest, (load, effort)


#: Slots and speeds of GPUs, and experts.
CLUSTERS = [
    ([3, 2, 2], [1, 1, 1], 5),
    ([3, 3, 2], [3, 2, 2], 6),
    ([2, 2, 3, 1], [10, 13, 7, 9], 6),
    ([4, 3], [1, 2], 6),
    ([3, 3, 0, 3], [1, 1, 1, 1], 7),
    pytest.param([3, 2, 2, 3], [4, 5, 3, 4], 7, marks=SLOW),
]


@pytest.mark.parametrize(("slots", "speeds", "experts"), CLUSTERS)
def test_bounds_and_plans_of_unequal_gpus(
    slots: list[int], speeds: list[int], experts: int
) -> None:
    random = np.random.default_rng(sum(slots) * sum(speeds))
    # A dead GPU among them changes nothing.
    cluster = eplb.Cluster([*slots, 2], gpu_speed=[*speeds, 1], dead_gpus=[len(slots)])
    used = [gpu for gpu, held in enumerate(slots) if held]
    for _ in range(3):
        load = random_load(random, experts)
        phy2log, least = optimum_on(
            load, [slots[g] for g in used], [speeds[g] for g in used], distinct=True
        )
        placed = eplb.Plan.from_phy2log([[*phy2log, -1, -1]], cluster=cluster)
        best = eplb.evaluate(placed, [load])
        assert eplb.verify(best, [load]).startswith("verified")
        time = best.gpu_load[0] / cluster.gpu_speed
        assert time.max() == pytest.approx(least, rel=SLACK)
        # In integers: no bound is above a placement that exists.
        highest = best.certificate.max_load[0]
        assert best.certificate.lower_bound[0] <= highest
        for effort in WORST:
            found = eplb.plan([load], cluster=cluster, policy="minimax", effort=effort)
            assert found.certificate.lower_bound == best.certificate.lower_bound
            assert highest * (1 - SLACK) <= found.certificate.max_load[0] <= 1.02 * highest
        COUNTS["optima proven by HiGHS"] += 1


@SLOW
def test_the_example_of_flashlb() -> None:
    """232 by the default planner, 205 published, 590/3 proven."""
    load = [600, 560, 120, 120, 20, 10, 10, 10]
    sizes: dict[str, Any] = {"num_replicas": 16, "num_gpus": 8}
    deepseek = eplb.plan([load], **sizes, policy="deepseek")
    best = eplb.plan([load], **sizes, policy="minimax", effort="best")
    _, least = optimum(load, 16, 8, distinct=False)
    assert least == pytest.approx(590 / 3, rel=SLACK)
    assert deepseek.gpu_load.max() == 232
    assert best.gpu_load.max() == 590 / 3
    assert best.lower_bound[0] <= 590 / 3


def test_control_a_plan_that_is_not_optimal_is_seen() -> None:
    load = [9, 1, 1, 1]
    _, least = optimum(load, 4, 2, distinct=True)
    worse = eplb.evaluate(eplb.Plan.from_phy2log([[0, 1, 2, 3]], num_gpus=2), [load])
    assert worse.gpu_load.max() == least == 10
    split = eplb.Plan.from_phy2log([[0, 1, 0, 2, 0, 3]], num_gpus=2)
    assert optimum(load, 6, 2, distinct=True)[1] < eplb.evaluate(split, [load]).gpu_load.max()
