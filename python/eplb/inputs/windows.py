"""Loads of several windows, ``[windows, layers, experts]``, oldest first: taken apart, or summed."""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from eplb.errors import LoadError, LoadTypeError
from eplb.inputs.loads import as_array, canonical_loads
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    import numpy.typing as npt

    from eplb import _core


# So many windows are summed together.
_AT_ONCE = 64


class Windows(Sequence[Any]):
    """Windows that are read when they are asked for, and not kept."""

    @abstractmethod
    def window(self, at: int) -> npt.NDArray[Any]:
        """The window with this number, ``[layers, experts]``."""

    @overload
    def __getitem__(self, at: int) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Windows: ...
    def __getitem__(self, at: int | slice) -> Any:
        """A window; or some of them, which are read when they are asked for."""
        if isinstance(at, slice):
            return _SomeWindows(self, range(len(self))[at])
        number = operator.index(at)
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise IndexError(f"there is no window {at} of {len(self)}")
        return self.window(number)


class WindowsOfRows(Windows):
    """Some layers of the windows."""

    def __init__(self, windows: Windows, rows: Sequence[int]) -> None:
        self.windows, self.rows = windows, [*rows]

    def __len__(self) -> int:
        return len(self.windows)

    def window(self, at: int) -> npt.NDArray[Any]:
        """The window with this number, these layers of it."""
        rows: npt.NDArray[Any] = self.windows.window(at)[self.rows]
        return rows


class _SomeWindows(Windows):
    """Some of the windows, in any order."""

    def __init__(self, windows: Windows, numbers: Sequence[int]) -> None:
        self.windows, self.numbers = windows, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def window(self, at: int) -> npt.NDArray[Any]:
        return self.windows.window(self.numbers[at])


def has_windows(load: Any) -> bool:
    """Whether loads have three axes: an array, a tensor, nested lists, or a list of tables.

    Raises:
        LoadError: they have more.
    """
    if isinstance(load, Windows):
        return True
    if (axes := _axes(load)) > 3:
        raise LoadError(
            f"the loads have {'more than 3' if isinstance(load, (list, tuple)) else axes} axes; "
            "expected [layers, experts] or [windows, layers, experts]"
        )
    return axes == 3


def _axes(load: Any, depth: int = 0) -> int:
    """The axes of loads, as their first cell tells."""
    if isinstance(load, (list, tuple)):
        if depth == 3:  # too many; a list may even contain itself
            return 1
        return 1 + (_axes(load[0], depth + 1) if load else 0)
    axes = getattr(load, "ndim", 0)
    return axes if isinstance(axes, int) else 0


def windows_of(load: Any) -> Sequence[Any]:
    """The windows of loads with three axes, oldest first; other loads are one window.

    Those of a file that are read when they are asked for are returned as they are.

    Raises:
        LoadError: there is no window.
    """
    if not has_windows(load):
        return [load]
    if isinstance(load, Windows):
        return load
    windows = list(np.asarray(load) if isinstance(load, memoryview) else load)
    if not windows:
        raise LoadError("the loads have 0 windows; expected at least 1")
    return windows


def canonical_windows(load: Any, threads: int = 1) -> Sequence[_core.Loads]:
    """The canonical loads of each window.

    Those of windows that are read when they are asked for are made anew then.

    Raises:
        LoadError, LoadTypeError: a window is invalid, or has another shape than the first; the
            message names it.
    """
    windows = windows_of(load)
    if len(windows) == 1 and not has_windows(load):
        return [canonical_loads(load, threads)]
    checked = checked_windows(windows, threads)
    if isinstance(windows, Windows):
        for _ in checked:
            pass
        return _Canonical(windows, threads)
    return [*checked]


def checked_windows(windows: Sequence[Any], threads: int = 1) -> Iterator[_core.Loads]:
    """The canonical loads of one window after the other.

    Raises:
        LoadError, LoadTypeError: as :func:`canonical_windows`.
    """
    first = None
    for index in range(len(windows)):
        window = windows[index]  # if it is read only now, the error says where it is
        try:
            canonical = canonical_loads(window, threads)
        except LoadError as error:
            raise error.within(f"window {index}") from error
        except LoadTypeError as error:
            raise LoadTypeError(f"window {index}: {error}") from error
        shape = _shape(canonical)
        if first is not None and shape != first:
            raise LoadError(f"window {index} has {shape}, but window 0 has {first}")
        first = shape
        yield canonical


class _Canonical(Sequence["_core.Loads"]):
    """Canonical loads of windows that were checked, made when they are asked for."""

    def __init__(self, windows: Windows, threads: int) -> None:
        self.windows, self.threads = windows, threads

    def __len__(self) -> int:
        return len(self.windows)

    @overload
    def __getitem__(self, at: int) -> _core.Loads: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[_core.Loads]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return _Canonical(self.windows[at], self.threads)
        return canonical_loads(self.windows[at], self.threads)


def _shape(loads: _core.Loads) -> str:
    return f"{count(loads.layers, 'layer')} x {count(loads.experts, 'expert')}"


def summed(load: Any) -> Any:
    """The sum of the windows, ``[layers, experts]``, of loads with three axes; others as they are.

    Integers are summed exactly, floats to the nearest float64, whatever the order.

    Raises:
        LoadError, LoadTypeError: as :func:`canonical_windows`; or a sum is too large.
    """
    windows = windows_of(load)  # refuses more axes
    if not has_windows(load):
        return load
    canonical_windows(load)  # every cell is valid
    if isinstance(windows, Windows):
        return _sum_of_many(windows)
    tables = [_plain(window) for window in windows]
    if len({table.dtype.kind in "iu" for table in tables}) > 1:
        raise LoadError("some windows have integers and some have floats; convert them to one type")
    if tables[0].dtype.kind in "iu":
        return sum_of_windows(np.stack([table.astype(np.uint64) for table in tables]))
    return sum_of_windows(np.stack([table.astype(np.float64) for table in tables]))


def _sum_of_many(windows: Windows) -> npt.NDArray[Any]:
    """The sum of windows of integers, of which a few are in memory at once."""
    total: npt.NDArray[Any] = np.zeros(windows[0].shape, dtype=np.uint64)
    for first in range(0, len(windows), _AT_ONCE):
        tables = [_plain(window) for window in windows[first : first + _AT_ONCE]]
        if any(table.dtype.kind not in "iu" for table in tables):
            raise LoadError(
                f"{len(windows)} windows of floats are not summed one by one: the sum would not be exact",
                hint=["plan from a history of them, with the policy multiwindow"],
            )
        parts = [total, *(table.astype(np.uint64) for table in tables)]
        total = sum_of_windows(np.stack(parts))
    return total


def _plain(window: Any) -> npt.NDArray[Any]:
    """A window as int64, uint64, float32 or float64."""
    array, bits_of = as_array(window)
    return plain_floats(array, bits_of)


def plain_floats(array: npt.NDArray[Any], bits_of: str | None) -> npt.NDArray[Any]:
    """The values of :func:`~eplb.inputs.loads.as_array` without a type of half precision."""
    if bits_of == "float16":
        return array.view(np.float16).astype(np.float32)
    if bits_of == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def merged(windows: Sequence[npt.NDArray[Any]], count: int) -> list[npt.NDArray[Any]]:
    """Windows, oldest first, merged into at most ``count`` of about equal load.

    For records of forward passes or seconds: each alone is mostly chance. A window goes, whole, where
    the middle of its load falls, in exact arithmetic. There are fewer than ``count`` merged windows if
    there are not more windows, or if one has more than its part of the load.

    Args:
        windows: ``[layers, experts]`` each, of one kind: all integers, or all floats.
        count: at least 1.
    """
    from fractions import Fraction

    if len(windows) <= count:
        return [*windows]
    loads = [_total(window) for window in windows]
    total = sum(loads)
    if not total:
        return [*windows]
    parts: list[int] = []
    before = Fraction(0)
    for load in loads:
        parts.append(min(int((before + load / 2) * count / total), count - 1))
        before += load
    groups = groupby(range(len(windows)), key=parts.__getitem__)
    return [sum_of_windows(np.stack([windows[at] for at in group])) for _, group in groups]


def _total(window: npt.NDArray[Any]) -> Fraction:
    """All load of a window, exactly."""
    from fractions import Fraction

    if window.dtype.kind in "iu":
        return Fraction(sum(map(int, window.sum(axis=1, dtype=object))))
    return sum(map(Fraction, window.ravel().tolist()), Fraction(0))


def sum_of_windows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``[windows, layers, experts]`` as ``[layers, experts]``: exact, or the nearest float64."""
    if array.dtype.kind == "f":
        return _sum_of_floats(array)
    return _sum_of_integers(array.astype(np.uint64))


def _sum_of_integers(array: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Exact sums, of upper and lower halves, which cannot overflow."""
    half, mask = np.uint64(32), np.uint64(2**32 - 1)
    lower = (array & mask).sum(axis=0, dtype=np.uint64)
    upper = (array >> half).sum(axis=0, dtype=np.uint64) + (lower >> half)
    if (too_large := upper > mask).any():
        layer, expert = map(int, np.unravel_index(int(too_large.argmax()), upper.shape))
        load = sum(map(int, array[:, layer, expert]))
        raise LoadError(
            f"layer {layer}, expert {expert}: the windows sum to {load}; "
            "expected at most 2**64 - 1",
            layer=layer,
            expert=expert,
        )
    total: npt.NDArray[np.uint64] = (upper << half) | (lower & mask)
    return total


def _sum_of_floats(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The float64 nearest to each exact sum, for any order of the windows."""
    windows, layers, experts = array.shape
    total = np.empty(layers * experts)
    for cell, loads in enumerate(array.reshape(windows, -1).T.tolist()):
        try:
            total[cell] = math.fsum(loads)
        except OverflowError:
            layer, expert = divmod(cell, experts)
            raise LoadError(
                f"layer {layer}, expert {expert}: the sum of {windows} windows exceeds float64",
                layer=layer,
                expert=expert,
            ) from None
    return total.reshape(layers, experts)
