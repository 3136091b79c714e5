"""Proofs by z3: of all real loads at fixed small sizes, of all integers in range.

A claim is proved where its assumptions can be met and cannot be met beside its negation. Beside the
proofs stand statements that are false, which the same machinery refutes: it can fail.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, permutations, product
from typing import TYPE_CHECKING, Any

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
