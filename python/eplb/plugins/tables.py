"""Maps of engines as numpy tables: what is checked of them, and what is computed from them.

By their own means, so that what a planner got wrong is seen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from eplb.plan_tables import IntTable


def slots_of(gpus: Iterable[int], num_slots: int, num_gpus: int) -> npt.NDArray[np.bool_]:
    """Which slots are on these GPUs, ``[slots]``.

    Raises:
        ValueError: the slots cannot be shared out.
    """
    if num_gpus < 1 or num_slots < 1 or num_slots % num_gpus:
        raise ValueError(f"{num_slots} slots cannot be shared out on {num_gpus} GPUs")
    found = np.zeros((num_gpus, num_slots // num_gpus), dtype=bool)
    found[[gpu for gpu in gpus if 0 <= gpu < num_gpus]] = True
    return found.ravel()


def lacks(
    phy2log: IntTable, experts: int, shape: tuple[int, int], dead: npt.NDArray[np.bool_]
) -> str:
    """What makes the table no placement, in words; empty if it is one.

    Every expert must be in a slot that is not dead; dead slots may hold anything.
    """
    if phy2log.shape != shape:
        return f"the map has shape {list(phy2log.shape)}; expected {list(shape)}"
    live = phy2log[:, ~dead] if dead.any() else phy2log
    if live.size == 0 or live.min() < 0 or live.max() >= experts:
        return f"the map has experts out of range; expected 0 to {experts - 1}"
    there = np.zeros((len(live), experts), dtype=bool)
    there.ravel()[live + np.arange(len(live))[:, None] * experts] = True
    if there.all():
        return ""
    layer, expert = np.argwhere(~there)[0]
    return f"layer {layer}: expert {expert} has no slot"


def replicas(phy2log: IntTable, experts: int) -> IntTable:
    """Slots of each expert, ``[layers, experts]``; -1 is an empty slot."""
    layers = len(phy2log)
    cells = phy2log + np.arange(layers)[:, None] * experts
    counts = np.bincount(cells[phy2log >= 0], minlength=layers * experts)
    return counts.reshape(layers, experts)


def log2phy_of(phy2log: IntTable, counts: IntTable) -> IntTable:
    """The slots of each expert, ascending, ``[layers, experts, most replicas]``, padded with -1.

    ``counts`` are the slots of each expert, as :func:`replicas` has them.
    """
    (layers, slots), experts = phy2log.shape, counts.shape[1]
    most = int(counts.max(initial=1))
    # The slots by expert; empty ones come first. 16 bits sort by their digits; a map in force may need more.
    keys = phy2log.astype(np.int16) if experts <= 2**15 else phy2log
    order = np.argsort(keys, axis=1, kind="stable")
    layer = np.arange(layers)[:, None]
    expert = np.take(phy2log, order + layer * slots)
    cell = expert + layer * experts
    first = np.cumsum(counts, axis=1) - counts + (phy2log < 0).sum(axis=1, keepdims=True)
    place = cell * most + np.arange(slots) - np.take(first, cell)
    table = np.full(counts.size * most, -1)
    held = expert >= 0 if (expert < 0).any() else ...
    table[place[held]] = order[held]
    return table.reshape(layers, experts, most)


def default_map(layers: int, experts: int, num_slots: int, dead: npt.NDArray[np.bool_]) -> IntTable:
    """Expert i % experts in the i-th slot that is not dead; -1 in dead ones."""
    row = np.full(num_slots, -1)
    row[~dead] = np.arange((~dead).sum()) % experts
    return np.tile(row, (layers, 1))


def balancedness(
    load: IntTable, phy2log: IntTable, per_gpu: int, dead: npt.NDArray[np.bool_]
) -> float | None:
    """Mean GPU load divided by the largest, as mean over layers with load.

    None if no layer has load, or an expert with load has no slot.
    """
    loaded = load.sum(axis=1) > 0
    if not loaded.any():
        return None
    load, phy2log = load[loaded], np.where(dead, -1, phy2log)[loaded]
    counts = replicas(phy2log, load.shape[1])
    if ((counts == 0) & (load > 0)).any():
        return None
    share = load / np.maximum(counts, 1)
    slots = np.where(phy2log < 0, 0.0, np.take_along_axis(share, np.maximum(phy2log, 0), axis=1))
    gpus = slots.reshape(len(load), -1, per_gpu).sum(axis=2)
    used = ~dead.reshape(-1, per_gpu).all(axis=1)
    return float((gpus[:, used].mean(axis=1) / gpus.max(axis=1)).mean())


def copies(previous: IntTable | None, phy2log: IntTable, per_gpu: int) -> int:
    """Slots that get an expert which their GPU did not hold; all of them if nothing is known."""
    layers, slots = phy2log.shape
    filled = phy2log >= 0
    if previous is None or len(previous) != layers or previous.shape[1] % per_gpu:
        return int(filled.sum())
    gpus = max(slots, previous.shape[1]) // per_gpu
    experts = 1 + max(int(previous.max(initial=0)), int(phy2log.max(initial=0)))
    held = np.zeros((layers, gpus, experts), dtype=bool)
    layer, slot = np.nonzero(previous >= 0)
    held[layer, slot // per_gpu, previous[layer, slot]] = True
    layer, slot = np.nonzero(filled)
    return int((~held[layer, slot // per_gpu, phy2log[layer, slot]]).sum())
