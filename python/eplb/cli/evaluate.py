"""``eplb evaluate``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

import eplb
from eplb.cli.clusters import Dead, Speed, on_gpus
from eplb.cli.figures import (
    engine_named,
    lines_of,
    metric_lines,
    plan_values,
    sum_of,
    sum_values,
    window_values,
)
from eplb.cli.layers_table import layers_table as table_of_layers
from eplb.cli.options import (
    AsJson,
    Axes,
    Config,
    CountedUnder,
    Groups,
    Key,
    Layers,
    LayersTable,
    LoadOptions,
    LoadsPaths,
    Metric,
    Nodes,
    NumExperts,
    NumLayers,
    Plot,
    Trust,
    Weights,
    WrittenBy,
    number,
)
from eplb.cli.output import fitted, say
from eplb.cli.pictures import picture_of, title_of
from eplb.cli.placements import read_with_sizes, rows_of
from eplb.cli.targets import check_outputs
from eplb.engines import FORMAT_NAMES
from eplb.engines.target import target
from eplb.inputs.loads import canonical_loads
from eplb.inputs.windows import summed
from eplb.plans import certified_for
from eplb.summary import summary


def evaluate_command(
    placement: Annotated[
        str,
        typer.Argument(
            metavar="PLACEMENT", help="A plan file, or the placement file of an engine."
        ),
    ],
    loads: LoadsPaths,
    *,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"Format of the placement: {', '.join(FORMAT_NAMES)}. By default it is recognised.",
        ),
    ] = None,
    gpus: Annotated[
        int | None, number("--gpus", "GPUs of all nodes, if the file does not say.")
    ] = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    speed: Speed = None,
    dead: Dead = None,
    layers: Layers = None,
    config: Config = None,
    plot: Plot = None,
    metric: Metric = None,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    counted_under: CountedUnder = None,
    weights: Weights = None,
    trust_loads: Trust = False,
    layers_table: LayersTable = False,
    as_json: AsJson = False,
) -> None:
    """Show what a placement is worth under other loads."""
    model = target(None, layers=layers, config=config)
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, counted_under, weights, trust_loads
    )
    inputs = [*reading.inputs(loads), ("the placement", placement), ("the speeds", speed)]
    check_outputs(inputs, {"--plot": plot})
    picture = picture_of(plot)
    read = reading.read(loads)
    chosen = model.layers is not None
    model = model.for_loads(len(read.windows[0]), read.layers)
    placed = read_with_sizes(
        placement,
        format,
        gpus,
        model,
        read.experts,
        groups=groups,
        nodes=nodes,
    )
    windows, left_out = rows_of(read.windows, placed, model, chosen=chosen)
    passes, _ = rows_of(read.recorded, placed, model, chosen=chosen)
    placement_now = on_gpus(placed.plan, speed, dead)
    plan = certified_for(placement_now, canonical_loads(summed(windows)))
    notes = [*read.notes, *placed.notes, *left_out]
    names, engine = placed.names, engine_named(placed.format, written_by)
    each = None if len(windows) == 1 else eplb.evaluate(placement_now, windows)
    figures_of = None if each is None else sum_of(len(windows))
    if picture is not None:
        from eplb.plots import plot_plan

        plot_plan(plan, picture, names, engine, title_of(loads, config, figures_of))
    if as_json:
        values = {**plan_values(plan, names, engine, passes), **sum_values(len(windows))}
        say(json.dumps({**values, **window_values(each), "plot": plot, "notes": notes}))
        return
    lines = [
        summary(plan, names, engine, figures_of),
        *([] if each is None else each.lines()),
        *metric_lines(plan, metric, engine, passes),
        *lines_of("note", notes),
        *lines_of("written to", [] if plot is None else [plot]),
    ]
    text = fitted("\n".join(lines))
    if layers_table:
        text += f"\n\n{table_of_layers(plan, names, engine)}"
    say(text)
