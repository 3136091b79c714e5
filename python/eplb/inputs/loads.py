"""Loads as users have them (arrays, lists, tensors), on the way to canonical loads."""

from __future__ import annotations

import sys
from os import PathLike
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from eplb import _core
from eplb.errors import LoadError, LoadTypeError
from eplb.inputs import frames, tensors
from eplb.text import count, short, type_name

if TYPE_CHECKING:
    import numpy.typing as npt

#: Largest integer load.
MAX_LOAD = 2**64 - 1

_SHAPE = "expected a table [layers, experts]"


def canonical_loads(load: Any, threads: int = 1) -> _core.Loads:
    """The canonical loads of ``load``, ``[layers, experts]``, on up to ``threads`` threads.

    Equal values give equal canonical loads, whatever their type, byte order or layout.

    Raises:
        LoadError: the shape is wrong or ragged, or a load is NaN, infinite, negative or too large.
        LoadTypeError: the loads are not real numbers.
    """
    array, bits_of = as_array(load)
    if array.ndim != 2:
        raise LoadError(f"the loads have shape {array.shape}; {_SHAPE}{_hint(array)}")
    if array.size == 0:
        raise LoadError(f"the loads have shape {array.shape}; {_SHAPE} with at least one of each")
    return _core.Loads(np.require(array, requirements=["C", "ALIGNED"]), bits_of, threads)


def _hint(array: npt.NDArray[Any]) -> str:
    if array.ndim == 1:
        return "; for one layer, pass [load]"
    if array.ndim == 3:
        return "; for windows [windows, layers, experts], pass load.sum(axis=0)"
    return ""


def as_array(load: Any) -> tuple[npt.NDArray[Any], str | None]:
    """An array of int64, uint64, float32 or float64 with the values of ``load``.

    Or of uint16 that holds the bits of the type whose name is the second of the pair.
    """
    if tensors.is_tensor(load):
        load, bits_of = tensors.tensor_array(load)
        if bits_of:
            return load, bits_of
    if isinstance(load, (list, tuple)):
        return _list_array(load), None
    if isinstance(load, (str, PathLike)):
        raise LoadTypeError(
            f"expected integers or floats as loads, got {type(load).__name__}; "
            "eplb.load_files.read_loads(file).table are the loads of a file"
        )
    if "numpy.ma" in sys.modules and isinstance(
        load, np.ma.MaskedArray
    ):  # else it is imported here
        if np.ma.is_masked(load):
            raise LoadTypeError(
                "the loads have masked cells; fill them, for example load.filled(0)"
            )
        load = load.data
    try:
        array = frames.array_of(load) if (framed := frames.is_frame(load)) else np.asarray(load)
    except LoadError:
        raise
    except Exception as error:  # __array__ of any class can raise anything
        raise LoadTypeError(f"numpy cannot read {type(load).__name__} as loads: {error}") from error
    if framed and array.dtype.kind == "O":  # nullable numbers, such as Int64
        return _list_array(array.tolist()), None
    return _known_type(array, load)


def _known_type(array: npt.NDArray[Any], load: Any) -> tuple[npt.NDArray[Any], str | None]:
    dtype = array.dtype
    if dtype.kind == "i":
        return array.astype(np.int64, copy=False), None
    if dtype.kind == "u":
        return array.astype(np.uint64, copy=False), None
    if dtype.name == "float16":
        return array.astype(np.float16, copy=False).view(np.uint16), "float16"
    if dtype.name in ("float32", "float64"):
        return array.astype(dtype.newbyteorder("="), copy=False), None
    if dtype.kind == "f":
        return _exact_float64(array), None
    # numpy knows the types of ml_dtypes by name only.
    if dtype.name == "bfloat16":
        return array.view(np.uint16), "bfloat16"
    if dtype.name.startswith(("float8_e4m3", "float8_e5m2")):
        return array.astype(np.float32), None
    plain = array.ndim == 0 and not isinstance(load, (np.ndarray, np.generic))
    what = type(load).__name__ if plain else type_name(dtype)
    raise LoadTypeError(f"expected integers or floats as loads, got {what}; convert them first")


def _exact_float64(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Long doubles as doubles, if no bit is lost."""
    with np.errstate(all="ignore"):
        narrow = array.astype(np.float64)
        lost = (narrow != array) & ~np.isnan(array)
    if lost.any():
        place = tuple(int(i) for i in np.argwhere(lost)[0])
        raise LoadError(
            f"load{list(place)} is {array[place]}, which float64 cannot hold exactly; "
            "convert the loads to float64 yourself to accept the rounding"
        )
    return narrow


def _list_array(load: list[Any] | tuple[Any, ...]) -> npt.NDArray[Any]:
    """Nested lists, cell by cell: numpy would round some integers and accept bools."""
    rows = [_list_row(layer, row) for layer, row in enumerate(load)]
    if not rows:
        raise LoadError(f"the loads are an empty list; {_SHAPE}")
    for layer, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise LoadError(
                f"the loads are ragged: layer {layer} has {count(len(row), 'load')}, "
                f"layer 0 has {len(rows[0])}"
            )
    integers = all(type(cell) is int for row in rows for cell in row)
    for layer, row in enumerate(rows):
        for expert, cell in enumerate(row):
            if integers and not 0 <= cell <= MAX_LOAD:
                _refuse(layer, expert, cell, "expected an integer from 0 to 2**64 - 1")
            if not integers and type(cell) is int and not _exact_in_float64(cell):
                _refuse(layer, expert, cell, "among floats, an integer must be exact as a float64")
    return np.array(rows, dtype=np.uint64 if integers else np.float64)


def _exact_in_float64(cell: int) -> bool:
    try:
        return int(float(cell)) == cell
    except OverflowError:
        return False


def _refuse(layer: int, expert: int, cell: Any, why: str) -> NoReturn:
    raise LoadError(
        f"layer {layer}, expert {expert}: the load is {short(cell)}; {why}",
        layer=layer,
        expert=expert,
    )


def _list_row(layer: int, row: Any) -> list[int | float]:
    """One layer's loads as Python numbers."""
    if hasattr(row, "tolist"):
        row = row.tolist()
    if not isinstance(row, (list, tuple)):
        if isinstance(row, (int, float)) and not isinstance(row, bool):
            raise LoadError(
                f"the loads are one list of numbers; {_SHAPE}; for one layer, pass [load]"
            )
        raise LoadTypeError(
            f"layer {layer} is {short(row)}; expected a list with the loads of its experts"
        )
    cells = [cell.item() if isinstance(cell, np.generic) else cell for cell in row]
    for expert, cell in enumerate(cells):
        if type(cell) is int or type(cell) is float:
            continue
        if hasattr(cell, "__len__") and not isinstance(cell, (str, bytes)):
            raise LoadError(
                f"layer {layer}, expert {expert}: the load is a {type(cell).__name__}; "
                f"{_SHAPE}, with a number in each cell"
            )
        raise LoadTypeError(
            f"layer {layer}, expert {expert}: the load is {short(cell)} ({type(cell).__name__}); "
            "expected integers or floats"
        )
    return cells
