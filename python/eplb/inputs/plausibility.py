"""Tables that are probably not loads: a plan for them would be nonsense."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb.errors import LoadError, Parameter, Part

if TYPE_CHECKING:
    from collections.abc import Iterable

# Tokens go to at most this many experts, of at most this many.
_MOST_TOP_K = 16
_MOST_EXPERTS = 1024
# Fewer rows of top-k ids could look so by chance.
_LEAST_TOKENS = 256
# With fewer layers, one may be the sum of others.
_LEAST_LAYERS = 4
# Fewer windows may grow by chance.
_LEAST_WINDOWS = 3
# A placement of fewer slots is not recognised.
_LEAST_SLOTS = 8

_ANYWAY: list[Part] = ["give ", Parameter("trust", "True"), " if these are loads"]


def refuse_expert_ids(array: npt.NDArray[Any]) -> None:
    """Refuses what looks like a placement, or like the experts of tokens.

    Args:
        array: as for :func:`what_else`.

    Raises:
        LoadError: it looks like one of these.
    """
    words = what_else(array)
    if words is not None:
        raise LoadError(words, hint=_ANYWAY)


def what_else(array: npt.NDArray[Any]) -> str | None:
    """What an array may be instead of loads, if it looks like it.

    - A placement ``[layers, P]``: each row has every number from 0 to a last one.
    - Ids ``[..., tokens, top_k]``: many short rows of small numbers, without duplicates.

    Args:
        array: ``[layers, experts]`` or ``[windows, layers, experts]``, not negative.
    """
    if array.dtype.kind not in "iu" and (array != np.floor(array)).any():
        return None
    rows = np.sort(array.reshape(-1, array.shape[-1]), axis=1)
    if _is_placement(rows):
        return (
            f"each row has every number from 0 to {rows[0, -1]}; is this a placement (expert numbers "
            "by slot)? Expected loads [layers, experts]"
        )
    if _is_ids(rows):
        return (
            f"none of its {len(rows)} rows of {rows.shape[1]} has a number twice, and none is above "
            f"{rows[:, -1].max()}; are these the experts of each token? Expected counts of tokens "
            "[layers, experts]"
        )
    return None


def total_row(array: npt.NDArray[Any]) -> str | None:
    """A word on the last row of ``[layers, experts]`` if it is the sum of all others; else None.

    Takes microseconds.
    """
    with np.errstate(over="ignore"):
        if array.ndim != 2 or len(array) < _LEAST_LAYERS or array[-1, 0] != array[:-1, 0].sum():
            return None
        if not array.any() or (array[-1] != array[:-1].sum(axis=0)).any():
            return None
    return f"its last row is the sum of the {len(array) - 1} others; is this a total, not a layer?"


def only_grow(number: int, windows: Iterable[npt.NDArray[Any]]) -> bool:
    """Whether no load falls over several windows, and each has more than the one before.

    Quickly, if that is not so.

    Args:
        number: of windows.
        windows: ``[layers, experts]`` each, of one shape.
    """
    return number >= _LEAST_WINDOWS and all(
        bool((new[0] >= old[0]).all() and (new >= old).all() and (new > old).any())
        for old, new in pairwise(windows)
    )


def may_be_ids(row: npt.NDArray[Any]) -> bool:
    """Whether one row of an array has only numbers that :func:`what_else` looks for: quickly."""
    most = _MOST_EXPERTS if len(row) <= _MOST_TOP_K else len(row)
    return bool(row.max() < most)


def _is_placement(rows: npt.NDArray[Any]) -> bool:
    """Whether all sorted rows have every number from 0 to the same last one."""
    slots = rows.shape[1]
    last = rows[:, -1]
    if slots < _LEAST_SLOTS or (rows[:, 0] != 0).any() or (last != last[0]).any():
        return False
    steps = rows[:, 1:] - rows[:, :-1]
    return bool((steps <= 1).all()) and 2 * (int(last[0]) + 1) >= slots


def _is_ids(rows: npt.NDArray[Any]) -> bool:
    """Whether sorted rows are many and short, of small numbers without duplicates."""
    top_k = rows.shape[1]
    if not 1 < top_k <= _MOST_TOP_K or len(rows) < _LEAST_TOKENS:
        return False
    return bool(rows.max() < _MOST_EXPERTS) and bool((rows[:, 1:] != rows[:, :-1]).all())
