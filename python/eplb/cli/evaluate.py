"""``eplb evaluate``."""

from __future__ import annotations

import json
from typing import Annotated

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
from eplb.load_files import read_loads


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
        layers = moe_layers_of(config).moe
    if format == "plan" and (gpus is not None or layers is not None):
        raise eplb.EplbError("a plan file says its own sizes: name them for engines only")
    read = read_loads(loads, key=key, written_by=written_by, trust=trust_loads)
    if read.layers is not None and format in FORMATS and FORMATS[format].rows != "moe":
        if layers not in (None, [*read.layers]):
            raise eplb.EplbError(
                "the loads say themselves of which layers they are: name no others"
            )
        layers = read.layers
    with words_of_options():
        if format == "plan":
            plan = eplb.load_plan(placement)
        else:
            plan = load_engine_file(placement, format, num_gpus=gpus, layers=layers).plan
    plan = eplb.evaluate(plan, read.table)
    if as_json:
        say(json.dumps({**plan_values(plan), "notes": read.notes}))
        return
    lines = [
        str(plan),
        *metric_lines(plan, metric),
        *lines_of("note", read.notes),
    ]
    say("\n".join(lines))
