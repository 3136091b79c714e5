"""A planner of the usual kind, to be timed beside: numpy, float64, a Python loop over slots.

Adams' method vectorised over layers, then each copy, heaviest first, to the lightest GPU with room.
Where no loads tie it gives the plans of ``policy="deepseek"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Table = npt.NDArray[np.int64]


def numpy_plan(
    load: npt.NDArray[np.float64], num_replicas: int, num_gpus: int
) -> tuple[Table, Table, Table]:
    """``phy2log [layers, P]``, ``rank [layers, P]`` and ``logcnt [layers, L]`` of a global plan."""
    layers, experts = load.shape
    every = np.arange(layers)
    slots = np.tile(np.arange(num_replicas), (layers, 1))
    rank = np.zeros((layers, num_replicas), dtype=np.int64)
    logcnt = np.ones((layers, experts), dtype=np.int64)
    for slot in range(experts, num_replicas):
        expert = (load / logcnt).argmax(axis=1)
        slots[:, slot] = expert
        rank[:, slot] = logcnt[every, expert]
        logcnt[every, expert] += 1

    share = np.take_along_axis(load / logcnt, slots, axis=1)
    order = np.argsort(-share, axis=1, kind="stable")
    room = num_replicas // num_gpus
    gpu_load = np.zeros((layers, num_gpus))
    filled = np.zeros((layers, num_gpus), dtype=np.int64)
    phy2log = np.empty_like(slots)
    phyrank = np.empty_like(rank)
    for place in range(num_replicas):
        slot = order[:, place]
        gpu = np.where(filled < room, gpu_load, np.inf).argmin(axis=1)
        target = gpu * room + filled[every, gpu]
        phy2log[every, target] = slots[every, slot]
        phyrank[every, target] = rank[every, slot]
        gpu_load[every, gpu] += share[every, slot]
        filled[every, gpu] += 1
    return phy2log, phyrank, logcnt
