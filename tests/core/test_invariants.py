"""What holds of every plan of every policy, and what does not.

The peak never rises at any step of any policy: that is shown inside the core, where the steps are
(`rust_core/src/kernel/probe/tests.rs`, `rust_core/src/minimax/tests`).
"""

from __future__ import annotations

import zlib
from collections import Counter
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import problems
import pytest
import specification as spec
from counts import COUNTS
from eplb.inputs.sizes import topology
from eplb.planning import policies_for
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Problem = tuple[npt.NDArray[Any], dict[str, Any]]

EFFORTS = ("fast", "default", "best")


def policies(experts: int, sizes: dict[str, Any]) -> tuple[str, ...]:
    """Those that have a plan: all, or those that may put an expert twice on a GPU."""
    fallback = sizes["num_groups"] % sizes["num_nodes"] != 0
    nodes = 1 if fallback else sizes["num_nodes"]
    distinct = sizes["num_replicas"] // sizes["num_gpus"] <= experts // nodes
    found = policies_for(topology(num_experts=experts, **sizes))
    assert found == eplb.POLICIES if distinct else {"deepseek", "adaptive"} <= set(found)
    return found


def plans(problem: Problem) -> list[eplb.Plan]:
    loads, sizes = problem
    return [eplb.plan(loads, **sizes, policy=name) for name in policies(loads.shape[1], sizes)]


@given(problems.batches())
@problems.examples(150)
def test_copies_counts_and_slots(problem: Problem) -> None:
    loads, sizes = problem
    experts = range(loads.shape[1])
    for plan in plans(problem):
        assert plan.phy2log.shape == plan.rank.shape == (len(loads), sizes["num_replicas"])
        for phy2log, rank, logcnt in zip(
            plan.phy2log.tolist(), plan.rank.tolist(), plan.logcnt.tolist(), strict=True
        ):
            wanted = [(expert, copy) for expert in experts for copy in range(logcnt[expert])]
            assert sorted(zip(phy2log, rank, strict=True)) == wanted
            assert min(logcnt) >= 1
        COUNTS["layers whose copies, ranks and counts agree"] += len(loads)


@given(problems.batches())
@problems.examples(100)
def test_the_verifier_accepts_every_plan(problem: Problem) -> None:
    for plan in plans(problem):
        assert eplb.verify(plan, problem[0]).startswith("verified: structure, GPU loads")
        highest = plan.certificate.max_load
        assert all(
            low <= high for low, high in zip(plan.certificate.lower_bound, highest, strict=True)
        )


@given(problems.batches(), st.integers(-20, 20))
@problems.examples(100)
def test_powers_of_two_change_nothing(problem: Problem, exponent: int) -> None:
    loads, sizes = problem
    loads = np.ldexp((loads % 2**24).astype(np.int64).astype(float), exponent)
    same = np.ldexp(loads, -2 * exponent), np.ldexp(loads, 900)
    for policy in policies(loads.shape[1], sizes):
        digests = {eplb.plan(each, **sizes, policy=policy).digest() for each in (loads, *same)}
        assert len(digests) == 1


@given(problems.batches(), st.integers(2, 9))
@problems.examples(60)
def test_a_batch_is_its_rows_and_threads_do_not_matter(problem: Problem, threads: int) -> None:
    loads, sizes = problem
    for together in plans(problem):
        policy: Any = together.policy
        assert eplb.plan(loads, **sizes, policy=policy, threads=threads) == together
        for layer, row in enumerate(loads):
            alone = eplb.plan(row[np.newaxis], **sizes, policy=policy)
            assert (alone.phy2log[0] == together.phy2log[layer]).all()
            assert (alone.rank[0] == together.rank[layer]).all()
            assert alone.certificate.lower_bound[0] == together.certificate.lower_bound[layer]


@st.composite
def untied(draw: st.DrawFn) -> tuple[Problem, list[int]]:
    """Loads of 39 random bits, of which no shares, sums or residuals tie, and an order of them."""
    experts, sizes = problems.SIZES["global"](draw)
    seed = draw(st.integers(0, 2**64 - 1))
    loads = np.random.default_rng(seed).integers(2**20, 2**39, (1, experts))
    return (loads, sizes), draw(st.permutations(range(experts)))


def contents(plan: eplb.Plan, names: list[int]) -> list[list[int]]:
    """The experts on each GPU by their names, as a multiset."""
    per_gpu = plan.num_replicas // plan.num_gpus
    slots = [names[expert] for expert in plan.phy2log[0].tolist()]
    gpus = [sorted(slots[at : at + per_gpu]) for at in range(0, len(slots), per_gpu)]
    return sorted(gpus)


@given(untied())
@problems.examples(150)
def test_permuted_experts_are_permuted_on_the_gpus(case: tuple[Problem, list[int]]) -> None:
    (loads, sizes), order = case
    # Shares and estimates of `multiwindow` are rounded to 16 bits, so that they tie.
    for policy in {*policies(loads.shape[1], sizes)} - {"multiwindow"}:
        before = eplb.plan(loads, **sizes, policy=policy)
        after = eplb.plan(loads[:, order], **sizes, policy=policy)
        assert contents(before, list(range(len(order)))) == contents(after, order)


def largest_shares(plan: eplb.Plan, loads: npt.NDArray[Any]) -> list[Fraction]:
    """What the heaviest copy of each layer carries, exactly."""
    canonical = [spec.canonical_row(row)[0] for row in loads.tolist()]
    rows = zip(canonical, plan.logcnt.tolist(), strict=True)
    return [max(map(Fraction, row, counts)) for row, counts in rows]


@given(problems.batches(sizes="global"), st.integers(1, 5))
@problems.examples(100)
def test_more_spares_never_raise_adams_optimum(problem: Problem, more: int) -> None:
    loads, sizes = problem
    larger: dict[str, Any] = sizes | {
        "num_replicas": sizes["num_replicas"] + more * sizes["num_gpus"]
    }
    few = largest_shares(eplb.plan(loads, **sizes, policy="deepseek"), loads)
    many = largest_shares(eplb.plan(loads, **larger, policy="deepseek"), loads)
    assert all(map(Fraction.__le__, many, few))


def target_gap(effort: str, plan: eplb.Plan) -> float:
    """The gap at which a search ends by default."""
    if effort == "best":
        return 0
    if plan.num_replicas <= 64:
        return 0.0005
    gaps = [0.005] * 5 + [0.0025] + [0.001] * 2
    gap = dict(enumerate(gaps)).get(plan.num_replicas // plan.num_gpus, 0.0005)
    return max(gap, 0.0025) if effort == "fast" and plan.num_groups == 1 else gap


def compare_with_published(loads: npt.NDArray[Any], sizes: dict[str, Any], effort: Any) -> None:
    """Fails where `minimax` is worse than it may be, and counts the layers of either kind."""
    plan = eplb.plan(loads, **sizes, policy="minimax", effort=effort)
    assert not plan.duplicates.any()
    target = target_gap(effort, plan)
    compared: tuple[Any, ...] = ("deepseek",) if effort == "fast" else ("deepseek", "adaptive")
    others = [eplb.plan(loads, **sizes, policy=policy) for policy in compared]
    for layer, (ours, gap) in enumerate(zip(plan.certificate.max_load, plan.gap, strict=True)):
        beaten = [other for other in others if other.certificate.max_load[layer] < ours]
        flagged = bool(plan.beaten_by_duplicates[layer])
        if effort == "fast" and plan.num_groups == 1:  # whatever its target
            assert all(other.duplicates[layer] > 0 for other in beaten)
        if gap <= target:  # the search ended there; no plan can be better by more than that
            assert beaten if effort == "fast" and flagged else not flagged
            COUNTS[f"minimax, {effort}: layers within the target"] += 1
            continue
        assert bool(beaten) == flagged
        assert all(other.duplicates[layer] > 0 for other in beaten)
        COUNTS[
            f"minimax, {effort}: layers {'beaten by duplicates' if flagged else 'unbeaten'}"
        ] += 1


@pytest.mark.parametrize("effort", EFFORTS)
def test_minimax_is_beaten_by_duplicates_only_and_says_so(effort: str) -> None:
    """Every row of small loads: both kinds of layer occur, in numbers."""
    for experts, replicas, gpus in [(3, 6, 3), (4, 6, 3), (4, 8, 4), (5, 8, 4), (4, 9, 3)]:
        rows = np.array(list(product(range(4), repeat=experts)))
        sizes: dict[str, Any] = {"num_replicas": replicas, "num_gpus": gpus}
        compare_with_published(rows, sizes, effort)
    assert COUNTS[f"minimax, {effort}: layers beaten by duplicates"] >= 10
    assert COUNTS[f"minimax, {effort}: layers unbeaten"] >= 10
    assert COUNTS[f"minimax, {effort}: layers within the target"] >= 10


@given(problems.batches(), st.sampled_from(EFFORTS))
@problems.examples(100)
def test_minimax_against_the_published_policies(problem: Problem, effort: str) -> None:
    loads, sizes = problem
    if "minimax" in policies(loads.shape[1], sizes):
        compare_with_published(loads, sizes, effort)


def test_the_layer_that_duplicates_serve_better() -> None:
    sizes: dict[str, Any] = {"num_replicas": 6, "num_gpus": 3}
    published = eplb.plan([[3, 1, 1]], **sizes, policy="deepseek")
    distinct = eplb.plan([[3, 1, 1]], **sizes, policy="minimax", effort="best")
    assert (published.gpu_load.max(), published.duplicates.tolist()) == (1.75, [1])
    assert distinct.gpu_load.max() == pytest.approx(11 / 6, rel=1e-15)
    assert distinct.beaten_by_duplicates.tolist() == [True]


# --- Controls -------------------------------------------------------------------------------------


class Planted:
    """A plan some of whose tables are others."""

    def __init__(self, plan: eplb.Plan, **tables: Any) -> None:
        self.__dict__ |= {"_plan": plan, **tables}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_plan"], name)


def fickle(load: npt.NDArray[Any], **options: Any) -> eplb.Plan:
    """A planner whose answer depends on scale, batch, threads, slots and the order of experts."""
    about = np.ascontiguousarray(load).tobytes() + str(options["num_replicas"]).encode()
    odd = zlib.crc32(about) % 2 or options.get("threads", 1) > 1
    return PLAN(load[:, ::-1] if odd else load, **options)


def ranked_anyhow(load: npt.NDArray[Any], **options: Any) -> Any:
    plan = PLAN(load, **options)
    return Planted(plan, rank=np.zeros_like(plan.rank))


def crowded(load: npt.NDArray[Any], **options: Any) -> Any:
    """Duplicates in the plans of `minimax`, and its word for nothing."""
    return PLAN(load, **{**options, "policy": "deepseek", "effort": "default"})


def flagged(load: npt.NDArray[Any], **options: Any) -> Any:
    plan = PLAN(load, **options)
    return Planted(plan, beaten_by_duplicates=~plan.beaten_by_duplicates)


PLAN = eplb.plan
CONTROLS: list[tuple[Callable[..., Any], Callable[[], Any]]] = [
    (ranked_anyhow, test_copies_counts_and_slots),
    (fickle, test_the_verifier_accepts_every_plan),
    (fickle, test_powers_of_two_change_nothing),
    (fickle, test_a_batch_is_its_rows_and_threads_do_not_matter),
    (fickle, test_permuted_experts_are_permuted_on_the_gpus),
    (fickle, test_more_spares_never_raise_adams_optimum),
    (crowded, test_minimax_against_the_published_policies),
    (flagged, test_minimax_against_the_published_policies),
]


@pytest.mark.parametrize(("planted", "test"), CONTROLS)
def test_control_a_planner_that_breaks_it_is_seen(
    planted: Callable[..., Any], test: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eplb, "plan", planted)
    monkeypatch.setitem(globals(), "COUNTS", Counter())  # what it looks at is not what is verified
    with pytest.raises((AssertionError, eplb.EplbError, ExceptionGroup)):
        test()


# --- What is not true -----------------------------------------------------------------------------


def test_not_true_that_adaptive_leaves_no_heavier_copy_than_deepseek() -> None:
    """A tail step that takes the second candidate leaves the heaviest copy where it is.

    Loads 1 and 3, two spares: Adams' method gives both to the 3; the tail's last goes to the 1.
    """
    loads = np.array([[1, 3]])
    sizes: dict[str, Any] = {"num_replicas": 4, "num_gpus": 1}
    adams, tail = (
        eplb.plan(loads, **sizes, policy="deepseek"),
        eplb.plan(loads, **sizes, policy="adaptive"),
    )
    assert (adams.logcnt.tolist(), tail.logcnt.tolist()) == ([[1, 3]], [[2, 2]])
    unit = 2**37  # canonical units in a load of 1
    assert largest_shares(adams, loads) == [unit]
    assert largest_shares(tail, loads) == [Fraction(3, 2) * unit]


def test_not_true_that_adaptive_always_has_the_lower_gpu_peak() -> None:
    """Both kinds of layer are found: swaps usually help, and sometimes the copies cost more."""
    loads = np.random.default_rng(1).lognormal(0, 1, (400, 16))
    sizes: dict[str, Any] = {"num_replicas": 24, "num_gpus": 8}
    by_policy = [
        eplb.plan(loads, **sizes, policy=policy).certificate.max_load
        for policy in ("deepseek", "adaptive")
    ]
    lower = sum(ours < other for other, ours in zip(*by_policy, strict=True))
    higher = sum(ours > other for other, ours in zip(*by_policy, strict=True))
    assert lower > 100
    assert higher > 10
