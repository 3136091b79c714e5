"""Long tables: a row for each load, with the numbers of its layer and expert beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.errors import LoadError

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

    A cell that is not there is 0.

    Args:
        loads: of each cell: uint64 or float64.
        experts: the expert of each cell.
        layers: as :func:`table_of_rows`.
        windows: as :func:`table_of_rows`.
        width: experts per layer; by default up to the last that has a cell.

    Returns:
        As :func:`table_of_rows`.

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
    rows, shape, named = _rows(len(loads), layers, windows)
    table = _summed(loads[:, None], rows * width + experts, math.prod(shape) * width)
    return table.reshape(*shape, width), named


def table_of_rows(
    loads: npt.NDArray[Any],
    *,
    layers: npt.NDArray[np.int64],
    windows: npt.NDArray[np.int64] | None = None,
) -> tuple[npt.NDArray[Any], tuple[int, ...] | None]:
    """Rows of loads in any order as ``[layers, experts]`` or ``[windows, layers, experts]``.

    Rows that are there several times, as of several ranks, are summed: exactly, or to the nearest
    float64.

    Args:
        loads: ``[rows, experts]``: uint64 or float64.
        layers: the layer of each row; None for one layer.
        windows: the window of each row, from 0; None for one window.

    Returns:
        The table, and the numbers of the layers; None if they are 0, 1, 2, ....

    Raises:
        LoadError: the table is too large, or a sum is.
    """
    rows, shape, named = _rows(len(loads), layers, windows)
    return _summed(loads, rows, math.prod(shape)).reshape(*shape, -1), named


def _rows(
    total: int, layers: npt.NDArray[np.int64] | None, windows: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.int64], tuple[int, ...], tuple[int, ...] | None]:
    """The row of a table that each cell or row is of; its layers, maybe windows; their numbers."""
    names, rows = np.array([0]), np.zeros(total, np.int64)
    if layers is not None:
        names, rows = np.unique(layers, return_inverse=True)
    counted = names.tolist() == list(range(len(names)))
    named = None if counted else tuple(names.tolist())
    if windows is None:
        return rows, (len(names),), named
    return windows * len(names) + rows, (int(windows.max()) + 1, len(names)), named


def _summed(loads: npt.NDArray[Any], places: npt.NDArray[np.int64], size: int) -> npt.NDArray[Any]:
    """The sum of the rows of loads that have the same place: ``[size, columns]``."""
    width = loads.shape[1]
    if size * width > limits.MAX_LOADS:
        raise LoadError(
            f"it is a table of {size * width} loads; at most {limits.MAX_LOADS} loads are read"
        )
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    table = np.zeros((size, width), loads.dtype)
    sums = _sums_of_floats if loads.dtype.kind == "f" else _sums_of_integers
    table[ordered[starts]] = sums(loads[order], starts)
    return table


def _sums_of_integers(
    loads: npt.NDArray[np.uint64], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """The sums of the rows from each start to the next: of their halves, which cannot overflow."""
    half, mask = np.uint64(32), np.uint64(2**32 - 1)
    lower = np.add.reduceat(loads & mask, starts, axis=0)
    upper = np.add.reduceat(loads >> half, starts, axis=0) + (lower >> half)
    if (too_large := upper > mask).any():
        at = np.unravel_index(int(too_large.argmax()), upper.shape)
        total = (int(upper[at]) << 32) + int(lower[at] & mask)
        raise LoadError(
            f"the rows of one layer and expert sum to {total}; expected at most 2**64 - 1"
        )
    sums: npt.NDArray[np.uint64] = (upper << half) | (lower & mask)
    return sums


def _sums_of_floats(
    loads: npt.NDArray[np.float64], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The float64 nearest to each exact sum."""
    sums = loads[starts]
    ends = np.append(starts[1:], len(loads))
    for at in np.flatnonzero(ends - starts > 1):
        try:
            sums[at] = [math.fsum(column) for column in loads[starts[at] : ends[at]].T.tolist()]
        except OverflowError:
            raise LoadError("the rows of one layer and expert sum to more than a float64") from None
    return sums
