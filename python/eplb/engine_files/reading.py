"""From the file of an engine to a plan: the engine's own reader, then checks of every row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eplb.errors import EplbError, PlanFileError
from eplb.npy_files import MAX_BYTES
from eplb.plans import Plan
from eplb.sizes import whole_number

from .checks import kind_of
from .format import MAX_CELLS, MAX_HIDDEN_LAYERS, Found
from .formats import FORMATS, check_ending
from .hidden_layers import ascending, counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike


@dataclass(frozen=True)
class EngineFile:
    """What a placement file holds."""

    plan: Plan
    #: Hidden layer of each row of the plan; None where the file only counts its MoE layers.
    layers: tuple[int, ...] | None


def load_engine_file(
    path: str | PathLike[str],
    format: str,  # noqa: A002
    *,
    num_gpus: int | None = None,
    num_groups: int = 1,
    num_nodes: int = 1,
    layers: Sequence[int] | None = None,
) -> EngineFile:
    """Reads the placement that an engine loads. Files of strangers are safe to read.

    Args:
        path: the file; its ending must be one of the format's.
        format: one of ``FORMATS``; for ``plan`` see :func:`eplb.load_plan`.
        num_gpus: GPUs of all nodes; not needed for ``vllm-ascend``, which names its devices.
        num_groups: as for :meth:`eplb.Plan.from_phy2log`.
        num_nodes: as for :meth:`eplb.Plan.from_phy2log`.
        layers: which hidden layers to read, ascending; by default all that are there.

    Raises:
        PlanFileError: it holds no placement of these sizes; the message says what is wrong where.
        TopologyError, TypeError: the sizes are none. OSError: the file cannot be read.
    """
    source = Path(path)
    check_ending(source, format)
    if format == "plan":
        raise PlanFileError("a plan file says its own sizes: read it with eplb.load_plan")
    kind = FORMATS[format]
    sizes = {
        "num_groups": whole_number("num_groups", num_groups),
        "num_nodes": whole_number("num_nodes", num_nodes),
    }
    gpus = None if num_gpus is None else whole_number("num_gpus", num_gpus)
    wanted = None if layers is None else ascending(layers)
    with source.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    labels: list[int] | None = None
    try:
        found = kind.read(content, source.suffix)
        table = _table(found)
        labels = list(range(len(table))) if kind.rows == "hidden" else found.layers
        if wanted is not None:
            table, labels = _selected(table, labels, wanted)
        plan = Plan.from_phy2log(table, num_gpus=_gpus(gpus, found), **sizes)
    except EplbError as error:
        where = _hidden_place(error.layer, labels)
        place = (error.layer, error.slot, error.expert)
        raise PlanFileError(f"{source}: {error}{where}", *place) from error
    return EngineFile(plan, None if labels is None else tuple(labels))


def _hidden_place(layer: int | None, labels: list[int] | None) -> str:
    """Which hidden layer an error about a row of the plan is about, where that is another number."""
    if layer is None or labels is None or labels[layer : layer + 1] in ([], [layer]):
        return ""
    return f" (hidden layer {labels[layer]})"


def _gpus(num_gpus: int | None, found: Found) -> int:
    gpus = num_gpus or found.num_gpus
    if gpus is None:
        raise PlanFileError("it does not say for how many GPUs it is: give num_gpus")
    if found.num_gpus not in (None, gpus):
        raise PlanFileError(f"it is for {found.num_gpus} devices, not for num_gpus={gpus}")
    return gpus


def _selected(
    table: list[list[int]], labels: list[int] | None, wanted: list[int]
) -> tuple[list[list[int]], list[int]]:
    """The rows of the hidden layers that are wanted."""
    if labels is None:
        raise PlanFileError(
            "it names no hidden layers, so that none can be chosen: leave out layers"
        )
    rows = dict(zip(labels, table, strict=True))
    if missing := [layer for layer in wanted if layer not in rows]:
        raise PlanFileError(f"it lacks {counted(missing)}; it has {counted(labels)}")
    return [rows[layer] for layer in wanted], wanted


def _table(found: Found) -> list[list[int]]:
    """The rows, once they are lists of so many experts' numbers, all alike in length."""
    rows = found.rows
    if not isinstance(rows, list) or not rows:
        raise PlanFileError(f"a list of layers is needed, it holds {kind_of(rows)}")
    if len(rows) > MAX_HIDDEN_LAYERS:
        raise PlanFileError(f"it holds {len(rows)} layers; at most {MAX_HIDDEN_LAYERS} are read")
    labels = found.layers or list(range(len(rows)))
    for layer, row in zip(labels, rows, strict=True):
        if not isinstance(row, list) or not row:
            raise PlanFileError(f"layer {layer}: a list of slots is needed, it is {kind_of(row)}")
        if len(row) != len(rows[0]):
            raise PlanFileError(
                f"layer {layer} has {len(row)} slots, layer {labels[0]} has {len(rows[0])}"
            )
    if len(rows) * len(rows[0]) > MAX_CELLS:
        raise PlanFileError(f"it holds more than {MAX_CELLS} slots")
    for layer, row in zip(labels, rows, strict=True):
        for slot, expert in enumerate(row):
            if type(expert) is not int or not 0 <= expert < 2**31:
                raise PlanFileError(
                    f"layer {layer}, slot {slot}: {kind_of(expert)} is there; the number of an expert is "
                    "needed, from 0"
                )
    return rows
