"""The peak-to-average ratio that several engines log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def peak_to_mean(gpu_load: npt.NDArray[np.float64]) -> float:
    """Mean over windows and layers with load of largest / mean GPU load, ``[windows, layers, G]``."""
    loaded = gpu_load[gpu_load.max(axis=2) > 0]
    return float((loaded.max(axis=1) / loaded.mean(axis=1)).mean())
