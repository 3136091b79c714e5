"""Loads of slots (physical experts) as loads of experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.errors import LoadError

if TYPE_CHECKING:
    import numpy.typing as npt

# Beyond this, sums of integers may overflow.
_MOST_TOKENS = 2**48


def loads_of_experts(
    loads: npt.NDArray[Any], phy2log: npt.NDArray[np.int64], experts: int
) -> npt.NDArray[Any]:
    """Loads ``[windows, layers, P]`` of slots as loads ``[windows, layers, experts]``.

    Args:
        loads: integers below 2**48, or floats, not negative.
        phy2log: ``[layers, P]`` or ``[windows, layers, P]``: the expert in each slot.
        experts: experts per layer.

    Raises:
        LoadError: an empty slot has load, or an integer is too large.
    """
    windows, layers = loads.shape[:2]
    if loads.dtype.kind in "iu" and (loads >= _MOST_TOKENS).any():
        raise LoadError("a slot counts 2**48 tokens or more; expected counts of tokens")
    if windows * layers * experts > limits.MAX_LOADS:
        raise LoadError(f"its experts have more than {limits.MAX_LOADS} loads")
    where = np.broadcast_to(phy2log, loads.shape)
    if (lost := (where < 0) & (loads > 0)).any():
        window, layer, slot = (int(i) for i in np.unravel_index(int(lost.argmax()), lost.shape))
        raise LoadError(
            f"window {window}, layer {layer}, slot {slot}: the load is "
            f"{loads[window, layer, slot]}, but the placement has no expert there"
        )
    table = np.zeros((windows, layers, experts), loads.dtype)
    rows = np.arange(layers)[:, None]
    for window in range(windows):
        np.add.at(table[window], (rows, np.maximum(where[window], 0)), loads[window])
    return table
