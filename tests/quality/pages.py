"""The page of docs that the results make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optima
from eplb.sampling import FAMILIES
from measures import GOALS, LAYERS, SHAPES, misses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optima import Ratios

HEAD = f"""# Quality

Made by `make quality` from the results beside tests/quality/quality.py; `tests/quality/test_quality.py` holds the two together.

Balancedness, mean GPU load / largest GPU load, of seven families of synthetic loads
(`eplb.sampling.family`: {LAYERS} layers each, 1,000,000 tokens a layer): the mean of the layers, and below it the worst one.
A shape is experts/slots/GPUs.

No planner can reach 1 in every layer; how far a plan is at most from what can be reached is its
gap. `duplicates` counts the layers, of all families, in which some GPU holds two copies of an expert.

Lines that name an engine and a version are of that release's own planner, read out of its wheel and given the same
loads, as one window in float32. Its tables are judged by the code that judges ours.
"""

REAL = """
## Real loads

All windows of each file of `tests/loads` together. Columns are mean balancedness; `behind` is how far the
largest GPU load of `minimax`, at the default effort, is above that of the better published plan in the
layer where that is most (below 0: ahead in every layer). Published plans with an expert twice on a GPU do not count there;
`flagged` are the layers where such a plan has a lower largest GPU load.
"""

OPTIMA = f"""
## Beside proven optima

How far the largest GPU load is above the least that any placement has, as shares of the layers.

{{}} small random layers (tests/quality/optima.json: all families, the tokens divided by {optima.SCALE}, no groups): HiGHS, a
mixed-integer solver, proves the optimum of the placements without an expert twice on a GPU. Experts/slots/GPUs are
{", ".join("/".join(map(str, sizes)) for sizes in optima.SIZES)}.
"""

WORLDS = """
The same for every load of {0, 1, 2, 3}^L of small L, all sizes and groups: every placement is tried, those with
duplicates too (`cargo test --package eplb-core --test small_instances`). Layers that are flagged, because a published
plan with duplicates is better, are only counted. The worst of the default effort and of `best`, loads 1, 1, 3 in 6 slots
on 3 GPUs, are plans that only duplicates beat, which no published plan has found.
"""


def page(results: dict[str, Any]) -> str:
    """The text of docs/quality.md."""
    ours, engines, proven = results["results"], results["engines"], results["optima"]["instances"]
    synthetic = ours["synthetic"] + engines["synthetic"]
    flagged = [row["flagged"] for row in results["worlds"]]
    parts = [
        HEAD,
        *(shape_part(shape, synthetic) for shape in SHAPES),
        REAL,
        real(ours["real"], engines["real"]),
        engine_part(engines),
        OPTIMA.format(len(proven)),
        ratio_table(optima.of_rows(proven)) + worse(proven),
        WORLDS,
        ratio_table(optima.of_worlds(results["worlds"]), flagged),
    ]
    return "\n".join(part.strip() + "\n" for part in parts)


def shape_part(shape: str, rows: list[Any]) -> str:
    """What is told of a shape."""
    rows = [row for row in rows if row["shape"] == shape]
    table = lines(
        ["", *FAMILIES, "worst gap", "duplicates"],
        (
            contender_cells(contender, [row for row in rows if row["contender"] == contender])
            for contender in contenders(rows)
        ),
    )
    goals = "; ".join(
        f"`{contender}` {goals[shape]:.4f}" for contender, goals in GOALS.items() if shape in goals
    )
    missed = misses([row for row in rows if row["contender"] in GOALS])
    text = f"\nGoals for the mean of every family: {goals}. " if goals else ""
    if goals:
        text += "Missed: " + "; ".join(missed) + "." if missed else "All are met."
    return f"## {shape}\n\n{table}{text}"


def contenders(rows: list[Any]) -> list[str]:
    """Each once, in the order of the rows."""
    return list(dict.fromkeys(row["contender"] for row in rows))


def contender_cells(contender: str, rows: list[Any]) -> list[str]:
    """A line of the table of a shape: rows are in the order of the families."""
    plans = [row for row in rows if "refused" not in row]
    return [
        f"`{contender}`",
        *("no plan" if "refused" in row else balancedness(row) for row in rows),
        f"{max(row['gap_worst'] for row in plans):.3%}" if plans else "",
        str(sum(row["duplicates"] for row in plans)) if plans else "",
    ]


def balancedness(row: Any) -> str:
    """Mean and worst."""
    return f"{row['balancedness_mean']:.4f}<br>{row['balancedness_worst']:.4f}"


def real(ours: list[Any], engines: list[Any]) -> str:
    """The table of the real loads."""
    names = [f"`{contender}`" for contender in contenders(ours) + contenders(engines)]
    cases = dict.fromkeys((row["loads"], row["shape"]) for row in ours)
    return lines(
        ["loads", "shape", *names, "behind", "flagged"],
        (
            real_cells([row for row in ours + engines if (row["loads"], row["shape"]) == case])
            for case in cases
        ),
    )


def real_cells(rows: list[Any]) -> list[str]:
    """A line of it: the contenders in order."""
    default = next(row for row in rows if row["contender"] == "minimax")
    return [
        default["loads"],
        default["shape"],
        *("no plan" if "refused" in row else f"{row['balancedness_mean']:.4f}" for row in rows),
        "" if default["behind"] is None else f"{default['behind']:+.3%}",
        str(default["beaten_by_duplicates"]),
    ]


def engine_part(engines: dict[str, Any]) -> str:
    """What the engines' figures were read off, and where there are none."""
    about = "; ".join(f"{name}: {value}" for name, value in engines["machine"][0].items())
    refused = [
        f"- `{row['contender']}`, {row['loads']} at {row['shape']}: {row['refused']}"
        for row in engines["synthetic"] + engines["real"]
        if "refused" in row
    ]
    none = "No plan:\n\n" + "\n".join(refused) if refused else "They have a valid plan everywhere."
    return f"The engines' planners ran on {about}. {none}"


def ratio_table(ratios: dict[str, Ratios], flagged: list[str] | None = None) -> str:
    """A line for each effort."""
    limits = [f"within {float(100 * share):g}%" if share else "optimal" for share in optima.WITHIN]
    extra = [] if flagged is None else ["flagged"]
    return lines(
        ["", "layers", *limits, "worst", *extra],
        (
            [*ratio_cells(effort, told), *([] if flagged is None else [flagged[i]])]
            for i, (effort, told) in enumerate(ratios.items())
        ),
    )


def worse(rows: list[dict[str, Any]]) -> str:
    """How often more effort gave a worse plan: the search takes other ways."""
    differences = [optima.ratio(row, "minimax best") - optima.ratio(row, "minimax") for row in rows]
    count = sum(difference > 0 for difference in differences)
    most = f", by at most {float(max(differences)):.2%} of the optimum" if count else ""
    return f"\nLayers where `minimax best` is above `minimax`: {count}{most}.\n"


def ratio_cells(effort: str, told: Ratios) -> list[str]:
    """A line of it; what is not all of the layers is no 100 %, as shares are rounded down."""
    shares = (f"{count * 10_000 // told.layers / 100:.2f}%" for count in told.within)
    worst = f"{told.worst} (+{float(told.worst - 1):.2%})"
    return [f"`{effort}`", f"{told.layers:,}", *shares, worst]


def lines(head: list[str], body: Iterable[list[str]]) -> str:
    """A table."""
    rows = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
