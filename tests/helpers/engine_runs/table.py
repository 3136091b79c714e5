"""The table of runs, as it stands in the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_planners import RELEASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine_runs.case import Case
    from engine_runs.measures import Measured

HEAD = ["engine", "mode", "planner", "copies", "of all slots", "next window"]
#: Filled while tests run.
ROWS: list[list[str]] = []


def add(case: Case, what: Measured) -> None:
    """Adds a run."""
    planner = "eplb" if case.plugin else "its own"
    name = {"vllm": "vLLM", "sglang": "SGLang"}[case.engine]
    cells = [f"{what.copies:,}", f"{what.share:.1f} %", f"{what.next_window:.1f} %"]
    ROWS.append([f"{name} {RELEASES[case.engine]}", case.mode, planner, *cells])


def lines() -> Iterator[str]:
    """The rows, as Markdown."""
    rows = [HEAD, *sorted(ROWS, key=_place)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for number, row in enumerate(rows):
        yield (
            "| "
            + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            + " |"
        )
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def _place(row: list[str]) -> tuple[bool, ...]:
    """vLLM first, its sync mode first, own planners first."""
    return row[0].startswith("SGLang"), row[1] != "sync", row[2] == "eplb"
