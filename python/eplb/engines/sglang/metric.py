"""Balancedness in SGLang's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def balancedness(gpu_load: npt.NDArray[np.float64]) -> float:
    """Mean over windows and layers of mean / largest GPU load, 1 for layers without load.

    ``[windows, layers, G]``.
    """
    largest = gpu_load.max(axis=2)
    ratio = np.ones_like(largest)
    np.divide(gpu_load.mean(axis=2), largest, ratio, where=largest > 0)
    return float(ratio.mean())
