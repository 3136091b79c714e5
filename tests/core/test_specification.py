"""The executable specification against golden vectors, hand-worked cases and brute force."""

import json
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations, product
from typing import Any

import numpy as np
import paths
import pytest
import specification as spec

UNITS = spec.SHARE_UNITS
POLICIES: tuple[spec.Policy, spec.Policy] = ("deepseek", "adaptive")


@pytest.fixture(scope="module")
def golden() -> Any:
    """The published vectors: 13 configurations x 24 rows x 2 policies."""
    return np.load(paths.GOLDEN, allow_pickle=False)


def small_loads(experts: int) -> Iterator[tuple[int, ...]]:
    """Every load in {0..3}^L."""
    return product(range(4), repeat=experts)


def all_counts(experts: int, replicas: int) -> list[list[int]]:
    """Every way to give each expert at least one of the copies."""
    return [
        [r + 1 for r in extra]
        for extra in product(range(replicas - experts + 1), repeat=experts)
        if sum(extra) == replicas - experts
    ]


def peak(w: spec.Row | tuple[int, ...], counts: spec.Row) -> Fraction:
    return max(spec.averages(w, counts))


# --- The published example -------------------------------------------------


def test_golden_rows_tell_the_policies_apart(golden: Any) -> None:
    names = [config["name"] for config in json.loads(str(golden["meta"]))]
    differing = sum(
        int((golden[f"{x}.deepseek.phy2log"] != golden[f"{x}.adaptive.phy2log"]).any(axis=1).sum())
        for x in names
    )
    assert differing > 100


def test_readme_example_of_deepseek() -> None:
    load = [
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ]
    assert spec.plan(load, 16, 4, 2, 8, "deepseek")[0] == [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]


# --- Exact loads ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "want", "s"),
    [
        pytest.param([0, 0.0, -0.0], [0, 0, 0], 0, id="zeros"),
        pytest.param([1], [2**39], 39, id="one"),
        pytest.param([1, 2, 3], [2**37, 2**38, 3 * 2**37], 37, id="small counts"),
        pytest.param([2**39, 1, 7], [2**39, 1, 7], 0, id="exact from 2**39"),
        pytest.param([2**40 - 1], [2**40 - 1], 0, id="exact to 2**40 - 1"),
        pytest.param([2**40, 1, 3, 5], [2**39, 0, 2, 2], -1, id="ties to even"),
        pytest.param([2**40 + 2**39, 2.5, 3.5], [3 * 2**38, 1, 2], -1, id="quarters, no ties"),
        pytest.param([2**64 - 1], [2**39], -25, id="largest integer"),
        pytest.param([2**64 - 2**23], [2**40], -24, id="a tie rounds up to 2**40"),
        pytest.param([2**64 - 2**23 - 1], [2**40 - 1], -24, id="below the tie"),
        pytest.param([2**48 - 1], [2**40], -8, id="48 bits: step (a) is exact"),
        pytest.param([2**49 - 1, 0], [2**39, 0], -10, id="49 bits: step (a) rounds up, k is less"),
        pytest.param([2.0**53 - 1], [2**39], -14, id="53 bits: the same"),
        pytest.param([5e-324, 1e-323], [2**38, 2**39], 1112, id="subnormals"),
        pytest.param([1.7976931348623157e308], [2**39], -985, id="largest float"),
        pytest.param([2**60, 2**20, 2**20 + 1], [2**39, 0, 1], -21, id="too small becomes 0"),
    ],
)
def test_canonical_row(row: list[int | float], want: list[int], s: int) -> None:
    assert spec.canonical_row(row) == (want, s)


def test_canonical_total_is_about_2_to_the_40_and_scaling_changes_nothing() -> None:
    draw = random.Random(1)
    for experts in range(1, 200):
        row = [draw.lognormvariate(0, 3) for _ in range(experts)]
        canonical, s = spec.canonical_row(row)
        assert 2**39 - experts <= sum(canonical) <= 2**40 + experts
        errors = [abs(c - Fraction(x) * 2**s) for c, x in zip(canonical, row, strict=True)]
        assert max(errors) <= Fraction(1, 2)
        assert spec.canonical_row([x * 2.0**300 for x in row]) == (canonical, s - 300)
        assert spec.canonical_row([x * 2.0**-300 for x in row]) == (canonical, s + 300)


def test_equal_values_of_other_types_give_equal_loads() -> None:
    assert spec.canonical_row([3, 5, 2**53]) == spec.canonical_row([3.0, 5.0, 2.0**53])


@pytest.mark.parametrize("bad", [-1, -5e-324, float("nan"), float("inf")])
def test_unusable_loads_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite and non-negative"):
        spec.canonical_row([1, bad, 2])


def test_packing_load_is_exact_to_16_copies_and_rounds_up_beyond() -> None:
    assert UNITS == 720720
    assert all(spec.packing_load(1, r) * r == 720720 for r in range(1, 17))
    assert spec.packing_load(1, 17) == 42396  # 42395.29...
    assert spec.packing_load(0, 17) == 0


# --- Replication ------------------------------------------------------------------------------


def test_adams_gives_each_copy_to_the_largest_share() -> None:
    # Shares 6 4 4 -> 3 4 4 (expert 1 by index) -> 3 2 4 -> 3 2 2 -> expert 0.
    want = [0, 1, 2, 0, 1, 2, 0], [0, 0, 0, 1, 1, 1, 2], [3, 2, 2]
    assert spec.replicate([6, 4, 4], 7, "deepseek") == want


def test_adams_is_the_brute_force_optimum() -> None:
    checked = 0
    for experts in range(1, 5):
        for replicas in range(experts, experts + 5):
            options = all_counts(experts, replicas)
            for w in small_loads(experts):
                counts = spec.replicate(w, replicas, "deepseek")[2]
                assert sum(counts) == replicas
                assert peak(w, counts) == min(peak(w, other) for other in options)
                checked += 1
    assert checked == 5 * (4 + 16 + 64 + 256)


def test_a_tail_step_that_takes_s_leaves_a_higher_peak_than_adams() -> None:
    # Two spares, the last is the tail. Counts [1, 2]: D is expert 1 (3/2), S expert 0 (1/1 and
    # 3/3, a tie). Either leaves max(second, new) = 1; S has the smaller second value, 1/2.
    assert spec.tail_choice([1, 3], [1, 2]) == 0
    assert spec.replicate([1, 3], 4, "adaptive") == ([0, 1, 1, 0], [0, 0, 1, 1], [2, 2])
    assert spec.replicate([1, 3], 4, "deepseek") == ([0, 1, 1, 1], [0, 0, 1, 2], [1, 3])
    assert peak([1, 3], [2, 2]) == Fraction(3, 2) > peak([1, 3], [1, 3]) == 1


@pytest.mark.parametrize(
    ("w", "counts", "d", "s", "want"),
    [
        pytest.param([20, 6], [1, 1], 1, 0, 1, id="D has the smaller peak"),
        pytest.param([20, 6], [1, 1], 0, 1, 1, id="S has the smaller peak"),
        pytest.param([10, 6], [1, 1], 1, 0, 1, id="equal peaks, D the smaller second"),
        pytest.param([10, 6], [1, 1], 0, 1, 1, id="equal peaks, S the smaller second"),
        pytest.param([2, 3], [1, 2], 0, 1, 0, id="both equal, D has fewer copies"),
        pytest.param([2, 3], [1, 2], 1, 0, 0, id="both equal, S has fewer copies"),
        pytest.param([4, 4], [1, 1], 1, 0, 1, id="all equal: D"),
        pytest.param([40, 22], [3, 1], 0, 1, 0, id="10 and 11 with one more copy each"),
        pytest.param([4], [1], 0, 0, 0, id="one expert"),
    ],
)
def test_tail_choice_between_any_two_candidates(
    monkeypatch: pytest.MonkeyPatch, w: list[int], counts: list[int], d: int, s: int, want: int
) -> None:
    # The true D and S never reach most of these branches (next test): candidates by decree.
    monkeypatch.setattr(spec, "adams_choice", lambda *_: d)
    monkeypatch.setattr(spec, "sainte_lague_choice", lambda *_: s)
    assert spec.tail_choice(w, counts) == want


def test_the_tail_always_takes_s() -> None:
    differing = 0
    for experts, largest in ((2, 15), (3, 7)):
        for w in product(range(largest + 1), repeat=experts):
            for counts in product(range(1, 5), repeat=experts):
                choice = spec.sainte_lague_choice(w, counts)
                assert spec.tail_choice(w, counts) == choice
                differing += choice != spec.adams_choice(w, counts)
    assert differing > 0


@pytest.mark.parametrize(("spares", "tail"), [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_the_tail_is_a_tenth_of_the_spares_up(
    spares: int, tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    choose = spec.tail_choice

    def recorded(w: list[int], counts: list[int]) -> int:
        steps.append(sum(counts))
        return choose(w, counts)

    monkeypatch.setattr(spec, "tail_choice", recorded)
    spec.replicate([5, 3], 2 + spares, "adaptive")
    assert steps == list(range(2 + spares - tail, 2 + spares))


# --- The seed's fix-up ------------------------------------------------------------------------


@pytest.fixture
def fix_ups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The moves of every fix-up that `replicate` calls from here on."""
    moves: list[int] = []
    original = spec.fix_up

    def recorded(*state: Any) -> int:
        moves.append(original(*state))
        return moves[-1]

    monkeypatch.setattr(spec, "fix_up", recorded)
    return moves


def test_the_fix_up_never_fires(fix_ups: list[int]) -> None:
    for experts in range(1, 5):
        for replicas in range(experts, experts + 5):
            for w in small_loads(experts):
                spec.replicate(w, replicas, "adaptive")
    assert len(fix_ups) == 4 * (4 + 16 + 64 + 256)  # once for each load and m > L
    assert set(fix_ups) == {0}


def test_the_fix_up_sees_no_move_in_any_state_reached_or_not() -> None:
    for experts in range(2, 5):
        for counts in all_counts(experts, experts + 3):
            assert all(spec.fix_up_move(w, counts) is None for w in small_loads(experts))


def test_control_negative_loads_make_the_fix_up_fire(fix_ups: list[int]) -> None:
    # No legal load can: with w < 0 alone, w/(r-1) < w/r. Shares -1, -12 become -2, -6.
    assert spec.replicate([-2, -12], 3, "adaptive") == ([0, 1, 1], [0, 0, 1], [1, 2])
    assert fix_ups == [1]


def test_the_fix_up_misses_a_move_that_would_help() -> None:
    # Expert 0 has a copy to spare and no load, yet its gift is judged beside the old peak.
    phy2log, rank, counts = [0, 1, 0], [0, 0, 1], [2, 1]
    assert spec.fix_up([0, 8], phy2log, rank, counts) == 0
    assert (phy2log, rank, counts) == ([0, 1, 0], [0, 0, 1], [2, 1])
    assert peak([0, 8], [1, 2]) < peak([0, 8], counts)


@pytest.mark.parametrize(
    ("w", "counts", "move"),
    [
        pytest.param([-6, -36, -8], [2, 9, 1], (0, 2), id="the lower of the new peaks -4, -3.6"),
        pytest.param([-6, -36, -5], [2, 9, 1], (0, 1), id="expert 2 would be at -2.5"),
        pytest.param([-6, -36, -5, -5], [2, 9, 1, 1], None, id="expert 1 is not among the last 2"),
        pytest.param([-6, -6, -36], [2, 2, 9], None, id="another expert stays at the peak"),
        pytest.param([-3, -36, -8], [1, 9, 1], None, id="the donor has no copy to spare"),
    ],
)
def test_fix_up_candidates_by_negative_loads(
    w: list[int], counts: list[int], move: tuple[int, int] | None
) -> None:
    assert spec.fix_up_move(w, counts) == move


@pytest.mark.parametrize(
    ("hot", "rule", "moves", "want"),
    [
        pytest.param(1999, [None], 0, ([0, 1, 0, 0], [0, 0, 1, 2], [3, 1]), id="no move"),
        pytest.param(2000, [(0, 1)], 1, ([0, 1, 0, 1], [0, 0, 1, 1], [2, 2]), id="15 %: one"),
        pytest.param(1999, [(0, 1)] * 2, 2, ([0, 1, 1, 1], [0, 0, 2, 1], [1, 3]), id="less: two"),
        pytest.param(1999, [(0, 1), None], 1, ([0, 1, 0, 1], [0, 0, 1, 1], [2, 2]), id="no second"),
    ],
)
def test_control_a_mutated_rule_moves_copies_and_is_counted(
    monkeypatch: pytest.MonkeyPatch,
    hot: int,
    rule: list[tuple[int, int] | None],
    moves: int,
    want: tuple[list[int], ...],
) -> None:
    # Expert 0 has 3 copies and a load of 3400; after the first gift its two carry 1700 each.
    decreed = iter(rule)
    monkeypatch.setattr(spec, "fix_up_move", lambda *_: next(decreed))
    state = [0, 1, 0, 0], [0, 0, 1, 2], [3, 1]
    assert spec.fix_up([3400, hot], *state) == moves
    assert state == want


# --- Packing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loads", "packs", "pack_of", "rank"),
    [
        pytest.param([5, 1, 3], 3, [0, 1, 2], [0, 0, 0], id="one item per pack"),
        pytest.param([1, 3, 2], 1, [0, 0, 0], [2, 0, 1], id="one pack, heaviest first"),
        pytest.param([0, 0, 0, 0], 2, [0, 0, 1, 1], [0, 1, 0, 1], id="ties: lower item and pack"),
        pytest.param([9, 1, 1, 1], 2, [0, 1, 1, 0], [0, 0, 1, 1], id="full packs take no more"),
        pytest.param([1, 2, 2, 1], 2, [0, 0, 1, 1], [1, 0, 0, 1], id="equal items by index"),
        pytest.param([3, 3, 2, 2, 2, 0], 2, [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2], id="7 and 5"),
    ],
)
def test_greedy_packing(loads: list[int], packs: int, pack_of: list[int], rank: list[int]) -> None:
    assert spec.pack(loads, packs, 0) == (pack_of, rank)


def test_a_swap_and_the_ranks_it_leaves() -> None:
    # 7 and 5, d = 2. Item 0 (3) wants the partner of load 2: item 3. Residual 0. In pack 0 items
    # 2 and 3 then share rank 1: the lower index first. In pack 1 items 0 and 1 share rank 0.
    want = [1, 1, 0, 0, 0, 1], [0, 1, 0, 1, 2, 2]
    assert spec.pack([3, 3, 2, 2, 2, 0], 2, 1) == want


def test_no_swap_at_a_residual_of_d() -> None:
    # 11 and 10, d = 1: every exchange leaves an odd residual, the least is 1.
    loads = [6, 5, 4, 3, 2, 1]
    assert (
        spec.pack(loads, 2, 2) == spec.pack(loads, 2, 0) == ([0, 1, 1, 0, 0, 1], [0, 0, 1, 1, 2, 2])
    )


def test_swap_candidates_are_the_partners_around_the_target() -> None:
    # Pack 1 ascending: items 5 (1), 3 (4), 4 (4), with d = 6 the targets are 6, 1, 1.
    loads, pack_of = [9, 4, 4, 4, 4, 1], [0, 0, 0, 1, 1, 1]
    assert spec.swap_candidates(loads, pack_of, 0, 1, 6) == [
        (0, 4),  # nothing reaches 6: clamped to the last
        (0, 3),
        (1, 5),  # 1 reaches 1: the first, and no earlier one
        (1, 5),
        (2, 5),
        (2, 5),
    ]


def test_the_first_of_equal_residuals_is_swapped() -> None:
    # 14 and 10, d = 4: exchanging 5 with 3 leaves 0, for any of the two 5s and two 3s.
    loads, pack_of, rank = [5, 5, 4, 4, 3, 3], [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2]
    assert spec.swap_once(loads, 2, pack_of, rank)
    assert (pack_of, rank) == ([1, 0, 0, 1, 0, 1], [0, 0, 2, 1, 1, 2])


def test_heaviest_and_lightest_are_the_lowest_of_equals() -> None:
    # Packs 5 5 1 1: packs 0 and 2 exchange; both end at 3.
    loads, pack_of, rank = [4, 1, 4, 1, 1, 0, 1, 0], [0, 0, 1, 1, 2, 2, 3, 3], [0, 1] * 4
    assert spec.swap_once(loads, 4, pack_of, rank)
    assert pack_of == [2, 0, 1, 1, 0, 2, 3, 3]
    assert rank == [0, 1] * 4


@pytest.mark.parametrize(
    ("total", "allowed"),
    [
        pytest.param([203, 200, 197], 2, id="exactly 3 %: no extra step"),
        pytest.param([20301, 20000, 19700], 3, id="3.005 %: one extra step"),
        pytest.param([0, 0, 0], 2, id="no load"),
        pytest.param([200, 200, 200], 2, id="no difference"),
    ],
)
def test_allowed_swaps(total: list[int], allowed: int) -> None:
    assert spec.allowed_swaps(total, 2) == allowed
    assert spec.allowed_swaps(total, 1) == allowed - 1


@pytest.mark.parametrize(
    ("offset", "steps", "want"),
    [
        pytest.param(0, 0, [23, 27], id="greedy"),
        pytest.param(0, 1, [25, 25], id="16 % apart: an extra step, two swaps"),
        pytest.param(100, 1, [424, 426], id="1 % apart: one swap"),
        pytest.param(100, 2, [425, 425], id="1 % apart, two steps"),
    ],
)
def test_the_extra_step(offset: int, steps: int, want: list[int]) -> None:
    loads = [x + offset for x in (8, 9, 6, 5, 0, 9, 7, 6)]
    pack_of, _ = spec.pack(loads, 2, steps)
    assert spec.pack_totals(loads, pack_of, 2) == want


def test_swaps_keep_packs_whole_and_never_raise_a_peak() -> None:
    swaps = 0
    for loads in small_loads(6):
        pack_of, rank = spec.greedy(loads, 2)
        before = spec.pack_totals(loads, pack_of, 2)
        while spec.swap_once(loads, 2, pack_of, rank):
            swaps += 1
            after = spec.pack_totals(loads, pack_of, 2)
            assert min(before) < min(after) <= max(after) < max(before)
            before = after
        assert sorted(zip(pack_of, rank, strict=True)) == list(product(range(2), range(3)))
    assert swaps > 0


# --- Hierarchy --------------------------------------------------------------------------------


def test_groups_that_do_not_divide_give_the_global_plan() -> None:
    assert [spec.with_fallback(g, 2) for g in (1, 2, 3, 4)] == [(1, 1), (2, 2), (1, 1), (4, 2)]
    load = [[7, 1, 5, 2, 9, 3], [1, 1, 8, 1, 1, 1]]
    for policy in POLICIES:
        assert spec.plan(load, 9, 3, 2, 3, policy) == spec.plan(load, 9, 1, 1, 3, policy)
        assert spec.plan(load, 9, 3, 1, 3, policy) != spec.plan(load, 9, 1, 1, 3, policy)


def test_one_node_still_orders_experts_by_group() -> None:
    got = spec.plan_layer([1, 2, 3, 4], 4, 2, 1, 4, "deepseek")
    assert got == ([2, 3, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1])


def test_groups_and_slots_of_two_nodes() -> None:
    # Groups 11 2 3 8: node 0 takes groups 0 and 1, node 1 groups 3 and 2, in this order.
    # Node 0: expert 0 twice more; 10/3 and 10/3 and 1 on its first GPU, 10/3 and 1 and 1 after.
    # Node 1: experts 6 7 4 5; 6 and 7 once more; then 2 2 2 1 2 2, dealt in turn.
    w = [10, 1, 1, 1, 2, 1, 4, 4]
    phy2log, rank, logcnt = spec.plan_layer(w, 12, 4, 2, 4, "deepseek")
    assert logcnt == [3, 1, 1, 1, 1, 1, 2, 2]
    assert phy2log == [0, 0, 3, 0, 1, 2, 6, 4, 7, 7, 6, 5]
    assert rank == [0, 2, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0]


def test_a_row_of_zeros_gives_expert_0_every_spare() -> None:
    for policy in POLICIES:
        assert spec.plan([[0, 0, 0, 0]], 8, 1, 1, 2, policy)[2] == [[5, 1, 1, 1]]


@pytest.mark.parametrize(
    ("experts", "sizes", "message"),
    [
        (6, (8, 4, 2, 4), "L % groups == 0"),
        (8, (9, 4, 2, 3), "G % nodes == 0"),
        (8, (10, 4, 2, 4), "P % G == 0"),
        (8, (4, 4, 2, 4), "P >= L"),
        (2**14 + 1, (2**15, 1, 1, 1), "2**14"),
        (8, (2**20 + 1, 1, 1, 1), "2**20"),
        (8, (8, 1, 0, 1), "at least 1"),
        (0, (8, 1, 1, 1), "at least 1"),
    ],
)
def test_sizes_that_cannot_be_planned(
    experts: int, sizes: tuple[int, int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        spec.plan_layer([1] * experts, *sizes, "deepseek")


def test_the_largest_sizes_are_accepted() -> None:
    spec.check_sizes(2**14, 2**20, 1, 1, 1)


# --- Bounds and digest ------------------------------------------------------------------------


def test_gpu_loads() -> None:
    phy2log, logcnt, w = [0, 1, 0, 2], [2, 1, 1], [4, 6, 1]
    assert spec.gpu_loads(phy2log, logcnt, w, 2) == [8 * UNITS, 3 * UNITS]
    assert sum(spec.gpu_loads([0] * 17, [17], [1], 1)) == 17 * 42396


def test_mean_and_adams_bounds() -> None:
    assert spec.mean_bound([5, 1, 1], 7) == UNITS
    assert spec.mean_bound([1], 17) == 42396
    assert spec.adams_bound([7, 2, 1], 5) == 7 * UNITS // 3
    assert spec.adams_bound([1], 17) == 42396


def test_node_bound_is_the_optimum_where_greedy_misses_it() -> None:
    groups = [3, 3, 2, 2, 2, 0]  # greedy: 7 and 5; the best is 6 and 6
    assert spec.node_bound(groups, 6, 2, 6) == 2 * UNITS
    assert spec.node_bound(groups, 6, 4, 6) == 2 * UNITS  # 4 does not divide 6: one node
    assert spec.node_bound([1, 2, 3, 0, 2, 1], 3, 3, 51) == 3 * 42396 - 2  # ceil(3 * 720720 / 17)


def test_node_bound_is_the_minimum_over_all_orders() -> None:
    draw = random.Random(2)
    for nodes in (1, 2, 3, 6):
        size = 6 // nodes
        for _ in range(5):
            loads = [draw.randrange(50) for _ in range(6)]
            heaviest = (
                max(sum(order[n * size : (n + 1) * size]) for n in range(nodes))
                for order in permutations(loads)
            )
            assert spec.lightest_peak(loads, nodes) == min(heaviest)


def test_packing_bound_is_the_optimum_of_whole_experts() -> None:
    assert spec.packing_bound([3, 3, 2, 2, 2, 0], 2) == 6 * UNITS  # greedy: 7 and 5
    assert spec.packing_bound([5, 3, 1, 0], 2) == 5 * UNITS  # 5 + 0, 3 + 1
    assert spec.packing_bound([5, 3, 1], 3) == 5 * UNITS
    assert spec.packing_bound([5, 3, 1], 1) == 9 * UNITS
    # 352,716 packings: of 3 heaviest 2 share a GPU, with the 9 lightest; then the mean.
    assert spec.packing_bound([9, 9, 9, *[1] * 19], 2) == 27 * UNITS
    assert spec.packing_bound([1] + [2] * 21, 2) == 22 * UNITS
    assert spec.packing_bound([90, *[1] * 21], 2) == 100 * UNITS


def test_pigeonholes_are_no_better_than_the_best_packing() -> None:
    draw, reached = random.Random(3), 0
    for bins in (1, 2, 3, 4, 6, 12):
        for spread in (3, 20, 300):
            loads = [draw.randrange(spread) ** 2 for _ in range(12)]
            best = spec.lightest_peak(loads, bins)
            assert spec.crowded_peak(loads, bins) <= best
            reached += spec.crowded_peak(loads, bins) == best
    assert 6 < reached < 18


def test_no_plan_beats_a_bound() -> None:
    tight = 0
    for w in small_loads(4):
        for policy in POLICIES:
            phy2log, _, logcnt = spec.plan_layer(w, 8, 2, 2, 4, policy)
            bound = max(spec.mean_bound(w, 4), spec.adams_bound(w, 8), spec.node_bound(w, 2, 2, 4))
            busiest = max(spec.gpu_loads(phy2log, logcnt, w, 4))
            assert busiest >= bound
            tight += busiest == bound
    assert 0 < tight < 2 * 4**4


def test_digest_of_known_bytes() -> None:
    # printf 'eplb plan 1\n\2\0\0\0...' | sha256sum, with the numbers 2 3 3 4 5 and the entries.
    assert spec.digest([[0, 1, 1], [258, 0, 1]], 3, 4, 5) == "91a737821aafd690"


def test_digest_depends_on_every_size() -> None:
    rows = [[0, 1, 1, 0]]
    digests = {
        spec.digest(rows, 2, 1, 1),
        spec.digest(rows, 4, 1, 1),
        spec.digest(rows, 2, 2, 1),
        spec.digest(rows, 2, 1, 2),
        spec.digest([[0, 1], [1, 0]], 2, 1, 1),
        spec.digest([[0, 1, 0, 1]], 2, 1, 1),
    }
    assert len(digests) == 6
