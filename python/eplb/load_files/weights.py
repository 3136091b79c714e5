"""The weighted sum of several tables, window by window."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError, LoadError, Parameter
from eplb.inputs.loads import MAX_LOAD
from eplb.inputs.sizes import real_number
from eplb.inputs.windows import sum_of_windows
from eplb.load_files.file_loads import FileLoads, together
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_MOST = 10**9


def whole_weights(weights: Sequence[Any]) -> list[int]:
    """Weights as whole numbers in the same ratio: ``0.75, 0.25`` are 3 and 1.

    Raises:
        EplbError, TypeError: a weight is not a positive number, or they are too far apart.
    """
    exact = []
    for weight in weights:
        number = real_number("weights", weight)
        if not 0 < number < math.inf:
            raise EplbError(Parameter("weights"), f" must be positive numbers, got {short(weight)}")
        exact.append(Fraction(repr(number)))
    scale = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * scale) for weight in exact]
    common = math.gcd(*whole)
    whole = [weight // common for weight in whole]
    if max(whole) > _MOST:
        raise EplbError(Parameter("weights"), f" are too far apart; expected ratios up to {_MOST}")
    return whole


def weighted_sum(
    parts: Sequence[FileLoads], names: Sequence[str], weights: Sequence[int]
) -> FileLoads:
    """The sum of the parts, each times its weight; each window with the same one of the others.

    Raises:
        LoadError: the parts have different shapes or numbers of windows, or a sum is too large.
    """
    whole = together(parts, names)  # refuses other shapes
    first = len(parts[0].windows)
    for name, part in zip(names, parts, strict=True):
        if len(part.windows) != first:
            raise LoadError(
                f"{name}: it has {count(len(part.windows), 'window')}, but {names[0]} has {first}; "
                "a weighted sum needs equally many"
            )
    if len({window.dtype.kind in "iu" for window in whole.windows}) > 1:
        raise LoadError("some windows have integers and some have floats")
    windows = tuple(
        sum_of_windows(np.stack([_times(*each) for each in zip(same, weights, strict=True)]))
        for same in zip(*(part.windows for part in parts), strict=True)
    )
    words = " + ".join(f"{weight} x {name}" for weight, name in zip(weights, names, strict=True))
    return FileLoads(windows, (*whole.notes, f"the loads are {words}"), whole.layers)


def _times(window: npt.NDArray[Any], weight: int) -> npt.NDArray[Any]:
    if window.dtype.kind == "f":
        return window.astype(np.float64) * weight
    if int(window.max()) * weight > MAX_LOAD:
        raise LoadError(f"a load of {window.max()} times {weight} is beyond 2**64 - 1")
    return window.astype(np.uint64) * np.uint64(weight)
