"""From a plan to the file of an engine: which rows in which order, then the engine's own writer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eplb.errors import PlanFileError
from eplb.plan_files import save_plan, write_whole
from eplb.shown import count
from eplb.summary import loaded_layers

from .format import Rows
from .formats import FORMATS, check_ending
from .hidden_layers import ascending, counted, hidden_layer_count, others, refuse_beyond
from .model_layers import moe_layers_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from eplb.plans import Plan


@dataclass(frozen=True)
class Target:
    """Where a plan goes, in which format: all that can be said, and refused, before there is a plan."""

    path: Path
    #: One of ``FORMAT_NAMES``.
    format: str
    #: Hidden layer of each layer of the plan, ascending; None where nobody said.
    layers: list[int] | None
    num_hidden_layers: int | None
    #: Logical experts of the model; None where nobody said.
    num_experts: int | None

    def for_layers(self, layers: Sequence[int] | None) -> Target:
        """The same with the layers that the loads came with, where an engine's file needs them."""
        if layers is None or self.format == "plan":
            return self
        if self.layers not in (None, list(layers)):
            raise PlanFileError(
                f"the loads are of {counted(layers)}, as they say themselves, and {counted(self.layers)} "
                "are named: leave out what names them"
            )
        return replace(self, layers=list(layers))

    def write(self, plan: Plan) -> list[str]:
        """Writes the file, whole or not at all; see :func:`save_for_engine`."""
        if self.format == "plan":
            save_plan(plan, self.path)
            left_out = self.layers is not None or self.num_hidden_layers is not None
            return ["a plan file names no hidden layers: they are left out"] if left_out else []
        if self.num_experts not in (None, plan.num_experts):
            raise PlanFileError(
                f"the model has {self.num_experts} experts a layer, the plan {plan.num_experts}: is "
                "it another model's config.json?"
            )
        rows = _rows(plan, self.format, self.layers, self.num_hidden_layers)
        write_whole(self.path, FORMATS[self.format].write(rows, self.path.suffix))
        return rows.notes


def target(
    path: str | PathLike[str],
    format: str = "plan",  # noqa: A002
    *,
    layers: Sequence[int] | None = None,
    num_hidden_layers: int | None = None,
    config: str | PathLike[str] | None = None,
) -> Target:
    """Looks at the arguments of :func:`save_for_engine`, which see, before there is a plan."""
    where = Path(path)
    check_ending(where, format)
    if config is not None:
        if layers is not None or num_hidden_layers is not None:
            raise PlanFileError(
                "a config.json says which layers there are: name no others beside it"
            )
        model = moe_layers_of(config)
        return Target(where, format, list(model.moe), model.num_hidden_layers, model.num_experts)
    return Target(
        where,
        format,
        None if layers is None else ascending(layers),
        None if num_hidden_layers is None else hidden_layer_count(num_hidden_layers),
        None,
    )


def save_for_engine(
    plan: Plan,
    path: str | PathLike[str],
    format: str = "plan",  # noqa: A002
    *,
    layers: Sequence[int] | None = None,
    num_hidden_layers: int | None = None,
    config: str | PathLike[str] | None = None,
) -> list[str]:
    """Writes a plan as an engine loads it, whole or not at all.

    Args:
        plan: what to write.
        path: the file; its ending must be one of the format's.
        format: one of ``FORMAT_NAMES``.
        layers: hidden layer of each layer of the plan, ascending; by default 0, 1, 2, ... A plan of
            all hidden layers (as made from statistics of SGLang) may be given fewer: where the
            engine wants MoE layers, it gets these; where it wants all, the others get the trivial
            placement.
        num_hidden_layers: hidden layers of the model, for engines whose file covers dense layers
            too: those get the trivial placement. By default the last of ``layers`` is the last.
        config: the model's config.json, which tells both ``layers`` and ``num_hidden_layers``.

    Returns notes, a line each: what was done, and what the engine needs beside the file.

    Raises:
        PlanFileError: the engine could not use it; the message says what would do.
        OSError: the file cannot be written, or the config.json not read.
    """
    where = target(path, format, layers=layers, num_hidden_layers=num_hidden_layers, config=config)
    return where.write(plan)


def _rows(plan: Plan, name: str, layers: list[int] | None, total: int | None) -> Rows:
    """The rows in the order and number in which the engine wants them."""
    covers = FORMATS[name].rows
    notes: list[str] = []
    lost: list[str] = []
    table = plan.phy2log.tolist()
    if layers is None and total == plan.num_layers:
        layers = list(range(total))
    if layers is not None and len(layers) != plan.num_layers:
        if total != plan.num_layers:
            raise PlanFileError(_misnamed(layers, plan.num_layers, total))
        refuse_beyond(layers, total)
        table = [table[layer] for layer in layers]
        unnamed = others(layers, total)
        if covers != "hidden":
            notes.append(f"{counted(unnamed)} of the plan left out: not named as MoE layers")
        lost = _loaded_note(plan, unnamed)
    if covers == "moe" and layers is None and (idle := _idle(plan)):
        raise PlanFileError(
            f"{counted(idle)} of the plan carry no load: are they dense? {name} wants MoE layers "
            "alone: give layers, or the model's config.json"
        )
    if covers == "named" and layers is None:
        raise PlanFileError(
            f"{name} names hidden layers, and which of them are the plan's {plan.num_layers} is not "
            "said: give layers, or the model's config.json"
        )
    if covers == "hidden":
        table = _filled(plan, table, layers, total, notes)
    return Rows(plan, table, layers, notes + lost)


def _misnamed(layers: list[int], num_layers: int, total: int | None) -> str:
    """What is wrong where another number of layers is named than the plan has."""
    named = f"{count(len(layers), 'layer')} named for a plan of {num_layers}"
    if total is None and layers[-1] < num_layers:
        return (
            f"{named}: name the hidden layer of each, or give num_hidden_layers={num_layers} if the "
            "plan is of all hidden layers"
        )
    return f"{named}: name the hidden layer of each"


def _loaded_note(plan: Plan, unnamed: list[int]) -> list[str]:
    """Says which layers of a plan of all hidden layers have load, and yet are not named."""
    loaded = set(loaded_layers(plan).tolist()) if plan.certified else set()
    if not (lost := [layer for layer in unnamed if layer in loaded]):
        return []
    verb, them = ("has", "it") if len(lost) == 1 else ("have", "them")
    return [f"{counted(lost)} {verb} load, and the plan's placement of {them} is not written"]


def _idle(plan: Plan) -> list[int]:
    """The layers without load of a plan that has some with load."""
    if not plan.certified:
        return []
    loaded = set(loaded_layers(plan).tolist())
    return [layer for layer in range(plan.num_layers) if layer not in loaded] if loaded else []


def _filled(
    plan: Plan,
    table: list[list[int]],
    layers: list[int] | None,
    total: int | None,
    notes: list[str],
) -> list[list[int]]:
    """A row for each hidden layer: the plan's, and the trivial placement for those without one."""
    if layers is None:
        if total is not None:
            raise PlanFileError(
                f"the plan has {count(plan.num_layers, 'layer')}, the model {total} hidden ones, and which "
                "are the plan's is not said: give layers, or the model's config.json"
            )
        notes.append(
            f"{counted(range(plan.num_layers))} are the plan's, as no others were named: "
            "dense layers count too"
        )
        return table
    if total is None:
        total = layers[-1] + 1
        notes.append(f"layer {layers[-1]} is taken to be the last hidden layer")
    refuse_beyond(layers, total)
    trivial = [slot % plan.num_experts for slot in range(plan.num_replicas)]
    rows = dict(zip(layers, table, strict=True))
    if dense := others(layers, total):
        holds = "holds" if len(dense) == 1 else "hold"
        notes.append(f"{counted(dense)} {holds} the trivial placement: not named as MoE layers")
    return [rows.get(layer, trivial) for layer in range(total)]
