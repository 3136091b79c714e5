"""Threads: how much faster, and whether the answer is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from answers import require
from measured import Measured
from planners import OPTIONS, of_call, of_core
from timing import ROUNDS, alternately

if TYPE_CHECKING:
    from cases import Case

#: Shorter work is not worth a thread.
LEAST_MS = 10


def measure(case: Case, rounds: int = ROUNDS, least_ms: float = LEAST_MS) -> Measured:
    """Two threads beside one, with and without the tables, which one thread hands out.

    The digests must be equal.
    """
    planners = {
        f"{case.planner}, {text}{more}": made({**OPTIONS[case.planner], "threads": threads})
        for more, made in (("", of_call), (", tables", of_core))
        for threads, text in ((1, "1 thread"), (2, "2 threads"))
    }
    timed = alternately(planners, case.batches(1), case.sizes, rounds)
    one, two, one_with_tables, two_with_tables = timed.values()
    digests = [[plan.digest() for plan in of.plans] for of in timed.values()]
    require(digests[1:] == digests[:-1], f"{case.name}: another digest with 2 threads")
    summary = one.summary()
    if summary["minimum"] < least_ms:
        raise ValueError(f"{case.name}: less than {least_ms} ms of work; give it more layers")
    figures = {
        "times as fast with 2 threads": one.times(two),
        "times as fast, tables handed out": one_with_tables.times(two_with_tables),
        "ms with 1 thread": summary["median batch"],
    }
    return Measured(figures, {name: of.summary() for name, of in timed.items()})
