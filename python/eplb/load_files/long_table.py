"""Long tables: a row for each load, with the numbers of its layer and expert beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.errors import LoadError
from eplb.inputs.windows import sum_of_windows

if TYPE_CHECKING:
    import numpy.typing as npt

# Fewer rows could look so by chance.
_LEAST_ROWS = 6


def looks_long(array: npt.NDArray[Any]) -> bool:
    """Whether a table of three columns without names seems to be layer, expert, load.

    Few layers in many rows; more experts than one; and hardly a pair of them twice.
    """
    if array.ndim != 2 or array.shape[1] != 3 or len(array) < _LEAST_ROWS:
        return False
    if (
        not np.isfinite(array).all()
        or (array[:, :2] % 1 != 0).any()
        or array[:, 1].max() >= limits.MAX_EXPERTS
    ):
        return False
    layers, experts = (len(np.unique(array[:, column])) for column in (0, 1))
    pairs = len(np.unique(array[:, :2], axis=0))
    return (
        2 * layers <= len(array) and experts > 1 and 2 * pairs > min(layers * experts, len(array))
    )


def table_of_cells(
    loads: npt.NDArray[Any],
    *,
    experts: npt.NDArray[np.int64],
    layers: npt.NDArray[np.int64] | None = None,
    windows: npt.NDArray[np.int64] | None = None,
    width: int | None = None,
) -> tuple[npt.NDArray[Any], tuple[int, ...] | None]:
    """Loads one by one as ``[layers, experts]`` or ``[windows, layers, experts]``.

    A cell that is not there is 0; cells that are there several times, as of several ranks, are
    summed: exactly, or to the nearest float64.

    Args:
        loads: of each row: uint64 or float64.
        experts: the expert of each row.
        layers: the layer of each row; None for one layer.
        windows: the window of each row, from 0; None for one window.
        width: experts per layer; by default up to the last that has a row.

    Returns:
        The table, and the numbers of the layers; None if they are 0, 1, 2, ....

    Raises:
        LoadError: an expert is beyond ``width``, the table is too large, or a sum is.
    """
    if width is None:
        width = int(experts.max()) + 1
    elif experts.max() >= width:
        raise LoadError(
            f"it has an expert {experts.max()}, but {width} experts have numbers 0 to {width - 1}"
            + ("; are these numbered from 1?" if experts.min() == 1 else "")
        )
    if width > limits.MAX_EXPERTS:
        raise LoadError(f"it has an expert {width - 1}; at most {limits.MAX_EXPERTS} are read")
    names, rows = (np.array([0]), 0) if layers is None else np.unique(layers, return_inverse=True)
    times = 1 if windows is None else int(windows.max()) + 1
    at = rows if windows is None else windows * len(names) + rows
    table = _summed(loads, at * width + experts, times * len(names), width)
    if windows is not None:
        table = table.reshape(times, len(names), width)
    counted = names.tolist() == list(range(len(names)))
    return table, None if counted else tuple(names.tolist())


def _summed(
    loads: npt.NDArray[Any], cells: npt.NDArray[np.int64], rows: int, width: int
) -> npt.NDArray[Any]:
    """The sum of the loads of each cell of a table."""
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    first = np.searchsorted(ordered, ordered)  # where the run of each cell begins
    time = np.arange(len(ordered)) - first
    times = int(time.max()) + 1
    if times * rows * width > limits.MAX_LOADS:
        raise LoadError(
            f"it is a table of {rows} x {width} loads, one of them {times} times; at most "
            f"{limits.MAX_LOADS} loads are read"
        )
    stack = np.zeros((times, rows * width), loads.dtype)
    stack[time, ordered] = loads[order]
    if times == 1:
        return stack.reshape(rows, width)
    return sum_of_windows(stack.reshape(times, rows, width))
