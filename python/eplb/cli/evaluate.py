"""``eplb evaluate``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

import eplb
from eplb.cli.figures import lines_of, metric_lines, plan_values
from eplb.cli.options import (
    AsJson,
    Axes,
    Config,
    CountedUnder,
    Key,
    Layers,
    LoadOptions,
    LoadsPaths,
    Metric,
    NumExperts,
    NumLayers,
    Trust,
    Weights,
    WrittenBy,
    number,
)
from eplb.cli.output import say
from eplb.cli.placements import read_placement, rows_of
from eplb.engines import FORMATS, HiddenLayers, moe_layers_of
from eplb.inputs.loads import canonical_loads
from eplb.inputs.windows import summed
from eplb.plans import certified_for


def evaluate_command(
    placement: Annotated[
        str,
        typer.Argument(
            metavar="PLACEMENT", help="A plan file, or with --format the file of an engine."
        ),
    ],
    loads: LoadsPaths,
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
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    counted_under: CountedUnder = None,
    weights: Weights = None,
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
    read = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, counted_under, weights, trust_loads
    ).read(loads)
    if read.layers is not None and layers not in (None, [*read.layers]):
        raise eplb.EplbError(
            f"the loads are those of {HiddenLayers(read.layers)}",
            hint=["leave out --layers and --config"],
        )
    placed, named = read_placement(placement, format, gpus, layers or read.layers)
    windows, left_out = rows_of(
        read.windows, placed.num_layers, named, placement, format, chosen=layers is not None
    )
    plan = certified_for(placed, canonical_loads(summed(windows)))
    notes = [*read.notes, *left_out]
    each = None if len(windows) == 1 else eplb.evaluate(placed, windows)
    if each is not None:
        notes.append(f"the figures above are of the sum of {len(windows)} windows")
    if as_json:
        values = {} if each is None else {"windows": _window_values(each)}
        say(json.dumps({**plan_values(plan), **values, "notes": notes}))
        return
    lines = [
        str(plan),
        *metric_lines(plan, metric),
        *lines_of("note", notes),
        *([] if each is None else [str(each)]),
    ]
    say("\n".join(lines))


def _window_values(each: eplb.WindowFigures) -> list[dict[str, float | None]]:
    """The figures of each window, over the layers with load."""
    rows = zip(each.balancedness, each.loaded, strict=True)
    return [
        {
            "balancedness_mean": float(values[loaded].mean()) if loaded.any() else None,
            "balancedness_worst": float(values[loaded].min()) if loaded.any() else None,
        }
        for values, loaded in rows
    ]
