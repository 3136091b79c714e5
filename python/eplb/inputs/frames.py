"""Data frames of pandas and the like: what their columns and rows must not be, and their order."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import LoadError

if TYPE_CHECKING:
    import numpy.typing as npt

# Names of columns of labels, without case and without what is neither letter nor digit. pandas gives
# the first three to an index that became a column.
_LABELS = (
    *("index", "level0", "unnamed0"),
    *("layer", "layerid", "layeridx", "layerindex"),
    *("expert", "expertid", "expertidx", "expertindex"),
)

_HINT = (
    "make it the index with load.set_index(...); a row for each layer and expert becomes a table by "
    "load.pivot_table(index=..., columns=..., values=..., aggfunc='sum', fill_value=0)"
)

# Rows and columns of figures, as users, pivots and describe name them.
_FIGURES = ("total", "sum", "all", "mean", "avg", "average", "std", "min", "max", "median")
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def is_frame(load: Any) -> bool:
    """Whether loads are a data frame: a table with named columns."""
    return hasattr(load, "columns") and hasattr(load, "to_numpy")


def array_of(frame: Any) -> npt.NDArray[Any]:
    """The cells of a frame, rows and columns in the order of the numbers in their names.

    Frames without numbers in the names are as they are.

    Raises:
        LoadError: a row is no layer or a column no expert; a number is there twice; an expert between
            others is absent; or a load is NaN.
    """
    _refuse_labels(frame)
    array = np.asarray(frame)
    columns = [*frame.columns]
    array = array[:, _order(columns, "columns", "expert")]
    if hasattr(frame, "index"):
        array = array[_order([*frame.index], "index", "layer")]
    if array.dtype.kind == "f" and (lacks := np.isnan(array)).any():
        layer, expert = (int(at) for at in np.argwhere(lacks)[0])
        raise LoadError(
            f"layer {layer}, expert {expert}: the load is NaN; expected a finite number that is not "
            "negative",
            hint=["load.fillna(0) if cells without a number had no load"],
            layer=layer,
            expert=expert,
        )
    return array


def _order(names: list[Any], axis: str, what: str) -> list[int] | slice:
    """The order of the rows or columns of a frame, by the numbers in their names."""
    numbers, others = _numbers_in(names)
    figures = [name for name in names if isinstance(name, str) and name.lower() in _FIGURES]
    if figures or (others and 2 * len(others) < len(names) and numbers):
        name = (figures or others)[0]
        raise LoadError(
            f"its {'row' if axis == 'index' else 'column'} {_shown(name)} is no {what}",
            hint=[f"leave it out: load.drop({axis}={_shown(name)})"],
        )
    if not numbers or others:
        return slice(None)
    ordered = sorted(range(len(names)), key=numbers.__getitem__)
    for before, after in pairwise(ordered):
        if numbers[before] == numbers[after]:
            raise LoadError(
                f"its {axis} has {what} {numbers[after]} twice, as {_shown(names[before])} and "
                f"{_shown(names[after])}",
                hint=["load.to_numpy() is read in the order it has"],
            )
        if axis == "columns" and numbers[after] != numbers[before] + 1:
            raise LoadError(
                f"it has no column for {what} {numbers[before] + 1}, but one for {numbers[after]}",
                hint=["give it one of zeros; load.to_numpy() is read in the order it has"],
            )
    return slice(None) if ordered == [*range(len(names))] else ordered


def _numbers_in(names: list[Any]) -> tuple[list[int], list[Any]]:
    """The number in each name, and the names that have none; no number if names have several.

    Names of one kind differ by their numbers only.
    """
    numbers, others, kinds = [], [], set()
    for name in names:
        if isinstance(name, (float, np.floating)) and float(name).is_integer():
            name = int(name)  # noqa: PLW2901
        text = " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        found = _NUMBER.findall(text)
        if not found:
            others.append(name)
            continue
        kinds.add(_NUMBER.sub("", text))
        if len(found) > 1 or len(kinds) > 1:
            return [], []
        numbers.append(int(found[0]))
    return numbers, others


def _shown(name: Any) -> str:
    return repr(name[:40] if isinstance(name, str) else getattr(name, "item", lambda: name)())


def _refuse_labels(frame: Any) -> None:
    """Refuses a frame with a column of labels, which would be planned as an expert.

    Raises:
        LoadError
    """
    for name in list(frame.columns):
        if not isinstance(name, str):
            continue
        plain = "".join(character for character in name.lower() if character.isalnum())
        if plain in _LABELS:
            raise LoadError(
                f"its column {name[:40]!r} is no expert; expected a row for each layer and a column "
                "for each expert",
                hint=[_HINT],
            )
