"""Planners of somebody else: any callable, whose answers are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError
from eplb.inputs.loads import as_array
from eplb.inputs.windows import plain_floats
from eplb.plan_tables import read_only
from eplb.plans import Plan, integer_table
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from eplb.analysis.replay.planners import Situation
    from eplb.clusters import Cluster
    from eplb.plan_tables import IntTable


# An exception of a callable is told in at most so many letters.
_MOST_LETTERS = 300


@dataclass(frozen=True)
class Sizes:
    """What a planner of somebody else is told beside loads and the placement in force."""

    num_layers: int
    num_experts: int
    #: Slots per layer, those of GPUs that are not in use included.
    num_replicas: int
    num_gpus: int
    num_groups: int
    num_nodes: int
    #: The GPUs; slots of those that are not in use must be -1.
    cluster: Cluster
    #: The window that the plan is for, from 0.
    window: int


class Other:
    """A callable ``planner(load, previous, sizes) -> phy2log``.

    ``load`` is the newest window, ``[layers, experts]``; ``previous`` is the placement in force on the
    GPUs of now, ``[layers, slots]`` with -1 for what is empty or lost, or None before the first plan. If
    the callable has a method ``observe(load)``, it is called with every window first. All tables are
    read-only.
    """

    def __init__(self, planner: Callable[..., Any]) -> None:
        self.planner = planner

    def __call__(self, windows: Sequence[Any], now: Situation) -> Plan:
        """The placement that the callable returns.

        Raises:
            EplbError: it raises, or what it returns is not a placement of these sizes.
        """
        tables = [read_only(plain_floats(*as_array(window)).copy()) for window in windows]
        layers, experts = tables[-1].shape
        cluster = now.cluster
        sizes = Sizes(
            layers,
            experts,
            cluster.num_slots,
            cluster.num_gpus,
            now.num_groups,
            cluster.num_nodes,
            cluster,
            now.window,
        )
        previous = None if now.previous is None else held_now(now.previous, cluster, now.emptied)
        try:
            if hasattr(self.planner, "observe"):
                for table in tables:
                    self.planner.observe(table)
            answer = self.planner(tables[-1], previous, sizes)
        except Exception as error:
            raise EplbError(f"it raised {type(error).__name__}: {_message(error)}") from error
        if isinstance(answer, Plan):
            answer = answer.phy2log
        table = integer_table("what it returned", answer)
        check(table, sizes)
        return Plan.from_phy2log(table, cluster=cluster)


def _message(error: Exception) -> str:
    """What an exception says, as one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - any class can raise anything in __str__
        return short(error)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."


def held_now(previous: Plan, cluster: Cluster, emptied: Collection[int]) -> IntTable:
    """The placement in force in the slots of now: -1 for those that are new or lost.

    Slots of a GPU that got other slots are filled from its first.
    """
    before = previous.cluster
    table = np.full((previous.num_layers, cluster.num_slots), -1)
    for gpu in range(min(before.num_gpus, cluster.num_gpus)):
        if gpu in emptied or not cluster.used[gpu]:
            continue
        old, new = int(before.first_slot[gpu]), int(cluster.first_slot[gpu])
        width = int(min(before.gpu_slots[gpu], cluster.gpu_slots[gpu]))
        table[:, new : new + width] = previous.phy2log[:, old : old + width]
    return read_only(table)


def check(table: IntTable, sizes: Sizes) -> None:
    """Refuses what is not a placement, by its own means.

    Raises:
        EplbError: wrong shape, an expert out of range, in a slot of a GPU that is not in use, or
            without a slot; the error names the layer.
    """
    expected = (sizes.num_layers, sizes.num_replicas)
    if table.shape != expected:
        raise EplbError(
            f"what it returned has shape {table.shape}; expected {expected}, [layers, slots]"
        )
    last = sizes.num_experts - 1
    outside = (table < -1) | (table > last)
    if outside.any():
        layer, slot = (int(at) for at in np.argwhere(outside)[0])
        raise EplbError(
            f"layer {layer}, slot {slot}: {table[layer, slot]} is not an expert; expected 0 to {last}, "
            "or -1 for an empty slot",
            layer=layer,
            slot=slot,
        )
    unused = ~sizes.cluster.used[sizes.cluster.gpu_of_slot]
    wrong = (table >= 0) & unused
    if wrong.any():
        layer, slot = (int(at) for at in np.argwhere(wrong)[0])
        raise EplbError(
            f"layer {layer}, slot {slot}: expert {table[layer, slot]} is on GPU "
            f"{sizes.cluster.gpu_of_slot[slot]}, which is not in use; expected -1",
            layer=layer,
            slot=slot,
        )
    for layer, row in enumerate(table):
        missing = np.flatnonzero(np.bincount(row[row >= 0], minlength=sizes.num_experts) == 0)
        if missing.size:
            expert = int(missing[0])
            others = f", and {count(missing.size - 1, 'other')} too" if missing.size > 1 else ""
            raise EplbError(
                f"layer {layer}: expert {expert} has no slot{others}; expected one for each of the "
                f"{sizes.num_experts} experts",
                layer=layer,
                expert=expert,
            )
