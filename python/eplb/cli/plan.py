"""``eplb plan``."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

import eplb
from eplb.analysis.comparison import sizes_of
from eplb.cli.clusters import ClusterOptions, Dead, Drain, Renumber, Slots, Speed, write_plan
from eplb.cli.figures import (
    engine_named,
    group_notes,
    lines_of,
    made_figures,
    metric_lines,
    plan_values,
    spare_notes,
    window_values,
)
from eplb.cli.histories import history_with
from eplb.cli.layers_table import layers_table as table_of_layers
from eplb.cli.options import (
    AsJson,
    Axes,
    Config,
    CountedUnder,
    ExtraLayers,
    Gpus,
    Groups,
    HiddenLayers,
    HistoryFile,
    Key,
    Layers,
    LayersTable,
    LoadOptions,
    LoadsPaths,
    Metric,
    Nodes,
    NumExperts,
    NumLayers,
    Out,
    OutFormat,
    Plot,
    Redundant,
    Replicas,
    SizeOptions,
    Threads,
    Trust,
    Weights,
    Windows,
    WrittenBy,
    gap,
)
from eplb.cli.output import busy, fitted, say
from eplb.cli.pictures import picture_of, title_of
from eplb.cli.targets import check_outputs
from eplb.cli.weights import expert_bytes, weight_notes
from eplb.engines.target import target
from eplb.inputs.windows import Windows as ManyWindows
from eplb.planning import DEFAULT_POLICY, DEFAULT_POLICY_OVER_TIME, EFFORT_POLICIES, EFFORTS
from eplb.summary import LARGE_GAP, summary


def plan_command(
    loads: LoadsPaths,
    *,
    gpus: Gpus = None,
    replicas: Replicas = None,
    redundant: Redundant = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    slots: Slots = None,
    speed: Speed = None,
    dead: Dead = None,
    drain: Drain = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            metavar="NAME",
            help=f"One of: {', '.join(eplb.POLICIES)}. By default {DEFAULT_POLICY} for one window of "
            f"loads, {DEFAULT_POLICY_OVER_TIME} for several.",
        ),
    ] = None,
    effort: Annotated[
        str,
        typer.Option(
            "--effort",
            metavar="NAME",
            help=f"How long {' and '.join(EFFORT_POLICIES)} searches: {', '.join(EFFORTS)}. "
            "'best' takes milliseconds to seconds.",
        ),
    ] = "default",
    target_gap: Annotated[
        float | None,
        typer.Option(
            "--target-gap",
            metavar="GAP",
            parser=gap,
            help="Stop searching a layer when its gap falls below this: 0.0005 or 0.05%.",
        ),
    ] = None,
    out: Out = None,
    format: OutFormat = "plan",  # noqa: A002
    layers: Layers = None,
    num_hidden_layers: HiddenLayers = None,
    config: Config = None,
    extra_layers: ExtraLayers = None,
    renumber: Renumber = False,
    plot: Plot = None,
    metric: Metric = None,
    threads: Threads = 1,
    history: HistoryFile = None,
    windows: Windows = None,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    placement: CountedUnder = None,
    weights: Weights = None,
    trust_loads: Trust = False,
    layers_table: LayersTable = False,
    as_json: AsJson = False,
) -> None:
    """Plan which experts get replicas, and which GPU holds what."""
    sizes = SizeOptions(gpus, replicas, redundant, groups, nodes, threads)
    cluster = ClusterOptions(slots, speed, dead, drain)
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, placement, weights, trust_loads
    )
    inputs = reading.inputs(loads)
    check_outputs(
        [*inputs, ("the speeds", speed)], {"--out": out, "--plot": plot, "--history": history}
    )
    goal = target(
        out,
        format,
        layers=layers,
        num_hidden_layers=num_hidden_layers,
        config=config,
        extra_layers=extra_layers,
    )
    picture = picture_of(plot)
    read = reading.read_any(loads, windows)
    one_by_one = isinstance(read.windows, ManyWindows)
    goal = goal.for_loads(len(read.windows[0]), read.layers)
    names = goal.hidden_layers(len(read.windows[0]))
    engine = engine_named(format, written_by)
    remembered = None if history is None else history_with(history, read.loads, threads)
    experts = read.experts
    with sizes.spelled_in_errors(read), busy("planning"):
        start = time.perf_counter()
        made = eplb.plan(
            read.loads if remembered is None else remembered,
            policy=policy,
            effort=effort,
            target_gap=target_gap,
            **cluster.arguments(sizes, experts),
        )
        seconds = time.perf_counter() - start
    made_sizes = sizes_of(made)
    notes = [
        *read.notes,
        *group_notes(made_sizes, goal.num_groups),
        *spare_notes(made_sizes, float(made.balancedness.min())),
        *weight_notes(made_sizes, expert_bytes(config)),
    ]
    if made.policy in EFFORT_POLICIES and effort != "best" and made.gap.max() > LARGE_GAP:
        notes.append("some gap is large; --effort best searches longer")
    notes += write_plan(made, goal, renumber=renumber)
    if remembered is not None and history is not None:
        remembered.save(history)
    if picture is not None:
        from eplb.plots import plot_plan

        plot_plan(made, picture, names, engine, title_of(loads, config, made_figures(made)))
    each = None if len(read.windows) == 1 or one_by_one else eplb.evaluate(made, read.windows)
    passes = () if one_by_one else read.recorded
    if one_by_one:
        notes.append("no figures of each window: eplb replay judges plans on a trace of this size")
    if as_json:
        values = {**plan_values(made, names, engine, passes), **window_values(each)}
        if (figures := made_figures(made)) is not None:
            values["figures_of"] = figures
        say(json.dumps({**values, "out": out, "plot": plot, "notes": notes}))
        return
    lines = [
        summary(made, names, engine),
        *([] if each is None else each.lines()),
        *metric_lines(made, metric, engine, passes),
        *lines_of("planned in", [f"{seconds * 1000:.2f} ms"]),
        *lines_of("note", notes),
        *lines_of("note", [] if out else ["not written; --out FILE writes the plan"]),
        *lines_of("written to", [file for file in (out, plot, history) if file is not None]),
    ]
    text = fitted("\n".join(lines))
    if layers_table:
        text += f"\n\n{table_of_layers(made, names, engine)}"
    say(text)
