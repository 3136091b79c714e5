"""What is answered to a call: a plan, or what takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import eplb
from eplb.planning import DEFAULT_POLICY_OVER_TIME, plan
from eplb.plugins import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.migration import Migration
    from eplb.plan_tables import IntTable
    from eplb.plans import Plan
    from eplb.plugins.call import Call
    from eplb.plugins.settings import Settings
    from eplb.plugins.window import Decision


@dataclass(frozen=True)
class Answer:
    """A map, and how it came about."""

    #: ``[layers, slots]``, with -1 only on dead GPUs.
    phy2log: IntTable
    decided: Decision
    #: Why it is not a plan of eplb; empty if it is.
    reason: str = ""
    #: None if nobody had to know which one it is.
    model: int | None = None
    shifted: int = 0
    #: Of the plan, as ``Plan.digest`` has it, and of all that the next plan depends on.
    digest: str = ""
    state: str = ""

    @property
    def is_plan(self) -> bool:
        """Whether it is a plan of eplb, which is checked."""
        return bool(self.digest)


def plan_of(call: Call, settings: Settings, step: Callable[..., Migration]) -> Answer:
    """A plan, checked. ``step`` updates a map as :meth:`eplb.Balancer.step` does.

    Raises:
        Exception: the call is invalid, or the plan.
    """
    # Without load there is a map to make all the same.
    load = call.load if call.load.any() else np.ones_like(call.load)
    if settings.policy == DEFAULT_POLICY_OVER_TIME:
        update = step(load, **_placement(call), dead_gpus=call.dead_gpus)
        decided: Decision = "kept" if update.kept.all() else "updated"
        made = update.plan
        answer = Answer(
            made.phy2log, decided, shifted=int(update.shifted.sum()), digest=made.digest()
        )
    else:
        made = _plan_of_window(load, call, settings)
        answer = Answer(made.phy2log, "updated", digest=made.digest())
    if problem := call.lacks(answer.phy2log):
        raise RuntimeError(f"the plan is invalid: {problem}")
    return answer


def _placement(call: Call) -> dict[str, Any]:
    """The map in force and the sizes, as :func:`eplb.replan` takes them."""
    sizes: dict[str, Any] = {"num_gpus": call.num_gpus, "num_replicas": call.num_slots}
    previous, per_gpu = call.previous, call.num_slots // call.num_gpus
    if previous is not None and previous.shape[1] != call.num_slots:
        if previous.shape[1] % per_gpu or not previous.shape[1]:
            previous = None  # nobody knows what is where
        else:
            sizes["previous_gpus"] = previous.shape[1] // per_gpu
    return {"previous": previous, **sizes}


def _plan_of_window(load: IntTable, call: Call, settings: Settings) -> Plan:
    """By a policy that knows the newest window alone."""
    gpus = eplb.Cluster.uniform(
        call.num_gpus, call.num_slots // call.num_gpus, num_nodes=call.num_nodes
    )
    return plan(
        load,
        cluster=gpus.changed(dead_gpus=call.dead_gpus),
        num_groups=call.groups,
        policy=settings.policy,
        threads=settings.threads,
    )


def old_map(call: Call, decided: Decision, reason: str = "") -> Answer:
    """The map in force, or a fixed one of the new shape if that is not whole."""
    try:
        if call.previous is not None and call.is_whole:
            return Answer(call.previous, decided, reason)
        dead = call.dead
    except Exception:  # noqa: BLE001 - whatever the sizes are, the answer has its shape
        dead = np.zeros(call.num_slots, dtype=bool)
    layers, experts = call.load.shape
    return Answer(tables.default_map(layers, experts, call.num_slots, dead), "default", reason)
