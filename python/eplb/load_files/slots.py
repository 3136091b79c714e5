"""Loads of slots (physical experts) as loads of experts, by the placement they were counted under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.engines.hidden_layers import in_words
from eplb.errors import LoadError, Parameter, Part
from eplb.load_files.arrays import load_array
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_EXPECTED = (
    "it is not a placement; expected numbers of experts [layers, slots], -1 for an empty slot"
)


@dataclass(frozen=True)
class SlotMap:
    """A placement: the expert in each slot."""

    #: ``[layers, P]`` or ``[windows, layers, P]``; -1 is an empty slot.
    phy2log: npt.NDArray[np.int64]
    #: Where it is from, for messages.
    name: str
    #: Hidden layer of each row; None if it is not known.
    layers: tuple[int, ...] | None = None

    @property
    def num_layers(self) -> int:
        """Its rows."""
        return int(self.phy2log.shape[-2])

    @property
    def slots(self) -> int:
        """Slots per layer, P."""
        return int(self.phy2log.shape[-1])

    @property
    def experts(self) -> int:
        """Experts per layer: each has a slot."""
        return int(self.phy2log.max()) + 1

    def for_rows(self, rows: int, hidden: Sequence[int] | None) -> npt.NDArray[np.int64]:
        """The map of each of so many rows of loads.

        Args:
            rows: layers of the loads.
            hidden: the hidden layers that these are, if it is known.

        Raises:
            LoadError: the map has other layers.
        """
        if rows == self.num_layers and (hidden is None or self.layers in (None, tuple(hidden))):
            return self.phy2log
        # A map that names no layers has a row for every hidden layer, if not for those of the loads.
        row_of = {layer: row for row, layer in enumerate(self.layers or range(self.num_layers))}
        if hidden is not None and len(hidden) == rows and all(layer in row_of for layer in hidden):
            return self.phy2log[..., [row_of[layer] for layer in hidden], :]
        if rows == self.num_layers and hidden is not None:
            raise LoadError(
                f"the loads are those of {in_words(hidden)}, but {self.name} has "
                f"{in_words(self.layers or ())}"
            )
        give: list[Part] = [
            "give ",
            Parameter("config"),
            " to say which hidden layers are MoE layers",
        ]
        raise LoadError(
            f"the loads have {count(rows, 'layer')}, but {self.name} has {self.num_layers}",
            hint=give if hidden is None else [],
        )


def slot_map(values: Any, name: str) -> SlotMap:
    """A map from a file.

    Args:
        values: an array, a tensor or lists.
        name: where they are from, for messages.

    Raises:
        LoadError: it is not one.
    """
    try:
        array = np.asarray(values) if isinstance(values, list) else load_array(values)
    except ValueError as error:  # also a LoadError
        raise LoadError(_EXPECTED) from error
    whole = array.ndim in (2, 3) and array.size and array.dtype.kind in "iu"
    if not whole or array.min() < -1 or array.max() >= limits.MAX_EXPERTS or array.max() < 0:
        raise LoadError(_EXPECTED)
    return SlotMap(array.astype(np.int64), name)
