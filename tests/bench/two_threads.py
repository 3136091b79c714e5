"""Threads: how much faster, and whether the answer is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from answers import require
from measured import Measured
from planners import OPTIONS, of_core
from timing import ROUNDS, alternately

if TYPE_CHECKING:
    from cases import Case

#: Shorter work is not worth a thread.
LEAST_MS = 10


def measure(case: Case, rounds: int = ROUNDS, least_ms: float = LEAST_MS) -> Measured:
    """Two threads beside one; the digests must be equal."""
    names = [f"{case.planner}, {text}" for text in ("1 thread", "2 threads")]
    planners = {
        name: of_core({**OPTIONS[case.planner], "threads": threads})
        for threads, name in enumerate(names, start=1)
    }
    timed = alternately(planners, case.batches(1), case.sizes, rounds)
    one, two = (timed[name] for name in names)
    digests = [[plan.digest() for plan in timed[name].plans] for name in names]
    require(digests[0] == digests[1], f"{case.name}: another digest with 2 threads")
    summary = one.summary()
    if summary["minimum"] < least_ms:
        raise ValueError(f"{case.name}: less than {least_ms} ms of work; give it more layers")
    figures = {
        "times as fast with 2 threads": one.times(two),
        "ms with 1 thread": summary["median batch"],
    }
    return Measured(figures, {name: timed[name].summary() for name in names})
