"""Settings that cannot plan are known before anything runs."""

from __future__ import annotations

from typing import Any

import eplb
import numpy as np
import pytest
from eplb.analysis.replay.cells import Cell

TRACE = np.random.default_rng(5).lognormal(5, 1, (12, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 32, "warmup": 3}
GROUPS = {"num_groups": 4, "num_nodes": 2}


@pytest.fixture
def no_cell_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(self: Cell) -> Any:
        raise AssertionError(f"{self.setting.name} ran")

    monkeypatch.setattr(Cell, "rows", rows)


@pytest.mark.usefixtures("no_cell_runs")
@pytest.mark.parametrize(
    ("setting", "more", "words"),
    [
        ("minimax:effort=zzz", {}, "^setting minimax:effort=zzz: unknown effort 'zzz'"),
        ("minimax:target_gap=-1", {}, "^setting minimax:target_gap=-1: target_gap=-1.0 is not a gap"),
        ("multiwindow:move_price=nan", {}, "^setting multiwindow:move_price=nan: move_price=nan is out"),
        ("multiwindow:rows=2", {}, "^setting multiwindow:rows=2: rows=2 is"),
        ("multiwindow:decay=7", {}, "^setting multiwindow:decay=7: decay=7 is out"),
        ("multiwindow:max_moves=-1", {}, "^setting multiwindow:max_moves=-1: max_moves=-1.0 is out"),
        ("multiwindow:max_moves_after_shift=inf", {}, "max_moves_after_shift=inf is out of range"),
        ("multiwindow:max_copies=-4", {}, "max_copies=-4 is too small"),
        ("deepseek", {**GROUPS, "events": "6:dead=1"}, "^setting deepseek, window 6: policy=deepseek"),
        ("deepseek", {"events": [(6, {"gpu_speed": [2, 1, 1, 1]})]}, "^setting deepseek, window 6: pol"),
        ("static:policy=deepseek", {**GROUPS, "events": "2:dead=1"}, "^setting static:policy=deepseek: "),
        (
            "static:policy=adaptive,windows=8",
            {"every": 4, "events": [(7, {"gpu_speed": [2, 1, 1, 1]})]},
            "^setting static:policy=adaptive,windows=8, window 11: policy=adaptive plans equal",
        ),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_refused(setting: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(eplb.EplbError, match=words):
        eplb.replay(TRACE, ["trivial", setting], **SIZES, **more)


@pytest.mark.parametrize(
    ("setting", "more"),
    [
        # It has planned when the GPUs become unequal, and the plan is repaired.
        ("static:policy=deepseek", {"events": [(6, {"gpu_speed": [2, 1, 1, 1]})]}),
        ("static:policy=deepseek", {**GROUPS, "events": "6:dead=1"}),
        ("static:policy=adaptive,windows=6", {"every": 4, "events": [(8, {"gpu_speed": [2, 1, 1, 1]})]}),
        # It never plans.
        ("static:policy=deepseek,windows=99", {"events": [(6, {"gpu_speed": [2, 1, 1, 1]})]}),
    ],
)  # fmt: skip
def test_what_can_plan_is_not_refused(setting: str, more: dict[str, Any]) -> None:
    run = eplb.replay(TRACE, setting, **SIZES, **more)
    assert len(run.results[0].rows) == 8
    assert run.finished


def test_static_plans_on_the_gpus_in_use_as_updates_do() -> None:
    more: dict[str, Any] = {**SIZES, "events": "2:dead=1"}
    static = eplb.replay(TRACE, "static:windows=1,policy=deepseek", **more).results[0]
    plan = eplb.plan(TRACE[0], num_gpus=3, num_replicas=24, policy="deepseek")
    for row in static.rows:
        worth = eplb.evaluate(plan, TRACE[row.window]).balancedness
        assert row.balancedness == pytest.approx(worth, rel=1e-9)
        assert row.slots == 72


def test_defaults_that_cannot_plan_are_left_out() -> None:
    run = eplb.replay(TRACE, **SIZES, events=[(6, {"gpu_speed": [2, 1, 1, 1]})])
    names = [result.setting.name for result in run.results]
    assert "deepseek" not in names
    assert {"trivial", "static", "minimax", "multiwindow", "hindsight"} <= {*names}
    assert [str(note) for note in run.notes] == [
        "not replayed: setting deepseek, window 6: policy=deepseek plans equal GPUs only, all of them in use"
    ]
    many = eplb.replay(TRACE, num_gpus=2, num_replicas=34)
    assert [result.setting.name for result in many.results] == ["deepseek"]
    assert "not replayed: setting minimax: " in "\n".join(many.notes)


def test_no_default_can_plan() -> None:
    with pytest.raises(eplb.EplbError, match=r"^setting trivial: "):
        eplb.replay(TRACE, cluster=eplb.Cluster([17, 17], gpu_speed=[1, 2]))
