"""Failures and other events in a replay."""

from __future__ import annotations

from typing import Any

import eplb
import numpy as np
import pytest
from eplb.analysis.replay.events import Event

TRACE = np.random.default_rng(5).lognormal(5, 1, (12, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 6, "num_replicas": 36}
SETTINGS = (
    "trivial static static:windows=5 static:windows=5,policy=deepseek deepseek minimax multiwindow "
    "multiwindow:max_copies=4 hindsight"
)


def replayed(events: Any, settings: Any = SETTINGS, **more: Any) -> list[Any]:
    """Rows of all settings, without times."""
    run = eplb.replay(TRACE, settings, warmup=3, events=events, **{**SIZES, **more})
    return [
        (row.window, row.balancedness.tolist(), row.copies, row.slots, row.updated)
        for result in run.results
        for row in result.rows
    ]


@pytest.mark.parametrize(
    ("several", "one"),
    [
        (["6:dead=1", "6:dead=4"], ["6:dead=1,4"]),
        (["6:dead=1", "6:drain=4"], [(6, {"dead_gpus": [1], "drain_gpus": [4]})]),
        (["2:dead=1", "5:dead=2", "6:live=1", "6:dead=3"], ["3:dead=1", "5:dead=2", (6, {"live_gpus": [1], "dead_gpus": [3]})]),
        (["6:add=1", "6:add=2"], ["6:add=3"]),
    ],
)  # fmt: skip
def test_two_events_of_a_window_are_one(several: Any, one: Any) -> None:
    assert replayed(several) == replayed(one)


def test_a_window_is_learnt_once() -> None:
    """Two events in a window are one update, of which nobody sees the plan in between."""
    seen: list[Any] = []
    asked: list[int] = []

    class Planner:
        def observe(self, load: Any) -> None:
            seen.append(load)

        def __call__(self, load: Any, _: Any, sizes: Any) -> Any:
            asked.append(sizes.window)
            return eplb.plan(load, cluster=sizes.cluster).phy2log

    replayed(["6:dead=1", "6:dead=4", "8:live=1", "8:drain=0"], Planner())
    assert asked == [*range(3, 12)]
    assert np.array_equal(seen, TRACE[:11])


def test_events_before_the_first_plan_are_only_what_gpus_are() -> None:
    before = replayed(["0:dead=1", "1:drain=2", "2:live=1", "3:dead=5"])
    assert before == replayed(["3:dead=5", (3, {"drain_gpus": [2]})])
    cluster = eplb.Cluster([6] * 6, dead_gpus=[5], drain_gpus=[2])
    assert before == replayed([], num_gpus=None, num_replicas=None, cluster=cluster)


def test_a_window_with_an_event_is_an_update() -> None:
    run = eplb.replay(TRACE, "multiwindow", warmup=3, every=4, events="6:dead=1", **SIZES)
    assert [row.window for row in run.results[0].rows if row.updated] == [6, 7, 11]
    assert run.results[0].figures.updates == 3
    balancer = eplb.Balancer()
    plan = balancer.step(TRACE[:3], cluster=eplb.Cluster.uniform(6, 6)).plan
    plan = balancer.step(TRACE[3:6], plan, dead_gpus=[1]).plan
    worth = eplb.evaluate(plan, TRACE[6]).balancedness
    assert run.results[0].rows[2].balancedness == pytest.approx(worth, rel=1e-9)


def test_shares_of_copies_are_of_the_slots_of_then() -> None:
    run = eplb.replay(TRACE, "deepseek", warmup=3, events="6:dead=1", **SIZES)
    rows = run.results[0].rows
    assert [row.slots for row in rows] == [108] * 2 + [90] * 6
    shares = [row.copies / row.slots for row in rows]
    assert run.results[0].figures.copies_share == pytest.approx(sum(shares) / 8, rel=1e-12)


def test_a_gpu_that_dies_and_is_back_in_one_window_is_empty() -> None:
    """It gets all its slots again, and nothing else."""
    events = ["6:dead=1", "6:live=1", (6, {"gpu_speed": [1] * 6})]
    run = eplb.replay(TRACE, "static", warmup=3, events=events, **SIZES)
    assert [row.copies for row in run.results[0].rows] == [0, 0, 18, 0, 0, 0, 0, 0]
    by_hand: list[Any] = []

    def mine(_: Any, previous: Any, sizes: Any) -> Any:
        by_hand.append(previous)
        return eplb.plan(TRACE[0], cluster=sizes.cluster).phy2log

    replayed(events, mine)
    assert (by_hand[3][:, 6:12] == -1).all()
    assert (np.delete(by_hand[3], range(6, 12), axis=1) >= 0).all()


def test_what_a_callable_sees_of_drained_and_smaller_gpus() -> None:
    seen: dict[int, Any] = {}

    def mine(load: Any, previous: Any, sizes: Any) -> Any:
        seen[sizes.window] = previous, sizes
        if previous is not None:
            assert not previous.flags.writeable
        return eplb.plan(load, cluster=sizes.cluster)

    slots = [4, 6, 6, 6, 6, 7]
    events = ["5:drain=1", "7:live=1", (9, {"gpu_slots": slots})]
    events.append((10, {"gpu_slots": [3, *slots[1:]], "dead_gpus": [1]}))
    eplb.replay(
        TRACE, mine, warmup=3, events=events, num_gpus=6, num_replicas=36, num_groups=4, num_nodes=2
    )
    before, _ = seen[5]
    assert (before[:, 6:12] == -1).all(), "drained: nothing may stay there"
    assert (np.delete(before, range(6, 12), axis=1) >= 0).all()
    assert (seen[7][0][:, 6:12] == -1).all(), "back, empty"
    assert (
        seen[10][0][:, :3] == eplb.plan(TRACE[8], cluster=seen[9][1].cluster).phy2log[:, :3]
    ).all()
    assert (seen[10][0][:, 3:9] == -1).all(), "GPU 1 is lost, and GPU 0 does not reach into it"
    narrow, sizes = seen[9]
    assert narrow.shape == (3, sum(slots)) == (sizes.num_layers, sizes.num_replicas)
    assert (narrow[:, :34] >= 0).all()
    assert (narrow[:, 34] == -1).all(), "the slot that GPU 5 got"
    kept = [*range(4), *range(6, 36)]
    plan8 = eplb.plan(TRACE[7], cluster=seen[8][1].cluster).phy2log
    assert np.array_equal(narrow[:, :34], plan8[:, kept])
    assert (sizes.num_groups, sizes.num_nodes, sizes.num_gpus, sizes.num_experts) == (4, 2, 6, 16)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (42, "events must be a list, got 42; expected for example"),
        ([(4,)], r"\(4,\) is not an event; expected for example '40:dead=5'"),
        ([(-1, {"dead_gpus": [1]})], "window of an event=-1 is too small; expected at least 0"),
        ([(4, {"dead_gpus": [1.5]})], "event .*: dead_gpus must be a whole number, got 1.5"),
        ([(4, {"dead_gpus": 1})], r"event at window 4: dead_gpus must be a list of GPUs, got 1"),
        ([(4, {"dead_gpus": ["1"]})], "event .*: dead_gpus must be a whole number, got '1'"),
        ([(4, {"gpu_speed": [1, 2]})], "event at window 4: gpu_speed has 2 values for 6 GPUs"),
        ([Event(4, {"killed": [1]})], "event .*killed is unknown; expected one of added_gpus"),
        ([Event(4, {"dead_gpus": [9]})], "event at window 4: dead_gpus names GPU 9"),
        ([Event(40, {"dead_gpus": [1]})], "event at window 40: the trace has windows 0 to 11"),
        ("4:add=4097", "event at window 4: 4097 GPUs are added; expected at most 4096"),
        ([(4, {"added_gpus": 4097})], "4097 GPUs are added; expected at most 4096"),
        ([(4, {"added_gpus": [6] * 4097})], "4097 GPUs are added; expected at most 4096"),
        ("4:live=1", r"event at window 4: live_gpus=\[1\]: GPU 1 is in use, so it cannot come back"),
        (["4:dead=1", "5:dead=1"], r"event at window 5: dead_gpus=\[1\]: GPU 1 is lost already"),
        (["2:dead=1", "3:dead=2,1"], r"event at window 3: dead_gpus=\[1\]: GPU 1 is lost already"),
        ("4:dead=0,1,2,3,4,5", "event at window 4: "),
    ],
)  # fmt: skip
def test_what_does_not_go_is_said(events: Any, words: str) -> None:
    with pytest.raises((eplb.EplbError, TypeError), match=words):
        replayed(events, "trivial")


def test_events_are_given_in_several_ways() -> None:
    expected = replayed("5:dead=1")
    for events in (
        ["5:dead=1"],
        (5, {"dead_gpus": [1]}),
        Event(5, {"dead_gpus": iter([1])}),
        iter([(np.int64(5), {"dead_gpus": np.array([1])})]),
    ):
        assert replayed(events) == expected
    assert replayed(None) == replayed([])
    first = (0, {"dead_gpus": [1]})
    assert replayed([first]) == replayed(["0:dead=1"]) != replayed([])
