"""How the time of a layer grows with its slots, beside P log P."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from measured import Measured
from planners import PLANNERS
from timing import ROUNDS, alternately

if TYPE_CHECKING:
    from cases import Case

SLOTS_PER_GPU = 8


def measure(case: Case, rounds: int = ROUNDS) -> Measured:
    """The exponent e of the fit time = c * (P log P)**e, and the time of each size."""
    work, micros = [], []
    details = {}
    for slots in case.ladder:
        gpus = slots // SLOTS_PER_GPU
        sized = case.of_size(slots=slots, experts=slots - gpus, gpus=gpus)
        planners = {case.planner: PLANNERS[case.planner]}
        timed = alternately(planners, sized.batches(), sized.sizes, rounds)[case.planner]
        micros.append(timed.summary()["median batch"] * 1e3 / case.sizes.layers)
        work.append(slots * math.log2(slots))
        details[f"{slots} slots on {gpus} GPUs"] = {
            "us a layer": micros[-1],
            "ns / (P log2 P)": micros[-1] * 1e3 / work[-1],
        }
    return Measured({"exponent of P log P": exponent(work, micros)}, details)


def exponent(work: list[float], times: list[float]) -> float:
    """The slope of the line through the logarithms, by least squares."""
    logs = [list(map(math.log, values)) for values in (work, times)]
    return statistics.linear_regression(*logs).slope
