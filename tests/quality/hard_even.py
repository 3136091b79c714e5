"""Nearly even loads in few slots per GPU: how near ``minimax`` comes to the mean.

Adams' counts leave a GPU an eighth above the mean on many of them, where other counts reach it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import eplb
import numpy as np
from hard_loads import UNIT, nearly_even
from measures import CONTENDERS
from optima import EFFORTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Loads = npt.NDArray[np.int64]

LAYERS = 20


class Row(NamedTuple):
    """Layers, a plan's sizes, and how good it should be."""

    name: str
    loads: Loads
    slots: int
    gpus: int
    #: The best that is known, or the mean: the largest GPU load as a share of the mean, less 1.
    optimum: Fraction
    #: Effort -> how much of the mean the layers may be above that, on average.
    goals: dict[str, float]


#: Experts, slots, GPUs -> the largest GPU load of equal loads that is aimed at, as a share of the mean.
EQUAL: dict[tuple[int, int, int], Fraction] = {
    (384, 576, 144): Fraction(1),
    (64, 96, 24): Fraction(1),
    (128, 192, 48): Fraction(1),
    (256, 384, 96): Fraction(1),
    (256, 288, 48): Fraction(1),
    (512, 576, 96): Fraction(1),
    (64, 72, 12): Fraction(1),
    (128, 160, 40): Fraction(1),
    (60, 96, 48): Fraction(1),
    (60, 80, 16): Fraction(1),
    # Three ones, a third, a quarter. A plan at the mean has three ones, a half, an eighteenth: mixes have
    # no counts that are so far apart.
    (256, 360, 72): Fraction(129, 128),
    (256, 320, 40): Fraction(1),
    (256, 360, 40): Fraction(1),
}


def hard_rows() -> Iterator[Row]:
    """All of them: equal loads, nearly equal ones, and loads of two sizes."""
    near = {"minimax": 0.001, "minimax best": 0.001}
    for (experts, slots, gpus), optimum in EQUAL.items():
        loads = np.full((1, experts), UNIT)
        yield Row("equal", loads, slots, gpus, optimum - 1, near)
    goals = {"minimax": 0.003, "minimax best": 0.001}
    for experts, slots, gpus in [(384, 576, 144), (64, 96, 24)]:
        for spread in (0.03, 0.1):
            random = np.random.default_rng(experts)
            loads = nearly_even(random, LAYERS, experts, spread)
            yield Row(f"log sd {spread}", loads, slots, gpus, Fraction(0), goals)
    for light in (1, 30, 90):
        loads = np.repeat([100, light], 192)[None]
        yield Row(f"half 100, half {light}", loads, 576, 144, Fraction(0), goals)


def excess(row: Row, contender: str) -> float:
    """How much of the mean the largest GPU load is above the optimum, on average."""
    options = CONTENDERS[contender]
    plan = eplb.plan(row.loads, num_replicas=row.slots, num_gpus=row.gpus, **options)
    peaks = plan.gpu_load.max(axis=1) * row.gpus / row.loads.sum(axis=1)
    return float(peaks.mean() - 1 - row.optimum)


def rows() -> list[dict[str, Any]]:
    """What each effort reaches, and the goals: above the mean."""
    return [
        {
            "loads": row.name,
            "shape": f"{row.loads.shape[1]}/{row.slots}/{row.gpus}",
            **{name: excess(row, name) + float(row.optimum) for name in EFFORTS},
            "goals": {name: goal + float(row.optimum) for name, goal in row.goals.items()},
        }
        for row in hard_rows()
    ]
