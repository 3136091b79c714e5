"""Hidden layers: which hidden layer each row of a table is."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from eplb import limits
from eplb.errors import Parameter, PlanFileError
from eplb.inputs.sizes import whole_number
from eplb.text import count, ranges, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class HiddenLayers(tuple[int, ...]):
    """Numbers of hidden layers, ascending: entry i is the hidden layer of row i."""

    __slots__ = ()

    @classmethod
    def of(cls, layers: Sequence[int], name: str = "layers") -> Self:
        """These layers, which are the parameter ``name``.

        Raises:
            PlanFileError: they are not ascending whole numbers of hidden layers.
        """
        try:
            array = np.asarray(layers)
        except ValueError:
            array = np.empty(0)
        if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
            raise PlanFileError(
                Parameter(name), f" must be a list of whole numbers, got {short(layers)}"
            )
        numbers: list[int] = array.tolist()
        for before, layer in pairwise(numbers):
            if layer <= before:
                raise PlanFileError(
                    Parameter(name), f" must ascend, but {layer} comes after {before}"
                )
        if numbers[0] < 0 or numbers[-1] >= limits.MAX_HIDDEN_LAYERS:
            raise PlanFileError(
                Parameter(name),
                f" must be from 0 to {limits.MAX_HIDDEN_LAYERS - 1}, "
                f"got {numbers[0]} to {numbers[-1]}",
            )
        return cls(numbers)

    @classmethod
    def all_of(cls, total: int) -> Self:
        """All hidden layers of a model with so many."""
        return cls(range(total))

    def check_within(self, total: int) -> None:
        """Refuses layers that a model with ``total`` hidden layers does not have.

        Raises:
            PlanFileError
        """
        if self[-1] >= total:
            raise PlanFileError(
                f"layer {self[-1]} is not one of the {count(total, 'hidden layer')}, 0 to {total - 1}",
                hint=[
                    "if it is one of multi-token prediction, give ",
                    Parameter("config"),
                    " instead, which says so",
                ],
            )

    def others(self, total: int) -> HiddenLayers:
        """The hidden layers of the model that are not among these."""
        return HiddenLayers(sorted(set(range(total)) - set(self)))

    def place(self, row: int | None) -> str:
        """``" (hidden layer 7)"`` for a row, if its number is another; else nothing."""
        if row is None or self[row : row + 1] in ((), (row,)):
            return ""
        return f" (hidden layer {self[row]})"

    def __str__(self) -> str:
        return in_words(self)


def hidden_layer_count(number: Any) -> int:
    """A number of hidden layers as an int.

    Raises:
        PlanFileError, TypeError: it is not one.
    """
    total = whole_number("num_hidden_layers", number, PlanFileError)
    if total > limits.MAX_HIDDEN_LAYERS:
        raise PlanFileError(
            Parameter("num_hidden_layers", str(total)),
            f" is too large; expected at most {limits.MAX_HIDDEN_LAYERS}",
        )
    return total


def in_words(layers: Iterable[int]) -> str:
    """Layers as text: ``layers 0, 1, 2, 7 to 60``."""
    numbers = [*layers]
    return f"layer{'s' * (len(numbers) != 1)} {ranges(numbers)}"
