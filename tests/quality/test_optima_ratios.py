"""How near ``minimax`` is to proven optima; the solver proves some of them again."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import eplb
import optima
import pytest
from counts import COUNTS
from optima import EFFORTS, Instance, instances, of_ratios, of_rows, peak, ratio
from optimum import optimum

#: Every so many instances are proven again, in a few seconds.
STEP = 23


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Every instance with its proven optimum, and planned now."""
    proven = optima.recorded()
    assert len(proven) == len(instances()) > 300
    for instance, row in zip(instances(), proven, strict=True):
        assert (row["loads"], row["layer"]) == instance[1:]
        assert row["sizes"] == "/".join(map(str, instance.sizes))
    return [{**row, **optima.plans(one)} for one, row in zip(instances(), proven, strict=True)]


def test_no_plan_is_below_its_optimum(rows: list[dict[str, Any]]) -> None:
    assert all(ratio(row, effort) >= 1 for row in rows for effort in EFFORTS)


def test_worst_ratios_and_shares_of_optimal_plans(rows: list[dict[str, Any]]) -> None:
    """What was reached stays reached: a better plan passes."""
    told = of_rows(rows)
    worst = {effort: float(told[effort].worst) for effort in EFFORTS}
    assert worst["minimax"] < 1.029
    assert worst["minimax best"] < 1.029
    assert worst["minimax fast"] < 1.312
    assert told["minimax"].within[0] >= 238
    assert told["minimax best"].within[0] >= 298
    assert told["minimax fast"].within[0] >= 84


def test_layers_with_hot_experts_are_near_their_optima(rows: list[dict[str, Any]]) -> None:
    told = of_rows([row for row in rows if row["loads"] in optima.HOT_LOADS])
    assert told["minimax"].layers == 36
    assert told["minimax"].within[0] >= 34
    assert float(told["minimax"].worst) < 1.002


@pytest.mark.parametrize("instance", instances()[::STEP], ids=str)
def test_the_solver_proves_some_again(instance: Instance, rows: list[dict[str, Any]]) -> None:
    row = rows[instances().index(instance)]
    assert optima.proven(instance) == Fraction(row["optimum"])
    COUNTS["optima of random layers proven again"] += 1


@pytest.mark.parametrize(
    ("sizes", "step"),
    [((4, 6, 3), Fraction(1, 6)), ((5, 8, 4), Fraction(1, 12)), ((12, 12, 6), Fraction(1))],
)
def test_a_bound_that_proves_nothing_is_refused(
    sizes: tuple[int, int, int], step: Fraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Largest GPU loads differ by a step at least, as experts have up to 3, 4 copies, or one."""
    instance = next(one for one in instances() if one.sizes == sizes)
    _, slots, gpus = sizes
    phy2log, _ = optimum(instance.load(), slots, gpus, distinct=True)
    least = optima.peak(instance.load(), phy2log, gpus)
    bounds = iter((least - step / 2, least - step))
    monkeypatch.setattr(optima, "optimum", lambda *_, **__: (phy2log, next(bounds)))
    assert optima.proven(instance) == least
    with pytest.raises(ValueError, match="is not proven"):
        optima.proven(instance)


def test_ratios_are_counted() -> None:
    ratios = [Fraction(n, 1000) for n in (1000, 1001, 1010, 1020, 1050, 1051)]
    assert of_ratios(ratios) == (6, [1, 2, 3, 4, 5], Fraction(1051, 1000))


def test_the_worst_small_world_is_beaten_by_duplicates_alone() -> None:
    load = [1, 1, 3]
    best, other = (
        peak(load, optimum(load, 6, 3, distinct=distinct)[0], 3) for distinct in (True, False)
    )
    for effort in ("default", "best"):
        plan = eplb.plan([load], num_replicas=6, num_gpus=3, effort=effort)
        assert peak(load, plan.phy2log[0].tolist(), 3) == best
    assert best / other == Fraction(22, 21)
