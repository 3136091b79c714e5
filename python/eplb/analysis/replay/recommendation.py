"""Which setting to take, and why: a simple rule, in words.

1. Hindsight cannot be had, and somebody else's planner can, so only hindsight is out.
2. Of the settings whose updates copy at most the budget, those are dropped beside which another one has at
   least their mean with no more copies.
3. The one with the best mean is best. Of those whose distance to it is within the noise, the one with the
   fewest copies is taken. The noise is twice the standard error of the mean difference between two settings,
   window by window, and at least 0.002. One window alone shows no difference.
4. If this is one that never updates, and settings that update were within the budget, and none of them is
   better beyond the noise, updates do not pay on this trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb.analysis.replay.figures import window_means

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb.analysis.replay.next_steps import NextSteps
    from eplb.analysis.replay.result import Result
    from eplb.analysis.replay.settings import Setting

#: Differences of mean balancedness that are at most this are none.
NOISE = 0.002


@dataclass(frozen=True)
class Recommendation:
    """The setting to take."""

    #: Its name; None if none is within the budget.
    setting: str | None
    #: Why, a sentence or more.
    reason: str
    #: A command that plans the next update so, if there is one; words in capitals stand for files.
    command: str | None = None
    #: Environment variables for eplb's plug-ins, if there are any.
    variables: dict[str, str] | None = None
    #: The command before it, which makes the files that it reads.
    first_command: str | None = None
    #: What stands for what, and why a command or variables are missing.
    notes: tuple[str, ...] = ()


def recommend(
    results: Sequence[Result], most_copies: float, steps: Callable[[Setting], NextSteps]
) -> Recommendation:
    """The recommendation.

    Args:
        results: those that have judged all windows.
        most_copies: the budget, a share of the slots for each update.
        steps: how to plan as a setting does.
    """
    usable = [result for result in results if result.setting.usable]
    judged = [result for result in usable if result.figures.balancedness_mean is not None]
    if not judged:
        return Recommendation(None, _nothing(results, usable))
    able = [result for result in judged if result.figures.copies_share <= most_copies]
    if not able:
        fewest = min(judged, key=lambda result: result.figures.copies_share)
        return Recommendation(
            None,
            f"No setting is within the budget of {most_copies:.1%} of the slots for each update; "
            f"{fewest.setting.name} copies least, {fewest.figures.copies_share:.1%}.",
        )
    level, best = _level(able)
    taken = min(level, key=lambda result: result.figures.copies)
    lines = [_against_budget(judged, best, most_copies), _why(taken, best, most_copies)]
    if _windows(taken) < 2:
        lines.append("One window alone shows nothing of the next ones: replay more.")
    if not taken.setting.updates:
        updating = [result for result in able if result.setting.updates]
        gains = [_mean(result) - _mean(taken) - noise(result, taken) for result in updating]
        if updating and max(gains) <= 0 and _windows(taken) > 1:
            lines.append("Updates do not pay on this trace.")
    lines += _against_default(judged, taken)
    next_steps = steps(taken.setting)
    return Recommendation(
        taken.setting.name,
        " ".join(line for line in lines if line),
        next_steps.command,
        next_steps.variables,
        next_steps.first_command,
        next_steps.notes,
    )


def _nothing(results: Sequence[Result], usable: Sequence[Result]) -> str:
    """Why nothing can be recommended."""
    if not results:
        return "No setting has judged all windows."
    if not usable:
        return "Only hindsight has judged all windows, and nobody has it in time."
    return "No window that was judged has load."


def _level(able: Sequence[Result]) -> tuple[list[Result], Result]:
    """Those that cannot be told from the best one, and the best one; without those that are dominated."""
    kept: list[Result] = []
    for result in sorted(able, key=lambda one: (-_mean(one), one.figures.copies)):
        if not kept or result.figures.copies < kept[-1].figures.copies:
            kept.append(result)
    best = kept[0]
    return [each for each in kept if _mean(best) - _mean(each) <= noise(best, each)], best


def _why(taken: Result, best: Result, most_copies: float) -> str:
    within = "" if math.isinf(most_copies) else " within this budget"
    if taken is best:
        return f"{best.setting.name} has the best mean{within}, {_mean(best):.4f}."
    words = (
        f"{best.setting.name} has the best mean{within}, {_mean(best):.4f}, but "
        f"{taken.setting.name} has {_mean(taken):.4f} with fewer copies"
    )
    if _windows(best) < 2:
        return f"{words}."
    return f"{words}, and the difference is within the noise, {noise(best, taken):.4f}."


def _windows(result: Result) -> int:
    """Windows with load."""
    return len(window_means(result.rows))


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
    if math.isinf(most_copies):
        return "Copies are not limited."
    words = f"The budget is {most_copies:.1%} of the slots for each update."
    if not better:
        return words
    first = max(better, key=_mean)
    return (
        f"{words} {first.setting.name} reaches {_mean(first):.4f} beyond it, with "
        f"{first.figures.copies_share:.1%}."
    )


def _against_default(judged: Sequence[Result], taken: Result) -> list[str]:
    """What it brings beside the default placement."""
    for result in judged:
        if result.setting.kind == "trivial" and result is not taken:
            more = _mean(taken) - _mean(result)
            where = "above" if more >= 0 else "below"
            return [f"It is {abs(more):.4f} {where} the default placement, {_mean(result):.4f}."]
    return []
