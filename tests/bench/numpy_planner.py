"""Planners of the usual kind, to be timed beside: numpy and float64.

Adams' method vectorised over layers, then each copy, heaviest first, to the lightest GPU with room:
in a loop over layers and slots, as the published planners have it, or over slots with all layers in
lockstep, which is the best that numpy does.
Where no loads tie both give the plans of ``policy="deepseek"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Loads = npt.NDArray[np.float64]
    Table = npt.NDArray[np.int64]


def numpy_plan(
    load: Loads, num_replicas: int, num_gpus: int, *, lockstep: bool
) -> tuple[Table, Table, Table]:
    """``phy2log [layers, P]``, ``rank [layers, P]`` and ``logcnt [layers, L]`` of a global plan."""
    slots, rank, logcnt = replicate(load, num_replicas)
    share = np.take_along_axis(load / logcnt, slots, axis=1)
    pack = pack_in_lockstep if lockstep else pack_by_layer
    target = pack(share, num_gpus)
    phy2log, phyrank = np.empty_like(slots), np.empty_like(rank)
    np.put_along_axis(phy2log, target, slots, axis=1)
    np.put_along_axis(phyrank, target, rank, axis=1)
    return phy2log, phyrank, logcnt


def replicate(load: Loads, num_replicas: int) -> tuple[Table, Table, Table]:
    """Experts, ranks and counts of slots before packing, by Adams' method."""
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
    return slots, rank, logcnt


def pack_by_layer(share: Loads, num_gpus: int) -> Table:
    """Where each slot goes, ``[layers, P]``."""
    layers, num_replicas = share.shape
    room = num_replicas // num_gpus
    order = np.argsort(-share, axis=1, kind="stable")
    target = np.empty_like(order)
    for layer in range(layers):
        gpu_load = [0.0] * num_gpus
        filled = [0] * num_gpus
        for slot in order[layer]:
            with_room = (gpu for gpu in range(num_gpus) if filled[gpu] < room)
            gpu = min(with_room, key=gpu_load.__getitem__)
            target[layer, slot] = gpu * room + filled[gpu]
            gpu_load[gpu] += share[layer, slot]
            filled[gpu] += 1
    return target


def pack_in_lockstep(share: Loads, num_gpus: int) -> Table:
    """The same, a step in all layers at once."""
    layers, num_replicas = share.shape
    every = np.arange(layers)
    room = num_replicas // num_gpus
    order = np.argsort(-share, axis=1, kind="stable")
    target = np.empty_like(order)
    gpu_load = np.zeros((layers, num_gpus))
    filled = np.zeros((layers, num_gpus), dtype=np.int64)
    for place in range(num_replicas):
        slot = order[:, place]
        gpu = np.where(filled < room, gpu_load, np.inf).argmin(axis=1)
        target[every, slot] = gpu * room + filled[every, gpu]
        gpu_load[every, gpu] += share[every, slot]
        filled[every, gpu] += 1
    return target
