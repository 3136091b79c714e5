"""What the engines move on real loads with their own planners and with eplb, and what it brings."""

from __future__ import annotations

from functools import cache

import pytest
from engine_runs import table
from engine_runs.case import Case
from engine_runs.measures import Measured, measured, problems
from engine_runs.processes import run
from engine_runs.traffic import v2_lite

WINDOWS, EXPERTS, SLOTS = 30, 64, 80
#: Own planners, as they were measured first: share of slots moved and next-window balancedness.
OWN = {"vllm": (67.6, 87.9), "sglang": (67.6, 88.2)}


@cache
def run_of(engine: str, mode: str, *, plugin: bool) -> Measured:
    """What a run comes to; everything about it is right."""
    case = Case(engine, mode, v2_lite(WINDOWS)[None], SLOTS, plugin=plugin)
    told = run(case)
    assert list(problems(told, EXPERTS)) == []
    assert [len(each.maps[0]) for each in told] == [WINDOWS + 1] * case.ranks
    result = measured(case, told[0])
    table.add(case, result)
    return result


@pytest.mark.parametrize("engine", OWN)
def test_engines_own_planners_move_two_thirds_of_all_slots(engine: str) -> None:
    """The measures mean what they say: these figures are known."""
    share, balancedness = OWN[engine]
    own = run_of(engine, "plain" if engine == "sglang" else "sync", plugin=False)
    assert own.share == pytest.approx(share, abs=1)
    assert own.next_window == pytest.approx(balancedness, abs=0.5)


@pytest.mark.parametrize(
    ("engine", "mode"), [("vllm", "sync"), ("vllm", "async"), ("sglang", "plain")]
)
def test_eplb_moves_little_and_balances_better(engine: str, mode: str) -> None:
    own = run_of(engine, mode, plugin=False)
    ours = run_of(engine, mode, plugin=True)
    assert 0 < 5 * ours.copies <= own.copies
    assert ours.next_window >= own.next_window + 5
