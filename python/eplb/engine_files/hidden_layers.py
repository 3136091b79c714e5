"""Numbers of hidden layers: as arguments, and in words."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import PlanFileError
from eplb.shown import short
from eplb.sizes import whole_number

from .format import MAX_HIDDEN_LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def ascending(layers: Sequence[int]) -> list[int]:
    """Hidden layers as plain ints, each larger than the one before."""
    try:
        array = np.asarray(layers)
    except ValueError:
        array = np.empty(0)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise PlanFileError(f"layers must be whole numbers in a list, got {short(layers)}")
    numbers: list[int] = array.tolist()
    for before, layer in pairwise(numbers):
        if layer <= before:
            raise PlanFileError(f"layers must ascend: {layer} comes after {before}")
    if numbers[0] < 0 or numbers[-1] >= MAX_HIDDEN_LAYERS:
        raise PlanFileError(
            f"layers are from 0 to {MAX_HIDDEN_LAYERS - 1}, got {numbers[0]} to {numbers[-1]}"
        )
    return numbers


def hidden_layer_count(number: Any) -> int:
    """A number of hidden layers as a plain int."""
    total = whole_number("num_hidden_layers", number, PlanFileError)
    if total > MAX_HIDDEN_LAYERS:
        raise PlanFileError(f"num_hidden_layers={total} is too large: at most {MAX_HIDDEN_LAYERS}")
    return total


def refuse_beyond(layers: list[int], total: int) -> None:
    """Refuses layers that the model does not have."""
    if layers[-1] >= total:
        raise PlanFileError(f"layer {layers[-1]} is not one of the {total} hidden layers")


def others(layers: list[int], total: int) -> list[int]:
    """The hidden layers that are not among ``layers``."""
    return sorted(set(range(total)) - set(layers))


def counted(layers: Iterable[int]) -> str:
    """Layers in words: ``layers 0, 1, 2, 7 to 60``."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 3 else ", ".join(map(str, run)) for run in runs]
    one = len(runs) == 1 and len(runs[0]) == 1
    return ("layer " if one else "layers ") + ", ".join(parts)
