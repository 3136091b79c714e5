"""Snapshots: the placements and loads of a few windows, for a report.

A row has balancedness alone. A report shows where it comes from, so a cell keeps a snapshot of the windows
in which its setting is worst. How many layers and windows are kept is bounded, so that a report does not grow
with the trace.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eplb.analysis.replay.gpu_loads import gpu_load
from eplb.plan_tables import read_only

if TYPE_CHECKING:
    from eplb.clusters import Cluster
    from eplb.plan_tables import FloatTable, IntTable
    from eplb.plans import Plan

#: GPU loads that the snapshots of all settings of a report may show, before and after being two.
MOST_LOADS = 200_000


@dataclass(frozen=True)
class Limits:
    """How much each setting keeps."""

    windows: int
    layers: int

    @classmethod
    def of(cls, num_settings: int, num_layers: int, num_gpus: int) -> Limits:
        """All layers of as many windows as there is room for; or of one window, as many layers."""
        rows = max(1, MOST_LOADS // (2 * num_gpus * max(1, num_settings)))
        return cls(max(1, rows // num_layers), min(rows, num_layers))


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


class Moved(NamedTuple):
    """An expert of which an update changed the GPUs; a GPU is named once for each replica."""

    expert: int
    #: Its share of the load of its layer.
    share: float
    gpus_before: list[int]
    gpus_after: list[int]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Some layers of a window: the loads that came, and the placements before and after its update."""

    #: Which layers, ascending.
    layers: IntTable
    #: Of these layers, ``[kept layers, experts]``, rounded: a picture shows no more.
    loads: FloatTable
    #: phy2log, ``[kept layers, slots]``, and the GPUs.
    before: IntTable
    before_cluster: Cluster
    after: IntTable
    after_cluster: Cluster

    def relative_loads(self) -> tuple[FloatTable, FloatTable]:
        """GPU load by speed / the mean of the GPUs in use, before and after, ``[kept layers, GPUs]``.

        NaN for a GPU that is not in use, or a layer without load.
        """
        speeds = self.after_cluster.gpu_speed[self.after_cluster.used]
        mean = self.loads.sum(axis=1, dtype=np.float64) / speeds.sum()
        before = _relative(self.before, self.before_cluster, self.loads, mean)
        return before, _relative(self.after, self.after_cluster, self.loads, mean)

    def moved(self, row: int) -> list[Moved]:
        """The experts of a kept layer whose GPUs are others than before, those with most load first."""
        held = _gpus_of(self.before[row], self.before_cluster)
        holds = _gpus_of(self.after[row], self.after_cluster)
        loads = self.loads[row]
        total = float(loads.sum(dtype=np.float64)) or 1.0
        found = [
            Moved(expert, float(load) / total, held.get(expert, []), holds.get(expert, []))
            for expert, load in enumerate(loads)
            if held.get(expert) != holds.get(expert)
        ]
        return sorted(found, key=lambda one: (-one.share, one.expert))


def snapshot_of(
    before: Plan, after: Plan, loads: FloatTable, balancedness: FloatTable, most_layers: int
) -> Snapshot:
    """The snapshot of a window with these loads, of its worst layers if there is no room for all."""
    worst = np.argsort(balancedness, kind="stable")  # layers without load last
    layers = np.sort(worst[:most_layers])
    return Snapshot(
        read_only(layers),
        read_only(loads[layers].astype(np.float32)),
        _small(before.phy2log[layers]),
        before.cluster,
        _small(after.phy2log[layers]),
        after.cluster,
    )


def _small(phy2log: IntTable) -> IntTable:
    """A copy in numbers as narrow as they can be."""
    kind = np.int16 if phy2log.max(initial=0) <= np.iinfo(np.int16).max else np.int32
    return read_only(phy2log.astype(kind))


def _relative(
    phy2log: IntTable, cluster: Cluster, loads: FloatTable, mean: FloatTable
) -> FloatTable:
    experts = loads.shape[1]
    logcnt = np.array([np.bincount(row[row >= 0], minlength=experts) for row in phy2log])
    load = gpu_load(phy2log, np.maximum(logcnt, 1), cluster, loads) / cluster.gpu_speed
    load[:, ~cluster.used] = np.nan
    load[mean == 0] = np.nan
    return read_only(load / np.where(mean == 0, 1, mean)[:, np.newaxis])


def _gpus_of(row: IntTable, cluster: Cluster) -> dict[int, list[int]]:
    """The GPUs of each expert, ascending: the GPU of each replica."""
    found: dict[int, list[int]] = {}
    for expert, gpu in zip(row.tolist(), cluster.gpu_of_slot.tolist(), strict=True):
        if expert >= 0:
            found.setdefault(expert, []).append(gpu)
    return found
