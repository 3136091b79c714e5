"""What is measured: shapes, contenders, goals, and the figures of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import eplb
import numpy as np
from eplb.sampling import FAMILIES, family
from real_loads import TOPOLOGIES, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

LAYERS = 60

#: Name -> experts of a layer, and the sizes of a plan.
SHAPES: dict[str, tuple[int, dict[str, Any]]] = {
    "256/288/32": (256, {"num_replicas": 288, "num_gpus": 32}),
    "128/144/16": (128, {"num_replicas": 144, "num_gpus": 16}),
    "256/320/64": (256, {"num_replicas": 320, "num_gpus": 64}),
    "384/576/144": (384, {"num_replicas": 576, "num_gpus": 144}),
    "256/288/16": (256, {"num_replicas": 288, "num_gpus": 16}),
    "64/80/8": (64, {"num_replicas": 80, "num_gpus": 8}),
    "128/160/32": (128, {"num_replicas": 160, "num_gpus": 32}),
    "256/256/32": (256, {"num_replicas": 256, "num_gpus": 32}),
    "256/288/32, 8 groups on 4 nodes": (
        256,
        {"num_replicas": 288, "num_gpus": 32, "num_groups": 8, "num_nodes": 4},
    ),
}

#: Name -> options of ``eplb.plan``.
CONTENDERS: dict[str, dict[str, Any]] = {
    "deepseek": {"policy": "deepseek"},
    "adaptive": {"policy": "adaptive"},
    "minimax fast": {"policy": "minimax", "effort": "fast"},
    "minimax": {"policy": "minimax"},
    "minimax best": {"policy": "minimax", "effort": "best"},
}

#: Contender -> shape -> the mean balancedness that every family must reach.
GOALS = {
    "minimax": {
        "256/288/32": 0.9995,
        "128/144/16": 0.9995,
        "256/320/64": 0.9974,
        "384/576/144": 0.994,
    },
    "minimax best": {
        "256/288/32": 0.9999,
        "128/144/16": 0.9999,
        "256/320/64": 0.9988,
        "384/576/144": 0.997,
    },
}


class Row(TypedDict):
    """A plan of some loads, and its figures: means and worst of its layers that carry a load."""

    loads: str
    shape: str
    contender: str
    balancedness_mean: float
    balancedness_worst: float
    gap_mean: float
    gap_worst: float
    #: Layers where some GPU holds an expert twice.
    duplicates: int
    digest: str


class RealRow(Row):
    """With how far minimax is behind the best published plan without duplicates."""

    #: Largest GPU load / that of the published plan - 1, in the worst layer; below 0 if ahead,
    #: None where the published plans of all layers hold duplicates.
    behind: float | None
    #: Layers where a published plan is ahead by an expert that a GPU holds twice.
    beaten_by_duplicates: int


def row(loads: str, shape: str, contender: str, plan: eplb.Plan) -> Row:
    """The figures of a plan, to eight decimal places."""
    loaded = plan.gpu_load.any(axis=1)
    balancedness, gap = plan.balancedness[loaded], plan.gap[loaded]
    return Row(
        loads=loads,
        shape=shape,
        contender=contender,
        balancedness_mean=round(float(balancedness.mean()), 8),
        balancedness_worst=round(float(balancedness.min()), 8),
        gap_mean=round(float(gap.mean()), 8),
        gap_worst=round(float(gap.max()), 8),
        duplicates=int((plan.duplicates > 0).sum()),
        digest=plan.digest(),
    )


def synthetic(shape: str, name: str, contender: str) -> Row:
    """A family of loads, planned."""
    experts, sizes = SHAPES[shape]
    plan = eplb.plan(family(name, LAYERS, experts), **sizes, **CONTENDERS[contender])
    return row(name, shape, contender, plan)


def synthetic_rows(contenders: list[str]) -> Iterator[Row]:
    """Every family, shape after shape."""
    for shape in SHAPES:
        for name in FAMILIES:
            for contender in contenders:
                yield synthetic(shape, name, contender)


def real_cases() -> Iterator[tuple[str, npt.NDArray[np.int64], dict[str, Any]]]:
    """All windows of every real load together, and sizes."""
    for name, topologies in TOPOLOGIES.items():
        load = total(name)
        for sizes in topologies:
            # Else a GPU would have to hold an expert twice: minimax refuses.
            if sizes["num_replicas"] <= load.shape[1] * sizes["num_gpus"]:
                yield name, load, sizes


def real_rows(contenders: list[str]) -> Iterator[RealRow]:
    """Every real load."""
    for name, load, sizes in real_cases():
        published = [eplb.plan(load, **sizes, **CONTENDERS[p]) for p in ("deepseek", "adaptive")]
        peaks = [
            np.where(plan.duplicates > 0, np.inf, plan.gpu_load.max(axis=1)) for plan in published
        ]
        for contender in contenders:
            plan = eplb.plan(load, **sizes, **CONTENDERS[contender])
            best = np.minimum(*peaks)
            comparable = np.isfinite(best) & (best > 0)
            behind = plan.gpu_load.max(axis=1)[comparable] / best[comparable] - 1
            yield RealRow(
                **row(name, shape_name(load, sizes), contender, plan),
                behind=round(float(behind.max()), 8) if behind.size else None,
                beaten_by_duplicates=int(plan.beaten_by_duplicates.sum()),
            )


def shape_name(load: npt.NDArray[np.int64], sizes: dict[str, int]) -> str:
    """As the names of ``SHAPES``."""
    name = f"{load.shape[1]}/{sizes['num_replicas']}/{sizes['num_gpus']}"
    if "num_groups" in sizes:
        name += f", {sizes['num_groups']} groups on {sizes['num_nodes']} nodes"
    return name


def misses(rows: list[Row]) -> list[str]:
    """The goals that these rows miss."""
    return [
        f"{row['contender']} on {row['loads']} at {row['shape']}: "
        f"{row['balancedness_mean']:.5f}, {goal:.4f} is the goal"
        for row in rows
        if row["balancedness_mean"]
        < (goal := GOALS.get(row["contender"], {}).get(row["shape"], 0.0))
    ]
