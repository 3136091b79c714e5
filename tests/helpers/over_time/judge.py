"""What planners reach on the next window, and what they move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from eplb import _core
from over_time.on_gpus import on_gpus

if TYPE_CHECKING:
    import numpy.typing as npt
    from over_time.sequences import Counts, Sequence

    Slots = npt.NDArray[np.int64]

#: Windows that a planner has seen before its first plan that is judged.
SEEN = 9


@dataclass(frozen=True)
class Score:
    """In percent: balancedness on the next window, its 10th percentile, slots that moved."""

    mean: float
    p10: float
    moved: float


def topology(sequence: Sequence) -> _core.Topology:
    experts = sequence.windows.shape[2]
    return _core.Topology(experts, sequence.num_replicas, 1, 1, sequence.num_gpus)


class Planner(Protocol):
    """What is judged: it sees windows, and gives plans."""

    def observe(self, window: Counts) -> None: ...
    def __call__(self, previous: Slots | None, /) -> Slots: ...


class OverTime:
    """The planner from a history."""

    def __init__(
        self, sequence: Sequence, rows: int = 16, decay: int = 64225, **options: Any
    ) -> None:
        layers, experts = sequence.windows.shape[1:]
        self.history = _core.LoadHistory(layers, experts, rows, decay)
        self.topology, self.gpus, self.options = topology(sequence), sequence.num_gpus, options

    def observe(self, window: Counts) -> None:
        self.history.observe(_core.Loads(np.ascontiguousarray(window)), 1)

    def __call__(self, previous: Slots | None) -> Slots:
        return _core.replan(
            self.history, self.topology, on_gpus(previous, self.gpus), **self.options
        ).phy2log()


class DeepSeek:
    """DeepSeek's planner on the newest window."""

    def __init__(self, sequence: Sequence) -> None:
        self.topology = topology(sequence)

    def observe(self, window: Counts) -> None:
        self.loads = _core.Loads(np.ascontiguousarray(window))

    def __call__(self, _: Slots | None) -> Slots:
        return _core.plan(self.loads, self.topology, "deepseek", "default", None, 1)[0].phy2log()


def score(sequence: Sequence, planner: Planner) -> Score:
    """The score of a planner that plans after each window, from the eighth on."""
    previous, cells, moved = None, [], []
    for index, window in enumerate(sequence.windows[:-1]):
        planner.observe(window)
        if index + 2 < SEEN:
            continue
        plan = planner(previous)
        if previous is not None:
            cells.append(balancedness(plan, sequence.windows[index + 1], sequence.num_gpus))
            moved.append(arrivals(previous, plan, sequence.num_gpus) / plan.size)
        previous = plan
    values = np.sort(np.concatenate(cells)) * 100
    return Score(
        float(values.mean()), float(values[len(values) // 10]), float(np.mean(moved)) * 100
    )


def balancedness(phy2log: Slots, window: Counts, gpus: int) -> npt.NDArray[np.float64]:
    """Mean GPU load / largest GPU load of each layer."""
    layers, experts = window.shape
    replicas = np.array([np.bincount(row[row >= 0], minlength=experts) for row in phy2log])
    share = np.take_along_axis(window / replicas, np.maximum(phy2log, 0), axis=1) * (phy2log >= 0)
    loads = share.reshape(layers, gpus, -1).sum(axis=2)
    result: npt.NDArray[np.float64] = loads.mean(axis=1) / np.maximum(loads.max(axis=1), 1e-300)
    return result


def arrivals(old: Slots, new: Slots, gpus: int) -> int:
    """Slots that get an expert which their GPU did not hold."""
    count = 0
    pairs = zip(old.reshape(len(old) * gpus, -1), new.reshape(len(new) * gpus, -1), strict=True)
    for before, after in pairs:
        held = list(before)
        for expert in after:
            if expert in held:
                held.remove(expert)
            elif expert >= 0:
                count += 1
    return count
