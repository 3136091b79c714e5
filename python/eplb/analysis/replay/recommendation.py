"""Which setting to take, and why: a simple rule, in words.

1. Hindsight cannot be had, and somebody else's planner can, so only hindsight is out.
2. Of the settings whose updates copy at most the budget, the one with the best mean is best.
3. Of those whose distance to it is within the noise, the one with the fewest copies is taken. The noise
   is twice the standard error of the mean difference between two settings, window by window, and at least
   0.002.
4. If this is one that never updates, updates do not pay on this trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb.analysis.replay.figures import window_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.analysis.replay.result import Result

#: Differences of mean balancedness that are at most this are none.
NOISE = 0.002


@dataclass(frozen=True)
class Recommendation:
    """The setting to take."""

    #: Its name; None if none is within the budget.
    setting: str | None
    #: Why, a sentence or more.
    reason: str
    #: A command that plans the next update so, if there is one.
    command: str | None = None
    #: Environment variables for eplb's plug-ins.
    variables: dict[str, str] | None = None


def recommend(results: Sequence[Result], most_copies: float, sizes: str | None) -> Recommendation:
    """The recommendation; ``most_copies`` is the budget, a share of the slots for each update."""
    judged = [
        result
        for result in results
        if result.setting.usable and result.figures.balancedness_mean is not None
    ]
    if not judged:
        return Recommendation(None, "No window that was judged has load.")
    able = [result for result in judged if result.figures.copies_share <= most_copies]
    if not able:
        fewest = min(judged, key=lambda result: result.figures.copies_share)
        return Recommendation(
            None,
            f"No setting is within the budget of {most_copies:.1%} of the slots for each update; "
            f"{fewest.setting.name} copies least, {fewest.figures.copies_share:.1%}.",
        )
    best = max(able, key=_mean)
    level = [result for result in able if _mean(best) - _mean(result) <= noise(best, result)]
    taken = min(level, key=lambda result: (result.figures.copies, -_mean(result)))
    lines = [_against_budget(judged, best, most_copies)]
    if taken is best:
        lines.append(
            f"{best.setting.name} has the best mean within this budget, {_mean(best):.4f}."
        )
    else:
        lines.append(
            f"{best.setting.name} has the best mean within this budget, {_mean(best):.4f}, but "
            f"{taken.setting.name} has {_mean(taken):.4f} with fewer copies, and the difference is "
            f"within the noise, {noise(best, taken):.4f}."
        )
    if not taken.setting.updates:
        lines.append("Updates do not pay on this trace.")
    lines += _against_none(able, taken)
    return Recommendation(
        taken.setting.name,
        " ".join(line for line in lines if line),
        taken.setting.command(sizes),
        taken.setting.variables() or None,
    )


def noise(first: Result, second: Result) -> float:
    """What a difference of two means has to exceed: twice its standard error, window by window.

    Windows follow each other and are alike, so that this is rather too small than too large.
    """
    ours, theirs = window_means(first.rows), window_means(second.rows)
    differences = [ours[window] - theirs[window] for window in ours.keys() & theirs.keys()]
    if len(differences) < 2:
        return math.inf
    return max(NOISE, 2 * float(np.std(differences, ddof=1)) / math.sqrt(len(differences)))


def _mean(result: Result) -> float:
    mean = result.figures.balancedness_mean
    assert mean is not None  # noqa: S101 - those without are not judged
    return mean


def _against_budget(judged: Sequence[Result], best: Result, most_copies: float) -> str:
    """What the budget is, and what it costs."""
    better = [
        result
        for result in judged
        if result.figures.copies_share > most_copies and _mean(result) > _mean(best)
    ]
    words = f"The budget is {most_copies:.1%} of the slots for each update."
    if not better:
        return words
    first = max(better, key=_mean)
    return (
        f"{words} {first.setting.name} reaches {_mean(first):.4f} beyond it, with "
        f"{first.figures.copies_share:.1%}."
    )


def _against_none(able: Sequence[Result], taken: Result) -> list[str]:
    """What it brings beside the default placement."""
    for result in able:
        if result.setting.kind == "trivial" and result is not taken:
            more = _mean(taken) - _mean(result)
            return [f"It is {more:.4f} above the default placement, {_mean(result):.4f}."]
    return []
