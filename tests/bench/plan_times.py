"""The time of plans, beside other planners, and how good the plans are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measured import Measured
from planners import PLANNERS
from timing import ROUNDS, alternately

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cases import Case
    from planners import Planner
    from timing import Timed


def measure(
    case: Case, planners: Mapping[str, Planner] = PLANNERS, rounds: int = ROUNDS
) -> Measured:
    """Milliseconds of the median batch, ratios to the others, balancedness of the worst family."""
    names = (case.planner, *case.beside)
    timed = alternately(
        {name: planners[name] for name in names}, case.batches(), case.sizes, rounds
    )
    ours = timed[case.planner]
    summary = ours.summary()
    figures = {
        "ms": summary["median batch"],
        "ms of the slowest batch": summary["slowest batch"],
        "balancedness": worst_batch(ours),
    }
    for name in case.beside:
        figures[f"times {name}"] = timed[name].times(ours)
        figures[f"time of {name}"] = ours.times(timed[name])
    return Measured(figures, {name: row(timed[name]) for name in names})


def worst_batch(timed: Timed) -> float:
    """The least of the batches' mean balancedness."""
    return min(float(plan.balancedness.mean()) for plan in timed.plans)


def row(timed: Timed) -> dict[str, float]:
    """Times, and what the plans are worth."""
    duplicates = sum(int((plan.duplicates > 0).sum()) for plan in timed.plans)
    return {
        **timed.summary(),
        "balancedness": worst_batch(timed),
        "layers with duplicates": float(duplicates),
    }
