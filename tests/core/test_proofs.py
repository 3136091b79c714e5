"""Proofs by z3: of all real loads at fixed small sizes, of all integers in range.

A claim is proved where its assumptions can be met and cannot be met beside its negation. Beside the
proofs stand statements that are false, which the same machinery refutes: it can fail.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise, permutations, product
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import specification as spec
import z3

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Milliseconds; each takes far less.
TIME = 60_000


def check(*statements: Any) -> tuple[Any, Any]:
    """Whether all of these can be true together, and how."""
    solver = z3.Solver()
    solver.set("timeout", TIME)
    solver.add(*statements)
    result = solver.check()
    return result, solver.model() if result == z3.sat else None


def prove(assumptions: Sequence[Any], claim: Any) -> None:
    assert check(*assumptions)[0] == z3.sat, "the assumptions contradict one another"
    result, model = check(*assumptions, z3.Not(claim))
    assert result == z3.unsat, f"{result}: {model}"


def refute(assumptions: Sequence[Any], claim: Any) -> Any:
    """A model of a false claim's negation."""
    result, model = check(*assumptions, z3.Not(claim))
    assert result == z3.sat, result
    return model


def fraction(model: Any, variable: Any) -> Fraction:
    value = model.eval(variable, model_completion=True)
    return Fraction(value.numerator_as_long(), value.denominator_as_long())


def largest(terms: Sequence[Any]) -> Any:
    """The maximum as a term."""
    highest = terms[0]
    for term in terms[1:]:
        highest = z3.If(term > highest, term, highest)
    return highest


def test_control_nothing_follows_from_a_contradiction() -> None:
    x = z3.Real("x")
    with pytest.raises(AssertionError, match="contradict one another"):
        prove([x > 0, x < 0], x == 5)
    with pytest.raises(AssertionError, match="sat"):
        prove([x > 0], x > 1)
    with pytest.raises(AssertionError, match="unsat"):
        refute([x > 1], x > 0)


# --- Replication, for all real loads ----------------------------------------------------------


def loads(n: int, least: int = 0) -> tuple[list[Any], list[Any]]:
    """Real loads of n experts, and that they are not below `least`."""
    w = z3.Reals(" ".join(f"w{i}" for i in range(n)))
    return w, [x >= least for x in w]


def paths(w: Sequence[Any], spares: int, divisor: Callable[[int], int]) -> list[tuple[Any, Any]]:
    """Every way a rule can give the copies, ties included: when it does, the counts it leaves."""
    found = []
    for chosen in product(range(len(w)), repeat=spares):
        counts, conditions = [1] * len(w), []
        for expert in chosen:
            own = w[expert] / divisor(counts[expert])
            conditions += [own >= x / divisor(r) for x, r in zip(w, counts, strict=True)]
            counts[expert] += 1
        found.append((z3.And(conditions), counts))
    return found


def all_counts(n: int, slots: int) -> list[list[int]]:
    options = product(range(1, slots - n + 2), repeat=n)
    return [list(counts) for counts in options if sum(counts) == slots]


def optimal(w: Sequence[Any], spares: int, divisor: Callable[[int], int]) -> Any:
    """That whatever way the rule goes, no other counts have a lower largest share."""

    def peak(counts: Sequence[int]) -> Any:
        return largest([x / r for x, r in zip(w, counts, strict=True)])

    others = [peak(counts) for counts in all_counts(len(w), len(w) + spares)]
    return z3.And(
        [
            z3.Implies(taken, z3.And([peak(counts) <= other for other in others]))
            for taken, counts in paths(w, spares, divisor)
        ]
    )


@pytest.mark.parametrize(("n", "spares"), [(2, 1), (2, 4), (3, 2), (3, 3), (4, 2)])
def test_adams_is_minimax_optimal(n: int, spares: int) -> None:
    w, assumptions = loads(n)
    prove(assumptions, optimal(w, spares, lambda r: r))


def test_refuted_the_rule_over_one_copy_more_is_not() -> None:
    """w/(r+1): the counterexample found is one, in exact arithmetic; and so is 9 and 5."""
    w, assumptions = loads(2)
    model = refute(assumptions, optimal(w, 2, lambda r: r + 1))
    for exact in ([fraction(model, x) for x in w], [Fraction(9), Fraction(5)]):
        known = [
            x == z3.Q(load.numerator, load.denominator) for x, load in zip(w, exact, strict=True)
        ]
        peaks = [
            max(map(Fraction.__truediv__, exact, map(Fraction, counts)))
            for taken, counts in paths(w, 2, lambda r: r + 1)
            if check(*known, taken)[0] == z3.sat
        ]
        best = min(
            max(map(Fraction.__truediv__, exact, map(Fraction, counts)))
            for counts in all_counts(2, 4)
        )
        assert max(peaks) > best


def fix_up_lowers_the_peak(w: Sequence[Any], counts: Sequence[int]) -> Any:
    """That the seed's fix-up, in some order of equals, finds a move that lowers the peak."""
    average = [x / r for x, r in zip(w, counts, strict=True)]
    moves = []
    for first, second, *_ in permutations(range(len(w)), min(2, len(w))):
        rest = [average[i] for i in range(len(w)) if i not in (first, second)]
        ordered = [average[first] >= average[second], *[average[second] >= x for x in rest]]
        for donor, receiver in product((first, second), range(len(w))):
            if counts[donor] == 1 or donor == receiver:
                continue
            others = average[second] if donor == first else average[first]
            gives = w[donor] / (counts[donor] - 1)
            takes = w[receiver] / (counts[receiver] + 1)
            new = largest([others, gives, takes])
            moves.append(z3.And(*ordered, new < average[first]))
    return z3.Or(moves)


@pytest.mark.parametrize(("n", "most"), [(2, 5), (3, 3), (4, 2)])
def test_the_seeds_fix_up_is_inert(n: int, most: int) -> None:
    w, assumptions = loads(n)
    states = list(product(range(1, most + 1), repeat=n))
    assert len(states) == most**n
    prove(assumptions, z3.Not(z3.Or([fix_up_lowers_the_peak(w, counts) for counts in states])))


def test_refuted_with_negative_loads_it_would_fire() -> None:
    w, assumptions = loads(2, least=-100)
    model = refute(assumptions, z3.Not(fix_up_lowers_the_peak(w, [1, 2])))
    assert min(fraction(model, x) for x in w) < 0


# --- Packing, for all real loads --------------------------------------------------------------


def swap(*, strict: bool) -> tuple[list[Any], Any]:
    """An exchange that brings two packs closer; that both end between their old loads."""
    heavy, light, a, b = z3.Reals("heavy light a b")
    d = heavy - light
    apart = d - 2 * (a - b)
    distance = z3.If(apart < 0, -apart, apart)
    closer = distance < d if strict else distance <= d
    new = heavy - a + b, light + a - b
    between = z3.And([z3.And(light < load, load < heavy) for load in new])
    return [a >= 0, b >= 0, light >= b, heavy >= a, d > 0, closer], between


def test_a_swap_raises_no_peak() -> None:
    prove(*swap(strict=True))


def test_refuted_a_swap_at_a_residual_of_d_would_lower_one() -> None:
    refute(*swap(strict=False))


@pytest.mark.parametrize("gpus", [2, 3, 4])
def test_reassigning_a_column_gives_the_least_peak_of_all_matchings(gpus: int) -> None:
    rest = z3.Reals(" ".join(f"a{i}" for i in range(gpus)))
    copy = z3.Reals(" ".join(f"b{i}" for i in range(gpus)))
    ascending = [x <= y for x, y in pairwise(rest)]
    descending = [x >= y for x, y in pairwise(copy)]
    matched = largest([x + y for x, y in zip(rest, copy, strict=True)])
    others = [
        largest([x + y for x, y in zip(rest, other, strict=True)]) for other in permutations(copy)
    ]
    prove([*ascending, *descending], z3.And([matched <= other for other in others]))
    reverse = largest([x + y for x, y in zip(rest, reversed(copy), strict=True)])
    refute([*ascending, *descending], z3.And([reverse <= other for other in others]))


# --- Integers in range ------------------------------------------------------------------------

EXPERTS, SLOTS = 2**14, 2**20
LOAD = 2**40  # canonical loads are at most that
UNIT = spec.SHARE_UNITS


def test_cross_products_fit_64_bits() -> None:
    """Of loads of up to 2^40 and divisors of up to 2r - 1."""
    w, r = z3.Ints("w r")
    range_of = [w >= 0, w <= LOAD, r >= 1, r <= 2 * SLOTS - 1]
    prove(range_of, w * r < 2**63)
    refute(range_of, w * r < 2**60)


def test_canonical_sums_fit_64_bits() -> None:
    """Step (a): of at most 2^14 roundings of at most 2^48 each."""
    count, total = z3.Ints("count total")
    prove([count >= 1, count <= EXPERTS, total >= 0, total <= count * 2**48], total < 2**63)


def row_total(most_experts: int) -> list[tuple[list[Any], Any]]:
    """For each k of step (b): that canonical loads sum to less than 2^40 + 2^14."""
    total, exact, canonical = z3.Reals("total exact canonical")
    experts = z3.Real("experts")
    cases = []
    for k in range(-23, -6):
        scale = z3.Q(1, 2**-k)
        rounded = [total - exact <= experts / 2, exact - total <= experts / 2]
        last = canonical <= exact * scale + experts / 2
        kept = [total * scale >= 2**39, total * scale < 2**40]
        range_of = [experts >= 1, experts <= most_experts]
        cases.append(([*range_of, *rounded, *kept, last], canonical < 2**40 + 2**14))
    return cases


def test_a_row_sums_to_little_more_than_2_to_the_40() -> None:
    for assumptions, claim in row_total(EXPERTS):
        prove(assumptions, claim)
    refute(*row_total(4 * EXPERTS)[0])


def test_packing_loads_and_their_sums_stay_below_2_to_the_60() -> None:
    w, r, share = z3.Ints("w r share")
    above = w * UNIT + r - 1  # share = above // r
    range_of = [w >= 0, w <= LOAD, r >= 1, r <= SLOTS]
    prove(range_of, above < 2**60)
    divided = [share * r <= above, above < (share + 1) * r]
    # All copies of an expert together exceed its load by less than a unit each.
    prove([*range_of, *divided], share * r <= w * UNIT + r - 1)
    row, copies, gpus = z3.Ints("row copies gpus")
    all_packs = row * UNIT + copies
    sizes = [row >= 0, row < 2**40 + 2**14, copies >= 1, copies <= SLOTS, gpus >= 1]
    prove(sizes, all_packs < 2**60)
    # 3 * total in the test of unevenness, 2 * load - difference as signed numbers.
    prove(sizes, z3.And(3 * all_packs < 2**63, -all_packs > -(2**63), 2 * all_packs < 2**63))


# --- Float64 quotients order like the fractions: two lemmas -----------------------------------


def gap(most_load: int, most_divisor: int) -> tuple[list[Any], Any]:
    """Different fractions differ by a relative 1 / (most_load * most_divisor) or more."""
    # p = w_a * r_b and q = w_b * r_a: w_a/r_a > w_b/r_b where p > q, integers.
    p, q = z3.Ints("p q")
    most = most_load * most_divisor
    return [p > q, q >= 0, p <= most], (p - q) * most >= p


def rounding(precision: int, gap_bits: int) -> tuple[list[Any], Any]:
    """Of x > y, apart by a relative 2^-gap_bits or more, the roundings are in order, too."""
    x, y, rounded_x, rounded_y = z3.Reals("x y rounded_x rounded_y")
    unit = z3.Q(1, 2**precision)
    near = [
        rounded_x >= x * (1 - unit),
        rounded_x <= x * (1 + unit),
        rounded_y >= y * (1 - unit),
        rounded_y <= y * (1 + unit),
    ]
    return [x > y, y >= 0, (x - y) * 2**gap_bits >= x, *near], rounded_x > rounded_y


def test_double_quotients_order_like_the_fractions() -> None:
    prove(*gap(LOAD, 2**11))
    prove(*rounding(53, 51))


@pytest.mark.parametrize(("precision", "gap_bits"), [(24, 51), (53, 53)])
def test_refuted_single_quotients_and_larger_divisors_do_not(precision: int, gap_bits: int) -> None:
    refute(*rounding(precision, gap_bits))


def test_refuted_the_gap_is_no_larger() -> None:
    p, q = z3.Ints("p q")
    refute([p > q, q >= 0, p <= LOAD * 2**11], (p - q) * 2**50 >= p)


# --- Planning over time: integers in range ----------------------------------------------------

CORE = Path(__file__).parents[2] / "rust_core" / "src"


def constant(file: str, name: str) -> int:
    """A constant of the core, as its source says."""
    text = (CORE / file).read_text(encoding="utf-8")
    found = re.search(rf"const {name}: \w+ = (?:(\d+) << )?([\d_]+);", text)
    assert found is not None, f"{file} has no {name}"
    base, number = found.groups()
    return int(base) << int(number) if base else int(number.replace("_", ""))


def test_control_constants_are_read() -> None:
    assert constant("problem/history/layer.rs", "ONE") == 65536
    assert constant("over_time/screen.rs", "MAX_SWAPS") == 320
    with pytest.raises(AssertionError, match=r"layer\.rs has no TWO"):
        constant("problem/history/layer.rs", "TWO")


SHARES = 2 ** constant("problem/history/layer.rs", "SHARE_BITS")
ONE = constant("problem/history/layer.rs", "ONE")
MAX_WEIGHT = constant("problem/history/layer.rs", "MAX_WEIGHT")
LOAD_LIMIT = 2 ** constant("over_time/objective.rs", "LOAD_BITS")
GPUS = constant("limits.rs", "MAX_REPLICAS")  # each has a slot
ROWS = 32
TOTAL = 2**41  # a row of canonical loads sums to less
HEADROOM, START = 2**47, 2**18  # of all potentials, of a load when a search begins
U32, I64, U64, U128 = 2**32, 2**63, 2**64, 2**128


def between(x: Any, low: int, high: int) -> Any:
    """Low <= x < high."""
    return z3.And(x >= low, x < high)


def floor(quotient: Any, dividend: Any, divisor: Any) -> Any:
    """That an integer is a quotient rounded down."""
    return z3.And(quotient * divisor <= dividend, dividend < (quotient + 1) * divisor)


def test_limits_are_those_of_the_source() -> None:
    assert (constant("limits.rs", "MAX_EXPERTS"), GPUS) == (EXPERTS, SLOTS)
    text = (CORE / "problem/history/layer.rs").read_text(encoding="utf-8")
    assert f"ROWS: Range<u32> = 3..{ROWS + 1};" in text
    assert f"DECAYS: Range<u32> = 1..{ONE + 1};" in text
    text = (CORE / "over_time/state.rs").read_text(encoding="utf-8")
    assert "|union, &load| union | load) >= 1 << 18" in text
    assert "self.total() < 1 << 47" in text


def test_shares_sum_to_2_to_the_30_at_most() -> None:
    """By induction over experts: so many loads have so many shares together."""
    total, loads, shares, load, share = z3.Ints("total loads shares load share")
    range_of = [total >= 1, total < TOTAL, loads >= 0, load >= 0, share >= 0, shares >= 0]
    before = [shares * total <= loads * SHARES, share * total <= load * SHARES]
    prove([*range_of, *before], (shares + share) * total <= (loads + load) * SHARES)
    prove([*range_of, before[0], loads == total], shares <= SHARES)
    refute([*range_of, before[0], loads == total], shares < SHARES)


def test_the_quotient_by_a_reciprocal_is_the_share_or_1_less() -> None:
    total, load, reciprocal, quotient, share = z3.Ints("total load reciprocal quotient share")
    power = 2**94
    assert power < U128
    # `load * reciprocal / 2^64` in real numbers, between what the divisions leave.
    exact, near = z3.Reals("exact near")
    range_of = [between(load, 0, TOTAL), exact >= 0, quotient >= 0, share >= 0]
    # exact = load * 2^30 / total; the reciprocal is less than 1 below 2^94 / total.
    parts = [near <= exact, exact - near < z3.ToReal(load) * z3.Q(1, U64)]
    rounded = [quotient <= near, near < quotient + 1, share <= exact, exact < share + 1]
    prove([*range_of, *parts, *rounded], z3.Or(share == quotient, share == quotient + 1))
    refute([*range_of, *parts, *rounded], share == quotient)
    prove([between(total, 1, TOTAL), floor(reciprocal, power, total)], reciprocal <= power)
    # The product is at most that of all loads, and the remainder is told from two totals.
    prove(
        [total >= 1, load >= 0, load <= total, reciprocal >= 0, reciprocal * total <= power],
        load * reciprocal < U128,
    )
    prove([total < TOTAL], 2 * total < U64)


def test_a_distance_is_2_to_the_31_at_most() -> None:
    """By induction over experts: no more than both shares together."""
    sums, distance, a, b = z3.Ints("sums distance a b")
    difference = z3.If(a > b, a - b, b - a)
    step = [a >= 0, b >= 0, distance <= sums]
    prove(step, distance + difference <= sums + a + b)
    prove([sums <= 2 * SHARES, distance <= sums], z3.And(distance <= 2**31, distance < U32))
    # A shift, likeness and the cost of a merge.
    median, usual, weight = z3.Ints("median usual weight")
    most = [between(x, 0, 2 * SHARES + 1) for x in (distance, median, usual)]
    shift = constant("problem/history/layer.rs", "SHIFT")
    prove(most, z3.And(shift * median < U64, usual * 2**16 < U64))
    square = z3.Int("square")
    prove([most[0]], distance * distance <= 4 * SHARES**2)
    prove(
        [between(square, 0, 4 * SHARES**2 + 1), between(weight, 0, MAX_WEIGHT + 1)],
        square * weight < U128,
    )


def test_weights_never_rise_but_by_a_merge() -> None:
    weight, factor, new = z3.Ints("weight factor new")
    # Decay and likeness.
    range_of = [between(weight, 0, MAX_WEIGHT + 1), between(factor, 0, ONE + 1)]
    prove(range_of, weight * factor < U64)
    prove([*range_of, floor(new, weight * factor, 2**16)], z3.And(new >= 0, new <= weight))
    # A factor of 1 leaves them as they are.
    refute([*range_of, weight > 0, floor(new, weight * factor, 2**16)], new < weight)


def merged(*, by: int) -> tuple[list[Any], Any, Any]:
    """The ratio of a merge, and its range; of weights up to the largest times `by`."""
    weight, other, ratio = z3.Ints("weight other ratio")
    both = weight + other
    divisor = z3.If(both < 1, 1, both)
    most = MAX_WEIGHT * by + 1
    range_of = [between(weight, 0, most), between(other, 0, most)]
    fits = z3.And(other * U32 < U64, both < U64)
    return [*range_of, floor(ratio, other * U32, divisor)], fits, z3.And(ratio >= 0, ratio <= U32)


def test_a_merged_row_is_between_the_two() -> None:
    assumptions, fits, in_range = merged(by=1)
    prove(assumptions, fits)
    prove(assumptions, in_range)
    refute(merged(by=2)[0], fits)
    share, theirs, ratio, product, moved = z3.Ints("share theirs ratio product moved")
    difference = theirs - share
    range_of = [
        between(share, 0, SHARES + 1),
        between(theirs, 0, SHARES + 1),
        between(ratio, 0, U32 + 1),
    ]
    prove(range_of, between(difference * ratio, -I64, I64))
    # The product is between 0 and 2^32 differences, whichever sign they have.
    sides = z3.If(
        difference >= 0,
        z3.And(product >= 0, product <= difference * U32),
        z3.And(product <= 0, product >= difference * U32),
    )
    prove(range_of, z3.substitute(sides, (product, difference * ratio)))
    low, high = z3.If(share < theirs, share, theirs), z3.If(share < theirs, theirs, share)
    new = share + moved
    claim = z3.And(new >= low, new <= high, new < U32)
    prove([*range_of[:2], sides, floor(moved, product, U32)], claim)
    # One more could leave the range.
    refute([*range_of[:2], sides, floor(moved - 1, product, U32)], claim)


def test_merged_rows_sum_to_2_to_the_30_at_most() -> None:
    """By induction: (a * (2^32 - ratio) + b * ratio) / 2^32 is at least the sum so far."""
    sums, ours, theirs, share, other, ratio, moved = z3.Ints(
        "sums ours theirs share other ratio moved"
    )
    exact = ours * (U32 - ratio) + theirs * ratio
    range_of = [share >= 0, other >= 0, between(ratio, 0, U32 + 1), sums * U32 <= exact]
    here = [moved * U32 <= (other - share) * ratio]
    after = (ours + share) * (U32 - ratio) + (theirs + other) * ratio
    prove([*range_of, *here], (sums + share + moved) * U32 <= after)
    most = [between(ours, 0, SHARES + 1), between(theirs, 0, SHARES + 1)]
    prove([*most, *range_of], sums <= SHARES)


def test_a_merged_weight_is_cut() -> None:
    weight, other = z3.Ints("weight other")
    range_of = [between(weight, 0, MAX_WEIGHT + 1), between(other, 0, MAX_WEIGHT + 1)]
    prove(range_of, weight + other < U64)
    refute(range_of, weight + other <= MAX_WEIGHT)


# --- The objective


def test_loads_of_experts_fit() -> None:
    root = 4 * isqrt(isqrt(isqrt(MAX_WEIGHT << 96)))
    assert MAX_WEIGHT << 96 < U128
    assert root < 2**18
    # Roots never fall: no lighter row has a larger scale.
    scale, gpus, share, cell = z3.Ints("scale gpus share cell")
    range_of = [between(scale, 0, root + 1), between(gpus, 1, GPUS + 1)]
    prove(range_of, scale * gpus < 2**38)
    narrow = [between(scale, 0, U32), between(share, 0, SHARES + 1)]
    prove(narrow, scale * share < 2**62 + 1)
    wide = [between(scale, 0, 2**38), between(share, 0, SHARES + 1)]
    refute(wide, scale * share < U64)
    prove(wide, scale * share < U128)
    prove([*wide, floor(cell, scale * share, SHARES)], z3.And(cell >= 0, cell <= scale))
    # Sums of all rows, and of all experts of a row: by induction no more than the scale.
    sums, shares = z3.Ints("sums shares")
    before = [sums * SHARES <= scale * shares, cell * SHARES <= scale * share]
    prove(before, (sums + cell) * SHARES <= scale * (shares + share))
    prove([wide[0], before[0], between(shares, 0, SHARES + 1)], sums <= scale)
    # So where the scale is below 2^32 after so many halvings, the sum is.
    halved, power = z3.Ints("halved power")
    halvings = [power >= 1, halved * power <= sums, sums <= scale]
    prove([*halvings, scale < U32 * power], halved < U32)
    refute([*halvings, scale <= U32 * power], halved < U32)
    assert ROWS * 2**38 < U64


def expected(rows: int) -> tuple[list[Any], Any]:
    """The sum of weighted squares: each is at most (2^30)^2 times the largest weight."""
    count, total = z3.Ints("count total")
    range_of = [between(count, 0, rows + 1), total >= 0, total <= count * SHARES**2 * MAX_WEIGHT]
    return range_of, total < U128


def test_mean_and_deviation_fit() -> None:
    prove(*expected(ROWS))
    refute(*expected(2**40))
    # A mean of numbers is not above the largest, and neither is a weighted square.
    a, b, weight, other = z3.Ints("a b weight other")
    sums = [between(a, 0, SHARES + 1), weight >= 0, other >= 0, b <= SHARES * weight]
    prove(sums, b + a * other <= SHARES * (weight + other))
    deviation = isqrt(SHARES**2)
    assert deviation * 5 < U64
    assert SHARES + deviation * 5 // 8 < 2**31


def shared(most_replicas: int) -> tuple[list[Any], Any, Any, Any, Any]:
    """The load of each of an expert's replicas, by a reciprocal that is rounded up."""
    whole, replicas, reciprocal, product, share = z3.Ints("whole replicas reciprocal product share")
    range_of = [
        between(whole, 0, U32),
        whole < replicas * START,
        between(replicas, 1, most_replicas + 1),
        reciprocal * replicas >= U32,
        reciprocal * replicas < U32 + replicas,
        # The product, and what follows of it for the replicas together.
        product == whole * reciprocal,
        product * replicas >= whole * U32,
        product * replicas <= whole * (U32 + replicas - 1),
        floor(share, product, U32),
    ]
    return range_of, share, whole, reciprocal, replicas


def test_shares_of_replicas_are_2_to_the_18_at_most() -> None:
    range_of, share, whole, reciprocal, replicas = shared(GPUS)
    prove([between(whole, 0, U32), between(reciprocal, 1, U32 + 1)], whole * reciprocal < U64)
    prove(range_of, share <= START)
    # An expert with one replica needs no reciprocal.
    prove([*range_of, replicas >= 2], reciprocal < U32)
    few, share_of_few, *_ = shared(128)
    prove(few, share_of_few < START)
    model = refute(shared(200)[0], shared(200)[1] < START)
    assert model.eval(share).as_long() == START


def test_a_share_is_no_more_than_the_whole_and_at_most_doubles() -> None:
    whole, reciprocal, share = z3.Ints("whole reciprocal share")
    range_of = [between(whole, 0, U32), between(reciprocal, 1, U32 + 1)]
    prove([*range_of, floor(share, whole * reciprocal, U32)], share <= whole)
    # With a replica less: the reciprocal at most doubles, and so does the share, but for 1.
    replicas, fewer, product, fewer_product, new = z3.Ints("replicas fewer product more new")
    counts = [between(replicas, 2, GPUS + 1), reciprocal * replicas >= U32]
    prove([*counts, (fewer - 1) * (replicas - 1) < U32, fewer >= 1], fewer <= 2 * reciprocal)
    prove([whole >= 0, fewer <= 2 * reciprocal], whole * fewer <= 2 * (whole * reciprocal))
    products = [product >= 0, fewer_product <= 2 * product]
    rounded = [floor(share, product, U32), floor(new, fewer_product, U32)]
    prove([*products, *rounded], new <= 2 * share + 1)
    refute([*products, *rounded], new <= 2 * share)


def test_loads_of_gpus_fit() -> None:
    """Whatever is on a GPU, without duplicates: by induction no more than all wholes together."""
    load, wholes, share, whole, all_wholes = z3.Ints("load wholes share whole all_wholes")
    step = [share <= whole, load <= wholes]
    prove(step, load + share <= wholes + whole)
    prove([load <= wholes, wholes <= all_wholes, all_wholes < U32], load < U32)


def squared(x: Any, most: int, name: str) -> tuple[list[Any], Any]:
    """x * x / 2^16 rounded down, of x up to the most."""
    square = z3.Int(name)
    return [between(x, 0, most), floor(square, x * x, 2**16)], square


def test_powers_and_slopes_fit() -> None:
    x = z3.Int("x")
    most = LOAD_LIMIT
    for limit in (2**24, 2**32, 2**48):
        prove([between(x, 0, most)], x * x < U64)
        assumptions, square = squared(x, most, "square")
        prove(assumptions, z3.And(square >= 0, square < limit))
        refute(assumptions, square < limit - limit // 1024)
        most = limit
    # The slope: the third power beside the fourth.
    second, third, fourth, result = z3.Ints("second third fourth result")
    cubes = [between(second, 0, 2**24), between(x, 0, LOAD_LIMIT)]
    prove([*cubes, floor(third, second * x, 2**16)], third < 2**28)
    prove([between(third, 0, 2**28), between(fourth, 0, 2**32)], third * fourth < U64)
    sevenths = [between(third, 0, 2**28), between(fourth, 0, 2**32)]
    prove([*sevenths, floor(result, fourth * third, 2**16)], result < 2**44)


def test_potentials_fit() -> None:
    power, beyond, gpus = z3.Ints("power beyond gpus")
    prove([between(power, 0, 2**48)], ROWS * power < U64)
    # Of loads of any size.
    range_of = [between(power, 0, 2**48), between(beyond, 0, U32)]
    prove(range_of, ROWS * (power + beyond * 2**26) < U64)
    refute(range_of, ROWS * (power + beyond * 2**27) < U64)
    # When a search may begin, before it is known whether there is headroom.
    assumptions, second = squared(z3.Int("x"), START, "second")
    prove(assumptions, second < 2**20)
    assumptions, fourth = squared(z3.Int("x"), 2**20, "fourth")
    prove(assumptions, fourth < 2**24)
    assumptions, eighth = squared(z3.Int("x"), 2**24, "eighth")
    prove(assumptions, eighth < 2**32)
    prove(
        [between(power, 0, 2**32), between(gpus, 1, GPUS + 1)],
        gpus * (ROWS * power) < U64,
    )
    refute([between(power, 0, 2**48), between(gpus, 1, GPUS + 1)], gpus * (ROWS * power) < U64)


def test_the_sum_after_a_move_fits() -> None:
    """A reassignment changes every GPU with one of two experts: each load at most doubles, but for 1.

    Of every load its power and that of twice the load, by trying all.
    """

    def powers(loads: np.ndarray[Any, np.dtype[np.uint64]]) -> Any:
        fourth = (loads * loads >> 16) ** 2 >> 16
        return fourth * fourth >> 16

    loads = np.arange(LOAD_LIMIT // 2, dtype=np.uint64)
    rise = powers(2 * loads + 1).astype(np.int64) - 512 * powers(loads).astype(np.int64)
    most = int(rise.max())
    before, here, others = z3.Ints("before here others")
    # At most 32 rows of 2^20 GPUs; and the GPU of the slot, whose load may rise from nothing.
    range_of = [between(before, 0, HEADROOM), between(here, 0, ROWS * 2**48)]
    prove([*range_of, others <= 512 * before + ROWS * GPUS * most], here + others < U64)


def test_comparisons_of_gains_fit() -> None:
    gain, other, copies, slots, price = z3.Ints("gain other copies slots price")
    range_of = [between(gain, 0, HEADROOM), between(other, 0, HEADROOM), between(copies, 1, 3)]
    limits = [between(slots, 1, SLOTS + 1), between(price, 0, U32)]
    # With the price; of two moves in a layer; of moves in two layers.
    prove([*range_of, *limits], gain * (10**6 * slots) < U128)
    prove([*range_of, *limits], 8 * price * copies * HEADROOM < U128)
    prove(range_of, gain * copies < U64)
    prove(range_of, gain * other < 2**94)
    prove([between(gain, 0, 2**94), range_of[2]], gain * copies < U128)
    prove(limits, slots * price < U64)


# --- The screen: 16 and 32 bits


def test_estimates_fit_32_bits() -> None:
    slope, share, felt = 2**11 - 1, 2**15 - 1, 2**15
    # Of all rows.
    assert ROWS * slope * share < 2**31
    assert (ROWS + 1) * slope * share > 2**31
    less, more, given, relief, added, bent = z3.Ints("less more given relief added bent")
    range_of = [between(x, -felt, felt) for x in (less, more, given, relief, added)]
    # x * x / 2^16 times the curvature, on two GPUs.
    here, there = z3.Ints("here there")
    curved = [between(x, 0, 2**14 + 1) for x in (here, there)]
    prove(curved, 16383 * here + 16383 * there < 2**31)
    bend = [*curved, bent == 16383 * here + 16383 * there]
    prove([*range_of, *bend], less - more - bent > -(2**31))
    prove([*range_of, *bend], given + relief - added - bent > -(2**31))
    prove([*range_of, bent >= 0], given + relief - added - bent < 2**31)
    refute([*range_of, bent >= 0], less - more - bent < 2**15)
    # A position on a GPU, which holds no expert twice.
    assert constant("limits.rs", "MAX_EXPERTS") < 2**15
