"""Arrays of loads: from decoded values, checked cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.errors import LoadError, LoadTypeError
from eplb.inputs.loads import as_array
from eplb.inputs.tensors import is_tensor
from eplb.inputs.windows import plain_floats
from eplb.text import count

_SHAPES = "expected [layers, experts] or [windows, layers, experts]"


def load_array(values: Any) -> npt.NDArray[Any]:
    """Values of any number of dimensions as int64, uint64, float32 or float64."""
    if isinstance(values, list):
        return _list_array(values)
    if not isinstance(values, np.ndarray) and not is_tensor(values):
        raise LoadError(f"expected a table of loads, found {_kind(values)}")
    cells = values.size if isinstance(values, np.ndarray) else values.numel()
    if cells > limits.MAX_LOADS:
        raise LoadError(f"it holds {count(cells, 'load')}; at most {limits.MAX_LOADS} are read")
    array, bits_of = as_array(values)
    if 0 in array.strides and array.size > 1:
        raise LoadError(
            "its tensor repeats one value along an axis", hint=["save it with .contiguous()"]
        )
    return plain_floats(array, bits_of)


def _kind(values: Any) -> str:
    return "an object" if isinstance(values, dict) else repr(values)[:40]


def _list_array(values: list[Any]) -> npt.NDArray[Any]:
    """Nested lists of one to three levels, cell by cell."""
    first = values[0] if values else None
    if isinstance(first, dict):
        raise LoadError(
            f"it is a list of objects with {', '.join(repr(str(key)[:40]) for key in list(first)[:8])}",
            hint=[
                'expected lists of loads, or records such as {"layer": 0, "expert": 3, "count": 12}'
            ],
        )
    if isinstance(first, (int, float)):
        row: npt.NDArray[Any] = _list_array([values])[0]
        return row
    if not (isinstance(first, list) and first and isinstance(first[0], list)):
        _refuse_many_cells(values)
        return as_array(values)[0]
    for window, table in enumerate(values):
        if not isinstance(table, list) or len(table) != len(first):
            holds = count(len(table), "layer") if isinstance(table, list) else _kind(table)
            raise LoadError(
                f"window {window} has {holds}, but window 0 has {count(len(first), 'layer')}"
            )
    rows = [row for table in values for row in table]
    _refuse_many_cells(rows)
    windows = []
    for window, table in enumerate(values):
        try:
            windows.append(as_array(table)[0])
        except (LoadError, LoadTypeError) as error:
            raise LoadError(f"window {window}: {error}") from error
        if (width := windows[-1].shape[1]) != (wanted := windows[0].shape[1]):
            raise LoadError(
                f"window {window} has {count(width, 'expert')}, but window 0 has {wanted}"
            )
    if len({table.dtype for table in windows}) == 1:
        return np.stack(windows)
    # Among floats, an integer must be exact.
    return as_array(rows)[0].reshape(len(values), *windows[0].shape)


def _refuse_many_cells(rows: list[Any]) -> None:
    """Refuses what a small file can expand to by naming one list many times."""
    cells = sum(len(row) for row in rows if isinstance(row, list))
    if cells > limits.MAX_LIST_LOADS:
        raise LoadError(
            f"its lists hold {cells} loads; at most {limits.MAX_LIST_LOADS} are read from lists",
            hint=["use an array"],
        )


def as_layers(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """A row of loads as a table of one layer, with a note; any other array as it is."""
    if array.ndim != 1 or array.size == 0:
        return array, ()
    return array[np.newaxis], (f"one row, read as one layer: [{array.size}] to [1, {array.size}]",)


def check_loads(array: npt.NDArray[Any]) -> None:
    """Refuses a wrong shape, and loads that are negative or not finite."""
    if array.ndim not in (2, 3) or array.size == 0:
        raise LoadError(f"the loads have shape {list(array.shape)}; {_SHAPES}")
    if array.ndim == 3 and array.shape[0] > limits.MAX_WINDOWS:
        most = limits.MAX_WINDOWS
        raise LoadError(f"the loads have {array.shape[0]} windows; at most {most} are read")
    bad = array < 0
    if array.dtype.kind == "f":
        bad |= ~np.isfinite(array)
    if not bad.any():
        return
    place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), array.shape))
    axes = ("window", "layer", "expert")[-array.ndim :]
    where = ", ".join(f"{axis} {at}" for axis, at in zip(axes, place, strict=True))
    raise LoadError(
        f"{where}: the load is {array[place]}; expected a finite number that is not negative",
        layer=place[-2],
        expert=place[-1],
    )
