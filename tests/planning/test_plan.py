"""What a plan says of itself."""

from __future__ import annotations

import math
import re
import warnings
from fractions import Fraction
from typing import Any

import eplb
import numpy as np
import pytest
import torch
from eplb import _core
from eplb.engines import METRICS
from eplb.summary import at_most

LOAD = np.random.default_rng(2).integers(1, 99, (3, 12))
PLAN = eplb.plan(LOAD, num_gpus=4, num_replicas=16, num_groups=4, num_nodes=2)


def test_shapes_and_types() -> None:
    assert (PLAN.num_layers, PLAN.num_experts, PLAN.num_replicas) == (3, 12, 16)
    assert (PLAN.num_gpus, PLAN.num_groups, PLAN.num_nodes, PLAN.is_global) == (4, 4, 2, False)
    assert PLAN.policy == "minimax"
    for name, shape in {
        "phy2log": (3, 16),
        "rank": (3, 16),
        "logcnt": (3, 12),
        "duplicates": (3,),
        "gpu_load": (3, 4),
        "balancedness": (3,),
        "lower_bound": (3,),
        "gap": (3,),
    }.items():
        array = getattr(PLAN, name)
        assert array.shape == shape
        assert array.dtype == (np.float64 if array.dtype.kind == "f" else np.int64)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_log2phy_is_read_only_too() -> None:
    with pytest.raises(ValueError, match="read-only"):
        PLAN.log2phy()[0] = 0


def test_the_trivial_plan_starts_over_where_experts_end() -> None:
    trivial = eplb.plan([[3, 2, 1]], num_gpus=4, num_replicas=8).trivial()
    assert trivial.phy2log.tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]


@pytest.mark.parametrize("call", ["plan", "rebalance_experts"])
def test_threads_reach_the_core(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def record(*arguments: Any) -> Any:
        asked.append(arguments[-1])
        return core_plan(*arguments)

    core_plan = _core.plan
    monkeypatch.setattr(_core, "plan", record)
    if call == "plan":
        eplb.plan(LOAD, num_gpus=4, threads=3)
        eplb.plan(LOAD, num_gpus=4)
    else:
        eplb.rebalance_experts(LOAD, 12, 1, 1, 4, threads=3)
        eplb.rebalance_experts(LOAD, 12, 1, 1, 4)
    assert asked == [3, 1]


def test_tables_agree() -> None:
    for width, size in (("max", int(PLAN.logcnt.max())), ("static", 16 - 12 + 1)):
        log2phy = PLAN.log2phy(width)  # type: ignore[arg-type]
        assert log2phy.shape == (3, 12, size)
        for layer in range(3):
            for slot in range(16):
                expert, rank = PLAN.phy2log[layer, slot], PLAN.rank[layer, slot]
                assert log2phy[layer, expert, rank] == slot
        assert ((log2phy >= 0).sum(axis=2) == PLAN.logcnt).all()


def test_loads_are_in_the_unit_of_the_input() -> None:
    shares = LOAD / PLAN.logcnt
    expected = np.take_along_axis(shares, PLAN.phy2log, axis=1).reshape(3, 4, 4).sum(axis=2)
    np.testing.assert_allclose(PLAN.gpu_load, expected, rtol=1e-9)
    highest = PLAN.gpu_load.max(axis=1)
    np.testing.assert_allclose(PLAN.balancedness, expected.mean(axis=1) / highest, rtol=1e-9)
    np.testing.assert_allclose(PLAN.gap, highest / PLAN.lower_bound - 1, atol=1e-12)
    assert set(PLAN.bound) <= {"mean", "adams", "node"}


def test_what_is_done_to_a_table_leaves_the_plan_alone() -> None:
    plan = eplb.plan(LOAD, num_gpus=4)
    digest, certificate = plan.digest(), plan.certificate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that numpy would not allow it
        tensor = torch.from_numpy(plan.phy2log)
    tensor.fill_(10**9)
    assert plan.digest() == digest
    assert eplb.evaluate(plan, LOAD).certificate == certificate


def test_a_table_becomes_a_tensor_without_a_warning() -> None:
    plan = eplb.plan(LOAD, num_gpus=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch.tensor(plan.phy2log)
    assert tensor.tolist() == plan.phy2log.tolist()


@pytest.mark.parametrize("gap", [30, 50, 1e18, 1e300])
@pytest.mark.parametrize("effort", ["fast", "default", "best"])
def test_any_gap_may_be_the_target(gap: float, effort: str) -> None:
    for groups, nodes in ((1, 1), (4, 2)):
        plan = eplb.plan(
            LOAD,
            num_gpus=4,
            num_groups=groups,
            num_nodes=nodes,
            target_gap=gap,
            effort=effort,
        )
        assert eplb.verify(plan, LOAD).startswith("verified")


def test_duplicates() -> None:
    plan = eplb.Plan.from_phy2log([[0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 0]], num_gpus=2)
    assert plan.duplicates.tolist() == [4, 2]


def test_a_layer_without_load() -> None:
    load = np.array([[0, 0, 0, 0], [4, 3, 2, 1]])
    for policy in eplb.POLICIES:
        plan = eplb.plan(load, num_gpus=2, num_replicas=6, policy=policy)
        assert plan.balancedness[0] == 1.0
        assert plan.gap[0] == 0.0
        assert plan.gpu_load[0].tolist() == [0.0, 0.0]
        as_published = policy in ("deepseek", "adaptive")
        assert plan.logcnt[0].tolist() == ([3, 1, 1, 1] if as_published else [2, 2, 1, 1])
        assert "1 layer" in str(plan)
        eplb.verify(plan, load)
    assert "no load" in str(eplb.plan(load * 0, num_gpus=2))


def test_metrics_worked_by_hand() -> None:
    """Two GPUs with 3 and 1, 6 and 2, and a layer without load."""
    plan = eplb.plan([[3, 1], [2, 6], [0, 0]], num_gpus=2)
    figures = {name: metric.of(plan.gpu_load) for name, metric in METRICS.items()}
    assert figures == {
        "vllm": pytest.approx((2 + 4) / (3 + 6)),
        "sglang": pytest.approx((2 / 3 + 4 / 6 + 1) / 3),
        "trtllm": pytest.approx(3 / 2 - 1),
        "ascend": pytest.approx(3 / 2),
    }
    uneven = eplb.plan([[3, 1], [1, 1]], num_gpus=2)
    assert METRICS["vllm"].of(uneven.gpu_load) == pytest.approx((2 + 1) / (3 + 1))
    assert METRICS["sglang"].of(uneven.gpu_load) == pytest.approx((2 / 3 + 1) / 2)
    assert METRICS["ascend"].of(uneven.gpu_load) == pytest.approx((3 / 2 + 1) / 2)
    nothing = eplb.plan([[0, 0]], num_gpus=2)
    assert {metric.of(nothing.gpu_load) for metric in METRICS.values()} == {None}


def test_metrics_of_windows_are_means_worked_by_hand() -> None:
    """Even on the sum. A window without load, and one whose loads are tiny, change nothing."""
    first, second = [[4, 0], [3, 1]], [[0, 4], [0, 0]]
    placed = eplb.Plan.from_phy2log([[0, 1], [0, 1]], num_gpus=2)
    windows = np.array([first, second, np.zeros((2, 2))])
    for scale in (1, 1e-300):
        figures = eplb.evaluate(placed, windows * np.array([1, scale, 1])[:, None, None])
        assert {name: metric.of(figures.gpu_load) for name, metric in METRICS.items()} == {
            "vllm": pytest.approx(((2 + 2) / (4 + 3) + 2 / 4) / 2),
            "sglang": pytest.approx((1 / 2 + 2 / 3 + 1 / 2 + 1) / 4),
            "trtllm": pytest.approx((1 + 1 / 2 + 1) / 3),
            "ascend": pytest.approx((2 + 3 / 2 + 2) / 3),
        }
    assert {metric.of(figures.gpu_load[2:]) for metric in METRICS.values()} == {None}


def test_the_screen_says_what_the_gap_means() -> None:
    """In words that are never better than the truth."""
    load = [[600, 560, 120, 120, 20, 10, 10, 10], [1] * 8]
    for policy in eplb.POLICIES:
        plan = eplb.plan(load, num_gpus=8, num_replicas=16, policy=policy)
        promise = re.search(r"every layer is within (.*)% of the best possible plan", str(plan))
        told = re.search(r"lower the busiest GPU by more than (.*)%", str(plan))
        assert (promise is not None) == (0 < plan.gap.max() <= 0.05)
        assert (told is not None) == (plan.gap.max() > 0.05)
        if told is not None:
            off = Fraction(repr(float(plan.gap.max() / (1 + plan.gap.max()))))
            assert 0 <= Fraction(told[1]) / 100 - off <= Fraction(1, 10**5)
        if promise is not None:
            assert 0 <= Fraction(promise[1]) / 100 - Fraction(plan.gap.max()) <= Fraction(1, 10**5)
    best = eplb.plan([[4, 3, 2, 1]], num_gpus=1)
    assert "every layer is the best possible plan\n" in str(best)


def test_the_screen_praises_no_large_gap() -> None:
    load = [[5, 5, 1, 1]]
    placed = eplb.evaluate(eplb.Plan.from_phy2log([[0, 1, 2, 3]], num_gpus=2), load)
    least = "no plan can lower the busiest GPU by more than 40.000%\n"  # 10 to 6
    assert least in str(placed)
    assert "of the best" not in str(placed)
    hot = [[60, 50, 40, 50, 60, 60, 30, 50, 0, 1, 0, 0, 0, 0, 1, 0]]
    sizes: Any = {"num_gpus": 8, "num_replicas": 24, "num_groups": 4, "num_nodes": 4}
    grouped = str(eplb.plan(hot, policy="deepseek", **sizes))
    assert least.replace("40.000", "9.091") in grouped
    assert "%\n                if groups stay on nodes\n" in grouped


def test_the_screen_tells_a_gap_above_a_twentieth_from_one_below() -> None:
    placed = eplb.Plan.from_phy2log([[0, 1, 2, 3]], num_gpus=2)
    for load, promised in (([524, 525, 476, 475], True), ([525, 526, 474, 475], False)):
        text = str(eplb.evaluate(placed, [load]))  # 4.9 % and 5.1 % above 1000
        assert ("every layer is within" in text) == promised
        assert ("no plan can lower the busiest GPU" in text) != promised
        assert max(map(len, text.splitlines())) <= 80


def test_gaps_are_never_rounded_down() -> None:
    for k in range(1, 5000):
        gap = math.nextafter(k * 1e-5, 1)
        assert Fraction(at_most(gap)[:-1]) / 100 >= Fraction(gap)
    assert at_most(0.0005) == "0.050%"


def test_the_screen_takes_what_does_not_divide_for_the_mean() -> None:
    """Of whole experts integers make a bound a hair above the mean."""
    load = np.array([[1, 1, 2, 2, 3, 3, 4, 4]]) / 3
    plan = eplb.plan(load, num_gpus=4)
    mean = plan.gpu_load[0].mean()
    assert plan.bound == ["packing"]
    assert mean < plan.lower_bound[0] < mean * (1 + 1e-6)
    assert "bound by      the mean load (1 layer)" in str(plan)
    heavy = eplb.plan([[9, 1, 1, 1]], num_gpus=2)
    assert "bound by      the packing of experts, without redundant slots (1 layer)" in str(heavy)


def test_the_screen_rounds_no_balancedness_up_to_1() -> None:
    assert "mean >0.9999, worst >0.9999" in str(eplb.plan([[10**6, 10**6 + 1]], num_gpus=2))
    assert "mean 1.0000, worst 1.0000" in str(eplb.plan([[10**6, 10**6]], num_gpus=2))


def test_the_screen_says_what_duplicates_would_gain() -> None:
    plan = eplb.plan([[3, 1, 1], [1, 1, 1], [3, 1, 1]], num_gpus=3, num_replicas=6)
    assert plan.beaten_by_duplicates.tolist() == [True, False, True]
    lower = "a published policy with duplicates is lower in 2 layers"
    assert "\n                " + lower + "\n" in str(plan)


def test_the_screen_says_what_an_operator_asks() -> None:
    text = str(PLAN)
    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "3 layers: 12 experts in 16 slots on 4 GPUs",
        "4, each whole on one of 2 nodes",
        f"mean {PLAN.balancedness.mean():.4f}, worst {PLAN.balancedness.min():.4f}",
        f"(layer {PLAN.balancedness.argmin()})",
        "the best possible plan\n                with groups on nodes",
        f"mean {PLAN.gap.mean():.3%}",
        PLAN.digest(),
    ):
        assert words in text
    trivial = eplb.evaluate(PLAN.trivial(), LOAD).balancedness
    assert f"mean {trivial.mean():.4f}, worst {trivial.min():.4f}" in text
    fallback = eplb.plan(LOAD, num_gpus=4, num_replicas=16, num_groups=3, num_nodes=2)
    assert fallback.is_global
    assert (
        "3 groups cannot be divided over 2 nodes,\n                so groups and nodes are ignored"
        in str(fallback)
    )
    assert "eplb.evaluate" in str(eplb.Plan.from_phy2log(PLAN.phy2log, num_gpus=4))
    assert repr(PLAN).startswith(f"<eplb.Plan {PLAN.digest()}: 3 layers")


def test_the_largest_gap_is_rounded_once() -> None:
    """Up, where it is shown and where it is promised."""
    load = np.random.default_rng(0).lognormal(0, 1, (6, 16))
    for layer in range(6):
        plan = eplb.plan(load[layer : layer + 1], num_gpus=4, policy="deepseek")
        worst, promised = re.findall(r"(?:worst|within) (\d+\.\d+%)", str(plan))[-2:]
        assert worst == promised
        assert float(worst[:-1]) >= 100 * plan.gap.max()


def test_one_is_not_many() -> None:
    plan = eplb.plan([[1, 2]], num_gpus=1)
    assert repr(plan).endswith(": 1 layer, 2 experts in 2 slots on 1 GPU, policy minimax>")
    assert eplb.verify(plan, [[1, 2]]).endswith("bounds of 1 layer")
    bare = eplb.Plan.from_phy2log([[0, 1]], num_gpus=1)
    assert eplb.verify(bare, [[1, 2]]).startswith("structure verified, 1 layer;")


def test_from_phy2log_blames_the_expert() -> None:
    message = (
        r"layer 0, expert 3: the expert has no slot; .* 0 to the largest, 9 in layer 0, slot 3"
    )
    with pytest.raises(eplb.VerificationError, match=message) as caught:
        eplb.Plan.from_phy2log([[0, 1, 2, 9]], num_gpus=2)
    assert (caught.value.layer, caught.value.slot, caught.value.expert) == (0, None, 3)


def test_from_phy2log_ranks_by_slot() -> None:
    for phy2log in (
        [[2, 0, 1, 0, 2, 2]],
        torch.tensor([[2, 0, 1, 0, 2, 2]]),
        np.array([[2, 0, 1, 0, 2, 2]], ">i2"),
    ):
        plan = eplb.Plan.from_phy2log(phy2log, num_gpus=2)
        assert plan.rank.tolist() == [[0, 0, 0, 1, 1, 2]]
        assert plan.logcnt.tolist() == [[2, 1, 3]]
        assert plan.policy is None


def test_digest_covers_what_an_engine_runs_and_nothing_else() -> None:
    again = eplb.Plan.from_phy2log(PLAN.phy2log, num_gpus=4, num_groups=4, num_nodes=2)
    assert again.digest() == PLAN.digest()
    others = [
        eplb.Plan.from_phy2log(PLAN.phy2log, num_gpus=4),
        eplb.Plan.from_phy2log(PLAN.phy2log, num_gpus=2, num_groups=4, num_nodes=2),
        eplb.Plan.from_phy2log(PLAN.phy2log[:2], num_gpus=4, num_groups=4, num_nodes=2),
    ]
    assert len({PLAN.digest(), *(other.digest() for other in others)}) == 4


def test_plans_compare() -> None:
    assert eplb.plan(LOAD, num_gpus=4) == eplb.plan(LOAD.tolist(), num_gpus=4)
    assert eplb.plan(LOAD, num_gpus=4) != eplb.plan(LOAD, num_gpus=4, policy="deepseek")
    assert eplb.plan(LOAD, num_gpus=4) != eplb.plan(LOAD * 2, num_gpus=4)
    assert eplb.plan(LOAD, num_gpus=4) != "a plan"
