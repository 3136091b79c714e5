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
    words_of_options,
)
from eplb.cli.output import say
from eplb.cli.screen import lines_of, metric_lines, plan_values
from eplb.engine_files import FORMATS, load_engine_file, moe_layers_of
from eplb.engine_files.hidden_layers import counted, others
from eplb.load_files import read_loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def evaluate_command(
    placement: Annotated[
        str,
        typer.Argument(metavar="PLACEMENT", help="A plan file, or with --format an engine's."),
    ],
    loads: LoadsPath,
    *,
    format: Annotated[  # noqa: A002
        str,
        typer.Option("--format", metavar="NAME", help=f"Whose file: plan, {', '.join(FORMATS)}."),
    ] = "plan",
    gpus: Annotated[
        int | None, number("--gpus", "GPUs of all nodes, where the file does not say.")
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
        raise eplb.EplbError("a plan file says its own sizes: --gpus is for engines only")
    read = read_loads(loads, key=key, written_by=written_by, trust=trust_loads)
    if read.layers is not None and layers not in (None, [*read.layers]):
        raise eplb.EplbError("the loads say themselves of which layers they are: name no others")
    placed, named = _placement(placement, format, gpus, layers or read.layers)
    table, left_out = _rows_of(read.table, placed.num_layers, named)
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
    """A placement, and the hidden layer of each of its rows, where somebody said."""
    if format == "plan":
        return eplb.load_plan(path), layers
    chosen = None if format in FORMATS and FORMATS[format].rows == "moe" else layers
    with words_of_options():
        file = load_engine_file(path, format, num_gpus=gpus, layers=chosen)
    return file.plan, file.layers or layers


def _rows_of(
    table: npt.NDArray[Any], num_layers: int, layers: Sequence[int] | None
) -> tuple[npt.NDArray[Any], list[str]]:
    """Of loads of all hidden layers, the rows that a placement of some of them is for."""
    if layers is None or not num_layers == len(layers) < len(table) or layers[-1] >= len(table):
        return table, []
    left_out = counted(others([*layers], len(table)))
    return table[[*layers]], [f"{left_out} of the loads left out: the placement has none of them"]
