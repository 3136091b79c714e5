"""``eplb compare`` of several numbers of GPUs or redundant slots: a row each."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import eplb
from eplb.analysis.size_comparison import SizeComparison, SizesRow
from eplb.cli.figures import formula_lines, group_notes, start_notes, sum_lines, sum_values
from eplb.cli.options import spell
from eplb.cli.output import WIDTH, busy, columns, fitted, say, table_text
from eplb.summary import at_most, percent, ratio
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb.cli.options import SizeOptions
    from eplb.load_files import FileLoads


# Headings of the table.
_WIDE = (
    "GPUs\n",
    "redundant\nslots",
    "slots\nper GPU",
    "balancedness\nmean",
    "\nworst",
    "unbalanced\nmean",
    "busiest GPU\nof the load",
    "gap\nworst",
)
_NARROW = (
    "GPUs\n",
    "redun-\ndant",
    "slots\na GPU",
    "balanced-\nness mean",
    "\nworst",
    "unbal-\nanced",
    "busiest\nGPU",
    "gap\nworst",
)
# The column that follows from others.
_SLOTS = 2


def compare_sizes(
    read: FileLoads,
    choices: Sequence[SizeOptions],
    metric: str | None,
    engine: str | None,
    of_model: int | None,
    *,
    as_json: bool,
) -> None:
    """Plans for each of these sizes and prints a row for each.

    ``of_model`` is the number of groups of the model, if it is known.

    Raises:
        EplbError: none of them is possible.
    """
    layers, experts = read.windows[0].shape
    comparison = SizeComparison(read.loads, choices[0].threads, engine, read.recorded)
    rows: list[SizesRow] = []
    notes = [*read.notes]
    first: eplb.EplbError | None = None
    for sizes in choices:
        try:
            with sizes.spelled_in_errors(read), busy("planning"):
                arguments = sizes.arguments(experts)
                arguments.pop("threads")
                rows.append(comparison.row(**arguments))
        except eplb.TopologyError as error:
            first = first or error
            hint = error.hint_text(spell)
            notes.append(f"impossible: {error.text(spell)}{hint and '; ' + hint}")
    if first is not None and not rows:
        raise first
    notes += dict.fromkeys(note for row in rows for note in group_notes(row.sizes, of_model))
    notes += start_notes(engine)
    windows = len(read.windows)
    if as_json:
        values = {"rows": [_values(row) for row in rows], **sum_values(windows), "notes": notes}
        say(json.dumps(values))
        return
    above = [_heading(layers, experts, rows), *sum_lines(windows, rows[0].policy)]
    below = [*formula_lines(metric, len(read.recorded)), *(f"note: {note}" for note in notes)]
    texts = [*map(fitted, above), "", _table(rows, metric), *map(fitted, below)]
    say("\n".join(texts))


def _heading(layers: int, experts: int, rows: Sequence[SizesRow]) -> str:
    return f"{count(layers, 'layer')} of {count(experts, 'expert')}, planned by {rows[0].policy}"


def _table(rows: Sequence[SizesRow], metric: str | None) -> str:
    narrow = columns() < WIDTH
    headings = [*(_NARROW if narrow else _WIDE), *([f"as\n{metric}"] if metric else [])]
    cells = [_cells(row, metric) for row in rows]
    if narrow and metric:
        headings, *cells = (
            [text for at, text in enumerate(line) if at != _SLOTS] for line in (headings, *cells)
        )
    return table_text(headings, cells, space=1 if metric or narrow else 2)


def _cells(row: SizesRow, metric: str | None) -> list[str]:
    sizes, figures = row.sizes, row.figures
    return [
        str(sizes.num_gpus),
        str(sizes.num_replicas - sizes.num_experts),
        str(sizes.num_replicas // sizes.num_gpus),
        shown(figures.balancedness_mean, ratio),
        shown(figures.balancedness_worst, ratio),
        shown(row.unbalanced, ratio),
        shown(row.busiest_share, percent),
        shown(figures.gap_worst, at_most),
        *([shown(figures.metrics[metric], ratio)] if metric else []),
    ]


def shown(value: float | None, how: Callable[[float], str]) -> str:
    """A figure, or a dash if no layer has load."""
    return "-" if value is None else how(value)


def _values(row: SizesRow) -> dict[str, Any]:
    return {
        **asdict(row.sizes),
        "redundant": row.sizes.num_replicas - row.sizes.num_experts,
        "policy": row.policy,
        "digest": row.digest,
        **asdict(row.figures),
        "unbalanced_mean": row.unbalanced,
        "busiest_share_mean": row.busiest_share,
        "milliseconds": row.milliseconds,
    }
