"""What planning over time reaches on the next window of real loads, and how little it moves."""

from __future__ import annotations

import pytest
from over_time.floors import FLOORS
from over_time.judge import DeepSeek, OverTime, score
from over_time.sequences import Sequence, olmoe, v2_lite


@pytest.mark.parametrize("name", FLOORS)
def test_the_next_window_is_balanced_and_little_moves(name: str) -> None:
    sequence, floor = FLOORS[name]
    ours, theirs = score(sequence, OverTime(sequence)), score(sequence, DeepSeek(sequence))
    assert list(floor.misses(ours, theirs)) == []


def test_a_hard_total_holds_and_is_spent_well() -> None:
    """Two percent of all slots in an update, where they gain most."""
    sequence = v2_lite(1)
    layers, slots = sequence.windows.shape[1], sequence.num_replicas
    planner = OverTime(sequence, max_copies=layers * slots // 50)
    ours = score(sequence, planner)
    assert ours.moved <= 2.0
    assert ours.mean >= 90.5


def test_the_judge_knows_a_balanced_plan_and_a_moved_slot() -> None:
    """The floors mean what they say."""
    sequence = olmoe(32)
    free = score(sequence, OverTime(sequence, move_price=0, max_moves=slots_of(sequence)))
    none = score(sequence, OverTime(sequence, max_moves=0, max_moves_after_shift=0))
    assert none.moved == 0
    assert free.moved > 5
    assert 0 < none.p10 <= none.mean < 100


def slots_of(sequence: Sequence) -> int:
    return 4 * sequence.num_replicas
