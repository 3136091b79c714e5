"""Times planners alternately, so that a change of the machine's clock meets all alike."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from answers import check, require
from planners import answer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import eplb
    from cases import Loads, Sizes
    from planners import Planner

ROUNDS = 5
#: A planner's turn ends when it took so long, or so many calls: short work is repeated.
TURN_SECONDS, TURN_CALLS = 0.01, 12


@dataclass
class Timed:
    """Seconds of every call of a planner, by batch, and the plans that it gave."""

    seconds: list[list[float]] = field(default_factory=list)
    plans: list[eplb.Plan] = field(default_factory=list)

    def fastest(self) -> list[float]:
        """Of each batch: other work on a machine only slows."""
        return [min(times) for times in self.seconds]

    def summary(self) -> dict[str, float]:
        """In milliseconds: the fastest call of the batches, and the median of all calls."""
        fastest = self.fastest()
        every = [time for times in self.seconds for time in times]
        figures = {
            "minimum": min(fastest),
            "median batch": statistics.median(fastest),
            "slowest batch": max(fastest),
            "median of all calls": statistics.median(every),
        }
        return {name: figure * 1e3 for name, figure in figures.items()}

    def times(self, ours: Timed) -> float:
        """How many times the other's time this is: the median batch."""
        pairs = zip(self.fastest(), ours.fastest(), strict=True)
        return statistics.median(mine / other for mine, other in pairs)


def alternately(
    planners: Mapping[str, Planner],
    batches: Sequence[Loads],
    sizes: Sizes,
    rounds: int = ROUNDS,
) -> dict[str, Timed]:
    """Time every planner on every batch, and check what each gives."""
    timed = {name: Timed([[] for _ in batches]) for name in planners}
    for i, load in enumerate(batches):
        first = {name: answer_of(planner(load, sizes)) for name, planner in planners.items()}
        for name, answer in first.items():
            timed[name].plans.append(check(name, answer, load, sizes))
        for _ in range(rounds):
            for name, planner in planners.items():
                seconds, given = turn(planner, load, sizes)
                timed[name].seconds[i] += seconds
                for answer in map(answer_of, given):
                    require(answer.same(first[name]), f"{name}: not the same plan each time")
    return timed


def turn(planner: Planner, load: Loads, sizes: Sizes) -> tuple[list[float], list[Any]]:
    """Seconds and answers of a few calls."""
    seconds: list[float] = []
    given: list[Any] = []
    while len(seconds) < TURN_CALLS and sum(seconds) < TURN_SECONDS:
        start = time.perf_counter()
        answer = planner(load, sizes)
        seconds.append(time.perf_counter() - start)
        given.append(answer)
    return seconds, given
