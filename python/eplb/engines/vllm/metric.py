"""Balancedness in vLLM's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def balancedness(gpu_load: npt.NDArray[np.float64]) -> float:
    """Sum over layers of the mean GPU load / sum over layers of the largest, ``[layers, G]``."""
    return float(gpu_load.mean(axis=1).sum() / gpu_load.max(axis=1).sum())
