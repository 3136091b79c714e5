"""Loads that Python gives, not a file: warnings if they are probably something else.

They are like those of :mod:`eplb.load_files`, for shapes that no size was stated of. They take microseconds,
and more only where the first row has small numbers alone.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from eplb.errors import LoadError, LoadWarning
from eplb.inputs.known_models import has_experts
from eplb.inputs.loads import as_array
from eplb.inputs.plausibility import may_be_ids, only_grow, total_row, what_else
from eplb.inputs.shape_doubts import LEAST_CELLS, doubt_of_axes, doubt_of_table
from eplb.inputs.windows import plain_floats, windows_of

if TYPE_CHECKING:
    from eplb import _core

# Models have at least so many layers.
_FEWEST_LAYERS = 16

# What to do if a table is something else, by what it may be.
_INSTEAD = {
    "transposed": " load.T turns it",
    "column": " Leave it out",
    "slots": " eplb.load_files.read_loads(file, placement=...) reads them as experts",
    "stacked": "",
    "unknown": "",
}


def check_loads(load: Any, canonical: _core.Loads) -> None:
    """Warns of valid loads that may be something else: of their axes, their shape, their numbers.

    Tables in a list are windows; an array of three axes may be ``[layers, ranks, slots]``.

    Args:
        load: as the user gave it.
        canonical: its canonical loads, or those of a window.

    Raises:
        LoadError: its axes are others, most probably.
    """
    layers, experts = canonical.layers, canonical.experts
    shape = getattr(load, "shape", ())
    three = isinstance(shape, tuple) and len(shape) == 3
    if layers * experts * (len(load) if three else 1) < LEAST_CELLS:
        return
    if three:
        _check_axes(len(load), layers, experts)
    doubt = doubt_of_table(layers, experts)
    if doubt is not None and (doubt.instead != "unknown" or _may_be_turned(layers, experts)):
        _warn(doubt.words + _INSTEAD[doubt.instead])
    windows = windows_of(load)
    first, bits_of = as_array(windows[0])
    if bits_of is not None:
        return
    # One window after another: they may be more than memory holds.
    if only_grow(len(windows), (plain_floats(*as_array(window)) for window in windows)):
        _warn(
            f"no load falls from one of the {len(windows)} windows to the next: are these counters that "
            "only grow? The loads of windows are their differences, np.diff(load, axis=0)"
        )
    if (words := total_row(first)) is not None:
        _warn(words)
    if may_be_ids(first[0]):
        words = what_else(first)
        if words is not None:
            _warn(words)


def _may_be_turned(layers: int, experts: int) -> bool:
    """Whether an unusual table has as many layers as a model has experts, and experts like its layers.

    Other unusual numbers are those of an experiment: no reason for a warning.
    """
    return has_experts(layers) and layers > experts >= _FEWEST_LAYERS


def _check_axes(first: int, second: int, third: int) -> None:
    doubt = doubt_of_axes(first, second, third)
    if doubt is None:
        return
    windows = "list(load) says that they are windows"
    if doubt.turned:
        _warn(
            f"{doubt.words} It is read as windows, layers, experts; {windows}, load.swapaxes(0, 1) turns it"
        )
        return
    slots = f"load.reshape({first}, -1) has a column for each slot"
    if doubt.strong:
        raise LoadError(doubt.words, hint=[f"say which: {windows}, {slots}"])
    _warn(f"{doubt.words}; it is read as windows, layers, experts; {windows}, {slots}")


def _warn(words: str) -> None:
    """A warning at the line that called this package."""
    from inspect import currentframe

    frame, level = currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "eplb":
        frame, level = frame.f_back, level + 1
    warnings.warn(words, LoadWarning, stacklevel=level)
