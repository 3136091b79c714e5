"""Which point of a curve to take: a simple rule, in words.

The knee is the point with the fewest redundant slots from which no later point of its curve brings ``per_slot``
or more of mean balancedness for each further slot of a GPU. So it does not depend on how far the curve
goes, if it has flattened. If it is the last point, the curve still rises there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.analysis.advice.points import Point

#: What a further slot of each GPU must bring: half a point of balancedness.
PER_SLOT = 0.005


@dataclass(frozen=True)
class Knee:
    """The point of a curve to take."""

    num_gpus: int
    #: Redundant slots to take.
    redundant: int
    balancedness_mean: float
    #: Redundant slots of the best mean, and this mean.
    best_redundant: int
    best_mean: float
    #: Whether the curve still rises at its end, where the knee is.
    rises: bool
    #: All of it in words.
    words: str


def knees_of(points: Sequence[Point], per_slot: float) -> tuple[Knee, ...]:
    """The knee of each number of GPUs with load, in their order."""
    found = []
    for gpus in dict.fromkeys(point.num_gpus for point in points):
        curve = [
            (point, mean)
            for point in sorted(points, key=lambda point: point.redundant)
            if point.num_gpus == gpus and (mean := point.figures.balancedness_mean) is not None
        ]
        if curve:
            found.append(_knee(curve, per_slot))
    return tuple(found)


def _knee(curve: Sequence[tuple[Point, float]], per_slot: float) -> Knee:
    best, best_mean = max(curve, key=lambda each: each[1])  # the first of equal ones
    at = next(
        at
        for at, (point, mean) in enumerate(curve)
        if all(
            other_mean - mean < per_slot * (other.slots_per_gpu - point.slots_per_gpu)
            for other, other_mean in curve[at + 1 :]
        )
    )
    point, mean = curve[at]
    rises = 0 < at == len(curve) - 1
    return Knee(
        point.num_gpus,
        point.redundant,
        mean,
        best.redundant,
        best_mean,
        rises,
        _words(
            point,
            mean,
            best,
            best_mean,
            per_slot,
            alone=len(curve) == 1,
            last_step=_per_slot(curve[-2:]) if rises else None,
        ),
    )


def _per_slot(step: Sequence[tuple[Point, float]]) -> float:
    """What a further slot of a GPU brings between two points."""
    (before, low), (after, high) = step
    return (high - low) / (after.slots_per_gpu - before.slots_per_gpu)


def _words(
    point: Point,
    mean: float,
    best: Point,
    best_mean: float,
    per_slot: float,
    *,
    alone: bool,
    last_step: float | None,
) -> str:
    """In words; ``last_step`` is what a slot of the last step brought, if this is the last point."""
    gpus, each = count(point.num_gpus, "GPU"), f"{count(point.slots_per_gpu, 'slot')} per GPU"
    what = count(point.redundant, "redundant slot") if point.redundant else "no redundant slots"
    if alone:
        return f"{gpus}: {what} ({each}) alone were tried: mean {mean:.4f}."
    words = f"{gpus}: take {what} ({each}): mean {mean:.4f}."
    if last_step is not None:
        words += (
            f" The last step brought {100 * last_step:.2g} points for each slot of a GPU, and the limit is "
            f"{100 * per_slot:g}: try more."
        )
    elif best.redundant > point.redundant:
        words += (
            f" More bring less than {100 * per_slot:g} points per further slot of a GPU: "
            f"{best.redundant} reach {best_mean:.4f}."
        )
    else:
        words += " More brought nothing."
    if point.redundant and point.redundant_gigabytes is not None:
        words += f" They take {point.redundant_gigabytes:.2f} GB of each GPU."
    return words
