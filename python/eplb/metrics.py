"""Balancedness as each engine computes it for its log, so that figures can be held side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.plans import FloatTable, Plan


@dataclass(frozen=True)
class Metric:
    """A formula: its name is its key in ``METRICS``."""

    #: The formula, in a line.
    formula: str
    _of: Callable[[FloatTable], float]

    def of(self, plan: Plan) -> float | None:
        """The figure of a plan that knows its loads; None where no layer carries a load."""
        load = plan.gpu_load
        largest = float(load.max())
        return self._of(load / largest) if largest else None  # scaled, so that no sum overflows


def _vllm(load: FloatTable) -> float:
    return float(load.mean(axis=1).sum() / load.max(axis=1).sum())


def _sglang(load: FloatTable) -> float:
    largest = load.max(axis=1)
    return float(
        np.divide(load.mean(axis=1), largest, np.ones_like(largest), where=largest > 0).mean()
    )


def _peak_to_mean(load: FloatTable) -> float:
    loaded = load[load.max(axis=1) > 0]
    return float((loaded.max(axis=1) / loaded.mean(axis=1)).mean())


#: The formulas by the name of the engine that prints them.
METRICS: dict[str, Metric] = {
    "vllm": Metric("sum over layers of the mean GPU load / sum of the largest", _vllm),
    "sglang": Metric("mean over layers of mean / largest, 1 for layers without load", _sglang),
    "trtllm": Metric(
        "mean over loaded layers of largest / mean - 1", lambda load: _peak_to_mean(load) - 1
    ),
    "ascend": Metric("mean over loaded layers of largest / mean (PAR)", _peak_to_mean),
}
