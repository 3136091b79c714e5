"""Reads placement files of engines: the engine's own decoder, then checks of every cell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eplb import limits
from eplb.engines.all_engines import FORMATS, check_ending, check_format
from eplb.engines.hidden_layers import HiddenLayers
from eplb.engines.json_values import kind_of
from eplb.engines.shared_experts import shared_experts, without_last
from eplb.errors import EplbError, Parameter, PlanFileError
from eplb.inputs.sizes import check_slots, whole_number
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from eplb.engines.engine import DecodedPlacement


@dataclass(frozen=True)
class EngineFile:
    """A placement file as a table."""

    #: ``[layers, P]``, plain ints from 0.
    phy2log: list[list[int]]
    num_gpus: int
    #: Hidden layer of each row; None if the file only counts its MoE layers.
    layers: HiddenLayers | None
    #: What was left out, a line each.
    notes: tuple[str, ...] = ()


def load_engine_file(
    path: str | PathLike[str],
    format: str,  # noqa: A002
    *,
    num_gpus: int | None = None,
    layers: Sequence[int] | None = None,
    num_experts: int | None = None,
) -> EngineFile:
    """Reads the placement that an engine loads. Untrusted files are safe to read.

    :meth:`eplb.Plan.from_engine_file` makes a plan of it.

    Args:
        path: the file; its ending must be one of the format's.
        format: one of ``FORMATS``.
        num_gpus: GPUs of all nodes; not needed for ``vllm-ascend``, which names its devices.
        layers: which hidden layers to read, ascending; by default all that are there.
        num_experts: logical experts per layer, without shared ones. Shared experts that every GPU
            holds behind the others, as in maps of vllm-ascend, are then left out.

    Raises:
        PlanFileError: it is not a placement of these sizes; the message says what is wrong where.
        TopologyError, TypeError: a size is invalid.
        OSError: the file cannot be read.
    """
    source = Path(path)
    check_format(format)
    check_ending(source, format)
    if format == "plan":
        raise PlanFileError("a plan file contains its own sizes; read it with eplb.load_plan")
    kind = FORMATS[format]
    gpus = None if num_gpus is None else whole_number("num_gpus", num_gpus)
    wanted = None if layers is None else HiddenLayers.of(layers)
    with source.open("rb") as stream:
        content = stream.read(limits.MAX_FILE_BYTES + 1)
    try:
        decoded = kind.read(content, source.suffix)
        table = _checked_table(decoded)
        named = HiddenLayers(decoded.layers) if decoded.layers is not None else None
        if kind.rows == "hidden":
            named = HiddenLayers.all_of(len(table))
        if wanted is not None:
            table, named = _selected(table, named, wanted), wanted
        on = _gpus(gpus, decoded)
        check_slots(len(table[0]), on)
        notes = decoded.notes
        if num_experts is not None:
            shared = shared_experts(table, on, whole_number("num_experts", num_experts))
            if shared:
                table = without_last(table, on, shared)
                left_out = count(shared, "shared expert")
                notes += (f"{left_out} that every GPU holds behind the others left out",)
        return EngineFile(table, on, named, notes)
    except EplbError as error:
        raise error.within(str(source), kind=PlanFileError) from error


def _gpus(num_gpus: int | None, decoded: DecodedPlacement) -> int:
    gpus = num_gpus or decoded.num_gpus
    if gpus is None:
        raise PlanFileError(
            "the file does not say for how many GPUs it is", hint=["give ", Parameter("num_gpus")]
        )
    if decoded.num_gpus not in (None, gpus):
        raise PlanFileError(
            f"the file is for {count(decoded.num_gpus, 'device')}, not for ",
            Parameter("num_gpus", str(gpus)),
        )
    return gpus


def _selected(
    table: list[list[int]], named: HiddenLayers | None, wanted: HiddenLayers
) -> list[list[int]]:
    """The rows of the wanted hidden layers."""
    if named is None:
        raise PlanFileError(
            "the file names no hidden layers, so none can be selected",
            hint=["leave out ", Parameter("layers")],
        )
    rows = dict(zip(named, table, strict=True))
    if missing := [layer for layer in wanted if layer not in rows]:
        raise PlanFileError(f"the file lacks {HiddenLayers(missing)}; it has {named}")
    return [rows[layer] for layer in wanted]


def _checked_table(decoded: DecodedPlacement) -> list[list[int]]:
    """The rows, if they are lists of expert numbers, all of one length."""
    rows = decoded.rows
    if not isinstance(rows, list) or not rows:
        raise PlanFileError(f"expected a list of layers, found {kind_of(rows)}")
    if len(rows) > limits.MAX_HIDDEN_LAYERS:
        raise PlanFileError(
            f"it has {len(rows)} layers; at most {limits.MAX_HIDDEN_LAYERS} are read"
        )
    labels = decoded.layers or list(range(len(rows)))
    for layer, row in zip(labels, rows, strict=True):
        if not isinstance(row, list) or not row:
            raise PlanFileError(f"layer {layer}: expected a list of slots, found {kind_of(row)}")
        if len(row) != len(rows[0]):
            raise PlanFileError(
                f"layer {layer} has {count(len(row), 'slot')}, but layer {labels[0]} has "
                f"{len(rows[0])}"
            )
    if len(rows) * len(rows[0]) > limits.MAX_PLACEMENT_SLOTS:
        raise PlanFileError(f"it has more than {limits.MAX_PLACEMENT_SLOTS} slots")
    for layer, row in zip(labels, rows, strict=True):
        for slot, expert in enumerate(row):
            if type(expert) is not int or not 0 <= expert < 2**31:
                raise PlanFileError(
                    f"layer {layer}, slot {slot}: expected the number of an expert, "
                    f"found {kind_of(expert)}"
                )
    return rows
