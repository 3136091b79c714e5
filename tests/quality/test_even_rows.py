"""Nearly even loads end near the mean, at the efforts that have goals for them."""

from __future__ import annotations

import hard_even
import pytest
from hard_even import excess, hard_rows
from tables import even_part

#: Loads of GPUs are floats.
EXACT = 1e-9


@pytest.mark.parametrize(
    "row", list(hard_rows()), ids=lambda row: f"{row.name} {row.slots}/{row.gpus}"
)
def test_even_rows_reach_their_goals(row: hard_even.Row) -> None:
    for contender, goal in row.goals.items():
        # No plan is below the mean.
        assert -row.optimum - EXACT <= excess(row, contender) <= goal, contender


def test_the_table_has_a_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    few = list(hard_rows())[:3]
    monkeypatch.setattr(hard_even, "hard_rows", lambda: few)
    lines = even_part(hard_even.rows()).splitlines()
    assert lines[0].startswith("| loads | shape | `minimax fast` | `minimax` |")
    assert [line.split(" | ")[1] for line in lines[2:5]] == [
        "384/576/144",
        "64/96/24",
        "128/192/48",
    ]
