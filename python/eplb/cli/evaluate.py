"""``eplb evaluate``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb.cli.options import (
    AsJson,
    Config,
    Key,
    Layers,
    LoadsPath,
    Metric,
    Trust,
    WrittenBy,
    number,
)
from eplb.cli.output import say
from eplb.cli.screen import lines_of, metric_lines, plan_values
from eplb.engines import FORMATS, HiddenLayers, moe_layers_of
from eplb.errors import Parameter, Part
from eplb.load_files import read_loads
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_SELECT: list[Part] = [
    "give ",
    Parameter("layers"),
    " or ",
    Parameter("config"),
    " to say which hidden layers are MoE layers",
]


def evaluate_command(
    placement: Annotated[
        str,
        typer.Argument(
            metavar="PLACEMENT", help="A plan file, or with --format the file of an engine."
        ),
    ],
    loads: LoadsPath,
    *,
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            "--format", metavar="NAME", help=f"Format of the placement: plan, {', '.join(FORMATS)}."
        ),
    ] = "plan",
    gpus: Annotated[
        int | None, number("--gpus", "GPUs of all nodes, if the file does not say.")
    ] = None,
    layers: Layers = None,
    config: Config = None,
    metric: Metric = None,
    key: Key = None,
    written_by: WrittenBy = None,
    trust_loads: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Show what a placement is worth under other loads."""
    if layers is not None and config is not None:
        raise eplb.EplbError("give --layers or --config, not both")
    if config is not None:
        layers = [*moe_layers_of(config).moe]
    if format == "plan" and gpus is not None:
        raise eplb.EplbError(
            "a plan file contains its own sizes",
            hint=["leave out --gpus, or give --format for the file of an engine"],
        )
    read = read_loads(loads, key=key, written_by=written_by, trust=trust_loads)
    if read.layers is not None and layers not in (None, [*read.layers]):
        raise eplb.EplbError(
            f"the loads are those of {HiddenLayers(read.layers)}",
            hint=["leave out --layers and --config"],
        )
    placed, named = _placement(placement, format, gpus, layers or read.layers)
    table, left_out = _rows_of(read.table, placed.num_layers, named)
    if len(table) != placed.num_layers:
        # Layers are selected from the loads, or from a file that says which hidden layers it has.
        helps = len(table) > placed.num_layers or _names_layers(format)
        hint = _SELECT if helps and layers is None else []
        raise _other_layers(placement, placed.num_layers, len(table), named, hint)
    plan = eplb.evaluate(placed, table)
    notes = [*read.notes, *left_out]
    if as_json:
        say(json.dumps({**plan_values(plan), "notes": notes}))
        return
    lines = [
        str(plan),
        *metric_lines(plan, metric),
        *lines_of("note", notes),
    ]
    say("\n".join(lines))


def _placement(
    path: str,
    format: str,  # noqa: A002
    gpus: int | None,
    layers: Sequence[int] | None,
) -> tuple[eplb.Plan, Sequence[int] | None]:
    """A placement, and the hidden layer of each of its rows, if it is known."""
    if format == "plan":
        return eplb.load_plan(path), layers
    chosen = layers if _names_layers(format) else None
    plan, named = eplb.Plan.from_engine_file(path, format, num_gpus=gpus, layers=chosen)
    return plan, named or layers


def _names_layers(format: str) -> bool:  # noqa: A002
    return format in FORMATS and FORMATS[format].rows != "moe"


def _other_layers(
    path: str, placed: int, loads: int, named: Sequence[int] | None, hint: list[Part]
) -> eplb.LoadError:
    """The error for loads of another number of layers than the placement has."""
    which = f" ({HiddenLayers(named)})" if named is not None and len(named) == placed else ""
    return eplb.LoadError(
        f"{path} has {count(placed, 'layer')}{which}, but the loads have {loads}", hint=hint
    )


def _rows_of(
    table: npt.NDArray[Any], num_layers: int, layers: Sequence[int] | None
) -> tuple[npt.NDArray[Any], list[str]]:
    """The rows of the loads that the placement is for, if the loads are of all hidden layers."""
    if layers is None or not num_layers == len(layers) < len(table) or layers[-1] >= len(table):
        return table, []
    left_out = HiddenLayers(layers).others(len(table))
    return table[[*layers]], [f"{left_out} of the loads left out: the placement does not have them"]
