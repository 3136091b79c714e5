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
from over_time.failures import failures
from over_time.floors import FLOORS
from over_time.judge import OverTime, Score, score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    """One plan for all windows that will be judged: nobody has it in time."""

    def __init__(self, sequence: Sequence, policy: str) -> None:
        judged = sequence.windows[8:]
        history = eplb.LoadHistory(rows=32, decay=1)
        history.observe(judged)
        made_from = history if policy == "multiwindow" else judged
        self.slots = eplb.plan(made_from, **sizes_of(sequence), policy=policy).phy2log

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
    for policy in ("minimax", "multiwindow"):
        found[f"one plan with hindsight, {policy}"] = score(sequence, Hindsight(sequence, policy))
    return found


#: Settings of planning over time, beside the default.
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "move_price=0.005": {"move_price": 5_000},
    "move_price=0.016": {"move_price": 16_000},
    "move_price=0.024": {"move_price": 24_000},
    "LoadHistory(rows=8)": {"rows": 8},
    "max_copies: 2 % of all slots": {"max_copies": 0.02},
}


def settings_table() -> Iterator[str]:
    """What settings are worth: means over all sequences."""
    yield "| setting, mean of all sequences | mean | p10 | moved |"
    yield "| --- | --- | --- | --- |"
    for name, options in SETTINGS.items():
        scores = [score(sequence, tuned(sequence, options)) for sequence, _ in FLOORS.values()]
        mean, p10, moved = np.mean([(s.mean, s.p10, s.moved) for s in scores], axis=0)
        yield f"| {name} | {mean:.2f} | {p10:.2f} | {moved:.2f} |"


def failures_table() -> Iterator[str]:
    """What is reached after each GPU has died."""
    yield "| each GPU dead in turn | repaired | updated | new plan | copies | all copies |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, (sequence, _) in FLOORS.items():
        found = failures(sequence)
        reached = f"{found.repaired:.1f} | {found.updated:.1f} | {found.anew:.1f}"
        copies = f"{found.fewest_copies:.1f} | {found.copies:.1f} of {sequence.num_replicas}"
        yield f"| {name} | {reached} | {copies} |"


def tuned(sequence: Sequence, options: dict[str, Any]) -> OverTime:
    """The planner with these options; a share of copies is one of all slots."""
    if "max_copies" in options:
        slots = sequence.windows.shape[1] * sequence.num_replicas
        options = {**options, "max_copies": int(options["max_copies"] * slots)}
    return OverTime(sequence, **options)


def sampling_lines(gpus: int = 32, steps: int = 20_000) -> Iterator[str]:
    """What sampling leaves of a perfect plan, in a step with so many assignments per GPU."""
    random = np.random.default_rng(1)
    for assignments in (256, 1024, 4096):
        drawn = random.multinomial(gpus * assignments, [1 / gpus] * gpus, steps)
        reached = (assignments / drawn.max(axis=1)).mean()
        yield f"a perfect plan, {gpus} GPUs, {assignments} assignments per GPU: {reached:.3f}"


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
    print()
    for line in (*settings_table(), "", *failures_table(), "", *sampling_lines()):
        print(line, flush=True)
    print("\n" + ("\n".join(f"MISSED: {miss}" for miss in missed) or "every floor is reached"))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
