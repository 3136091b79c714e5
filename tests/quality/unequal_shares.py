"""What unequal shares are worth on the next window of real loads: part of `make quality-over-time`.

Prints the table of docs/over-time.md, section "Routers that weight replicas": for each sequence and
planner the mean next-window balancedness in percent with equal shares; with static tables, of the shares
that were best on the window before, or on the sum of the last 16 windows; and with the shares that are
best on the window itself (a router that solves as it routes, like SGLang's mode `lp`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import eplb
import numpy as np
from eplb.text import count
from over_time.floors import FLOORS
from over_time.judge import SEEN, OverTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from over_time.judge import Planner, Slots
    from over_time.sequences import Counts, Sequence

    Balancedness = npt.NDArray[np.float64]


class LastWindow:
    """The plan by `minimax` of the newest window."""

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence

    def observe(self, window: Counts) -> None:
        self.window = window

    def __call__(self, _: Slots | None) -> Slots:
        gpus, slots = self.sequence.num_gpus, self.sequence.num_replicas
        return eplb.plan(self.window, num_gpus=gpus, num_replicas=slots).phy2log


#: Windows whose sum a static table is best for.
STATIC_WINDOWS = (1, 16)

PLANNERS: dict[str, Callable[[Sequence], Planner]] = {
    "multiwindow": OverTime,
    "minimax, newest window": LastWindow,
}


def with_shares(split: eplb.Split, window: Counts) -> Balancedness:
    """Balancedness of other loads with the shares of a split, ``[layers]``."""
    plan = split.plan
    held = np.maximum(plan.phy2log, 0)
    loads = np.take_along_axis(window, held, axis=1) * split.shares
    loads = loads.reshape(plan.num_layers, plan.num_gpus, -1).sum(axis=2)
    result: Balancedness = loads.mean(axis=1) / np.maximum(loads.max(axis=1), 1e-300)
    return result


def shares_of(sequence: Sequence, planner: Planner) -> list[float]:
    """Mean next-window balancedness: equal shares, static tables, the best shares."""
    previous, cells = None, []
    for index, window in enumerate(sequence.windows[:-1]):
        planner.observe(window)
        if index + 2 < SEEN:
            continue
        previous = planner(previous)
        plan = eplb.Plan.from_phy2log(previous, num_gpus=sequence.num_gpus)
        following = sequence.windows[index + 1]
        best = plan.split(following)
        seen = sequence.windows[: index + 1]
        statics = [with_shares(plan.split(seen[-n:]), following) for n in STATIC_WINDOWS]
        cells.append([best.balancedness_of_equal_shares, *statics, best.balancedness])
    return [float(np.mean(column)) * 100 for column in zip(*cells, strict=True)]


def lines() -> Iterator[str]:
    """The table, and the means of the gains."""
    tables = " | ".join(f"static, of {count(windows, 'window')}" for windows in STATIC_WINDOWS)
    yield f"| sequence | plans by | equal shares | {tables} | best shares |"
    yield "| --- | --- |" + " --- |" * (2 + len(STATIC_WINDOWS))
    gains: dict[str, list[list[float]]] = {name: [] for name in PLANNERS}
    for sequence_name, (sequence, _) in FLOORS.items():
        for name, planner in PLANNERS.items():
            means = shares_of(sequence, planner(sequence))
            gains[name].append([mean - means[0] for mean in means[1:]])
            figures = " | ".join(f"{mean:.1f}" for mean in means)
            yield f"| {sequence_name} | {name} | {figures} |"
    yield ""
    for name, of_sequences in gains.items():
        *statics, best = np.mean(of_sequences, axis=0)
        low, high = np.min(of_sequences, axis=0)[-1], np.max(of_sequences, axis=0)[-1]
        static = ", ".join(f"{gain:+.1f}" for gain in statics)
        yield f"{name}: best shares {best:+.1f} points ({low:.1f} to {high:.1f}), static {static}"


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
