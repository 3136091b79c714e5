"""Writes placements for engines: which rows in which order, then the engine's own encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eplb.engines.all_engines import FORMATS, check_ending
from eplb.engines.engine import PlacementRows
from eplb.engines.hidden_layers import HiddenLayers, hidden_layer_count
from eplb.engines.model_config import moe_layers_of
from eplb.errors import Parameter, Part, PlanFileError
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

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
    #: The rows that have load, ascending; None if the loads are not known.
    loaded: tuple[int, ...] | None

    @property
    def num_layers(self) -> int:
        """Rows."""
        return len(self.phy2log)


@dataclass(frozen=True)
class Target:
    """Where a placement goes and in which format: all that can be checked before there is a plan."""

    path: Path
    #: One of ``FORMAT_NAMES``.
    format: str
    #: Hidden layer of each row; None if it is not known.
    layers: HiddenLayers | None = None
    num_hidden_layers: int | None = None
    #: Logical experts of the model; None if they are not known.
    num_experts: int | None = None

    def for_layers(self, layers: Sequence[int] | None) -> Target:
        """The same for loads that name their hidden layers, if the format needs layers.

        Raises:
            PlanFileError: the user named other layers.
        """
        if layers is None or self.format == "plan":
            return self
        named = HiddenLayers(layers)
        if self.layers not in (None, named):
            raise PlanFileError(
                f"the loads are those of {named}, but {self.layers} are named",
                hint=["leave out ", Parameter("layers"), " and ", Parameter("config")],
            )
        return replace(self, layers=named)

    def encode(self, placed: PlacedLayers) -> tuple[bytes, list[str]]:
        """The bytes of the engine's file, and notes: what was done, what the engine also needs.

        Raises:
            PlanFileError: the engine could not use the placement.
        """
        if self.num_experts is not None and self.num_experts != placed.num_experts:
            raise PlanFileError(
                f"the model has {count(self.num_experts, 'expert')} per layer, but the plan has "
                f"{placed.num_experts}; is this the config.json of another model?"
            )
        rows = _rows(placed, self.format, self.layers, self.num_hidden_layers)
        return FORMATS[self.format].write(rows, self.path.suffix), rows.notes


def target(
    path: str | PathLike[str],
    format: str = "plan",  # noqa: A002
    *,
    layers: Sequence[int] | None = None,
    num_hidden_layers: int | None = None,
    config: str | PathLike[str] | None = None,
) -> Target:
    """Checks where a placement goes; the arguments are those of :meth:`eplb.Plan.save`.

    Raises:
        PlanFileError: an argument is invalid. OSError: the config.json cannot be read.
    """
    where = Path(path)
    check_ending(where, format)
    if config is not None:
        if layers is not None or num_hidden_layers is not None:
            raise PlanFileError(
                Parameter("config"),
                " says which layers there are",
                hint=["leave out ", Parameter("layers"), " and ", Parameter("num_hidden_layers")],
            )
        model = moe_layers_of(config)
        return Target(where, format, model.moe, model.num_hidden_layers, model.num_experts)
    return Target(
        where,
        format,
        None if layers is None else HiddenLayers.of(layers),
        None if num_hidden_layers is None else hidden_layer_count(num_hidden_layers),
    )


def _rows(
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
    default = [slot % placed.num_experts for slot in range(len(table[0]))]
    row_of = dict(zip(layers, table, strict=True))
    if dense := layers.others(total):
        verb = "has" if len(dense) == 1 else "have"
        notes.append(f"{dense} {verb} the default placement: not named as MoE layers")
    return [row_of.get(layer, default) for layer in range(total)]
