"""The tables of docs/speed.md, made from the results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cases import read_cases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cases import Case, Goal

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "speed.md"
#: File of results -> measures whose cases it holds.
FILES = {"results.json": False, "peers.json": True}


def filled(page: str) -> str:
    """The page with each ``<!-- name -->`` .. ``<!-- end -->`` made again."""
    parts = made_parts()
    names = re.findall(r"^<!-- (?!end)(.+) -->$", page, flags=re.MULTILINE)
    if sorted(names) != sorted(parts):
        raise ValueError(f"docs/speed.md has the parts {names}, results make {list(parts)}")
    for name, part in parts.items():
        before, rest = page.split(f"<!-- {name} -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
        page = f"{before}<!-- {name} -->\n{part}\n<!-- end -->{after}"
    return page


def made_parts() -> dict[str, str]:
    """Every part of the page that is made, by its name."""
    ours, peers = (json.loads((HERE / name).read_text(encoding="utf-8")) for name in FILES)
    counts = json.loads((HERE / "instructions.json").read_text(encoding="utf-8"))
    cases = {case.name: case for case in read_cases()}
    return {
        "machine": machine_text(ours["machine"]),
        "goals": goal_table(cases, ours["cases"]),
        "details": details(ours["cases"]),
        "machine of peers": machine_text(peers["machine"]),
        "peers": goal_table(cases, peers["cases"]) + "\n" + details(peers["cases"]),
        "instructions": instruction_table(counts),
        "profile": profile_table(counts),
    }


def machine_text(about: dict[str, str]) -> str:
    """Machine, versions and date."""
    return "\n" + "; ".join(f"{name}: {value}" for name, value in about.items()) + ".\n"


def goal_table(cases: dict[str, Case], results: dict[str, Any]) -> str:
    """A line for each goal, and for each figure that is shown without one."""
    head = ["work", "figure", "goal", "measured", ""]
    rows = [
        [work if first else "", *row]
        for name, result in results.items()
        for first, work, row in with_work(cases[name], result["figures"])
    ]
    return table(head, rows)


def with_work(case: Case, figures: dict[str, float]) -> Iterator[tuple[bool, str, list[str]]]:
    """The lines of a case, the first of which names the work."""
    families = ", ".join(case.families)
    work = f"**{case.name}**: `{case.planner}`, {case.sizes.text()}; {families}"
    for i, row in enumerate(goal_rows(case, figures)):
        yield i == 0, work, row


def goal_rows(case: Case, figures: dict[str, float]) -> list[list[str]]:
    """Figure, goal, what was measured, and whether that will do."""
    judged = [
        [goal.figure, goal_text(goal), text(figures[goal.figure]), verdict(goal, figures)]
        for goal in case.goals
    ]
    return judged + [[name, "", text(figures[name]), ""] for name in case.shown]


def goal_text(goal: Goal) -> str:
    """The goal for readers."""
    if goal.at_most is not None:
        return f"at most {text(goal.at_most)}"
    return f"at least {text(goal.at_least or 0)}"


def verdict(goal: Goal, figures: dict[str, float]) -> str:
    """Reached, or by how much missed."""
    missed_by = goal.missed_by(figures[goal.figure])
    return "reached" if missed_by <= 1 else f"missed by a factor of {missed_by:.3g}"


def case_lines(case: Case, result: dict[str, Any]) -> list[str]:
    """What `make bench` prints of a case."""
    lines = [f"{case.name}: {case.planner}, {case.sizes.text()}"]
    for figure, goal, measured, reached in goal_rows(case, result["figures"]):
        told = f" (goal: {goal}: {reached})" if goal else ""
        lines.append(f"  {figure}: {measured}{told}")
    for row, columns in result["details"].items():
        cells = ", ".join(f"{column} {text(figure)}" for column, figure in columns.items())
        lines.append(f"    {row}: {cells}")
    return lines


def details(results: dict[str, Any]) -> str:
    """The details of every case, those with the same columns in one table."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for name, result in results.items():
        for row, columns in result["details"].items():
            cells = [name, row, *map(text, columns.values())]
            tables.setdefault(tuple(columns), []).append(cells)
    return "\n".join(table(["work", "", *columns], rows) for columns, rows in tables.items())


def instruction_table(recorded: dict[str, Any]) -> str:
    """Instructions of each case, with what they were compiled by."""
    rows = [[name, f"{count:,}"] for name, count in recorded["counts"].items()]
    made_by = "; ".join(f"{name}: {value}" for name, value in recorded["versions"].items())
    return f"\n{made_by}.\n" + table(["work", "instructions"], rows)


def profile_table(recorded: dict[str, Any]) -> str:
    """The functions that take most of each case."""
    rows = [
        [name, "; ".join(f"`{function}` {share:.0%}" for function, share in functions.items())]
        for name, functions in recorded["profile"].items()
    ]
    return table(["work", "functions"], rows)


def text(figure: float) -> str:
    """A figure for readers: four digits, balancedness and the like in full."""
    if 0.9 < figure < 1:
        return f"{figure:.4f}"
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.4g}"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
