"""The tables of docs/quality.md, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optima
from eplb.sampling import FAMILIES
from measures import GOALS, SHAPES, misses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from call_times import TimeRow
    from hard_coarse import CoarseRow
    from hard_hot import HotRow
    from optima import Ratios


def tables(
    synthetic: list[Any],
    real: list[Any],
    engines: dict[str, Any],
    even: list[dict[str, Any]],
    instances: list[dict[str, Any]],
    worlds: list[dict[str, str]],
) -> str:
    """Everything that was measured, table after table."""
    flagged = [row["flagged"] for row in worlds]
    parts = [
        *(shape_part(shape, synthetic + engines["synthetic"]) for shape in SHAPES),
        f"## Real loads\n\n{real_part(real, engines['real'])}",
        engine_part(engines),
        f"## Nearly even loads\n\n{even_part(even)}",
        f"## Proven optima\n\n{ratio_table(optima.of_rows(instances))}{worse(instances)}",
        f"## Small worlds\n\n{ratio_table(optima.of_worlds(worlds), flagged)}",
    ]
    return "\n".join(part.strip() + "\n" for part in parts if part)


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


def hot_part(rows: list[HotRow], single: list[dict[str, Any]]) -> str:
    """A few hot experts: gaps to the bound and to the floor, and what `deepseek` is exceeded by."""
    table = lines(
        [
            "loads",
            "shape",
            "effort",
            "mean gap",
            "worst gap",
            "mean above the floor",
            "above `deepseek`",
        ],
        (
            [
                row["loads"],
                row["shape"],
                f"`{row['contender']}`",
                f"{row['gap_mean']:.3%}",
                f"{row['gap_worst']:.2%}",
                "" if row["over_floor_mean"] is None else f"{row['over_floor_mean']:.3%}",
                f"{row['above_deepseek']:+.2%}",
            ]
            for row in rows
        ),
    )
    gaps = ", ".join(f"{row['shape']} {row['gap']:.2%}" for row in single)
    return f"## A few hot experts\n\n{table}\nSingle layers, `minimax`: {gaps}.\n"


def coarse_part(rows: list[CoarseRow]) -> str:
    """Windows of few tokens: mean balancedness."""
    table = lines(
        ["shape", "tokens", "`deepseek`", "`minimax` before", "`minimax`"],
        (
            [
                row.shape,
                str(row.tokens),
                f"{row.deepseek:.4f}",
                f"{row.before:.4f}",
                f"{row.now:.4f}",
            ]
            for row in rows
        ),
    )
    return f"## Windows of few tokens\n\n{table}"


def time_part(rows: list[TimeRow]) -> str:
    """Milliseconds of a call: a line for each kind of loads, a column for each shape."""
    kinds = ([kind, *(f"{row.ms[kind]:.1f}" for row in rows)] for kind in rows[0].ms)
    slowest = [row.ms[row.slowest()] / row.median() for row in rows]
    body = [
        *kinds,
        ["**median**", *(f"{row.median():.1f}" for row in rows)],
        ["**slowest, times the median**", *(f"{times:.1f}" for times in slowest)],
    ]
    table = lines(["loads", *(row.shape for row in rows)], body)
    return f"## How long a call takes\n\n{table}"


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


def real_part(ours: list[Any], engines: list[Any]) -> str:
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
    if not engines["machine"]:
        return ""
    about = "; ".join(f"{name}: {value}" for name, value in engines["machine"].items())
    refused = [
        f"- `{row['contender']}`, {row['loads']} at {row['shape']}: {row['refused']}"
        for row in engines["synthetic"] + engines["real"]
        if "refused" in row
    ]
    none = "No plan:\n\n" + "\n".join(refused) if refused else "They have a valid plan everywhere."
    return f"The engines' planners ran on {about}. {none}"


def even_part(rows: list[dict[str, Any]]) -> str:
    """How much of the mean the largest GPU load is above the mean: a line for each row."""
    efforts = [cell for cell in rows[0] if cell.startswith("minimax")]
    goal = "goals: " + ", ".join(f"`{effort}`" for effort in rows[0]["goals"])
    return lines(
        ["loads", "shape", *(f"`{effort}`" for effort in efforts), goal],
        (
            [
                row["loads"],
                row["shape"],
                # Floats of a plan at the optimum may be below it.
                *(f"{max(row[effort], 0):.3%}" for effort in efforts),
                ", ".join(f"{goal:.1%}" for goal in row["goals"].values()),
            ]
            for row in rows
        ),
    )


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
