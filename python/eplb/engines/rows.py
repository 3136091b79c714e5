"""The rows of an engine's file: which layers of a placement, in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eplb.engines.all_engines import FORMATS
from eplb.engines.engine import PlacementRows
from eplb.engines.hidden_layers import HiddenLayers
from eplb.engines.start_placement import by_slot
from eplb.errors import Parameter, Part, PlanFileError
from eplb.text import count

if TYPE_CHECKING:
    from eplb.engines.engine import Engine

#: What says which hidden layers the rows are.
_NAME_LAYERS: list[Part] = ["give ", Parameter("layers"), " or ", Parameter("config")]

_SEVERAL = ("have", "they", "dense layers")


@dataclass(frozen=True)
class PlacedLayers:
    """A placement as a table."""

    #: ``[layers, P]``, plain ints.
    phy2log: list[list[int]]
    #: Logical experts per layer.
    num_experts: int
    num_gpus: int
    #: Nodes that hold whole groups, with equally many experts on each; 1 if the plan has no groups.
    num_nodes: int
    #: The rows that have load, ascending; None if the loads are not known.
    loaded: tuple[int, ...] | None

    @property
    def num_layers(self) -> int:
        """Rows."""
        return len(self.phy2log)

    def first(self, rows: int) -> PlacedLayers:
        """The first rows alone."""
        loaded = None if self.loaded is None else tuple(row for row in self.loaded if row < rows)
        return replace(self, phy2log=self.phy2log[:rows], loaded=loaded)


def rows_for(
    placed: PlacedLayers, name: str, layers: HiddenLayers | None, total: int | None
) -> PlacementRows:
    """The rows in the order and number that the engine wants."""
    covers = FORMATS[name].rows
    notes: list[str] = []
    lost: list[str] = []
    table = placed.phy2log
    if layers is None and total == placed.num_layers:
        layers = HiddenLayers.all_of(total)
    if layers is not None and len(layers) != placed.num_layers:
        if total != placed.num_layers:
            raise _misnamed(layers, placed.num_layers, total)
        layers.check_within(total)
        table = [table[layer] for layer in layers]
        unnamed = layers.others(total)
        if covers != "hidden":
            notes.append(f"{unnamed} of the plan left out: not named as MoE layers")
        lost = _lost_load(placed, unnamed)
    if covers == "moe" and layers is None and (idle := _idle(placed)):
        have, they, dense = ("has", "it", "a dense layer") if len(idle) == 1 else _SEVERAL
        raise PlanFileError(
            f"{idle} of the plan {have} no load, so {they} may be {dense}; {name} wants only MoE "
            "layers",
            hint=_NAME_LAYERS,
        )
    if covers == "named" and layers is None:
        rows = count(placed.num_layers, "layer")
        raise PlanFileError(
            f"the {name} format needs hidden-layer numbers for the plan's {rows}", hint=_NAME_LAYERS
        )
    if covers == "hidden":
        table = _with_dense_layers(placed, table, layers, total, notes)
    return PlacementRows(table, placed.num_experts, placed.num_gpus, layers, notes + lost)


def with_extra_layers(rows: PlacementRows, extra: HiddenLayers, engine: Engine) -> PlacementRows:
    """The rows, and one for each further layer as the engine starts."""
    layers = rows.layers or HiddenLayers()
    if both := HiddenLayers(layer for layer in extra if layer in layers):
        verb = "is" if len(both) == 1 else "are"
        raise PlanFileError(
            f"{both} {verb} planned, so not extra", hint=["leave out ", Parameter("extra_layers")]
        )
    start = engine.start(rows.num_experts, rows.num_replicas, rows.num_gpus)
    row_of = dict(zip(layers, rows.table, strict=True)) | dict.fromkeys(extra, start)
    named = HiddenLayers(sorted(row_of))
    verb = "has" if len(extra) == 1 else "have"
    note = (
        f"{extra} {verb} the start placement of {engine.name}: not in the plan, but needed for "
        "multi-token prediction"
    )
    table = [row_of[layer] for layer in named]
    return replace(rows, table=table, layers=named, notes=[*rows.notes, note])


def hidden_layers_of(
    num_rows: int, layers: HiddenLayers | None, total: int | None
) -> HiddenLayers | None:
    """The hidden layer of each row of a plan, if it is known.

    Args:
        num_rows: rows of the plan: a layer of ``layers`` each, or all hidden layers.
        layers: the MoE layers.
        total: number of hidden layers.

    Raises:
        PlanFileError: neither MoE layers nor hidden layers are as many.
    """
    if layers is not None and len(layers) == num_rows:
        return layers
    if total == num_rows:
        return HiddenLayers.all_of(total)
    if layers is None:
        return None
    raise _misnamed(layers, num_rows, total)


def _default_row(placed: PlacedLayers) -> list[int]:
    """The default placement of a layer: that of each node, if groups stay on nodes."""
    experts, slots = (
        size // placed.num_nodes for size in (placed.num_experts, len(placed.phy2log[0]))
    )
    return [
        node * experts + expert
        for node in range(placed.num_nodes)
        for expert in by_slot(experts, slots, 1)
    ]


def _misnamed(layers: HiddenLayers, num_layers: int, total: int | None) -> PlanFileError:
    """Another number of layers is named than the plan has."""
    hint: list[Part] = ["name the hidden layer of each layer of the plan"]
    if total is None and layers[-1] < num_layers:
        all_layers = Parameter("num_hidden_layers", str(num_layers))
        hint += [", or give ", all_layers, " if the plan covers all hidden layers"]
    named = count(len(layers), "layer")
    return PlanFileError(f"{named} named for a plan of {num_layers}", hint=hint)


def _lost_load(placed: PlacedLayers, unnamed: HiddenLayers) -> list[str]:
    """Says which layers have load but are not named as MoE layers."""
    if not (lost := HiddenLayers(layer for layer in unnamed if layer in (placed.loaded or ()))):
        return []
    verb, them = ("has", "it") if len(lost) == 1 else ("have", "them")
    return [f"{lost} {verb} load, but the plan's placement of {them} is not written"]


def _idle(placed: PlacedLayers) -> HiddenLayers | None:
    """The layers without load, if others have load."""
    return HiddenLayers(placed.loaded).others(placed.num_layers) if placed.loaded else None


def _with_dense_layers(
    placed: PlacedLayers,
    table: list[list[int]],
    layers: HiddenLayers | None,
    total: int | None,
    notes: list[str],
) -> list[list[int]]:
    """A row for each hidden layer: the plan's row, or the default placement."""
    if layers is None:
        if total is not None:
            rows = count(placed.num_layers, "layer")
            raise PlanFileError(
                f"the plan has {rows}, but the model has {count(total, 'hidden layer')}",
                hint=_NAME_LAYERS,
            )
        notes.append(
            f"{HiddenLayers.all_of(placed.num_layers)} are the plan's, because no others were named; "
            "dense layers count too"
        )
        return table
    if total is None:
        total = layers[-1] + 1
        notes.append(f"layer {layers[-1]} is assumed to be the last hidden layer")
    layers.check_within(total)
    default = _default_row(placed)
    row_of = dict(zip(layers, table, strict=True))
    if dense := layers.others(total):
        verb = "has" if len(dense) == 1 else "have"
        notes.append(f"{dense} {verb} the default placement: not named as MoE layers")
    return [row_of.get(layer, default) for layer in range(total)]
