"""Every policy beside the trivial placement, on the same loads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb.errors import TopologyError
from eplb.metrics import METRICS
from eplb.planner import POLICIES, plan, policies_for, trivial_plan
from eplb.summary import loaded_layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.plans import Plan

#: Name of the placement of engines that do not balance.
TRIVIAL = "trivial"
#: A policy's time is the least of so many runs.
RUNS = 3


@dataclass(frozen=True)
class Sizes:
    """Sizes of a plan."""

    num_layers: int
    num_experts: int
    num_replicas: int
    num_groups: int
    num_nodes: int
    num_gpus: int


@dataclass(frozen=True)
class Figures:
    """What a placement is worth; means and worst are over the layers that carry a load.

    They are None where no layer does.
    """

    balancedness_mean: float | None
    balancedness_worst: float | None
    gap_mean: float | None
    gap_worst: float | None
    #: Slots that hold an expert which their GPU holds already, of the layers that carry a load; of all
    #: layers where none does.
    duplicates: int
    #: Balancedness as each engine of ``METRICS`` computes it.
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class Row:
    """A placement of the comparison."""

    #: The policy's, or ``TRIVIAL``.
    name: str
    digest: str
    figures: Figures
    #: Time of planning; None for the trivial placement.
    milliseconds: float | None


@dataclass(frozen=True)
class Comparison:
    """The trivial placement, then every policy of ``eplb.POLICIES`` that can plan these sizes."""

    sizes: Sizes
    #: Whether the plans are global because the groups do not divide by the nodes.
    fallback: bool
    #: Layers that carry a load.
    loaded_layers: int
    rows: tuple[Row, ...]
    #: The policies that cannot plan these sizes, and why not.
    impossible: dict[str, str]


def sizes_of(plan: Plan) -> Sizes:
    """The sizes of a plan."""
    return Sizes(
        num_layers=plan.num_layers,
        num_experts=plan.num_experts,
        num_replicas=plan.num_replicas,
        num_groups=plan.num_groups,
        num_nodes=plan.num_nodes,
        num_gpus=plan.num_gpus,
    )


def figures_of(plan: Plan) -> Figures:
    """The figures of a plan that knows its loads."""
    layers = loaded_layers(plan)
    metrics = {name: metric.of(plan) for name, metric in METRICS.items()}
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
) -> Comparison:
    """Plans ``load``, ``[layers, experts]``, with every policy; takes and raises what plan does.

    The gap of the trivial placement is to the bound of a plan without groups, as it heeds none.
    """

    def make(policy: str) -> Plan:
        return plan(
            load,
            num_gpus=num_gpus,
            num_replicas=num_replicas,
            num_groups=num_groups,
            num_nodes=num_nodes,
            policy=policy,
            threads=threads,
        )

    first = make("deepseek")
    policies = policies_for(first._placement.topology)  # noqa: SLF001
    impossible = {policy: _why_not(make, policy) for policy in POLICIES if policy not in policies}
    plans = [_timed(make, policy) for policy in policies]
    named = zip(policies, plans, strict=True)
    return Comparison(
        sizes=sizes_of(first),
        fallback=first.fallback,
        loaded_layers=len(loaded_layers(first)),
        rows=(
            _row(TRIVIAL, trivial_plan(first), None),
            *(_row(name, made, milliseconds) for name, (made, milliseconds) in named),
        ),
        impossible=impossible,
    )


def _why_not(make: Callable[[str], Plan], policy: str) -> str:
    """In the planner's own words."""
    try:
        make(policy)
    except TopologyError as error:
        return str(error)
    raise AssertionError(f"{policy} plans what policies_for says it cannot")


def _row(name: str, plan: Plan, milliseconds: float | None) -> Row:
    return Row(name, plan.digest(), figures_of(plan), milliseconds)


def _timed(make: Callable[[str], Plan], policy: str) -> tuple[Plan, float]:
    """A plan, and the least time that making it took, in milliseconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        made = make(policy)
        times.append(time.perf_counter() - start)
    return made, min(times) * 1000
