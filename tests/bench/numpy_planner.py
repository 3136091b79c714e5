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
    from collections.abc import Callable

    import numpy.typing as npt

    Loads = npt.NDArray[np.float64]
    Table = npt.NDArray[np.int64]


def numpy_plan(
    load: Loads,
    num_replicas: int,
    num_gpus: int,
    *,
    num_groups: int = 1,
    num_nodes: int = 1,
    lockstep: bool,
) -> tuple[Table, Table, Table]:
    """``phy2log [layers, P]``, ``rank [layers, P]`` and ``logcnt [layers, L]``."""
    pack = pack_in_lockstep if lockstep else pack_by_layer
    layers, experts = load.shape
    held = experts_of_nodes(load, num_groups, num_nodes, pack)
    # From here each node of each layer is a row of its own.
    of_node = np.take_along_axis(load, held, axis=1).reshape(layers * num_nodes, -1)
    slots, rank, counts = replicate(of_node, num_replicas // num_nodes)
    share = np.take_along_axis(of_node / counts, slots, axis=1)
    target = pack(share, num_gpus // num_nodes)
    placed, phyrank = np.empty_like(slots), np.empty_like(rank)
    np.put_along_axis(placed, target, slots, axis=1)
    np.put_along_axis(phyrank, target, rank, axis=1)
    first = np.arange(num_nodes)[:, None] * (experts // num_nodes)
    placed = (placed.reshape(layers, num_nodes, -1) + first).reshape(layers, -1)
    logcnt = np.empty((layers, experts), dtype=np.int64)
    np.put_along_axis(logcnt, held, counts.reshape(layers, -1), axis=1)
    return np.take_along_axis(held, placed, axis=1), phyrank.reshape(layers, -1), logcnt


def experts_of_nodes(
    load: Loads, num_groups: int, num_nodes: int, pack: Callable[[Loads, int], Table]
) -> Table:
    """The experts ``[layers, L]``, node after node, whole groups on each."""
    layers, experts = load.shape
    size = experts // num_groups
    if num_nodes == 1:
        return np.tile(np.arange(experts), (layers, 1))
    target = pack(load.reshape(layers, num_groups, size).sum(axis=2), num_nodes)
    groups = np.empty_like(target)
    np.put_along_axis(groups, target, np.arange(num_groups)[None, :], axis=1)
    held: Table = (groups[:, :, None] * size + np.arange(size)).reshape(layers, -1)
    return held


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
