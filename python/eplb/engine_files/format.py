"""What a format of placement files is, and what passes between its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.plans import Plan

#: A placement has at most so many slots, over all layers.
MAX_CELLS = 2**26
#: A model has at most so many hidden layers.
MAX_HIDDEN_LAYERS = 2**14


@dataclass(frozen=True)
class Format:
    """A format: its name is its key in ``FORMATS``."""

    #: What the name of a file may end in.
    endings: tuple[str, ...]
    #: What it is for, in one line.
    description: str
    #: What the rows of a file stand for: all hidden layers in order, hidden layers that the file
    #: names, or the MoE layers in order.
    rows: Literal["hidden", "named", "moe"]
    #: Makes and takes a file's bytes, given its ending; for this module.
    write: Callable[[Rows, str], bytes] = field(repr=False)
    read: Callable[[bytes, str], Found] = field(repr=False)


@dataclass(frozen=True)
class Rows:
    """What is to be written: a row of slots for each layer, all of them alike in length."""

    plan: Plan
    #: ``[rows, P]``, plain ints.
    table: list[list[int]]
    #: Hidden layer of each row; None where nobody said.
    layers: list[int] | None
    notes: list[str]


@dataclass(frozen=True)
class Found:
    """What was read: rows of whatever the file has in their places, not yet looked at."""

    rows: Any
    #: Hidden layer of each row, where the file names them.
    layers: list[int] | None = None
    num_gpus: int | None = None
