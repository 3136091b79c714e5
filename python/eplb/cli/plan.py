"""``eplb plan``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

import eplb
from eplb.analysis.comparison import sizes_of
from eplb.cli.options import (
    AsJson,
    Config,
    Gpus,
    Groups,
    HiddenLayers,
    Key,
    Layers,
    LoadsPath,
    Metric,
    Nodes,
    Redundant,
    Replicas,
    SizeOptions,
    Threads,
    Trust,
    WrittenBy,
    gap,
)
from eplb.cli.output import busy, say
from eplb.cli.screen import lines_of, metric_lines, plan_values, spare_notes
from eplb.engines import FORMAT_NAMES, moe_layers_of
from eplb.engines.rows import Target, target
from eplb.load_files import read_loads
from eplb.planning import DEFAULT_POLICY, EFFORTS
from eplb.summary import LARGE_GAP


def plan_command(
    loads: LoadsPath,
    *,
    gpus: Gpus,
    replicas: Replicas = None,
    redundant: Redundant = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help=f"One of: {', '.join(eplb.POLICIES)}.")
    ] = DEFAULT_POLICY,
    effort: Annotated[
        str,
        typer.Option(
            "--effort",
            metavar="NAME",
            help=f"How long minimax searches: {', '.join(EFFORTS)}. 'best' takes milliseconds to seconds.",
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
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write the plan.")
    ] = None,
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"Format of the file: {', '.join(FORMAT_NAMES)}. A plan is .json or .npz; "
            "eplb verify reads it.",
        ),
    ] = "plan",
    layers: Layers = None,
    num_hidden_layers: HiddenLayers = None,
    config: Config = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", metavar="FILE", help="Draw GPU loads before and after: .png, .svg, .pdf."
        ),
    ] = None,
    metric: Metric = None,
    threads: Threads = 1,
    key: Key = None,
    written_by: WrittenBy = None,
    trust_loads: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Plan which experts get replicas, and which GPU holds what."""
    sizes = SizeOptions(gpus, replicas, redundant, groups, nodes, threads)
    for option, file in (("--out", out), ("--plot", plot)):
        if file is not None and _holds(loads, file):
            raise eplb.EplbError(f"{option} {file} would overwrite the loads; give another file")
        if file is not None and config is not None and _holds(config, file):
            raise eplb.EplbError(f"{option} {file} would overwrite the config; give another file")
    goal = _target(out, format, layers, num_hidden_layers, config)
    picture = None if plot is None else _picture(plot)
    read = read_loads(loads, key=key, written_by=written_by, trust=trust_loads)
    experts = read.table.shape[1]
    with sizes.spelled_in_errors(experts), busy("planning"):
        start = time.perf_counter()
        made = eplb.plan(
            read.table,
            policy=policy,
            effort=effort,
            target_gap=target_gap,
            **sizes.arguments(experts),
        )
        seconds = time.perf_counter() - start
    spare = spare_notes(sizes_of(made), float(made.balancedness.min()))
    notes = [*read.notes, *sizes.notes(), *spare]
    if made.policy == "minimax" and effort != "best" and made.gap.max() > LARGE_GAP:
        notes.append("some gap is large; --effort best searches longer")
    if goal is not None:
        notes += made.write(goal.for_layers(read.layers))
    if picture is not None:
        from eplb.plots import plot_plan

        plot_plan(made, picture)
    if as_json:
        say(json.dumps({**plan_values(made), "out": out, "plot": plot, "notes": notes}))
        return
    lines = [
        str(made),
        *metric_lines(made, metric),
        *lines_of("planned in", [f"{seconds * 1000:.2f} ms"]),
        *lines_of("note", notes),
        *lines_of("note", [] if out else ["not written; --out FILE writes the plan"]),
        *lines_of("written to", [file for file in (out, plot) if file is not None]),
    ]
    say("\n".join(lines))


def _target(
    out: str | None,
    format: str,  # noqa: A002
    layers: list[int] | None,
    num_hidden_layers: int | None,
    config: str | None,
) -> Target | None:
    """Where to write; it is checked before anything is planned."""
    options = {"--layers": layers, "--num-hidden-layers": num_hidden_layers, "--config": config}
    if format != "plan":
        options["--format"] = format
    if out is None:
        if config is not None:
            moe_layers_of(config)  # an error in it comes first
        for option, value in options.items():
            if value is not None:
                raise eplb.EplbError(f"{option} needs --out FILE")
        return None
    return target(out, format, layers=layers, num_hidden_layers=num_hidden_layers, config=config)


def _picture(plot: str) -> Path:
    from eplb.plots import picture_path

    return picture_path(plot)


def _holds(place: str, file: str) -> bool:
    """Whether a file exists and is ``place``, or lies in it."""
    found = Path(file).resolve()
    return found.exists() and found.is_relative_to(Path(place).resolve())
