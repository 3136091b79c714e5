"""A cell: one setting on one trace. It gives a row for each window that is judged."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.analysis.replay.events import after
from eplb.analysis.replay.gpu_loads import gpu_load
from eplb.analysis.replay.planners import Situation
from eplb.analysis.replay.snapshots import WorstWindows, snapshot_of
from eplb.errors import EplbError
from eplb.plan_tables import read_only

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from eplb.analysis.replay.events import Event
    from eplb.analysis.replay.planners import Planner
    from eplb.analysis.replay.settings import Setting
    from eplb.analysis.replay.snapshots import Limits, Snapshot
    from eplb.analysis.replay.trace import Trace
    from eplb.clusters import Cluster
    from eplb.plan_tables import FloatTable
    from eplb.plans import Plan


# Larger loads are scaled down before they are added.
_LARGE = 2.0**500


@dataclass(frozen=True)
class Course:
    """What all settings of a run have in common: the GPUs, when they plan, what happens."""

    cluster: Cluster
    num_groups: int
    #: Windows before the first plan.
    warmup: int
    #: Windows from one update to the next.
    every: int
    events: tuple[Event, ...] = ()
    threads: int = 1
    #: How many snapshots rows keep, if any.
    snapshots: Limits | None = None

    @property
    def first(self) -> int:
        """The first window that is judged: the first plan is in force before it."""
        return self.warmup + 1

    def updates(self, window: int) -> bool:
        """Whether settings plan for a window, apart from events."""
        return (window - self.warmup) % self.every == 0

    def happens(self, window: int) -> tuple[Event, ...]:
        """What happens before a window is served; what happened earlier is there at the first plan."""
        first = 0 if window == self.warmup else window
        return tuple(event for event in self.events if first <= event.window <= window)


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """What a setting reached in a window, with what it knew before."""

    window: int
    #: Mean GPU load / largest GPU load of each layer, by speed; NaN without load.
    balancedness: FloatTable
    #: Slots that an update for this window filled with an expert that their GPU did not hold.
    copies: int
    #: Slots of the GPUs in use, of all layers.
    slots: int
    #: Whether there was an update for this window.
    updated: bool
    #: Time for learning and planning before this window.
    seconds: float
    #: What the GPUs had to do, if this was one of the worst windows so far and snapshots are kept.
    snapshot: Snapshot | None = None


@dataclass(frozen=True)
class Cell:
    """One setting on one trace."""

    setting: Setting
    trace: Trace
    course: Course

    @property
    def num_rows(self) -> int:
        """How many windows are judged."""
        return len(self.trace) - self.course.first

    def rows(self) -> Iterator[Row]:
        """A row for each judged window, in order; memory does not grow, but by snapshots if they are kept.

        Raises:
            EplbError, TypeError: the planner fails; the error names setting, window and layer.
        """
        course, trace = self.course, self.trace
        with_setting = f"setting {self.setting.name}"
        planner = self.setting.make(trace, course.warmup)
        cluster, learnt = course.cluster, 0
        previous: Plan | None = None
        limits = course.snapshots
        worst = None if limits is None else WorstWindows(limits.windows)
        for window in range(course.warmup, len(trace)):
            happened = course.happens(window)
            updated, copies, seconds = course.updates(window) or bool(happened), 0, 0.0
            before = previous
            if updated:
                place = f"{with_setting}, window {window}"
                try:
                    cluster, emptied = after(cluster, happened)
                    now = Situation(
                        window, cluster, course.num_groups, before, emptied, course.threads
                    )
                    previous, seconds = _timed(planner, trace.windows[learnt:window], now)
                except EplbError as error:
                    raise error.within(place) from error
                except TypeError as error:
                    raise TypeError(f"{place}: {error}") from error
                learnt = window
                if before is not None:
                    copies = copies_between(before, previous, emptied)
            assert previous is not None  # noqa: S101 - the first window of the loop plans
            if before is None:
                continue  # the first plan; its window is not judged
            loads = trace.loads(window)
            reached = balancedness(previous, loads)
            snapshot = None
            if limits is not None and worst is not None and worst.takes(reached):
                snapshot = snapshot_of(before, previous, loads, reached, limits.layers)
            yield Row(
                window,
                reached,
                copies,
                cluster.used_slots * trace.num_layers,
                updated,
                seconds,
                snapshot,
            )


def _timed(planner: Planner, windows: Sequence[Any], now: Situation) -> tuple[Plan, float]:
    start = time.perf_counter()
    made = planner(windows, now)
    return made, time.perf_counter() - start


def balancedness(plan: Plan, loads: FloatTable) -> FloatTable:
    """Mean GPU load / largest GPU load of each layer, by speed, ``[layers]``; NaN without load.

    Replicas of an expert share its load equally. O(layers * slots).
    """
    cluster = plan.cluster
    # Sums of the largest floats are infinite; a power of two changes no digit.
    loads = loads * np.where(loads.max(axis=1, keepdims=True) > _LARGE, 1 / _LARGE, 1)
    speeds = cluster.gpu_speed[cluster.used]
    load = gpu_load(plan.phy2log, plan.logcnt, cluster, loads)[:, cluster.used]
    worst = (load / speeds).max(axis=1)
    mean = load.sum(axis=1) / speeds.sum()
    return read_only(np.divide(mean, worst, out=np.full(len(mean), np.nan), where=worst > 0))


def copies_between(before: Plan, made: Plan, emptied: Iterable[int] = ()) -> int:
    """Slots that get an expert which their GPU did not hold; GPUs that were ``emptied`` held nothing.

    O(layers * slots * log).
    """
    if before.cluster == made.cluster and np.array_equal(before.phy2log, made.phy2log):
        return 0
    gpus, experts = max(before.cluster.num_gpus, made.cluster.num_gpus), made.num_experts
    held, had = _held(before, gpus, experts, emptied)
    wanted, want = _held(made, gpus, experts, ())
    at = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
    there = np.where(held[at] == wanted, had[at], 0)
    return int(np.maximum(want - there, 0).sum())


def _held(plan: Plan, gpus: int, experts: int, emptied: Iterable[int]) -> tuple[Any, Any]:
    """How often each GPU holds which expert, as numbers of layer, GPU and expert, and counts."""
    gpu_of_slot = plan.cluster.gpu_of_slot
    there = (plan.phy2log >= 0) & ~np.isin(gpu_of_slot, [*emptied])
    layers = np.arange(plan.num_layers)[:, np.newaxis]
    return np.unique(
        ((layers * gpus + gpu_of_slot) * experts + plan.phy2log)[there], return_counts=True
    )
