"""Verifying, beside planning."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import eplb
from measured import Measured
from planners import OPTIONS
from timing import ROUNDS, TURN_CALLS, Timed

if TYPE_CHECKING:
    from cases import Case


def measure(case: Case, rounds: int = ROUNDS) -> Measured:
    """``eplb.verify`` of what ``eplb.plan`` made, in turns: the slowest batch beside its plan."""
    batches = case.batches(1)
    planning, verifying = (Timed([[] for _ in batches]) for _ in range(2))
    options = {**case.sizes.options(), **OPTIONS[case.planner]}
    for i, load in enumerate(batches):
        for _ in range(rounds * TURN_CALLS):
            start = time.perf_counter()
            plan = eplb.plan(load, **options)
            planned = time.perf_counter()
            eplb.verify(plan, load)
            planning.seconds[i].append(planned - start)
            verifying.seconds[i].append(time.perf_counter() - planned)
            if sum(planning.seconds[i]) > 1:
                break
    pairs = zip(verifying.fastest(), planning.fastest(), strict=True)
    figures = {
        "times planning": max(verified / planned for verified, planned in pairs),
        "ms": verifying.summary()["median batch"],
    }
    details = {"verify": verifying.summary(), case.planner: planning.summary()}
    return Measured(figures, details)
