"""Clusters: what they say, what is planned for them, and what is refused."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb import Cluster, PlanFileError, TopologyError

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(5)
LOAD = RANDOM.lognormal(5, 0.8, (3, 20)).astype(np.int64)
#: Eight GPUs on two nodes: one dead, one draining, one without slots, two fast ones.
MIXED = Cluster(
    [5, 4, 4, 4, 0, 4, 4, 5],
    gpu_node=[0, 0, 0, 0, 1, 1, 1, 1],
    gpu_speed=[20, 10, 10, 10, 10, 10, 10, 20],
    dead_gpus=[2],
    drain_gpus=[6],
)
POLICIES = ("minimax", "multiwindow")


def test_a_cluster_says_what_it_is() -> None:
    assert (MIXED.num_gpus, MIXED.num_nodes, MIXED.num_used_nodes) == (8, 2, 2)
    assert (MIXED.num_slots, MIXED.used_slots, MIXED.total_speed) == (30, 22, 7)
    assert MIXED.gpu_speed.tolist() == [2, 1, 1, 1, 1, 1, 1, 2]
    assert MIXED.gpu_slots.tolist() == [5, 4, 4, 4, 0, 4, 4, 5]
    assert MIXED.gpu_node.tolist() == [0] * 4 + [1] * 4
    assert (MIXED.dead_gpus, MIXED.drain_gpus) == ([2], [6])
    assert MIXED.states == ["live", "live", "dead", "live", "live", "live", "draining", "live"]
    assert MIXED.used.tolist() == [True, True, False, True, False, True, False, True]
    assert MIXED.first_slot.tolist() == [0, 5, 9, 13, 17, 17, 21, 25, 30]
    assert MIXED.gpu_of_slot.tolist() == np.repeat(range(8), MIXED.gpu_slots).tolist()
    assert not MIXED.is_uniform
    words = "8 GPUs with 0 to 5 slots, 1 dead (2), 1 draining (6), speeds 1 to 2"
    assert MIXED.describe() == words
    assert repr(MIXED) == str(MIXED) == f"<eplb.Cluster: {words}>"
    with pytest.raises(ValueError, match="read-only"):
        MIXED.gpu_slots[0] = 1
    copy = pickle.loads(pickle.dumps(MIXED))
    assert copy == MIXED
    assert hash(copy) == hash(MIXED)
    assert MIXED not in (MIXED.changed(live_gpus=[2]), 8)


def test_uniform_and_even_clusters() -> None:
    uniform = Cluster.uniform(4, 3, 2)
    assert uniform == Cluster([3] * 4, gpu_node=[0, 0, 1, 1], gpu_speed=[7] * 4)
    assert uniform.is_uniform
    assert uniform.describe() == "4 GPUs with 3 slots"
    even = Cluster.even(6, 256, 2)
    assert even.gpu_slots.tolist() == [43, 43, 43, 43, 42, 42]
    assert even.gpu_node.tolist() == [0, 0, 0, 1, 1, 1]
    assert Cluster.even(3, 2).gpu_slots.tolist() == [1, 1, 0]
    assert Cluster.even(4, 12, 2) == uniform


def test_changes_make_another_cluster() -> None:
    changed = MIXED.changed(
        dead_gpus=[0], drain_gpus=[1, 2], live_gpus=[6], added_gpus=2, gpu_speed=range(1, 11)
    )
    assert changed.states[:7] == ["dead", "draining", "dead", "live", "live", "live", "live"]
    assert changed.gpu_slots.tolist() == [*MIXED.gpu_slots.tolist(), 5, 5]
    # The last node is full: it has as many GPUs as the first.
    assert changed.gpu_node.tolist() == [*MIXED.gpu_node.tolist(), 2, 2]
    assert changed.gpu_speed.tolist() == [*range(1, 11)]
    assert MIXED.changed() == MIXED
    assert MIXED.changed(added_gpus=[1, 2]).gpu_slots[8:].tolist() == [1, 2]
    assert MIXED.changed(added_gpus=1).gpu_speed[8] == 2
    assert MIXED.changed(gpu_slots=[1] * 8).num_slots == 8
    assert MIXED.first_gpus(3).gpu_slots.tolist() == [5, 4, 4]
    left = MIXED.without_unused()
    assert left == Cluster([5, 4, 4, 4, 5], gpu_node=[0, 0, 0, 1, 1], gpu_speed=[2, 1, 1, 1, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cluster([]), "num_gpus=0 is too small"),
        (lambda: Cluster([1, -1]), "gpu_slots=-1 is too small; expected at least 0"),
        (lambda: Cluster([2**21]), "gpu_slots holds 2097152 at place 0; expected at most 1048576"),
        (lambda: Cluster([1, 1], gpu_node=[0]), "gpu_node has 1 value for 2 GPUs"),
        (lambda: Cluster([1, 1], gpu_node=[1, 0]), "GPU 1 is on node 0, after GPUs of node 1"),
        (lambda: Cluster([1], gpu_speed=[0]), "gpu_speed=0 is too small; expected at least 1"),
        (lambda: Cluster([1, 1], gpu_speed=[1, 65537]), "the speed of GPU 1 is 65537"),
        (lambda: Cluster([1], dead_gpus=[1]), "dead_gpus names GPU 1; expected 0 to 0, the last"),
        (lambda: Cluster([1], drain_gpus=[-1]), "drain_gpus=-1 is too small"),
        (
            lambda: MIXED.changed(live_gpus=[2], dead_gpus=[2]),
            "GPU 2 is in live_gpus and in dead_gpus",
        ),
        (lambda: MIXED.changed(added_gpus=2**21), "added_gpus=2097152 is too large"),
        (lambda: MIXED.changed(gpu_slots=[1]), "gpu_slots has 1 value for 8 GPUs"),
        (lambda: Cluster.uniform(0, 1), "num_gpus=0 is too small"),
        (lambda: Cluster.even(2, 0), "num_replicas=0 is too small"),
        (lambda: Cluster([1.5]), "gpu_slots must be a whole number, got 1.5"),  # type: ignore[list-item]
    ],
)
def test_bad_clusters_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        make()


#: Things of other types than they should be.
ANY: Any = Cluster


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ANY(3), "gpu_slots must be a list of numbers, got 3"),
        (lambda: ANY(["a"]), "gpu_slots must be a whole number, got 'a'"),
        (
            lambda: ANY([1]).changed(dead_gpus=5),
            r"dead_gpus must be a list of GPUs, got 5; give \[5",
        ),
        (lambda: eplb.plan(LOAD, cluster=ANY), "cluster must be an eplb.Cluster, got type"),
    ],
)
def test_other_types_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("policy", POLICIES)
def test_plans_of_unequal_gpus(policy: str) -> None:
    """Valid, near the bound, and the same after a file."""
    plan = eplb.plan(LOAD, cluster=MIXED, policy=policy)
    assert plan.cluster == MIXED
    assert eplb.verify(plan, LOAD).startswith("verified: structure, GPU loads and lower bounds")
    unused = ~MIXED.used[MIXED.gpu_of_slot]
    assert (plan.phy2log[:, unused] == -1).all()
    assert (plan.phy2log[:, ~unused] >= 0).all()
    assert (plan.duplicates == 0).all()
    assert plan.balancedness.min() > 0.9
    time = plan.gpu_load / MIXED.gpu_speed
    assert np.allclose(plan.balancedness, LOAD.sum(axis=1) / 7 / time.max(axis=1))
    assert np.allclose(plan.relative_load.max(axis=1), 1 / plan.balancedness)
    assert eplb.Plan.from_dict(plan.to_dict()) == plan
    assert "cluster       8 GPUs with 0 to 5 slots, 1 dead (2), 1 draining (6)," in str(plan)
    assert "cluster       8 GPUs" in str(eplb.evaluate(plan, LOAD[:, ::-1]))
    table = eplb.Plan.from_phy2log(plan.phy2log, cluster=MIXED)
    assert (table.digest(), table.cluster) == (plan.digest(), MIXED)
    # Another cluster with the same table has another digest.
    faster = MIXED.changed(gpu_speed=[1, 1, 1, 1, 1, 1, 1, 2])
    assert eplb.Plan.from_phy2log(plan.phy2log, cluster=faster).digest() != plan.digest()


def test_a_placement_is_judged_on_other_gpus() -> None:
    """Slower ones, or without some, if nothing is done."""
    plan = eplb.plan(LOAD, num_gpus=4, num_replicas=32)
    slower = plan.cluster.changed(gpu_speed=[1, 2, 2, 2])
    judged = eplb.evaluate(plan, LOAD, cluster=slower)
    assert judged.cluster == slower
    assert (judged.phy2log == plan.phy2log).all()
    assert np.allclose(judged.gpu_load, plan.gpu_load)
    time = plan.gpu_load / slower.gpu_speed
    assert np.allclose(judged.balancedness, LOAD.sum(axis=1) / 7 / time.max(axis=1))
    assert "verified" in eplb.verify(judged, LOAD)
    windows = eplb.evaluate(plan, [LOAD, LOAD], cluster=slower)
    assert (windows.balancedness == judged.balancedness).all()
    everywhere = eplb.Plan.from_phy2log([[0, 1, 2, 0, 1, 2]], num_gpus=2)
    lost = eplb.evaluate(everywhere, [[1, 2, 3]], cluster=everywhere.cluster.changed(dead_gpus=[0]))
    assert lost.gpu_load.tolist() == [[0, 6]]
    with pytest.raises(
        eplb.VerificationError,
        match="experts of all layers are only on GPUs that are not in use, first expert",
    ):
        eplb.evaluate(plan, LOAD, cluster=plan.cluster.changed(dead_gpus=[0]))
    with pytest.raises(
        TopologyError, match="4 GPUs with 9 slots, but the plan is for 4 GPUs with 8"
    ):
        eplb.evaluate(plan, LOAD, cluster=Cluster.uniform(4, 9))


def test_policies_that_plan_equal_gpus_only() -> None:
    for policy in ("deepseek", "adaptive"):
        message = f"policy={policy} plans equal GPUs only, all of them in use"
        with pytest.raises(TopologyError, match=message):
            eplb.plan(LOAD, cluster=MIXED, policy=policy)


@pytest.mark.parametrize("policy", eplb.POLICIES)
def test_equal_gpus_are_planned_as_numbers_of_them(policy: str) -> None:
    sizes = {"num_groups": 4, "policy": policy}
    by_number = eplb.plan(LOAD, num_gpus=4, num_replicas=24, num_nodes=2, **sizes)  # type: ignore[arg-type]
    by_cluster = eplb.plan(LOAD, cluster=Cluster.uniform(4, 6, 2), **sizes)  # type: ignore[arg-type]
    assert by_cluster == by_number
    assert by_cluster.digest() == by_number.digest()
    assert by_number.cluster == Cluster.uniform(4, 6, 2)
    assert by_number.to_dict()["cluster"] is None


def test_a_cluster_stands_alone() -> None:
    for sizes in ({"num_gpus": 8}, {"num_replicas": 30}, {"num_nodes": 2}):
        (name,) = sizes
        with pytest.raises(TopologyError, match=f"{name}=.* beside a cluster.*leave out {name}"):
            eplb.plan(LOAD, cluster=MIXED, **sizes)  # type: ignore[arg-type]
        with pytest.raises(TopologyError, match=f"{name}=.* beside a cluster"):
            eplb.replan(LOAD, eplb.plan(LOAD, num_gpus=8), cluster=MIXED, **sizes)  # type: ignore[arg-type]
    with pytest.raises(TopologyError, match="give num_gpus or cluster"):
        eplb.plan(LOAD)
    with pytest.raises(TopologyError, match="20 slots, but the cluster has 30"):
        eplb.Plan.from_phy2log([[*range(20)]], cluster=MIXED)


def test_missing_slots_are_counted() -> None:
    message = "the GPUs in use have 22 slots for 23 experts.*: 1 more"
    with pytest.raises(TopologyError, match=message):
        eplb.plan(np.ones((1, 23)), cluster=MIXED)
    with pytest.raises(TopologyError, match="the GPUs in use have 0 slots for 20 experts"):
        eplb.plan(LOAD, cluster=Cluster.uniform(4, 7).changed(dead_gpus=range(4)))


def test_experts_that_gpus_do_not_divide() -> None:
    """256 experts on six GPUs without spares: the gap is proven to be small."""
    load = eplb.sampling.sample("deepseek-v3", seed=1, layers=4)
    plan = eplb.plan(load, cluster=Cluster.even(6, 256))
    assert [*map(len, np.split(plan.phy2log[0], plan.cluster.first_slot[1:-1]))] == [43] * 4 + [
        42
    ] * 2
    assert (plan.logcnt == 1).all()
    eplb.verify(plan, load)
    assert plan.gap.max() < 0.001


def test_speeds_pay() -> None:
    """Speeds that differ by 30 %: at least 0.99 of the bound, where a plan that is blind to them has 0.85."""
    load = eplb.sampling.sample("deepseek-v3", seed=2, layers=6, windows=2)
    speed = np.random.default_rng(1).integers(70, 131, 32)
    cluster = Cluster.uniform(32, 9).changed(gpu_speed=speed)
    for windows, policy in ((load[0], "minimax"), (load[:1], "multiwindow")):
        plan = eplb.plan(windows, cluster=cluster, policy=policy)
        blind = eplb.plan(windows, num_gpus=32, num_replicas=288, policy=policy)
        judged = eplb.evaluate(eplb.Plan.from_phy2log(blind.phy2log, cluster=cluster), load[0])
        assert judged.balancedness.mean() < 0.8
        assert (1 / (1 + plan.gap)).mean() >= (0.99 if policy == "minimax" else 0.97)
        assert (plan.bound != ["mean"]) or (plan.balancedness.mean() >= 0.97)


def test_the_gpus_in_use_alone_for_an_engine() -> None:
    plan = eplb.plan(LOAD, num_gpus=6, num_replicas=36, num_nodes=2, num_groups=2)
    update = eplb.replan(LOAD, plan, dead_gpus=[1], drain_gpus=[4])
    with pytest.raises(
        PlanFileError, match="in use, but the cluster has 6 GPUs with 6 slots, 1 dead"
    ):
        update.plan.save("never.json", "vllm")
    left = update.plan.without_unused_gpus()
    assert left.cluster == Cluster.uniform(4, 6, 2)
    kept = update.plan.cluster.used[update.plan.cluster.gpu_of_slot]
    assert (left.phy2log == update.plan.phy2log[:, kept]).all()
    assert (left.balancedness == update.plan.balancedness).all()
    assert (left.policy, left.options, left.made_from) == (
        update.plan.policy,
        update.plan.options,
        update.plan.made_from,
    )
    eplb.verify(left, LOAD)
    assert left.without_unused_gpus() is left
    assert eplb.replan(LOAD, left, max_moves=0).kept.all()
    with pytest.raises(
        PlanFileError, match="equally many slots, but the cluster has 3 GPUs with 8 to 9"
    ):
        eplb.plan(LOAD, cluster=Cluster([9, 8, 8]), policy="multiwindow").save("never.json", "vllm")


def test_an_engine_on_nodes_with_different_numbers_of_gpus(tmp_path: Path) -> None:
    """Groups stay on nodes in the file; dense layers have any placement."""
    plan = eplb.plan(LOAD, num_gpus=6, num_replicas=48, num_nodes=2, num_groups=4)
    for dead in (1, 5):
        left = eplb.replan(LOAD, plan, dead_gpus=[dead]).plan.without_unused_gpus()
        path = tmp_path / f"{dead}.json"
        notes = left.save(path, "sglang", layers=[1, 2, 3], num_hidden_layers=4)
        rows = json.loads(path.read_text())["physical_to_logical_map"]
        assert rows[1:] == left.phy2log.tolist()
        assert {len(row) for row in rows} == {40}
        assert any("the file has 4 layers, digest" in note for note in notes)


def test_groups_that_do_not_go_with_the_nodes_left_are_told() -> None:
    plan = eplb.plan(LOAD, num_gpus=6, num_replicas=48, num_nodes=3, num_groups=4)
    assert plan.is_global
    plan = eplb.plan(LOAD, num_gpus=6, num_replicas=48, num_nodes=2, num_groups=2)
    update = eplb.replan(LOAD, plan, dead_gpus=[0])
    assert "groups        2, each whole on one of 2 nodes" in str(update)
    assert "before the change" in str(update)
    # Nodes keep their GPUs: two more are a node of their own, or a part of one.
    more = eplb.replan(LOAD, plan, num_gpus=8)
    assert more.plan.cluster.gpu_node.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert "2 groups cannot be divided over 3 nodes" in str(more)
    for sizes in ({"num_gpus": 8, "added_gpus": 2}, {"num_replicas": 48, "gpu_slots": [8] * 6}):
        with pytest.raises(TopologyError, match=r"give .* or .*, not both"):
            eplb.replan(LOAD, plan, **sizes)


def test_the_default_placement_uses_what_is_in_use() -> None:
    trivial = eplb.plan(LOAD, cluster=MIXED, policy="multiwindow").trivial()
    used = MIXED.used[MIXED.gpu_of_slot]
    for row in trivial.phy2log:
        assert row[used].tolist() == [*range(20), 0, 1]
        assert (row[~used] == -1).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_nodes_with_different_numbers_of_gpus(policy: str) -> None:
    """Groups stay on nodes, also where the first node has a GPU more; equal GPUs by number refuse that."""
    cluster = Cluster.uniform(5, 10, 2)
    assert cluster.gpu_node.tolist() == [0, 0, 0, 1, 1]
    plan = eplb.plan(LOAD, cluster=cluster, num_groups=4, policy=policy)
    assert not plan.is_global
    assert "verified" in eplb.verify(plan, LOAD)
    nodes = cluster.gpu_node[cluster.gpu_of_slot]
    for row in plan.phy2log:
        groups = [{*(row[nodes == node] // 5).tolist()} for node in (0, 1)]
        assert [*map(len, groups)] == [2, 2]
        assert not groups[0] & groups[1]
    assert eplb.Plan.from_dict(plan.to_dict()) == plan
    assert eplb.replan(LOAD, plan, max_moves=0).plan.cluster == cluster
    smaller = eplb.replan(LOAD, plan, num_gpus=4).plan
    assert smaller.cluster.gpu_node.tolist() == [0, 0, 0, 1]
    with pytest.raises(TopologyError, match="num_gpus=5 is not divisible by num_nodes=2"):
        eplb.plan(LOAD, num_gpus=5, num_replicas=50, num_nodes=2, num_groups=4, policy=policy)
    with pytest.raises(TopologyError, match="plans equal GPUs only"):
        eplb.plan(LOAD, cluster=cluster, num_groups=4, policy="deepseek")


def test_the_certificate_of_the_gpus_in_use_alone() -> None:
    """Speeds that have a common divisor without the others: the unit of times is another one."""
    for speed in ([2, 2, 1], [4, 6, 3], [3, 2, 1]):
        cluster = Cluster([20, 20, 20], gpu_speed=speed, dead_gpus=[2])
        plan = eplb.plan(LOAD, cluster=cluster)
        for whole in (plan, eplb.Plan.from_dict(plan.to_dict())):
            left = whole.without_unused_gpus()
            assert "verified" in eplb.verify(left, LOAD)
            assert left.certified == (whole is plan or speed == [3, 2, 1])
            if left.certified:
                assert (left.balancedness == plan.balancedness).all()
                assert left.certificate == eplb.evaluate(left, LOAD).certificate


def test_the_dead_have_lost_what_they_held() -> None:
    """By the cluster of the placement in force, by their removal, and if they are back."""
    plan = eplb.plan(LOAD, num_gpus=4, num_replicas=40)
    before = plan.cluster.changed(dead_gpus=[1])
    update = eplb.replan(LOAD, plan.phy2log, previous_cluster=before, live_gpus=[1])
    assert (update.transfers().table["source_gpu"] != 1).all()
    assert update.copies.sum() >= 30
    removed = eplb.replan(LOAD, plan, num_gpus=3, dead_gpus=[3])
    assert removed.plan.cluster == Cluster.uniform(3, 10)
    assert (removed.transfers().table["source_gpu"] != 3).all()
    alive = eplb.replan(LOAD, plan, num_gpus=3)
    assert (alive.transfers().table["source_gpu"] == 3).any()
    with pytest.raises(TopologyError, match="dead_gpus names GPU 4"):
        eplb.replan(LOAD, plan, num_gpus=3, dead_gpus=[4])


def test_a_number_of_slots_that_would_do() -> None:
    plan = eplb.plan(LOAD, num_gpus=6, num_replicas=24)
    with pytest.raises(TopologyError, match="8 more; try num_replicas=42, 7 on each GPU"):
        eplb.replan(LOAD, plan, drain_gpus=range(3))
    eplb.replan(LOAD, plan, drain_gpus=range(3), num_replicas=42)
    with pytest.raises(TopologyError, match="8 more; 7 slots on each of 3 GPUs in use would do"):
        eplb.plan(LOAD, cluster=plan.cluster.changed(drain_gpus=range(3)))


def test_hostile_numbers_end_soon() -> None:
    cluster = Cluster.uniform(4, 10)
    assert cluster.changed(added_gpus=100_000).num_gpus == 100_004
    for numbers in (range(2**27), range(2**70)):
        with pytest.raises(TopologyError, match="dead_gpus has more than 1048576 numbers"):
            cluster.changed(dead_gpus=numbers)
    for gpus in (0, 5, 2**63):
        with pytest.raises(TopologyError, match="num_gpus="):
            cluster.first_gpus(gpus)


@pytest.mark.parametrize(("slowest", "reached"), [(50, 0.99), (10, 0.75)])
def test_multiwindow_beside_minimax_on_one_window(slowest: int, reached: float) -> None:
    """Seven GPUs of speed 100 and a slower one. Where that is ten times slower, `minimax` is far better."""
    random = np.random.default_rng(slowest)
    cluster = Cluster.uniform(8, 6).changed(gpu_speed=[100] * 7 + [slowest])
    loads = random.lognormal(5, 1, (40, 32)).astype(np.int64)
    ours, best = (
        eplb.plan(loads, cluster=cluster, policy=policy).balancedness for policy in POLICIES[::-1]
    )
    assert (ours / best).mean() == pytest.approx(reached, abs=0.01)


def test_a_drained_gpu_that_dies_changes_nothing() -> None:
    """Nothing lives there, so nothing is lost, and nothing moves."""
    plan = eplb.plan(LOAD, num_gpus=4, num_replicas=32)
    drained = eplb.replan(LOAD, plan, drain_gpus=[2])
    assert (drained.plan.phy2log[:, 16:24] == -1).all()
    table = drained.transfers().table
    assert (table["source_gpu"] >= 0).all()
    assert (table["destination_gpu"] != 2).all()
    dead = eplb.replan(LOAD, drained.plan, dead_gpus=[2], max_moves=0)
    assert dead.kept.all()
    assert len(dead.transfers()) == 0
    assert (dead.plan.phy2log == drained.plan.phy2log).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_heavy_groups_go_to_fast_nodes(policy: str) -> None:
    cluster = Cluster([4, 4], gpu_node=[0, 1], gpu_speed=[3, 1])
    load = [[10, 10, 30, 30, 10, 10, 30, 30]]
    plan = eplb.plan(load, cluster=cluster, num_groups=4, policy=policy)
    assert {*plan.phy2log[0, :4].tolist()} == {2, 3, 6, 7}
    assert plan.balancedness.tolist() == [1]
