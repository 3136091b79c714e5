"""The page of docs that the results make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from families import FAMILIES, TOKENS
from measures import CONTENDERS, GOALS, LAYERS, SHAPES, RealRow, Row, misses

if TYPE_CHECKING:
    from collections.abc import Iterable

HEAD = f"""# Quality

Made by `make quality` from tests/quality/results.json; `tests/quality/test_quality.py` holds the two together.

Balancedness, mean GPU load / largest GPU load, of seven families of synthetic loads
(`tests/families.py`: {LAYERS} layers each, {TOKENS:,} tokens a layer): the mean of the layers, and below it the worst one.
A shape is experts/slots/GPUs.

No planner can reach 1 in every layer; how far a plan is at most from what can be reached is its
gap. `duplicates` counts the layers, of all families, in which some GPU holds two copies of an expert.
"""

REAL = """
## Real loads

All windows of each file of `tests/loads` together. Columns are mean balancedness; `behind` is how far the
largest GPU load of `minimax`, at the default effort, is above that of the better published plan in the
layer where that is most (below 0: ahead in every layer). Published plans with an expert twice on a GPU do not count there;
`flagged` are the layers where such a plan has a lower largest GPU load.
"""


def page(results: dict[str, Any]) -> str:
    """The text of docs/quality.md."""
    rows: list[Row] = results["synthetic"]
    parts = [HEAD, *(shape_part(shape, rows) for shape in SHAPES), REAL, real(results["real"])]
    return "\n".join(part.strip() + "\n" for part in parts)


def shape_part(shape: str, rows: list[Row]) -> str:
    """What is told of a shape."""
    table = lines(
        ["", *FAMILIES, "worst gap", "duplicates"],
        (
            contender_cells(contender, [row for row in rows if is_of(row, shape, contender)])
            for contender in CONTENDERS
        ),
    )
    goals = "; ".join(
        f"`{contender}` {goals[shape]:.4f}" for contender, goals in GOALS.items() if shape in goals
    )
    missed = misses([row for row in rows if row["shape"] == shape])
    text = f"\nGoals for the mean of every family: {goals}. " if goals else ""
    if goals:
        text += "Missed: " + "; ".join(missed) + "." if missed else "All are met."
    return f"## {shape}\n\n{table}{text}"


def is_of(row: Row, shape: str, contender: str) -> bool:
    """Whether a row is of this shape and contender."""
    return row["shape"] == shape and row["contender"] == contender


def contender_cells(contender: str, rows: list[Row]) -> list[str]:
    """A line of the table of a shape: rows are in the order of the families."""
    return [
        f"`{contender}`",
        *(f"{row['balancedness_mean']:.4f}<br>{row['balancedness_worst']:.4f}" for row in rows),
        f"{max(row['gap_worst'] for row in rows):.3%}",
        str(sum(row["duplicates"] for row in rows)),
    ]


def real(rows: list[RealRow]) -> str:
    """The table of the real loads."""
    cases = dict.fromkeys((row["loads"], row["shape"]) for row in rows)
    return lines(
        ["loads", "shape", *(f"`{contender}`" for contender in CONTENDERS), "behind", "flagged"],
        (
            real_cells([row for row in rows if (row["loads"], row["shape"]) == case])
            for case in cases
        ),
    )


def real_cells(rows: list[RealRow]) -> list[str]:
    """A line of it: the contenders in order."""
    default = next(row for row in rows if row["contender"] == "minimax")
    return [
        default["loads"],
        default["shape"],
        *(f"{row['balancedness_mean']:.4f}" for row in rows),
        "" if default["behind"] is None else f"{default['behind']:+.3%}",
        str(default["beaten_by_duplicates"]),
    ]


def lines(head: list[str], body: Iterable[list[str]]) -> str:
    """A table."""
    rows = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
