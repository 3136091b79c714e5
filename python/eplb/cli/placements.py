"""Placements that commands read: plan files, and files of engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import eplb
from eplb.engines import FORMATS, EngineFile, HiddenLayers, load_engine_file, placement_format_of
from eplb.errors import Parameter, Part
from eplb.inputs.sizes import check_slots
from eplb.inputs.windows import Windows, WindowsOfRows
from eplb.load_files import window_records
from eplb.load_files.placement_map import is_table, read_table
from eplb.plans import plan_of_engine_file
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eplb.engines.target import Target


#: The format of a bare table of numbers of experts.
TABLE = "table"
#: What contains its own sizes, in words.
OWN_SIZES = {"plan": "a plan file", window_records.NAME: "a record"}


@dataclass(frozen=True)
class ReadPlacement:
    """A placement from a file."""

    path: str
    #: One of ``FORMAT_NAMES``, ``TABLE``, or that of a record.
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
    goal: Target,
    experts: int,
    *,
    groups: int = 1,
    nodes: int = 1,
) -> ReadPlacement:
    """The placement in a file of any format, for loads of so many experts.

    ``goal`` says which hidden layers the loads have; the file may lack those of multi-token prediction.
    """
    if format is None and window_records.is_here(path):
        return _recorded(path, goal, experts)
    if format is None and is_table(path):
        return _table(path, gpus, goal, groups, nodes)
    kind = format
    if kind is None:
        kind = placement_format_of(path, goal.layers)
        if kind in FORMATS and FORMATS[kind].rows == "hidden":
            kind = placement_format_of(path, goal.without_planned_extra().layers)
    if kind == "plan":
        plan = eplb.load_plan(path)
        return ReadPlacement(path, kind, plan, goal.for_placement(plan.num_layers).layers)
    chosen = goal.layers
    if kind in FORMATS and FORMATS[kind].rows != "named":
        hidden = FORMATS[kind].rows == "hidden"
        chosen = goal.without_planned_extra().layers if hidden else None
    file = load_engine_file(path, kind, num_gpus=gpus, layers=chosen, num_experts=experts)
    plan = plan_of_engine_file(path, file, groups, nodes)
    layers = file.layers or goal.for_placement(plan.num_layers).layers
    return ReadPlacement(path, kind, plan, layers, file.notes)


def read_with_sizes(
    path: str,
    format: str | None,  # noqa: A002
    gpus: int | None,
    goal: Target,
    experts: int,
    *,
    groups: int,
    nodes: int,
) -> ReadPlacement:
    """The same for ``--gpus``, ``--groups``, ``--nodes`` and ``--format``, which a plan file must not have.

    Raises:
        EplbError: there are sizes beside a plan file or a record.
    """
    placed = read_placement(path, format, gpus, goal, experts, groups=groups, nodes=nodes)
    if placed.format in OWN_SIZES and (gpus is not None or (groups, nodes) != (1, 1)):
        raise own_sizes(placed, "--gpus, --groups and --nodes", or_format("--format", format))
    return placed


def own_sizes(placed: ReadPlacement, options: str, or_else: str) -> eplb.EplbError:
    """The error for sizes beside a plan file or a record."""
    return eplb.EplbError(
        f"{placed.path} is {OWN_SIZES[placed.format]}, which contains its own sizes",
        hint=[f"leave out {options}{or_else}"],
    )


def _table(path: str, gpus: int | None, goal: Target, groups: int, nodes: int) -> ReadPlacement:
    """The placement in a table of numbers of experts."""
    rows = read_table(path, goal.without_planned_extra().layers)
    if gpus is None:
        raise eplb.PlanFileError(
            f"{path}: the file does not say for how many GPUs it is",
            hint=["give ", Parameter("num_gpus")],
        )
    plan = plan_of_engine_file(path, EngineFile(rows, gpus, None), groups, nodes)
    return ReadPlacement(path, TABLE, plan, goal.for_placement(plan.num_layers).layers)


def _recorded(path: str, goal: Target, experts: int) -> ReadPlacement:
    """The map that a plug-in answered last."""
    newest = window_records.newest_placement(path, experts)
    try:
        plan = _plan_of(newest)
    except eplb.EplbError as error:
        where = f"{path}: the newest map of {newest.series}, of {newest.when} UTC"
        raise error.within(where, kind=eplb.PlanFileError) from error
    note = f"the placement is the newest map of {newest.series}, of {newest.when} UTC"
    layers = goal.for_placement(plan.num_layers).layers
    return ReadPlacement(path, window_records.NAME, plan, layers, (note,))


def _plan_of(newest: window_records.RecordedPlacement) -> eplb.Plan:
    """The placement; what it has on dead GPUs is lost."""
    table, gpus, nodes = newest.phy2log, newest.num_gpus, newest.num_nodes
    if not newest.dead_gpus:
        return eplb.Plan.from_phy2log(
            table, num_gpus=gpus, num_groups=newest.num_groups, num_nodes=nodes
        )
    check_slots(table.shape[1], gpus)
    cluster = eplb.Cluster.uniform(gpus, table.shape[1] // gpus, nodes)
    cluster = cluster.changed(dead_gpus=newest.dead_gpus)
    table = table.copy()
    table[:, ~cluster.used[cluster.gpu_of_slot]] = -1
    return eplb.Plan.from_phy2log(table, num_groups=newest.num_groups, cluster=cluster)


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
    windows: Sequence[npt.NDArray[Any]], placed: ReadPlacement, goal: Target, *, chosen: bool
) -> tuple[Sequence[npt.NDArray[Any]], list[str]]:
    """The rows of the loads that a placement is for, and notes.

    Args:
        windows: loads, maybe of all hidden layers.
        placed: the placement.
        goal: which hidden layers the loads have; if these are other numbers of rows, they have all.
        chosen: whether the user said which hidden layers are MoE layers.

    Raises:
        LoadError: the placement has another number of layers.
    """
    rows, num_layers, layers = len(windows[0]), placed.plan.num_layers, placed.layers
    if rows == num_layers:
        return windows if isinstance(windows, Windows) else [*windows], []
    named = goal.layers
    if named is None or len(named) != rows:
        named = HiddenLayers.all_of(rows)
    if layers is None or not num_layers == len(layers) < rows or not {*layers} <= {*named}:
        # Layers can be selected from all loads, but only from files that say which these are.
        can_name = placed.format in FORMATS and FORMATS[placed.format].rows != "moe"
        raise _other_layers(
            placed.path,
            num_layers,
            rows,
            layers,
            can_select=(rows > num_layers or can_name) and not chosen,
        )
    left_out = HiddenLayers(layer for layer in named if layer not in layers)
    note = f"{left_out} of the loads left out: the placement does not have them"
    taken = [named.index(layer) for layer in layers]
    if isinstance(windows, Windows):
        return WindowsOfRows(windows, taken), [note]
    return [window[taken] for window in windows], [note]
