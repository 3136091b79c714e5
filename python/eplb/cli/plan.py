"""``eplb plan``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

import eplb
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
    Sizes,
    Threads,
    Trust,
    WrittenBy,
    gap,
    words_of_options,
)
from eplb.cli.output import busy, say
from eplb.cli.screen import lines_of, metric_lines, plan_values
from eplb.engine_files import FORMAT_NAMES, moe_layers_of
from eplb.engine_files.writing import Target, target
from eplb.load_files import read_loads
from eplb.planner import DEFAULT_POLICY, EFFORTS
from eplb.summary import LARGE_GAP

#: Where the balancedness of every layer is this, copies would gain little.
_EVEN = 0.99


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
            help=f"How long minimax searches: {', '.join(EFFORTS)}. 'best' takes milliseconds to seconds and never "
            "ends above the default. 'fast' may end above deepseek where deepseek puts two copies "
            "of an expert on one GPU; with groups it searches for as small a gap as the default.",
        ),
    ] = "default",
    target_gap: Annotated[
        float | None,
        typer.Option(
            "--target-gap",
            metavar="GAP",
            parser=gap,
            help="The gap at which minimax takes a layer for done, 0.0005 or 0.05%.",
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
            help=f"What for: {', '.join(FORMAT_NAMES)}. A plan is .json or .npz, and what "
            "eplb verify reads.",
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
    """Plan which experts get copies, and which GPU holds what."""
    sizes = Sizes(gpus, replicas, redundant, groups, nodes, threads)
    for option, file in (("--out", out), ("--plot", plot)):
        if file is not None and _holds(loads, file):
            raise eplb.EplbError(f"{option} {file} would overwrite the loads; name another file")
        if file is not None and config is not None and _holds(config, file):
            raise eplb.EplbError(f"{option} {file} would overwrite the config; name another file")
    goal = _target(out, format, layers, num_hidden_layers, config)
    picture = None if plot is None else _picture(plot)
    read = read_loads(loads, key=key, written_by=written_by, trust=trust_loads)
    experts = read.table.shape[1]
    with sizes.named_in_errors(experts), busy("planning"):
        start = time.perf_counter()
        made = eplb.plan(
            read.table,
            policy=policy,
            effort=effort,
            target_gap=target_gap,
            **sizes.arguments(experts),
        )
        seconds = time.perf_counter() - start
    notes = [*read.notes, *sizes.notes()]
    if made.num_replicas == experts and made.num_gpus > 1 and made.balancedness.min() < _EVEN:
        notes.append(
            "no slots are spare, so no expert has copies: "
            f"--redundant {made.num_gpus} gives hot ones some"
        )
    if made.policy == "minimax" and effort != "best" and made.gap.max() > LARGE_GAP:
        notes.append("some gap is large: --effort best searches longer")
    if goal is not None:
        with words_of_options():
            notes += goal.for_layers(read.layers).write(made)
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
    """Where to write; what is wrong with it is said before anything is planned."""
    options = {"--layers": layers, "--num-hidden-layers": num_hidden_layers, "--config": config}
    if format != "plan":
        options["--format"] = format
    if out is None:
        if config is not None:
            moe_layers_of(config)  # what is wrong with it comes first
        for option, value in options.items():
            if value is not None:
                raise eplb.EplbError(f"{option} is for a file: give --out FILE too")
        return None
    with words_of_options(config):
        return target(
            out, format, layers=layers, num_hidden_layers=num_hidden_layers, config=config
        )


def _picture(plot: str) -> Path:
    from eplb.plots import picture_path

    return picture_path(plot)


def _holds(place: str, file: str) -> bool:
    """Whether a file is there and is ``place``, or lies in it."""
    found = Path(file).resolve()
    return found.exists() and found.is_relative_to(Path(place).resolve())
