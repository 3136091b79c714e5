"""What `make bench` prints: cases, figures, goals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cases import Case, Goal


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


def text(figure: float) -> str:
    """A figure for readers: four digits, balancedness and the like in full."""
    if 0.9 < figure < 1:
        return f"{figure:.4f}"
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.4g}"
