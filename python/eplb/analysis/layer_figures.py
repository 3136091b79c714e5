"""Figures of each layer of a plan, the worst layer first: which one is the problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.plans import Plan

#: So many experts of a layer are named.
HOTTEST = 3


@dataclass(frozen=True)
class HotExpert:
    """An expert with much load."""

    expert: int
    #: Its load as a share of the layer's.
    share: float
    replicas: int


@dataclass(frozen=True)
class LayerFigures:
    """What a plan reaches in a layer with load."""

    #: The hidden layer, if these are known; otherwise the row.
    layer: int
    #: The row of the plan, from 0.
    row: int
    balancedness: float
    #: Balancedness of the placement that the engine starts with.
    unbalanced: float
    gap: float
    #: Kind of the lower bound, as ``Plan.bound`` names it.
    bound: str
    busiest_gpu: int
    #: The hottest experts, the hottest first.
    hottest: tuple[HotExpert, ...]


def layer_figures(
    plan: Plan, layers: Sequence[int] | None = None, engine: str | None = None
) -> list[LayerFigures]:
    """The figures of the layers with load, by balancedness, the worst first.

    Args:
        plan: a plan whose loads are known.
        layers: the hidden layer of each row, if it is known.
        engine: whose start placement is the unbalanced one, one of ``eplb.engines.ENGINE_OF``.

    Raises:
        EplbError: the loads are not known.
    """
    names = range(plan.num_layers) if layers is None else layers
    balancedness, before, gap = plan.balancedness, plan.trivial(engine).balancedness, plan.gap
    share, bound, replicas = plan.expert_share, plan.bound, plan.logcnt
    busiest = plan.relative_load.argmax(axis=1)
    hottest = np.argsort(-share, axis=1, kind="stable")[:, :HOTTEST]
    rows = plan.loaded_layers
    return [
        LayerFigures(
            layer=names[row],
            row=row,
            balancedness=float(balancedness[row]),
            unbalanced=float(before[row]),
            gap=float(gap[row]),
            bound=bound[row],
            busiest_gpu=int(busiest[row]),
            hottest=tuple(
                HotExpert(expert, float(share[row, expert]), int(replicas[row, expert]))
                for expert in hottest[row].tolist()
            ),
        )
        for row in rows[np.argsort(balancedness[rows], kind="stable")].tolist()
    ]
