"""A placement in force, as the core takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb import _core

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def on_gpus(
    slots: npt.NDArray[np.int64] | None, gpus: int
) -> tuple[npt.NDArray[np.int64], _core.Cluster] | None:
    """The placement ``[layers, P]`` on so many equal GPUs, if there is one."""
    if slots is None:
        return None
    return slots, equal_gpus(slots.shape[1], gpus)


def equal_gpus(slots: int, gpus: int) -> _core.Cluster:
    """So many equal GPUs."""
    return _core.Cluster.uniform(gpus, slots // gpus, 1)
