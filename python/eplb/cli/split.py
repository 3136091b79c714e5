"""``eplb split``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

import eplb
from eplb.cli.clusters import Dead, Speed, on_gpus
from eplb.cli.figures import lines_of
from eplb.cli.options import (
    AsJson,
    Axes,
    Config,
    CountedUnder,
    Groups,
    Key,
    Layers,
    LoadOptions,
    LoadsPaths,
    Nodes,
    NumExperts,
    NumLayers,
    Threads,
    Trust,
    Weights,
    WrittenBy,
    number,
)
from eplb.cli.output import fitted, say
from eplb.cli.placements import read_with_sizes, rows_of
from eplb.cli.targets import check_outputs
from eplb.engines import FORMAT_NAMES
from eplb.engines.target import target
from eplb.splits import check_ending

if TYPE_CHECKING:
    from collections.abc import Sequence


def split_command(
    placement: Annotated[
        str,
        typer.Argument(
            metavar="PLACEMENT", help="A plan file, or the placement file of an engine."
        ),
    ],
    loads: LoadsPaths,
    *,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write the shares and the table of probabilities: .json or .npz.",
        ),
    ] = None,
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
    threads: Threads = 1,
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
    """Find the best shares of replicas.

    They are for a router that weights replicas.
    """
    model = target(None, layers=layers, config=config)
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, counted_under, weights, trust_loads
    )
    inputs = [*reading.inputs(loads), ("the placement", placement), ("the speeds", speed)]
    check_outputs(inputs, {"--out": out})
    if out is not None:
        check_ending(out)
    read = reading.read(loads)
    chosen = model.layers is not None
    model = model.for_loads(len(read.windows[0]), read.layers)
    placed = read_with_sizes(
        placement, format, gpus, model, read.experts, groups=groups, nodes=nodes
    )
    windows, left_out = rows_of(read.windows, placed, model, chosen=chosen)
    plan = on_gpus(placed.plan, speed, dead)
    split = plan.split(windows, threads=threads)  # a list of tables is windows
    notes = [*read.notes, *placed.notes, *left_out]
    if out is None:
        notes.append("not written; --out FILE writes the shares")
    else:
        split.save(out)
    if as_json:
        say(json.dumps({**_values(split, placed.names), "out": out, "notes": notes}))
        return
    lines = [
        split.summary(placed.names),
        *lines_of("note", notes),
        *lines_of("written to", [] if out is None else [out]),
    ]
    say(fitted("\n".join(lines)))


def _values(split: eplb.Split, layers: Sequence[int] | None) -> dict[str, Any]:
    """A split as plain values, for JSON."""
    loaded = np.flatnonzero(split.loaded)

    def figures(values: Any) -> dict[str, float | None]:
        values = values[loaded]
        if values.size == 0:
            return {"balancedness_mean": None, "balancedness_worst": None}
        return {
            "balancedness_mean": float(values.mean()),
            "balancedness_worst": float(values.min()),
        }

    return {
        **split.to_dict(),
        "loaded_layers": len(loaded),
        **figures(split.balancedness),
        "equal_shares": figures(split.balancedness_of_equal_shares),
        "hidden_layers": None if layers is None else [*layers],
    }
