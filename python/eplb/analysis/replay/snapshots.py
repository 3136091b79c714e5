"""Snapshots: what the GPUs of a few windows had to do, before and after an update, for a report.

A row has balancedness alone. A report shows where it comes from, so a cell keeps a snapshot of the windows
in which its setting is worst. How many layers and windows are kept is bounded by a number of GPU loads, so
that a report does not grow with the trace.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb.analysis.replay.gpu_loads import gpu_load
from eplb.plan_tables import read_only

if TYPE_CHECKING:
    from eplb.plan_tables import FloatTable, IntTable
    from eplb.plans import Plan

#: GPU loads that all settings of a report may keep, before and after being two.
MOST_LOADS = 300_000
#: Experts of a layer that are listed as moved, those with most load first.
MOST_EXPERTS = 32


@dataclass(frozen=True)
class Limits:
    """How much each setting keeps."""

    windows: int
    layers: int

    @classmethod
    def of(cls, num_settings: int, num_layers: int, num_gpus: int) -> Limits:
        """All layers of as many windows as there is room for; of one window, as many layers."""
        rows = max(1, MOST_LOADS // (2 * num_gpus * max(1, num_settings)))
        return cls(max(1, rows // num_layers), min(rows, num_layers))


@dataclass(frozen=True, eq=False)
class MovedExpert:
    """An expert of which an update changed the GPUs; a GPU is named once for each replica."""

    expert: int
    #: Its share of the load of its layer.
    share: float
    gpus_before: tuple[int, ...]
    gpus_after: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A window: what its update changed, on the loads that then came."""

    #: Layers that are kept, ascending.
    layers: IntTable
    #: GPU load by speed / the mean one, ``[kept layers, GPUs]``, with the placement that was in force before;
    #: NaN for a GPU that is not in use or a layer without load.
    before: FloatTable
    #: The same with the placement that served the window.
    after: FloatTable
    #: Of each kept layer the experts that moved, those with most load first.
    moved: tuple[tuple[MovedExpert, ...], ...]
    #: Of each kept layer how many moved, those that are not listed included.
    num_moved: tuple[int, ...]


class WorstWindows:
    """Which windows of a cell are kept: those with the least mean balancedness so far."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: list[float] = []

    def takes(self, balancedness: FloatTable) -> bool:
        """Whether the window is among the worst so far; one without load never is."""
        loaded = balancedness[~np.isnan(balancedness)]
        if not loaded.size:
            return False
        badness = -float(loaded.mean())
        if len(self._kept) < self.most:
            heapq.heappush(self._kept, badness)
            return True
        return heapq.heappushpop(self._kept, badness) != badness


def snapshot_of(
    before: Plan, after: Plan, loads: FloatTable, balancedness: FloatTable, most_layers: int
) -> Snapshot:
    """The snapshot of a window with these loads, of its worst layers if there is no room for all.

    O(layers * slots * log).
    """
    worst = np.argsort(balancedness, kind="stable")  # layers without load last
    layers = np.sort(worst[:most_layers])
    used, speeds = after.cluster.used, after.cluster.gpu_speed
    mean = loads.sum(axis=1) / speeds[used].sum()
    moved, num_moved = [], []
    for layer in layers:
        found = _moved(before, after, int(layer), loads[layer])
        num_moved.append(len(found))
        moved.append(tuple(found[:MOST_EXPERTS]))
    return Snapshot(
        read_only(layers),
        _relative(before, loads, mean)[layers],
        _relative(after, loads, mean)[layers],
        tuple(moved),
        tuple(num_moved),
    )


def _relative(plan: Plan, loads: FloatTable, mean: FloatTable) -> FloatTable:
    cluster = plan.cluster
    load = gpu_load(plan, loads) / cluster.gpu_speed
    load[:, ~cluster.used] = np.nan
    load[mean == 0] = np.nan
    mean = np.where(mean == 0, 1, mean)
    return read_only((load / mean[:, np.newaxis]).astype(np.float32))


def _moved(before: Plan, after: Plan, layer: int, loads: FloatTable) -> list[MovedExpert]:
    """The experts whose GPUs are others than before, those with most load first."""
    held, holds = _gpus_of(before, layer), _gpus_of(after, layer)
    total = loads.sum()
    found = [
        MovedExpert(
            expert,
            float(loads[expert] / total) if total else 0.0,
            held.get(expert, ()),
            holds.get(expert, ()),
        )
        for expert in held.keys() | holds.keys()
        if held.get(expert) != holds.get(expert)
    ]
    return sorted(found, key=lambda moved: (-moved.share, moved.expert))


def _gpus_of(plan: Plan, layer: int) -> dict[int, tuple[int, ...]]:
    """The GPUs of each expert, ascending; the GPU of each replica."""
    found: dict[int, tuple[int, ...]] = {}
    for expert, gpu in zip(
        plan.phy2log[layer].tolist(), plan.cluster.gpu_of_slot.tolist(), strict=True
    ):
        if expert >= 0:
            found[expert] = (*found.get(expert, ()), gpu)
    return found
