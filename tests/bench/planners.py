"""Planners by name: loads and sizes in, an answer out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
from answers import Answer, of_tensors
from numpy_planner import numpy_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from cases import Loads, Sizes

    #: Gives an answer, or what ``answer_of`` makes one of.
    Planner = Callable[[Loads, Sizes], Any]

#: Planner -> options of ``eplb.plan``, which the Rust counterpart understands as well.
OPTIONS: dict[str, dict[str, Any]] = {
    "eplb deepseek": {"policy": "deepseek"},
    "eplb adaptive": {"policy": "adaptive"},
    "eplb minimax": {"policy": "minimax"},
    "eplb minimax fast": {"policy": "minimax", "effort": "fast"},
}


def of_core(options: dict[str, Any]) -> Planner:
    """A planner of the core: all tables as arrays; with ``minimax`` comes its certificate."""
    plan = of_call(options)
    return lambda load, sizes: of_plan(plan(load, sizes))


def of_call(options: dict[str, Any]) -> Planner:
    """The same without the tables, which are copied when they are asked for."""
    return lambda load, sizes: eplb.plan(load, **sizes.options(), **options)


def of_plan(made: eplb.Plan) -> Answer:
    """All tables of a plan."""
    return Answer(made.phy2log, made.rank, made.logcnt, made)


def of_numpy(*, lockstep: bool) -> Planner:
    """A planner of the usual kind."""

    def planner(load: Loads, sizes: Sizes) -> Answer:
        tables = numpy_plan(
            load.astype(np.float64),
            sizes.slots,
            sizes.gpus,
            num_groups=sizes.groups,
            num_nodes=sizes.nodes,
            lockstep=lockstep,
        )
        return Answer(*tables)

    return planner


def batched(load: Loads, sizes: Sizes) -> Any:
    """The batched path: tensors in, tensors out."""
    import torch

    weight = torch.from_numpy(load)
    return eplb.rebalance_experts_batched(
        weight, sizes.slots, sizes.groups, sizes.nodes, sizes.gpus
    )


PLANNERS: dict[str, Planner] = {
    **{name: of_core(options) for name, options in OPTIONS.items()},
    "eplb batched": batched,
    "numpy": of_numpy(lockstep=False),
    "numpy in lockstep": of_numpy(lockstep=True),
}


def answer_of(given: Any) -> Answer:
    """The answer in what a planner gave, once its time is taken."""
    if isinstance(given, eplb.Plan):
        return of_plan(given)
    return given if isinstance(given, Answer) else of_tensors(given)
