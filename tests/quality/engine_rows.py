"""Plans of the planners of released engines, judged as ours are.

Their loads are those of ours, their tables become plans, and the figures of these come from the
same code. Their floats place experts of nearly equal load by the sort of numpy or torch, which depends on
the processor: another machine may have another last digit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import eplb
import numpy as np
import torch
from engine_planners import sglang, vllm
from eplb.sampling import FAMILIES, family
from machine import machine
from measures import LAYERS, SHAPES, Row, real_cases, row, shape_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt
    from engine_planners import EnginePlanner


#: What stands for the figures where there are no wheels.
NONE: dict[str, Any] = {"machine": {}, "synthetic": [], "real": []}


class Refusal(TypedDict):
    """What stands for a row where there is no valid plan."""

    loads: str
    shape: str
    contender: str
    refused: str


def judged(
    loads: str,
    shape: str,
    contender: str,
    planner: EnginePlanner,
    load: npt.NDArray[np.int64],
    sizes: dict[str, Any],
) -> Row | Refusal:
    """The figures of an engine's plan, or why there are none."""
    try:
        phy2log, logcnt = planner(load, **sizes)
        others = {name: size for name, size in sizes.items() if name != "num_replicas"}
        plan = eplb.evaluate(eplb.Plan.from_phy2log(phy2log, **others), load)
        if logcnt is not None and not np.array_equal(logcnt, plan.logcnt):
            raise ValueError("logcnt does not count the copies")
    except Exception as error:  # noqa: BLE001 - whatever an engine raises
        reason = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        return Refusal(loads=loads, shape=shape, contender=contender, refused=reason)
    return row(loads, shape, contender, plan)


def synthetic_rows(engines: Mapping[str, EnginePlanner], shape: str) -> Iterator[Row | Refusal]:
    """Every family at a shape."""
    experts, sizes = SHAPES[shape]
    for name in FAMILIES:
        load = family(name, LAYERS, experts)
        for contender, planner in engines.items():
            yield judged(name, shape, contender, planner, load, sizes)


def real_rows(engines: Mapping[str, EnginePlanner]) -> Iterator[Row | Refusal]:
    """Every real load."""
    for name, load, sizes in real_cases():
        for contender, planner in engines.items():
            yield judged(name, shape_name(load, sizes), contender, planner, load, sizes)


def measure() -> dict[str, Any]:
    """Everything: a minute or two. Raises ``NoWheelError`` where a wheel cannot be had."""
    engines = {**vllm(), **sglang()}
    torch.set_num_threads(1)
    about = {name: machine()[name] for name in ("CPU", "numpy")}
    return {
        "machine": {**about, "torch": torch.__version__},
        "synthetic": [row for shape in SHAPES for row in synthetic_rows(engines, shape)],
        "real": list(real_rows(engines)),
    }
