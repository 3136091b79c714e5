"""What rows amount to, and how it is printed."""

from __future__ import annotations

import json
from typing import Any

import eplb
import numpy as np
import pytest
from eplb.analysis.replay.cells import Row, balancedness
from eplb.analysis.replay.figures import TimeModel, figures_of

TRACE = np.random.default_rng(3).lognormal(5, 1, (30, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 24}


def row(window: int, seconds: float, *, updated: bool) -> Row:
    return Row(window, np.array([0.5]), 0, 10, updated, seconds)


def test_the_median_time_is_that_of_updates() -> None:
    rows = [row(4, 0.0, updated=False), row(5, 3.0, updated=True), row(6, 0.0, updated=False)]
    assert figures_of(rows).seconds == 3.0
    rows += [row(7, 5.0, updated=True), row(8, 40.0, updated=True)]
    figures = figures_of(rows)
    assert (figures.seconds, figures.updates) == (5.0, 3)
    assert figures_of(rows[:1]).seconds is None


@pytest.mark.parametrize("given", ["0,0,1", (0, 0, 5), "1,inf,1", "nan,1,1", "1,2,3,4", 5])
def test_time_models_that_are_none(given: Any) -> None:
    with pytest.raises(eplb.EplbError, match="is not a time model; expected flat,slope,knee"):
        TimeModel.of(given)


def test_loads_near_the_largest_float() -> None:
    """Their sums are not finite, but their ratios are."""
    loads = np.full((1, 16), 1.7e308)
    plan = eplb.plan(TRACE[0][:1], **SIZES)
    even = balancedness(plan, np.ones((1, 16)))
    assert balancedness(plan, loads) == pytest.approx(even, rel=1e-12)
    for factor in (1e300, 1e-300):
        scaled = balancedness(plan, TRACE[0][:1] / 1e5 * factor)
        assert scaled == pytest.approx(balancedness(plan, TRACE[0][:1].astype(float)), rel=1e-12)
    run = eplb.replay(TRACE[:5].astype(float) / TRACE.max() * 1.7e308, "static", **SIZES)
    same = eplb.replay(TRACE[:5].astype(float), "static", **SIZES)
    assert run.results[0].balancedness == pytest.approx(same.results[0].balancedness, rel=1e-9)


def test_hindsight_has_32_rows() -> None:
    history = eplb.LoadHistory(rows=32, decay=1)
    history.observe(TRACE[3:])
    plan = eplb.plan(history, **SIZES)
    few = eplb.LoadHistory(rows=16, decay=1)
    few.observe(TRACE[3:])
    assert (plan.phy2log != eplb.plan(few, **SIZES).phy2log).any(), "or this test shows nothing"
    for row in eplb.replay(TRACE, "hindsight", warmup=3, **SIZES).results[0].rows:
        worth = eplb.evaluate(plan, TRACE[row.window]).balancedness
        assert row.balancedness == pytest.approx(worth, rel=1e-9)


def test_repairs_move_nothing_else() -> None:
    """Experts without a slot and empty slots get one copy each, and nobody moves."""
    run = eplb.replay(TRACE, "static trivial", warmup=3, events=["9:dead=1", "15:live=1"], **SIZES)
    plan = eplb.plan(TRACE[:3], **SIZES)
    for name, before in (("static", plan), ("trivial", plan.trivial())):
        left = np.delete(before.phy2log, range(6, 12), axis=1)
        missing = sum(16 - len({*layer.tolist()}) for layer in left)
        copies = {each.window: each.copies for each in run[name].rows if each.copies}
        assert copies == {9: missing, 15: 18}


def test_groups_on_the_gpus_in_use() -> None:
    """If a node is lost, the published policies keep groups together on the others."""
    cluster = eplb.Cluster.uniform(6, 8, 3)
    run = eplb.replay(
        TRACE, "deepseek static:policy=deepseek", cluster=cluster, num_groups=4, warmup=3,
        events=["9:dead=2,3"],
    )  # fmt: skip
    inner = eplb.plan(
        TRACE[14], num_gpus=4, num_replicas=32, num_groups=4, num_nodes=2, policy="deepseek"
    )
    alone = eplb.plan(TRACE[14], num_gpus=4, num_replicas=32, policy="deepseek")
    worth = eplb.evaluate(inner, TRACE[15]).balancedness
    assert worth != pytest.approx(eplb.evaluate(alone, TRACE[15]).balancedness, rel=1e-9)
    rows = {each.window: each for each in run["deepseek"].rows}
    assert rows[15].balancedness == pytest.approx(worth, rel=1e-9)


def test_the_text_has_lost_time_gigabytes_and_milliseconds() -> None:
    run = eplb.replay(
        TRACE, "deepseek", time_model="1,0.5,1.1", expert_bytes=10**8, warmup=3, **SIZES
    )
    figures = run.results[0].figures
    assert figures.seconds is not None
    assert figures.lost_share is not None
    heading, line = (
        next(each.split() for each in str(run).splitlines() if each.startswith(name))
        for name in ("setting", "deepseek")
    )
    assert heading[-4:] == ["GB", "lost", "plan", "ms"]
    assert line[-3:] == [
        f"{figures.copies / 10:.1f}",
        f"{figures.lost_share * 100:.2f}%",
        f"{figures.seconds * 1000:.2f}",
    ]
    assert "lost: to imbalance, by a model: time = 1 + 0.5 * max(0, max/mean - 1.1)" in str(run)


def test_json_has_all_that_was_asked_for() -> None:
    run = eplb.replay(
        TRACE, "multiwindow:rows=8,move_price=0.005 minimax:effort=fast", warmup=3, every=2,
        events=["5:dead=1", (7, {"live_gpus": np.array([1])})], most_copies=0.3, **SIZES,
    )  # fmt: skip
    values = json.loads(json.dumps(run.to_dict(), allow_nan=False))
    assert [(each["kind"], each["options"]) for each in values["settings"]] == [
        ("multiwindow", {"rows": 8, "move_price": 0.005}),
        ("minimax", {"effort": "fast"}),
    ]
    assert values["most_copies"] == run.most_copies == 0.3
    assert values["events"] == [
        {"window": 5, "dead_gpus": [1]},
        {"window": 7, "live_gpus": [1]},
    ]
    assert values["cluster"] == eplb.Cluster.uniform(4, 6).to_dict()
    free = eplb.replay(TRACE, "trivial", most_copies=np.inf, **SIZES).to_dict()
    assert json.loads(json.dumps(free, allow_nan=False))["most_copies"] is None
