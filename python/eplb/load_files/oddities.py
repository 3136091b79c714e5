"""Notes on loads that are valid, but odd: a shape that no model has, a record that cannot be right."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.engines.hidden_layers import in_words
from eplb.errors import LoadError, Note, Parameter, Part
from eplb.inputs.plausibility import only_grow
from eplb.inputs.shape_doubts import LEAST_CELLS, doubt_of_axes, doubt_of_table
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eplb.engines.model_config import ModelLayers

# Layers whose totals differ by less may be those of a sample.
_APART = 1.5
_LONGEST_LIST = 60
# Of fewer rows or columns, the last may be the sum of the others by chance.
_FEWEST_SUMMED = 4
_TRUST: list[Part] = ["give ", Parameter("trust", "True"), " if these are loads"]
# What to do if a table is something else, by what it may be.
_INSTEAD: dict[str, list[Part]] = {
    "transposed": [" ", Parameter("axes", "experts,layers"), " turns it"],
    "column": [" Leave it out"],
    "slots": [" ", Parameter("placement", "FILE"), " reads them as experts"],
    "stacked": [],
    "unknown": ["; ", Parameter("config", "FILE"), " checks it"],
}


def notes_on_shape(layers: int, experts: int) -> list[str]:
    """What a table of this shape may be instead, if no size was stated."""
    doubt = doubt_of_table(layers, experts)
    return [] if doubt is None else [Note(doubt.words, *_INSTEAD[doubt.instead])]


def refuse_other_axes(shape: Sequence[int]) -> list[str]:
    """Notes on an array of three axes that may be others than windows, layers and experts.

    Raises:
        LoadError: they are others, most probably.
    """
    first, second, third = shape
    doubt = doubt_of_axes(first, second, third)
    if doubt is None:
        return []
    if doubt.turned:
        read = " It is read as windows, layers, experts; "
        turned = Parameter("axes", "layers,windows,experts")
        return [Note(doubt.words, read, turned, " turns it")]
    if not doubt.strong:
        read = "; it is read as windows, layers, experts; "
        return [Note(doubt.words, read, Parameter("axes"), " says otherwise")]
    raise LoadError(
        doubt.words,
        hint=[
            "say which: ",
            Parameter("axes", "layers,ranks,slots"),
            ", or ",
            Parameter("axes", "windows,layers,experts"),
        ],
    )


def refuse_total(array: npt.NDArray[Any]) -> None:
    """Refuses loads of which the last layer, or the last expert, is the sum of all others.

    Args:
        array: ``[layers, experts]`` or ``[windows, layers, experts]``.

    Raises:
        LoadError: it is a total.
    """
    for axis, what, others in ((-2, "row", "rows above"), (-1, "column", "columns before")):
        if array.shape[axis] < _FEWEST_SUMMED or array.shape[-3 - axis] < 2:
            continue
        *_, last = np.moveaxis(array, axis, 0)
        total = array.sum(axis=axis, dtype=np.float64) - last
        more = (np.delete(array, -1, axis).max(axis) < last).any()
        if more and np.allclose(total, last, rtol=1e-9, atol=0):
            raise LoadError(
                f"its last {what} is the sum of all {others} it; is it a total, not loads?",
                hint=[f"delete this {what}, or ", *_TRUST],
            )


def notes_on_windows(windows: Sequence[npt.NDArray[Any]]) -> list[str]:
    """A note if windows seem to be counters that are never set back."""
    if windows[0].size < LEAST_CELLS or not only_grow(len(windows), windows):
        return []
    grow = f"no load falls from one of the {len(windows)} windows to the next"
    return [
        f"{grow}: are these counters that only grow? The loads of windows are their differences"
    ]


def notes_on_record(
    windows: Sequence[npt.NDArray[Any]], layers: Sequence[int] | None, model: ModelLayers | None
) -> list[str]:
    """What a sound record of a model would not have.

    Args:
        windows: loads ``[layers, experts]`` each.
        layers: hidden layer of each row; None if it is not known.
        model: which layers the model has; None if it is not known.
    """
    with np.errstate(over="ignore"):
        loads = np.sum([window.astype(np.float64) for window in windows], axis=0)
        totals = loads.sum(axis=1)
    if not totals.any():
        return ["all loads are 0: nothing was recorded, and no plan is better than another"]
    if loads.size < LEAST_CELLS:
        return []
    names = _names(len(totals), layers, model)
    return [
        *_idle_experts(loads),
        *_uneven_layers(totals, names),
        *_other_layers(totals, names, model),
    ]


def _names(rows: int, layers: Sequence[int] | None, model: ModelLayers | None) -> Sequence[int]:
    """The hidden layer of each row, or else its number."""
    if layers is not None:
        return layers
    return (None if model is None else model.layers_of(rows)) or range(rows)


def _idle_experts(loads: npt.NDArray[np.float64]) -> list[str]:
    idle = np.flatnonzero(~loads.any(axis=0))
    if not idle.size:
        return []
    which = in_words(idle.tolist()).replace("layer", "expert")
    shown = f" ({which})" if len(which) < _LONGEST_LIST else ""
    has = "has" if idle.size == 1 else "have"
    return [f"{idle.size} of {count(loads.shape[1], 'expert')} {has} no load in any layer{shown}"]


def _uneven_layers(totals: npt.NDArray[np.float64], names: Sequence[int]) -> list[str]:
    """Tokens go through all layers, so all have as many."""
    loaded = np.flatnonzero(totals)
    ordered = sorted(loaded.tolist(), key=lambda row: totals[row])
    if len(ordered) < 2 or not np.isfinite(totals).all():
        return []
    steps = [totals[high] / totals[low] for low, high in pairwise(ordered)]
    cut = int(np.argmax(steps)) + 1
    if steps[cut - 1] < _APART:
        return []
    few, many = sorted((ordered[cut:], ordered[:cut]), key=len)
    times = totals[few].mean() / totals[many].mean()
    which = in_words(names[row] for row in sorted(few))
    have = "has" if len(few) == 1 else "have"
    why = "each token goes through all layers: is this one record?"
    return [f"{which} {have} {times:.2g} times the load of the others, but {why}"]


def _other_layers(
    totals: npt.NDArray[np.float64], names: Sequence[int], model: ModelLayers | None
) -> list[str]:
    """Layers with load that are dense by the config, and MoE layers without."""
    if model is None:
        return []
    notes = []
    moe = {*model.moe, *model.mtp}
    empty = [layer for layer, total in zip(names, totals, strict=True) if not total]
    if idle := [layer for layer in empty if layer in moe]:
        are, have = ("is a MoE layer", "has") if len(idle) == 1 else ("are MoE layers", "have")
        notes.append(f"{in_words(idle)} {are} by the config, but {have} no load")
    full = [layer for layer, total in zip(names, totals, strict=True) if total]
    if dense := [layer for layer in full if layer not in moe]:
        are, have = ("is dense", "has") if len(dense) == 1 else ("are dense", "have")
        notes.append(f"{in_words(dense)} {are} by the config, but {have} load")
    return notes
