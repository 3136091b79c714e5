"""Compares every policy with the default placement, on the same loads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb.engines import METRICS
from eplb.errors import EplbError
from eplb.inputs.guards import check_loads
from eplb.inputs.loads import canonical_loads
from eplb.inputs.sizes import topology
from eplb.inputs.windows import has_windows, summed, windows_of
from eplb.planning import HISTORY_POLICIES, POLICIES, evaluate, plan, policies_for
from eplb.plans import certified_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb.plan_tables import FloatTable
    from eplb.plans import Plan

#: Name of the default placement of engines, without balancing.
TRIVIAL = "trivial"
#: The time of a policy is the least of this many runs.
RUNS = 3


@dataclass(frozen=True)
class PlanSizes:
    """Sizes of a plan."""

    num_layers: int
    num_experts: int
    num_replicas: int
    num_groups: int
    num_nodes: int
    num_gpus: int
    #: Slots of the GPUs in use.
    used_slots: int


@dataclass(frozen=True)
class Figures:
    """Figures of a placement; means and worst values are over the layers with load.

    They are None if no layer has load.
    """

    balancedness_mean: float | None
    balancedness_worst: float | None
    gap_mean: float | None
    gap_worst: float | None
    #: Slots with an expert that is already on the same GPU, in the layers with load, or in all layers
    #: if none has load.
    duplicates: int
    #: Balancedness as each engine of ``METRICS`` computes it, a mean over windows.
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class Row:
    """A placement of the comparison."""

    #: Name of the policy, or ``TRIVIAL``.
    name: str
    digest: str
    figures: Figures
    #: Planning time; None for the default placement.
    milliseconds: float | None


@dataclass(frozen=True)
class Comparison:
    """The default placement, then every policy of ``eplb.POLICIES`` that can plan these sizes."""

    sizes: PlanSizes
    #: Whether the plans are global, because the groups cannot be divided over the nodes.
    is_global: bool
    #: Number of layers with load.
    loaded_layers: int
    rows: tuple[Row, ...]
    #: The policies that cannot plan these sizes, and why not.
    impossible: dict[str, EplbError]
    #: Windows of which the sum was judged.
    windows: int = 1


def sizes_of(plan: Plan) -> PlanSizes:
    """The sizes of a plan."""
    return PlanSizes(
        num_layers=plan.num_layers,
        num_experts=plan.num_experts,
        num_replicas=plan.num_replicas,
        num_groups=plan.num_groups,
        num_nodes=plan.num_nodes,
        num_gpus=plan.num_gpus,
        used_slots=plan.cluster.used_slots,
    )


def gpu_loads(plan: Plan, passes: Sequence[Any]) -> FloatTable:
    """Loads of the GPUs in use, of several passes, or else those that the plan is certified for.

    ``[passes, layers, GPUs]``, or ``[layers, GPUs]``. Engines' metrics are means over them.
    """
    loads = evaluate(plan, [*passes]).gpu_load if len(passes) > 1 else plan.gpu_load
    return loads[..., plan.cluster.used]


def figures_of(plan: Plan, passes: Sequence[Any] = ()) -> Figures:
    """The figures of a plan whose loads are known; engines' metrics are those of the passes."""
    layers = plan.loaded_layers
    loads = gpu_loads(plan, passes)
    metrics = {name: metric.of(loads) for name, metric in METRICS.items()}
    if len(layers) == 0:
        return Figures(None, None, None, None, int(plan.duplicates.sum()), metrics)
    balancedness, gap = plan.balancedness[layers], plan.gap[layers]
    return Figures(
        balancedness_mean=float(balancedness.mean()),
        balancedness_worst=float(balancedness.min()),
        gap_mean=float(gap.mean()),
        gap_worst=float(gap.max()),
        duplicates=int(plan.duplicates[layers].sum()),
        metrics=metrics,
    )


def compare(
    load: Any,
    *,
    num_gpus: int,
    num_replicas: int | None = None,
    num_groups: int = 1,
    num_nodes: int = 1,
    threads: int = 1,
    engine: str | None = None,
    passes: Sequence[Any] | None = None,
) -> Comparison:
    """Plans ``load`` with every policy.

    Arguments and exceptions are those of :func:`eplb.plan`. All plans of several windows are judged
    on the sum of the windows. The default placement ignores groups, so its gap is to the bound of a
    plan without groups. It is the one that ``engine`` starts with, one of
    ``eplb.engines.ENGINE_OF``, if that is given. Engines' metrics are means over ``passes``, loads
    ``[layers, experts]`` each; by default over the windows.
    """
    total = summed(load)
    recorded = windows_of(load) if passes is None else passes
    judged = canonical_loads(total, threads)
    check_loads(load, judged)

    def make(policy: str) -> Plan:
        return plan(
            load if policy in HISTORY_POLICIES else total,
            num_gpus=num_gpus,
            num_replicas=num_replicas,
            num_groups=num_groups,
            num_nodes=num_nodes,
            policy=policy,
            threads=threads,
        )

    policies = policies_for(
        topology(
            num_experts=judged.experts,
            num_replicas=num_replicas,
            num_groups=num_groups,
            num_nodes=num_nodes,
            num_gpus=num_gpus,
        )
    )
    impossible = {policy: _why_not(make, policy) for policy in POLICIES if policy not in policies}
    plans = [_timed(make, policy) for policy in policies]
    if has_windows(load):
        plans = [(certified_for(made, judged), milliseconds) for made, milliseconds in plans]
    first = plans[0][0]
    named = zip(policies, plans, strict=True)
    return Comparison(
        sizes=sizes_of(first),
        is_global=first.is_global,
        loaded_layers=len(first.loaded_layers),
        rows=(
            _row(TRIVIAL, first.trivial(engine), None, recorded),
            *(_row(name, made, milliseconds, recorded) for name, (made, milliseconds) in named),
        ),
        impossible=impossible,
        windows=len(windows_of(load)),
    )


def _why_not(make: Callable[[str], Plan], policy: str) -> EplbError:
    """The error of the planner."""
    try:
        make(policy)
    except EplbError as error:
        return error
    raise AssertionError(f"{policy} plans what policies_for says it cannot")


def _row(name: str, plan: Plan, milliseconds: float | None, passes: Sequence[Any]) -> Row:
    return Row(name, plan.digest(), figures_of(plan, passes), milliseconds)


def _timed(make: Callable[[str], Plan], policy: str) -> tuple[Plan, float]:
    """A plan, and the least planning time in milliseconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        made = make(policy)
        times.append(time.perf_counter() - start)
    return made, min(times) * 1000
