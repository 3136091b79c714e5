"""Balancedness in vLLM's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def balancedness(gpu_load: npt.NDArray[np.float64]) -> float:
    """Sum over layers of the mean GPU load / sum over layers of the largest, as mean over windows.

    ``[windows, layers, G]``.
    """
    ratio = gpu_load.mean(axis=2).sum(axis=1) / gpu_load.max(axis=2).sum(axis=1)
    return float(ratio.mean())
