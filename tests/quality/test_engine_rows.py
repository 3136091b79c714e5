"""Engines' plans are judged as ours are; what has no plan is said to have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import engine_planners
import eplb
import numpy as np
import pytest
from engine_planners import NoWheelError
from engine_rows import judged, synthetic_rows
from eplb.sampling import FAMILIES, family
from measures import LAYERS, SHAPES, row, synthetic
from tables import contender_cells, engine_part

if TYPE_CHECKING:
    from pathlib import Path

#: Near ties are placed otherwise on other processors: figures may differ by so much.
EFFECT = 0.002
SHAPE = "64/80/8"
EXPERTS, SIZES = SHAPES[SHAPE]
LOAD = family("zipf 1.2", LAYERS, EXPERTS)


def of_ours(load: Any, **sizes: Any) -> Any:
    plan = eplb.plan(load, **sizes, policy="deepseek")
    return plan.phy2log, plan.logcnt


def no_fetch(engine: str, _cache: Path) -> None:
    raise NoWheelError(f"{engine}: not here")


def test_deepseek_s_algorithm_gives_the_same_figures_in_the_engines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their code of it and ours, on the same loads: a misread table would differ by far more."""
    monkeypatch.setattr(engine_planners, "fetch", no_fetch)
    try:
        planners = {**engine_planners.vllm(), **engine_planners.sglang()}
    except NoWheelError:
        pytest.skip("no wheels of engines here: `make quality` fetches them")
    rows: list[Any] = list(synthetic_rows(planners, SHAPE))
    assert len(rows) == 3 * len(FAMILIES)
    for theirs in rows:
        if not theirs["contender"].endswith("deepseek_vec"):
            ours = synthetic(SHAPE, theirs["loads"], "deepseek")["balancedness_mean"]
            assert theirs["balancedness_mean"] == pytest.approx(ours, abs=EFFECT)


def test_a_plan_is_judged_as_ours_is() -> None:
    plan = eplb.plan(LOAD, **SIZES, policy="deepseek")
    ours = row("zipf 1.2", SHAPE, "ours", plan)
    theirs: Any = judged("zipf 1.2", SHAPE, "ours", of_ours, LOAD, SIZES)
    # Ranks of copies are ours to give: digests are of them too.
    assert {**theirs, "digest": ""} == {**ours, "digest": ""}


def test_duplicates_are_counted() -> None:
    """The last GPUs hold each of a few experts twice."""

    def doubled(load: Any, **sizes: Any) -> Any:
        phy2log = of_ours(load, **sizes)[0].copy()
        phy2log[:, -16:] = np.repeat(np.arange(8), 2)
        phy2log[:, :64] = np.arange(64)
        return phy2log, None

    found: Any = judged("zipf 1.2", SHAPE, "doubled", doubled, LOAD, SIZES)
    assert found["duplicates"] == LAYERS


def refusing(*_: Any, **__: Any) -> Any:
    raise AssertionError("num_groups % num_nodes")


def missing_an_expert(load: Any, **sizes: Any) -> Any:
    return np.zeros_like(of_ours(load, **sizes)[0]), None


def miscounting(load: Any, **sizes: Any) -> Any:
    phy2log, logcnt = of_ours(load, **sizes)
    return phy2log, logcnt + 1


@pytest.mark.parametrize(
    ("planner", "reason"),
    [
        (refusing, "AssertionError: num_groups % num_nodes"),
        (missing_an_expert, "Error"),
        (miscounting, "ValueError: logcnt does not count the copies"),
    ],
)
def test_what_has_no_plan_is_said_to_have_none(planner: Any, reason: str) -> None:
    refusal: Any = judged("zipf 1.2", SHAPE, "bad", planner, LOAD, SIZES)
    assert reason in refusal["refused"]
    assert contender_cells("bad", [refusal]) == ["`bad`", "no plan", "", ""]
    engines: Any = {"machine": {"CPU": "one"}, "synthetic": [refusal], "real": []}
    assert f"- `bad`, zipf 1.2 at {SHAPE}: {refusal['refused']}" in engine_part(engines)
