"""Doubts about the shape of loads: a table, or three axes, that may be something else."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from eplb.inputs.known_models import KNOWN, has_experts, is_known, is_usual, with_layers
from eplb.text import count

#: Smaller tables are examples.
LEAST_CELLS = 256


class TableDoubt(NamedTuple):
    """What a table may be instead of loads ``[layers, experts]``."""

    words: str
    #: It is transposed; a column is no routed expert; columns are slots; it is several tables, one
    #: below the other; or nothing is known.
    instead: Literal["transposed", "column", "slots", "stacked", "unknown"]


class AxesDoubt(NamedTuple):
    """That three axes may be others than windows, layers and experts."""

    words: str
    #: Whether they are others, most probably.
    strong: bool
    #: Whether the first two are layers and windows, not layers and ranks.
    turned: bool = False


@lru_cache
def doubt_of_table(layers: int, experts: int) -> TableDoubt | None:
    """What a table of this shape may be instead, if that is not known from elsewhere."""
    if layers * experts < LEAST_CELLS or is_known(layers, experts):
        return None
    shape = f"{count(layers, 'layer')} x {count(experts, 'expert')}"
    if is_known(experts, layers):
        return TableDoubt(f"{shape}: is the table transposed?", "transposed")
    if (stacked := _stacked(layers, experts)) is not None:
        return TableDoubt(stacked, "stacked")
    fewer = [model for model in with_layers(layers) if model.experts < experts <= 2 * model.experts]
    # A number of experts that a model has is hardly one of slots.
    if fewer and not has_experts(experts):
        model = max(fewer, key=lambda each: each.experts)
        has = f"{shape}: {model.name} has {model.experts} experts"
        if experts == model.experts + 1:
            what = "is a column the layer's number, or a shared expert?"
            return TableDoubt(f"{has}; {what}", "column")
        return TableDoubt(f"{has}; are these slots?", "slots")
    if not is_usual(experts):
        return TableDoubt(f"{shape}: no known model has {count(experts, 'expert')}", "unknown")
    return None


def _stacked(layers: int, experts: int) -> str | None:
    """Words on more layers than any model has, if they are several times those of one."""
    if layers <= max(max(model.numbers) for model in KNOWN):
        return None
    for model in KNOWN:
        for number in model.numbers:
            if model.experts == experts and layers % number == 0:
                times = layers // number
                return (
                    f"{layers} layers are {times} times the {number} of {model.name}: are these windows, "
                    f"one below the other? reshape({times}, {number}, {experts}) makes windows of them"
                )
    return None


@lru_cache
def doubt_of_axes(first: int, second: int, third: int) -> AxesDoubt | None:
    """What an array of this shape may be instead of windows."""
    if is_known(second, third):
        return None
    if (words := fits_ranks(first, second, third)) is not None:
        return AxesDoubt(words, strong=not is_usual(third))
    for model in with_layers(first):
        if model.experts == third:
            words = (
                f"the shape {[first, second, third]} has the {first} layers and {third} experts of "
                f"{model.name}: is the second axis that of windows, or of ranks?"
            )
            return AxesDoubt(words, strong=False, turned=True)
    return None


def fits_ranks(first: int, second: int, third: int) -> str | None:
    """Words on three axes that may be layers, ranks and the slots of each; None if they do not fit."""
    for model in with_layers(first):
        if model.experts <= second * third <= 2 * model.experts:
            return (
                f"the shape {[first, second, third]} also fits the {first} layers of {model.name}, "
                f"with {second} x {third} experts or slots in each"
            )
    return None
