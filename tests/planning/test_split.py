"""The best shares of replicas: beside a linear program, and from the definitions in fractions."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING, Any

import eplb
import highspy
import numpy as np
import pytest
import real_loads
from eplb import _core
from eplb.inputs.loads import canonical_loads
from hypothesis import given
from hypothesis import strategies as st
from problems import LOADS, batches, examples

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Table = npt.NDArray[Any]


@st.composite
def clusters(draw: st.DrawFn, experts: int) -> eplb.Cluster:
    """GPUs with room for so many experts: equal ones, or any, of which the last one is in use."""
    gpus = draw(st.integers(1, 5))
    if draw(st.booleans()):
        return eplb.Cluster.uniform(gpus, -(-experts // gpus) + draw(st.integers(0, 3)))

    def each(values: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(values, min_size=gpus, max_size=gpus))

    slots, speeds = each(st.integers(0, 3)), each(st.integers(1, 5) | st.just(65_521))
    unused = draw(st.sets(st.integers(0, gpus - 1)))
    dead = draw(st.sets(st.sampled_from(sorted(unused)))) if unused else set()
    more = draw(st.integers(experts, experts + 3))
    return eplb.Cluster(
        [*slots, more],
        gpu_speed=[*speeds, draw(st.integers(1, 5))],
        dead_gpus=dead,
        drain_gpus=unused - dead,
    )


@st.composite
def placements(
    draw: st.DrawFn, most_experts: int = 7, loads: str | None = None
) -> tuple[eplb.Plan, Table]:
    """A placement of any kind, duplicates and empty slots included, and loads."""
    experts, layers = draw(st.integers(1, most_experts)), draw(st.integers(1, 3))
    cluster = draw(clusters(experts))
    usable = np.flatnonzero(cluster.used[cluster.gpu_of_slot])
    more = st.lists(st.integers(-1, experts - 1), min_size=len(usable) - experts)
    table = np.full((layers, cluster.num_slots), -1)
    for row in table:
        row[usable] = draw(st.permutations([*range(experts), *draw(more)][: len(usable)]))
    kind = loads or draw(st.sampled_from(list(LOADS)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    plan = eplb.Plan.from_phy2log(table, cluster=cluster)
    return plan, LOADS[kind](random, (layers, experts))


def gpus_of(plan: eplb.Plan, layer: int) -> list[set[int]]:
    """The GPUs that hold each expert."""
    holders: list[set[int]] = [set() for _ in range(plan.num_experts)]
    for expert, gpu in zip(
        plan.phy2log[layer].tolist(), plan.cluster.gpu_of_slot.tolist(), strict=True
    ):
        if expert >= 0:
            holders[expert].add(gpu)
    return holders


def least_time(load: list[int], holders: list[set[int]], speeds: list[int]) -> Fraction:
    """The naive twin: what a set of experts puts on its GPUs at least, by speed, over all sets."""
    least = Fraction(0)
    for size in range(1, len(load) + 1):
        for chosen in combinations(range(len(load)), size):
            speed = sum(speeds[gpu] for gpu in set.union(*(holders[e] for e in chosen)))
            least = max(least, Fraction(sum(load[expert] for expert in chosen), speed))
    return least


def solved(load: list[int], holders: list[set[int]], speeds: list[int]) -> float:
    """The least largest GPU load by speed, of all load and the largest speed, by HiGHS.

    That is a solver of linear programs.
    """
    total, fastest = sum(load), max(speeds)
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    model.setOptionValue("threads", 1)
    peak = model.addVariable(lb=0)
    on = {(e, g): model.addVariable(lb=0) for e, gpus in enumerate(holders) for g in sorted(gpus)}
    for expert, gpus in enumerate(holders):
        share = load[expert] / total
        model.addConstr(sum(on[expert, gpu] for gpu in sorted(gpus)) == share)
    for gpu, speed in enumerate(speeds):
        held = [variable for (_, on_gpu), variable in on.items() if on_gpu == gpu]
        if held:
            model.addConstr(sum(held) <= speed / fastest * peak)
    model.minimize(peak)
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(model.val(peak))


def canonical(load: Table) -> list[list[int]]:
    return canonical_loads(load).values().tolist()  # type: ignore[no-any-return]


def loads_of_gpus(split: eplb.Split, loads: list[list[int]]) -> list[list[Fraction]]:
    """What every GPU carries, in canonical loads, from numerators and denominators."""
    plan = split.plan
    gpu_of = plan.cluster.gpu_of_slot.tolist()
    carried = [[Fraction(0)] * plan.num_gpus for _ in loads]
    tables = (plan.phy2log.tolist(), split.numerators.tolist(), split.denominators.tolist())
    for layer, (row, numerators, denominators) in enumerate(zip(*tables, strict=True)):
        sums = [0] * plan.num_experts
        for slot, (expert, numerator) in enumerate(zip(row, numerators, strict=True)):
            assert 0 <= numerator < 2**63
            if expert < 0:
                assert numerator == 0
                continue
            sums[expert] += numerator
            share = Fraction(numerator, denominators[expert])
            carried[layer][gpu_of[slot]] += loads[layer][expert] * share
        assert sums == denominators
        assert min(denominators) >= 1
    return carried


@given(placements())
def test_the_split_is_the_best_and_says_why(case: tuple[eplb.Plan, Table]) -> None:
    plan, load = case
    split, loads = plan.split(load), canonical(load)
    assert split.verify(load).startswith("verified")
    for layer, (row, carried) in enumerate(zip(loads, loads_of_gpus(split, loads), strict=True)):
        holders = gpus_of(plan, layer)
        speeds = plan.cluster.gpu_speed.tolist()
        least = least_time(row, holders, speeds)
        times = [load / speed for load, speed in zip(carried, speeds, strict=True)]
        assert max(times) == least
        _, busy, exponent, (attained, bound, equal, mean) = split._split.claims[layer]
        assert Fraction(*attained) == Fraction(*bound) == least <= Fraction(*equal)
        assert Fraction(*mean) == Fraction(sum(row), plan.cluster.total_speed) <= least
        theirs = [load for load, gpus in zip(row, holders, strict=True) if gpus <= {*busy}]
        assert Fraction(sum(theirs), sum(speeds[gpu] for gpu in busy)) == least
        # The floats are rounded from these.
        scale = Fraction(2) ** -exponent
        assert split.attained[layer] == split.lower_bound[layer] == nearest(least * scale)
        assert split.gpu_load[layer].tolist() == [nearest(load * scale) for load in carried]
        if sum(row):
            assert split.balancedness[layer] == float(Fraction(*mean) / least)
        shares = zip(plan.phy2log[layer], split.numerators[layer], split.shares[layer], strict=True)
        for expert, numerator, share in shares:
            if expert >= 0:
                assert share == int(numerator) / int(split.denominators[layer, expert])


def nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


@given(placements(most_experts=12, loads="counts"))
def test_a_linear_program_attains_the_same(case: tuple[eplb.Plan, Table]) -> None:
    plan, load = case
    split = plan.split(load)
    for layer, row in enumerate(load.tolist()):
        if sum(row):
            speeds = plan.cluster.gpu_speed.tolist()
            best = solved(row, gpus_of(plan, layer), speeds)
            attained = split.attained[layer] / sum(row) * max(speeds)
            assert attained == pytest.approx(best, rel=1e-7)


@given(batches())
def test_plans_are_split_no_worse_than_equally(case: tuple[Table, dict[str, Any]]) -> None:
    load, sizes = case
    plan = eplb.plan(load, **sizes, policy="deepseek")
    split = plan.split(load)
    assert (split.balancedness >= split.balancedness_of_equal_shares).all()
    # Up to 16 replicas, certificates are of exact shares.
    exact = plan.logcnt.max(axis=1) <= 16
    assert (split.balancedness_of_equal_shares == plan.balancedness)[exact].all()
    assert split.verify(load).startswith("verified")


@given(placements(most_experts=12, loads="counts"), st.integers(1, 1000))
def test_scaled_loads_change_no_share(case: tuple[eplb.Plan, Table], scale: int) -> None:
    plan, load = case
    split, scaled = plan.split(load), plan.split(load * scale)
    assert (split.shares == scaled.shares).all()
    assert (split.numerators == scaled.numerators).all()
    assert split.busy_gpus == scaled.busy_gpus
    assert (plan.split(load / 1024).numerators == split.numerators).all()


@given(placements(most_experts=12), st.randoms(use_true_random=False))
def test_shares_follow_the_experts(case: tuple[eplb.Plan, Table], random: Any) -> None:
    plan, load = case
    new = list(range(plan.num_experts))
    random.shuffle(new)
    renamed = np.array([*new, -1])[plan.phy2log]
    there = np.empty_like(load)
    there[:, new] = load
    split = plan.split(load)
    moved = eplb.Plan.from_phy2log(renamed, cluster=plan.cluster).split(there)
    assert (moved.numerators == split.numerators).all()
    assert (moved.denominators[:, new] == split.denominators).all()


def test_by_hand() -> None:
    # Experts 0 and 1 are on GPUs 0 and 1; GPU 1 has expert 2 alone, and GPU 2 the idle expert 3.
    plan = eplb.Plan.from_phy2log([[0, 1, -1, 0, 1, 2, 3, 3, -1]], num_gpus=3)
    split = plan.split([[6, 4, 4, 0]])
    # 14 on GPUs 0 and 1: 7 each instead of 5 and 9. Two of expert 0 or 1 move, the first in the order of
    # slots.
    assert split.numerators.tolist() == [[5, 1, 0, 1, 1, 1, 1, 1, 0]]
    assert split.denominators.tolist() == [[6, 2, 1, 2]]
    assert split.shares.tolist() == [[5 / 6, 0.5, 0.0, 1 / 6, 0.5, 1.0, 0.5, 0.5, 0.0]]
    assert split.gpu_load.tolist() == [[7, 7, 0]]
    assert split.attained.tolist() == split.lower_bound.tolist() == [7]
    assert split.busy_gpus == [[0, 1]]
    assert split.balancedness.tolist() == [2 / 3]
    assert split.balancedness_of_equal_shares.tolist() == [14 / 27]
    table = [[5 / 6, 1 / 6], [0.5, 0.5], [1, 0], [0.5, 0.5]]
    assert split.dispatch_probabilities().tolist() == [table]
    assert str(split).splitlines() == [
        "Split of 1 layer: 4 experts in 9 slots on 3 GPUs",
        f"  of plan       {plan.digest()}",
        "  balancedness  mean 0.6667, worst 0.6667 (layer 0)",
        "    if equal    mean 0.5185, worst 0.5185 (layer 0)",
        "  gain          mean 14.81 points, largest 14.81 (layer 0)",
        "                no other shares of this placement are better",
        "  bound by      experts that only 2 GPUs hold (1 layer)",
        "  shares        1 of 3 replicated experts have unequal shares",
    ]
    assert repr(split) == (
        f"<eplb.Split of plan {plan.digest()}: 1 layer, "
        "1 of 3 replicated experts have unequal shares>"
    )


def test_one_replica_each_and_no_load_have_equal_shares() -> None:
    plan = eplb.Plan.from_phy2log([[0, 1, 2, 3], [3, 2, 1, 0]], num_gpus=2)
    split = plan.split([[3, 1, 4, 1], [5, 9, 2, 6]])
    assert (split.numerators == 1).all()
    assert (split.denominators == 1).all()
    assert (split.balancedness == split.balancedness_of_equal_shares).all()
    assert "0 of 0 replicated experts" in str(split)
    plan = eplb.Plan.from_phy2log([[0, 1, 1, 0], [0, 0, 0, 1]], num_gpus=2)
    split = plan.split([[0, 0], [0, 0]])
    assert (split.numerators == 1).all()
    assert split.denominators.tolist() == [[2, 2], [3, 1]]
    assert split.balancedness.tolist() == [1, 1]
    assert "no load" in str(split)
    assert split.verify([[0, 0], [0, 0]])
    some = plan.split([[0, 0], [1, 2]])
    assert "no load       1 layer, not counted below" in str(some)
    assert some.loaded.tolist() == [False, True]


def planned() -> tuple[eplb.Plan, Table]:
    load = real_loads.windows("olmoe-1b-7b_experts4bit_alpaca-like_1024ex_counts")[:2]
    return eplb.plan(load[0], num_gpus=8, num_replicas=80), load[1].astype(np.int64)


def test_several_windows_are_summed_and_of_a_history_the_newest_counts() -> None:
    plan, load = planned()
    windows = np.stack([load, load[:, ::-1]])
    split = plan.split(windows)
    assert split == plan.split(windows.sum(axis=0))
    assert "figures       of the sum of 2 windows" in str(split)
    history = eplb.LoadHistory()
    history.observe(windows)
    newest = plan.split(history)
    assert newest == plan.split(load[:, ::-1])
    assert "figures       of the newest of 2 windows" in str(newest)
    assert newest.verify(history) == split.verify(windows)
    assert "figures" not in str(plan.split([load]))
    with pytest.raises(eplb.LoadError):
        plan.split([])


def test_a_split_is_a_value() -> None:
    plan, load = planned()
    split = plan.split(load)
    again = pickle.loads(pickle.dumps(split))
    assert again == split
    assert str(again) == str(split)
    assert again.verify(load) == "verified: shares, GPU loads and bounds of 16 layers"
    assert split != plan.split(load + 1)
    assert split != "a split"
    assert split == plan.split(load, threads=3)
    with pytest.raises(TypeError):
        hash(split)
    for array in (
        split.numerators,
        split.denominators,
        split.shares,
        split.gpu_load,
        split.attained,
        split.lower_bound,
        split.balancedness,
        split.balancedness_of_equal_shares,
        split.loaded,
        split.dispatch_probabilities(),
    ):
        assert not array.flags.writeable
    assert split.numerators.dtype == split.denominators.dtype == np.int64
    assert all(len(line) <= 80 for line in str(split).splitlines())


def test_probabilities_are_in_the_layout_of_log2phy() -> None:
    plan, load = planned()
    split = plan.split(load)
    for width in ("max", "static"):
        probabilities = split.dispatch_probabilities(width)
        log2phy = plan.log2phy(width)
        assert probabilities.shape == log2phy.shape
        assert (probabilities[log2phy < 0] == 0).all()
        assert np.allclose(probabilities.sum(axis=2), 1, rtol=0, atol=1e-15)
        for layer, expert, rank in np.argwhere(log2phy >= 0)[::7]:
            slot = log2phy[layer, expert, rank]
            assert probabilities[layer, expert, rank] == split.shares[layer, slot]
    with pytest.raises(eplb.EplbError, match="'max' or 'static'"):
        split.dispatch_probabilities("wide")


def test_files(tmp_path: Path) -> None:
    plan, load = planned()
    split = plan.split(load)
    split.save(tmp_path / "split.json")
    values = json.loads((tmp_path / "split.json").read_text())
    assert values == split.to_dict()
    assert (values["format"], values["plan"]) == ("eplb split", plan.digest())
    split.save(tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz", allow_pickle=False) as arrays:
        rest = json.loads(str(arrays["split"]))
        tables = {name: arrays[name] for name in arrays.files if name != "split"}
    assert (tables["numerators"] == split.numerators).all()
    assert (tables["dispatch_probabilities"] == split.dispatch_probabilities()).all()
    assert {**rest, **{name: table.tolist() for name, table in tables.items()}} == values
    with pytest.raises(eplb.EplbError, match=r"'split.csv' is not .* expected .json or .npz"):
        split.save(tmp_path / "split.csv")


def test_other_loads_are_refused() -> None:
    plan, load = planned()
    with pytest.raises(eplb.LoadError, match="the loads have 16 layers x 8 experts, but the plan"):
        plan.split(load[:, :8])
    with pytest.raises(eplb.EplbError, match="threads=0"):
        plan.split(load, threads=0)
    split = plan.split(load)
    with pytest.raises(eplb.VerificationError, match="the split is for other loads"):
        split.verify(load + 1)
    # The same canonical loads, of another scale.
    with pytest.raises(eplb.VerificationError, match="a multiple of these"):
        split.verify(load * 2)


def test_false_splits_are_refused() -> None:
    plan, load = planned()
    core = plan.split(load)._split
    loads = canonical_loads(load)
    true = [
        core.numerators(),
        core.denominators(),
        core.gpu_load(),
        core.claims,
        core.loads_sha256,
    ]
    _core.verify_split(plan.placement, _core.Split(*true), loads)  # type: ignore[arg-type]

    def says(column: int, value: Any) -> str:
        columns = [*true[:column], value, *true[column + 1 :]]
        with pytest.raises(eplb.VerificationError) as error:
            _core.verify_split(plan.placement, _core.Split(*columns), loads)
        return str(error.value)

    one_more = core.numerators()
    one_more[3, 5] += 1
    assert says(0, one_more).startswith(f"layer 3, expert {plan.phy2log[3, 5]}: the numerators sum")
    heavier = core.gpu_load()
    heavier[2, 1] += 1
    assert says(2, heavier).startswith("layer 2: the split says that GPU 1 carries")
    unit, busy, exponent, (attained, bound, equal, mean) = core.claims[0]
    for claims, text in (
        ((unit, busy, exponent, [equal, bound, equal, mean]), "no GPU takes as long"),
        ((unit, busy, exponent, [mean, bound, equal, mean]), "the split says that it attains"),
        ((unit, busy, exponent, [attained, mean, equal, mean]), "the split says that the bound"),
        ((unit, busy[1:], exponent, [attained, bound, equal, mean]), "the split says that the bo"),
        ((unit, busy, exponent, [attained, bound, attained, mean]), "GPU"),
        ((0, busy, exponent, [attained, bound, equal, mean]), "loads of 8 GPUs in units of 1/0"),
    ):
        assert says(3, [claims, *core.claims[1:]]).startswith(f"layer 0: {text}")
    with pytest.raises(TypeError, match="every table needs 16 layers"):
        _core.Split(core.numerators()[:1], *true[1:])  # type: ignore[arg-type]
    out_of_range = (unit, busy, exponent, [(1, 0), bound, equal, mean])
    with pytest.raises(ValueError, match="1/0 is out of range"):
        _core.Split(*true[:3], [out_of_range, *core.claims[1:]], true[4])  # type: ignore[call-arg,arg-type]
    other = eplb.plan(load, num_gpus=8, num_replicas=72)
    with pytest.raises(eplb.VerificationError, match="of another placement"):
        core.shares(other.placement)


@pytest.mark.parametrize("name", real_loads.TOPOLOGIES)
def test_real_loads(name: str) -> None:
    windows = real_loads.windows(name)
    for sizes in real_loads.TOPOLOGIES[name]:
        load = real_loads.total(name)
        plan = eplb.plan(windows[0], **sizes, policy="deepseek")
        split = plan.split(load)
        assert split.verify(load).startswith("verified")
        assert (split.balancedness >= split.balancedness_of_equal_shares).all()
        assert (split.lower_bound == split.attained).all()


@examples(60)
@given(placements(loads="any integer"), st.integers(2, 50))
def test_threads_change_nothing(case: tuple[eplb.Plan, Table], threads: int) -> None:
    plan, load = case
    assert plan.split(load, threads=threads) == plan.split(load)
