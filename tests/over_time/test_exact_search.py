"""The exact search is the specification's without its screen, and the core's plans are as good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from over_time import exhaustive
from over_time import specification as spec
from over_time.exhaustive import ExactSearch
from over_time.floors import FLOORS
from over_time.judge import OverTime, score
from over_time.sequences import Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator


@st.composite
def layers(draw: st.DrawFn) -> tuple[list[list[int]], list[int], int]:
    """Loads ``[expert][row]``, slots with some empty, and GPUs."""
    experts, gpus, rows = draw(st.integers(2, 8)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    top = draw(st.sampled_from([3, 2**16, 2**18, 2**21]))
    load = st.integers(0, top)
    cells = draw(st.lists(st.lists(load, min_size=rows, max_size=rows), min_size=experts))
    per_gpu = draw(st.integers(-(-len(cells) // gpus), len(cells)))
    # Every expert once, in turn; then others, or nothing.
    held: list[list[int]] = [list(range(gpu, len(cells), gpus)) for gpu in range(gpus)]
    for experts_of_gpu in held:
        others = [expert for expert in range(len(cells)) if expert not in experts_of_gpu]
        more = draw(st.permutations(others))[: per_gpu - len(experts_of_gpu)]
        experts_of_gpu += [spec.EMPTY if draw(st.integers(0, 4)) == 0 else e for e in more]
    return cells, [expert for experts_of_gpu in held for expert in experts_of_gpu], gpus


def every_move(state: spec.State, busy: int) -> Iterator[spec.Move]:
    """Word for word: what may be exchanged with a busy GPU, and what may take load from it."""
    mine = state.held(busy)
    for a in state.range(busy):
        for b in range(len(state.slots)):
            theirs = state.held(state.gpu(b))
            if state.gpu(b) == busy or state.slots[a] in theirs or state.slots[b] in mine:
                continue
            if state.slots[a] != spec.EMPTY or state.slots[b] != spec.EMPTY:
                yield spec.Move(reassign=False, a=a, b=b)
    for slot in filter(state.can_give, range(len(state.slots))):
        for expert in range(len(state.whole)):
            if expert not in state.held(state.gpu(slot)) and (
                state.gpu(slot) == busy or expert in mine
            ):
                yield spec.Move(reassign=True, a=slot, b=expert)


@given(layers(), st.integers(1, 3))
@settings(max_examples=60)
def test_every_move_is_evaluated_as_specified(
    layer: tuple[list[list[int]], list[int], int], left: int
) -> None:
    cells, slots, gpus = layer
    plain = spec.State(cells, slots, gpus, [0] * len(cells), 1)
    state = exhaustive.State(cells, slots, gpus)
    assert state.load.tolist() == plain.loads()
    for busy in range(gpus):
        expected = []
        for move in every_move(plain, busy):
            loads = plain.after(move).loads()
            gain = plain.total() - sum(map(spec.potential, loads))
            fits = max(map(max, loads)) < 2**20
            expected.append((move, max(0, gain) if fits else 0))
        moves = state.moves(busy)
        found = [(moves.move(index), gain) for index, gain in enumerate(moves.gain.tolist())]
        assert found == expected
        assert moves.copies.tolist() == [plain.copies(move) for move, _ in expected]
        best = moves.best(left)
        assert (best and best[:2]) == spec.best_move(plain, [m for m, _ in expected], left)
        if best:
            after = exhaustive.State(cells, slots, gpus)
            after.apply(best[0])
            assert after.load.tolist() == plain.after(best[0]).loads()
            assert after.list() == plain.after(best[0]).slots


#: With the deep profile, all layers; otherwise every fourth one, of which fewer than ten are left.
DEEP = settings.get_current_profile_name() == "deep"
EVERY, BELOW = (1, 0.5) if DEEP else (4, 0.6)


@pytest.mark.parametrize("name", FLOORS)
def test_the_next_window_is_as_balanced_as_by_the_exact_search(name: str) -> None:
    """All windows; both begin with the first plan of the core."""
    sequence, _ = FLOORS[name]
    some = Sequence(sequence.windows[:, ::EVERY], sequence.num_replicas, sequence.num_gpus)
    ours, exact = score(some, OverTime(some)), score(some, ExactSearch(some))
    assert ours.mean >= exact.mean - BELOW
    # Both move equally much: no more than a point apart.
    assert abs(ours.moved - exact.moved) <= 1
