"""Placements that commands read: plan files, and files of engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import eplb
from eplb.engines import FORMATS, EngineFile, HiddenLayers, load_engine_file, placement_format_of
from eplb.errors import Parameter, Part
from eplb.load_files.placement_map import is_table, read_table
from eplb.plans import plan_of_engine_file
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


#: The format of a bare table of numbers of experts.
TABLE = "table"


@dataclass(frozen=True)
class ReadPlacement:
    """A placement from a file."""

    path: str
    #: One of ``FORMAT_NAMES``, or ``TABLE``.
    format: str
    plan: eplb.Plan
    #: Hidden layer of each row, if it is known.
    layers: Sequence[int] | None
    #: What was left out, a line each.
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> Sequence[int] | None:
        """``layers``, if there are as many as rows."""
        as_many = self.layers is not None and len(self.layers) == self.plan.num_layers
        return self.layers if as_many else None


def read_placement(
    path: str,
    format: str | None,  # noqa: A002
    gpus: int | None,
    layers: Sequence[int] | None,
    experts: int,
    *,
    groups: int = 1,
    nodes: int = 1,
) -> ReadPlacement:
    """The placement in a file of any format, for loads of so many experts."""
    if format is None and is_table(path):
        return _table(path, gpus, layers, groups, nodes)
    kind = placement_format_of(path, layers) if format is None else format
    if kind == "plan":
        return ReadPlacement(path, kind, eplb.load_plan(path), layers)
    chosen = None if kind in FORMATS and FORMATS[kind].rows == "moe" else layers
    file = load_engine_file(path, kind, num_gpus=gpus, layers=chosen, num_experts=experts)
    plan = plan_of_engine_file(path, file, groups, nodes)
    return ReadPlacement(path, kind, plan, file.layers or layers, file.notes)


def _table(
    path: str, gpus: int | None, layers: Sequence[int] | None, groups: int, nodes: int
) -> ReadPlacement:
    """The placement in a table of numbers of experts."""
    rows = read_table(path, layers)
    if gpus is None:
        raise eplb.PlanFileError(
            f"{path}: the file does not say for how many GPUs it is",
            hint=["give ", Parameter("num_gpus")],
        )
    plan = plan_of_engine_file(path, EngineFile(rows, gpus, None), groups, nodes)
    return ReadPlacement(path, TABLE, plan, layers)


def or_format(option: str, given: str | None) -> str:
    """For a hint: what to give if a file was recognised as another than it is."""
    return "" if given else f", or give {option} if it is the file of an engine"


def _other_layers(
    path: str, placed: int, loads: int, named: Sequence[int] | None, *, can_select: bool
) -> eplb.LoadError:
    """The error for loads of another number of layers than the placement has."""
    which = f" ({HiddenLayers(named)})" if named is not None and len(named) == placed else ""
    options: list[Part] = ["give ", Parameter("layers"), " or ", Parameter("config")]
    return eplb.LoadError(
        f"{path} has {count(placed, 'layer')}{which}, but the loads have {loads}",
        hint=[*options, " to say which hidden layers are MoE layers"] if can_select else [],
    )


def rows_of(
    windows: Sequence[npt.NDArray[Any]], placed: ReadPlacement, *, chosen: bool
) -> tuple[list[npt.NDArray[Any]], list[str]]:
    """The rows of the loads that a placement is for, and notes.

    Args:
        windows: loads, maybe of all hidden layers.
        placed: the placement.
        chosen: whether the user said which hidden layers are MoE layers.

    Raises:
        LoadError: the placement has another number of layers.
    """
    rows, num_layers, layers = len(windows[0]), placed.plan.num_layers, placed.layers
    if rows == num_layers:
        return [*windows], []
    if layers is None or not num_layers == len(layers) < rows or layers[-1] >= rows:
        # Layers can be selected from all loads, but only from files that say which these are.
        named = placed.format in FORMATS and FORMATS[placed.format].rows != "moe"
        raise _other_layers(
            placed.path,
            num_layers,
            rows,
            layers,
            can_select=(rows > num_layers or named) and not chosen,
        )
    left_out = HiddenLayers(layers).others(rows)
    note = f"{left_out} of the loads left out: the placement does not have them"
    return [window[[*layers]] for window in windows], [note]
