"""Placements that commands read: plan files, and files of engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import eplb
from eplb.engines import FORMATS, HiddenLayers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def read_placement(
    path: str,
    format: str,  # noqa: A002
    gpus: int | None,
    layers: Sequence[int] | None,
) -> tuple[eplb.Plan, Sequence[int] | None]:
    """A placement, and the hidden layer of each of its rows, if it is known."""
    if format == "plan":
        return eplb.load_plan(path), layers
    chosen = None if format in FORMATS and FORMATS[format].rows == "moe" else layers
    plan, named = eplb.Plan.from_engine_file(path, format, num_gpus=gpus, layers=chosen)
    return plan, named or layers


def rows_of(
    windows: Sequence[npt.NDArray[Any]], num_layers: int, layers: Sequence[int] | None
) -> tuple[list[npt.NDArray[Any]], list[str]]:
    """The rows of the loads that the placement is for, if the loads are of all hidden layers."""
    rows = len(windows[0])
    if layers is None or not num_layers == len(layers) < rows or layers[-1] >= rows:
        return [*windows], []
    left_out = HiddenLayers(layers).others(rows)
    note = f"{left_out} of the loads left out: the placement does not have them"
    return [window[[*layers]] for window in windows], [note]
