"""The axes of an array of loads: which is which, and how they become windows, layers and experts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import LoadError, Parameter
from eplb.inputs.names import unknown
from eplb.inputs.windows import sum_of_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

#: Names of axes. Counts of slots become loads of experts by a placement; ranks are summed, or with
#: slots put side by side.
AXES = ("windows", "layers", "ranks", "experts", "slots")


def axes_of(names: str | Sequence[str]) -> tuple[str, ...]:
    """Axes by their names, such as ``"windows,layers,experts"``.

    Raises:
        LoadError: a name is unknown, or they are not the axes of loads.
    """
    parts = names.split(",") if isinstance(names, str) else list(names)
    axes = tuple(part.strip() if isinstance(part, str) else part for part in parts)
    for name in axes:
        if name not in AXES:
            raise unknown("axes", name, AXES, kind=LoadError)
    wanted = ("experts" in axes) != ("slots" in axes)
    if not wanted or "layers" not in axes or len(set(axes)) != len(axes):
        raise LoadError(
            Parameter("axes", ",".join(axes)),
            " are not the axes of loads; expected layers, experts or slots, and maybe windows and "
            "ranks, each once: for example windows,layers,experts",
        )
    return axes


def usual_axes(shape: tuple[int, ...], last: str) -> tuple[str, ...]:
    """The axes of an array of which nothing is said.

    Raises:
        LoadError: it has another number of them.
    """
    if 1 <= len(shape) <= 3:
        return ("windows", "layers", last)[3 - len(shape) :]
    raise LoadError(
        f"the loads have shape {list(shape)}; expected [layers, experts] or [windows, layers, experts]",
        hint=["name the axes with ", Parameter("axes"), f", out of {', '.join(AXES)}"],
    )


def arranged(array: npt.NDArray[Any], axes: tuple[str, ...]) -> npt.NDArray[Any]:
    """An array with these axes as ``[layers, L]`` or ``[windows, layers, L]``; L may be slots.

    Raises:
        LoadError: it has another number of axes; or a sum over ranks is too large.
    """
    if array.ndim != len(axes):
        raise LoadError(
            f"the loads have shape {list(array.shape)}, but ",
            Parameter("axes", ",".join(axes)),
            f" are {len(axes)}",
        )
    if axes in (("experts",), ("slots",)):
        return array
    order = [axes.index(name) for name in AXES if name in axes]  # ranks before experts and slots
    array = array.transpose(order)
    if "ranks" not in axes or 0 in array.shape:
        return np.ascontiguousarray(array)
    *outer, ranks, width = array.shape
    if "slots" in axes:
        return array.reshape(*outer, ranks * width)
    by_rank = np.moveaxis(array, -2, 0).reshape(ranks, -1, width)
    return sum_of_windows(by_rank).reshape(*outer, width)
