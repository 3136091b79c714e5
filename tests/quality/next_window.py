"""What planners reach on the next window of real loads, and what they move: `make quality-over-time`.

Prints the table of docs/over-time.md: for each sequence and planner the mean and the 10th
percentile of next-window balancedness in percent, and the slots moved at each update in percent.
Every planner has seen eight windows before its first plan that is judged. Exits with 1 if a floor is
missed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import torch
from engine_planners import NoWheelError, sglang, vllm
from over_time.floors import FLOORS
from over_time.judge import OverTime, Score, score

if TYPE_CHECKING:
    from collections.abc import Callable

    from over_time.judge import Slots
    from over_time.sequences import Counts, Sequence


class LastWindows:
    """A planner that knows no placement, on the sum of the newest windows."""

    def __init__(self, plan: Callable[[Counts], Slots], windows: int) -> None:
        self.plan, self.windows = plan, windows
        self.seen: list[Counts] = []

    def observe(self, window: Counts) -> None:
        self.seen = [*self.seen, window][-self.windows :]

    def __call__(self, _: Slots | None) -> Slots:
        return self.plan(np.sum(self.seen, axis=0))


class Hindsight:
    """One plan of the sum of all windows that will be judged: nobody has it in time."""

    def __init__(self, sequence: Sequence) -> None:
        plan = eplb.plan(sequence.windows[8:].sum(axis=0), **sizes_of(sequence))
        self.slots = plan.phy2log

    def observe(self, window: Counts) -> None:
        pass

    def __call__(self, _: Slots | None) -> Slots:
        return self.slots


def sizes_of(sequence: Sequence) -> dict[str, Any]:
    return {"num_gpus": sequence.num_gpus, "num_replicas": sequence.num_replicas}


def policies(sequence: Sequence) -> dict[str, Callable[[Counts], Slots]]:
    """Planners of one window: ours as published, and those of released engines."""

    def ours(policy: str) -> Callable[[Counts], Slots]:
        return lambda load: eplb.plan(load, **sizes_of(sequence), policy=policy).phy2log

    found = {"eplb deepseek": ours("deepseek"), "eplb minimax": ours("minimax")}
    for name, planner in released().items():
        found[name] = lambda load, planner=planner: planner(load, **sizes_of(sequence))[0]  # type: ignore[misc]
    return found


RELEASED: dict[str, Any] = {}


def released() -> dict[str, Any]:
    """The planners of released engines whose wheels can be had."""
    if not RELEASED:
        for engine in (vllm, sglang):
            try:
                RELEASED.update(engine())
            except NoWheelError as reason:
                print(f"skipped: {reason}", flush=True)
    return RELEASED


def rows(sequence: Sequence) -> dict[str, Score]:
    """The score of every planner."""
    found = {"eplb multiwindow": score(sequence, OverTime(sequence))}
    for name, plan in policies(sequence).items():
        for windows in (1, 8):
            which = "newest window" if windows == 1 else f"sum of {windows}"
            found[f"{name}, {which}"] = score(sequence, LastWindows(plan, windows))
    found["one plan, with hindsight"] = score(sequence, Hindsight(sequence))
    return found


def main() -> int:
    """Measure, print."""
    torch.set_num_threads(1)
    missed = []
    for name, (sequence, floor) in FLOORS.items():
        windows, layers, experts = sequence.windows.shape
        slots = f"{sequence.num_replicas} slots on {sequence.num_gpus} GPUs"
        print(f"\n{name}: {windows} windows, {layers} layers, {experts} experts in {slots}\n")
        print("| planner | mean | p10 | moved |\n| --- | --- | --- | --- |")
        scores = rows(sequence)
        for planner, found in scores.items():
            print(
                f"| {planner} | {found.mean:.1f} | {found.p10:.1f} | {found.moved:.1f} |",
                flush=True,
            )
        theirs = scores["eplb deepseek, newest window"]
        missed += [f"{name}: {miss}" for miss in floor.misses(scores["eplb multiwindow"], theirs)]
    print("\n" + ("\n".join(f"MISSED: {miss}" for miss in missed) or "every floor is reached"))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
