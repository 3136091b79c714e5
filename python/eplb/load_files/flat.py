"""Loads in one row or column: as many as the stated layers have experts, layer after layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.errors import LoadError, Parameter
from eplb.inputs.known_models import KNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eplb.errors import Part

# A layer of any model has fewer experts.
_MANY = 1024


def is_flat(shape: Sequence[int]) -> bool:
    """Whether an array is one row or one column."""
    return len(shape) == 1 or (len(shape) == 2 and 1 in shape)


def by_layers(
    array: npt.NDArray[Any], stated: Sequence[int], experts: int | None, *, trust: bool
) -> tuple[npt.NDArray[Any], list[str]]:
    """One row or column as ``[layers, experts]``, if that are as many as stated; with a note.

    Any other array is returned as it is.

    Args:
        array: of any shape.
        stated: the numbers of layers that it may have; none if nothing is said.
        experts: experts per layer; None if nothing is said.
        trust: whether to take all numbers for those of one layer, if nothing is said.

    Raises:
        LoadError: nothing is stated, and it has as many numbers as all layers of a known model.
    """
    size = array.size
    if not is_flat(array.shape):
        return array, []
    if not stated and experts is None and not trust:
        _refuse_all_layers(size)
    if experts is None or experts == 1 or size % experts:
        return array, []
    layers = size // experts
    if layers not in (stated or (1,)) or (array.shape in ((size,), (1, size)) and layers == 1):
        return array, []
    note = f"{size} numbers, read as {layers} x {experts}: layer after layer, as stated"
    return array.reshape(layers, experts), [note]


def _refuse_all_layers(size: int) -> None:
    for model in KNOWN:
        for layers in (model.moe_layers, model.hidden_layers):
            if size == layers * model.experts > _MANY:
                raise LoadError(
                    f"its {size} numbers are as many as {model.name} has experts in {layers} layers; "
                    "is it one layer or all?",
                    hint=[
                        "give ",
                        Parameter("num_layers", str(layers)),
                        " and ",
                        Parameter("num_experts"),
                        f" {model.experts}, or for one layer ",
                        Parameter("num_experts"),
                        f" {size}",
                    ],
                )


def what_fits(size: int, layers: Sequence[int], experts: int | None) -> list[Part]:
    """The hint for so many numbers in a row that are not as many as stated."""
    if experts is not None and layers:
        many = " or ".join(str(number * experts) for number in sorted({*layers}))
        numbers = ", ".join(map(str, sorted({*layers})))
        return [f"it has {size} numbers in a row; {numbers} x {experts} are {many}"]
    if experts is not None and size % experts == 0:
        return [
            "are these all layers in a row? Give ",
            Parameter("num_layers", str(size // experts)),
        ]
    if layers and size % layers[0] == 0:
        number = size // layers[0]
        return ["are these all layers in a row? Give ", Parameter("num_experts"), f" {number}"]
    return []
