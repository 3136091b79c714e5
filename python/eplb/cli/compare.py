"""``eplb compare``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from eplb.analysis.comparison import Comparison, Row, compare
from eplb.cli.compare_sizes import compare_sizes, shown
from eplb.cli.figures import (
    engine_named,
    formula_lines,
    group_notes,
    spare_notes,
    start_notes,
    sum_lines,
    sum_values,
)
from eplb.cli.options import (
    AsJson,
    Axes,
    CountedUnder,
    Groups,
    Key,
    LoadOptions,
    LoadsPaths,
    Metric,
    ModelConfig,
    Nodes,
    NumExperts,
    NumLayers,
    Replicas,
    SeveralGpus,
    SeveralRedundant,
    SizeOptions,
    Threads,
    Trust,
    Weights,
    WrittenBy,
    spell,
)
from eplb.cli.output import WIDTH, busy, columns, fitted, say, table_text
from eplb.engines import moe_layers_of
from eplb.summary import at_most, global_note, percent, ratio
from eplb.text import count

# Headings of the table.
_WIDE = (
    "policy\n",
    "balancedness\nmean",
    "\nworst",
    "gap to bound\nmean",
    "\nworst",
    "duplicate\nslots",
    "planning\nms",
)
_NARROW = (
    "policy\n",
    "balanced-\nness mean",
    "\nworst",
    "gap to\nbound",
    "\nworst",
    "dupli-\ncates",
    "plan\nms",
)
_PLANNING = 6


def compare_command(
    loads: LoadsPaths,
    *,
    gpus: SeveralGpus,
    replicas: Replicas = None,
    redundant: SeveralRedundant = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    metric: Metric = None,
    threads: Threads = 1,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    placement: CountedUnder = None,
    weights: Weights = None,
    config: ModelConfig = None,
    trust_loads: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Compare every policy, or several sizes.

    Policies are compared with the default placement, sizes if several are given.
    """
    choices = [
        SizeOptions(number, replicas, spare, groups, nodes, threads)
        for number in gpus
        for spare in redundant or [None]
    ]
    read = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, placement, weights, trust_loads
    ).read(loads)
    of_model = None if config is None else moe_layers_of(config).num_groups
    engine = engine_named(written_by)
    if len(choices) > 1:
        compare_sizes(read, choices, metric, engine, of_model, as_json=as_json)
        return
    [sizes] = choices
    experts = read.experts
    with sizes.spelled_in_errors(read), busy("planning by every policy"):
        comparison = compare(
            read.loads, engine=engine, passes=read.recorded, **sizes.arguments(experts)
        )
    # None if no layer has load.
    worst = max(row.figures.balancedness_worst or 1.0 for row in comparison.rows)
    notes = [
        *read.notes,
        *group_notes(comparison.sizes, of_model),
        *start_notes(engine),
        *spare_notes(comparison.sizes, worst),
        *(
            f"{policy} is impossible: {reason.text(spell)}"
            for policy, reason in comparison.impossible.items()
        ),
    ]
    if as_json:
        say(json.dumps({**_values(comparison), "notes": notes}))
        return
    text = comparison_text(comparison, metric, len(read.recorded))
    say("\n".join([text, *(fitted(f"note: {note}") for note in notes)]))


def comparison_text(comparison: Comparison, metric: str | None = None, passes: int = 1) -> str:
    """The comparison as a table of 80 columns, with colours if standard output supports them.

    A narrow terminal gets one of 60 columns. The metric is a mean over so many passes.
    """
    narrow = columns() < WIDTH
    headings = [*(_NARROW if narrow else _WIDE), *([f"as\n{metric}"] if metric else [])]
    cells = [_cells(row, metric) for row in comparison.rows]
    if narrow and metric:
        headings, *cells = (
            [text for at, text in enumerate(line) if at != _PLANNING] for line in (headings, *cells)
        )
    gaps = [_gap(row) for row in comparison.rows]
    best = [number for number, gap in enumerate(gaps) if gap == min(gaps)]
    # 80 columns with one more column
    space = 1 if metric or narrow else 2
    table = table_text(headings, cells, space=space, left=[0], green=best)
    above, below = "\n".join(_sizes_lines(comparison)), "\n".join(formula_lines(metric, passes))
    lines = [fitted(above), "", table, *([fitted(below)] if below else [])]
    return "\n".join(lines)


def _values(comparison: Comparison) -> dict[str, Any]:
    rows = [
        {
            "name": row.name,
            "digest": row.digest,
            **asdict(row.figures),
            "milliseconds": row.milliseconds,
        }
        for row in comparison.rows
    ]
    return {
        **asdict(comparison.sizes),
        "is_global": comparison.is_global,
        "loaded_layers": comparison.loaded_layers,
        **sum_values(comparison.windows),
        "rows": rows,
    }


def _sizes_lines(comparison: Comparison) -> list[str]:
    sizes = comparison.sizes
    slots = f"{count(sizes.num_experts, 'expert')} in {count(sizes.num_replicas, 'slot')}"
    lines = [f"{count(sizes.num_layers, 'layer')}: {slots} on {count(sizes.num_gpus, 'GPU')}"]
    if comparison.is_global:
        lines.append(global_note(sizes.num_groups, sizes.num_nodes, sizes.num_nodes))
    elif sizes.num_nodes > 1:
        lines.append(f"{sizes.num_groups} groups, each whole on one of {sizes.num_nodes} nodes")
    without = sizes.num_layers - comparison.loaded_layers
    if without:
        verb = "is" if without == 1 else "are"
        lines.append(f"{count(without, 'layer')} without load {verb} not counted")
    return [*lines, *sum_lines(comparison.windows)]


def _gap(row: Row) -> float:
    return 0.0 if row.figures.gap_mean is None else row.figures.gap_mean


def _cells(row: Row, metric: str | None) -> list[str]:
    figures = row.figures
    return [
        row.name,
        shown(figures.balancedness_mean, ratio),
        shown(figures.balancedness_worst, ratio),
        shown(figures.gap_mean, percent),
        shown(figures.gap_worst, at_most),
        str(figures.duplicates),
        shown(row.milliseconds, "{:.2f}".format),
        *([shown(figures.metrics[metric], ratio)] if metric else []),
    ]
