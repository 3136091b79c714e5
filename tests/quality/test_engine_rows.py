"""Engines' plans are judged as ours are; what has no plan is said to have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import engine_planners
import eplb
import numpy as np
import pytest
import quality
from engine_planners import NoWheelError
from engine_rows import judged, synthetic_rows
from eplb.sampling import FAMILIES, family
from measures import LAYERS, SHAPES, row
from pages import contender_cells, page
from quality import recorded

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


@pytest.fixture(scope="module")
def engines() -> Any:
    return recorded()["engines"]


def no_fetch(engine: str, _cache: Path) -> None:
    raise NoWheelError(f"{engine}: not here")


def test_all_are_recorded(engines: Any) -> None:
    names = {row["contender"] for row in engines["synthetic"]}
    assert len(names) == 3
    assert len(engines["synthetic"]) == len(SHAPES) * len(FAMILIES) * len(names)
    assert {row["contender"] for row in engines["real"]} == names


def test_deepseek_s_algorithm_gives_the_same_figures_in_the_engines(engines: Any) -> None:
    """Their code of it and ours, on the same loads: a misread table would differ by far more."""
    ours = {
        (row["loads"], row["shape"]): row["balancedness_mean"]
        for kind in ("synthetic", "real")
        for row in recorded()["results"][kind]
        if row["contender"] == "deepseek"
    }
    compared = 0
    for theirs in engines["synthetic"] + engines["real"]:
        if not theirs["contender"].endswith("deepseek_vec"):
            wanted = ours[theirs["loads"], theirs["shape"]]
            assert theirs["balancedness_mean"] == pytest.approx(wanted, abs=EFFECT)
            compared += 1
    assert compared >= 2 * len(ours)


def test_the_figures_are_those_of_the_wheels(monkeypatch: pytest.MonkeyPatch, engines: Any) -> None:
    monkeypatch.setattr(engine_planners, "fetch", no_fetch)
    try:
        planners = {**engine_planners.vllm(), **engine_planners.sglang()}
    except NoWheelError:
        pytest.skip("no wheels of engines here: `make quality` fetches them")
    wanted = [row for row in engines["synthetic"] if row["shape"] == SHAPE]
    for made, kept in zip(synthetic_rows(planners, SHAPE), wanted, strict=True):
        assert made["contender"] == kept["contender"]
        assert made.get("balancedness_mean") == pytest.approx(kept["balancedness_mean"], abs=EFFECT)


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
    results = recorded()
    results["engines"]["synthetic"].append(refusal)
    assert f"- `bad`, zipf 1.2 at {SHAPE}: {refusal['refused']}" in page(results)


def test_without_wheels_the_recorded_figures_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = recorded()
    monkeypatch.setenv("EPLB_ENGINE_WHEELS", str(tmp_path))
    monkeypatch.setattr(engine_planners, "fetch", no_fetch)
    monkeypatch.setattr(quality, "measure_ours", lambda: results["results"])
    monkeypatch.setattr(quality, "measure_optima", lambda: results["optima"])
    monkeypatch.setattr("optima.measure_worlds", lambda: None)
    monkeypatch.setattr(quality, "PAGE", tmp_path / "quality.md")
    files = {name: tmp_path / file.name for name, file in quality.FILES.items()}
    for name, file in files.items():
        file.write_bytes(quality.FILES[name].read_bytes())
    monkeypatch.setattr(quality, "FILES", files)
    assert quality.main() == 0
    assert "skipped, their figures are as recorded: vllm: not here" in capsys.readouterr().out
    assert recorded() == results
    assert (tmp_path / "quality.md").read_text() == page(results)
