"""What a placement is worth on the next window after each of its GPUs has died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import eplb
import numpy as np

if TYPE_CHECKING:
    from over_time.sequences import Sequence

#: Windows before the failure.
SEEN = 16


@dataclass(frozen=True)
class Failures:
    """Means over all GPUs and layers; balancedness in percent on the window after the failure."""

    #: With the fewest copies.
    repaired: float
    #: By an update with the usual limits.
    updated: float
    #: With a new plan on the GPUs that are left.
    anew: float
    #: Copies of a layer and failure.
    fewest_copies: float
    copies: float


def in_force(sequence: Sequence) -> tuple[eplb.LoadHistory, eplb.Plan]:
    """The history and the placement before the failure."""
    history = eplb.LoadHistory()
    history.observe(sequence.windows[0])
    plan = eplb.plan(history, num_gpus=sequence.num_gpus, num_replicas=sequence.num_replicas)
    for window in sequence.windows[1:SEEN]:
        history.observe(window)
        plan = eplb.replan(history, plan).plan
    return history, plan


def lost(plan: eplb.Plan, gpu: int) -> int:
    """Experts of all layers that only this GPU has."""
    dead = plan.cluster.gpu_of_slot == gpu
    return sum(len({*row[dead].tolist()} - {*row[~dead].tolist()}) for row in plan.phy2log)


def failures(sequence: Sequence) -> Failures:
    """Each GPU dies in turn. Plans are verified, and repair has the fewest copies."""
    history, plan = in_force(sequence)
    following = sequence.windows[SEEN]
    rows = []
    for gpu in range(plan.num_gpus):
        repair = eplb.replan(history, plan, dead_gpus=[gpu], max_moves_after_shift=0)
        update = eplb.replan(history, plan, dead_gpus=[gpu])
        anew = eplb.plan(history, cluster=plan.cluster.changed(dead_gpus=[gpu]))
        for made in (repair.plan, update.plan, anew):
            eplb.verify(made, history)
            assert (made.phy2log[:, plan.cluster.gpu_of_slot == gpu] == -1).all()
        copies = int(repair.copies.sum())
        assert copies == lost(plan, gpu)
        assert len(repair.transfers()) == copies
        worth = [
            eplb.evaluate(made, following).balancedness.mean() * 100
            for made in (repair.plan, update.plan, anew)
        ]
        rows.append([*worth, copies / plan.num_layers, update.copies.sum() / plan.num_layers])
    return Failures(*np.mean(rows, axis=0).tolist())
