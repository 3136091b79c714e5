"""`eplb check`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (12, 3, 16)).astype(np.int64)
PLAN = eplb.plan(TRACE[0], num_gpus=4, num_replicas=20)
# Two experts on each of two GPUs: balancedness and gap are plain fractions.
PAIRS = eplb.Plan.from_phy2log([[0, 1, 2, 3]] * 3, num_gpus=2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a trace and plans in it."""
    monkeypatch.chdir(tmp_path)
    np.save("trace.npy", TRACE)
    np.save("first.npy", TRACE[0])
    PLAN.save("plan.json")
    PAIRS.save("pairs.json")
    return tmp_path


def pairs(*layers: list[int]) -> None:
    np.save("loads.npy", np.array(layers, np.int64))


def test_check_holds_or_not(run: Any) -> None:
    balancedness, gap = PLAN.balancedness, PLAN.gap
    expected = (
        "Check of 3 layers\n"
        f"  balancedness  mean {balancedness.mean():.4f}, worst {balancedness.min():.4f}\n"
        f"  gap           mean {gap.mean():.3%}, worst {gap.max():.3%}\n"
        "  holds\n"
    )
    line = "check plan.json first.npy --min-balancedness 0.5 --max-gap 50%"
    assert run(line) == (0, expected, "")
    figures = eplb.evaluate(PLAN, TRACE)
    code, out, err = run("check plan.json trace.npy --min-balancedness 60%")
    low = figures.balancedness < 0.6
    window, layer = np.unravel_index(figures.balancedness.argmin(), figures.balancedness.shape)
    assert code == 1
    assert err == (
        f"eplb: {low.sum()} of 36 layers (each counts once in each window) fail; the worst is layer {layer} in "
        f"window {window}: balancedness {figures.balancedness.min():.4f}, expected at least 0.6\n"
    )
    assert len(re.findall(r"^  fails +layer .*", out, re.MULTILINE)) == 10
    assert f"  fails         and {low.sum() - 10} more\n" in out
    code, out, err = run("check plan.json trace.npy --max-gap 0.3 --min-balancedness 0.6 --json")
    values = json.loads(out)
    assert (code, values["holds"]) == (1, False)
    found = {(each["window"], each["layer"]): each["misses"] for each in values["failures"]}
    assert found == {
        (w, row): [
            *(["balancedness"] if low[w, row] else []),
            *(["gap"] if figures.gap[w, row] > 0.3 else []),
        ]
        for w in range(12)
        for row in range(3)
        if low[w, row] or figures.gap[w, row] > 0.3
    }
    assert values["balancedness_worst"] == figures.balancedness.min()


def test_check_names_hidden_layers_and_takes_engines_files(run: Any) -> None:
    PLAN.save("sglang.json", "sglang", layers=[3, 4, 5])
    worst = int(PLAN.balancedness.argmin())
    code, _, err = run(
        "check sglang.json first.npy --gpus 4 --layers 3-5 --min-balancedness 1 --max-gap 0"
    )
    assert code == 1
    assert f"the worst is layer {worst + 3}: balancedness " in err
    assert ", gap " in err


def test_check_without_load_or_limits(run: Any) -> None:
    np.save("none.npy", np.zeros((3, 16), np.int64))
    assert run("check plan.json none.npy --max-gap 0") == (
        2,
        "",
        "eplb: no layer has load, so there is nothing to check\n",
    )
    for more, words in (
        ("", "nothing to check: give --min-balancedness or --max-gap"),
        ("--min-balancedness 1.5", "--min-balancedness 1.5 is out of range; expected 0 to 1"),
        ("--max-gap -1", "--max-gap -1.0 is out of range; expected a finite number of at least 0"),
        ("--max-gap nan", "--max-gap nan is out of range"),
        ("--max-gap inf", "--max-gap inf is out of range; expected a finite number of at least 0"),
        ("--min-balancedness nan", "--min-balancedness nan is out of range; expected 0 to 1"),
        ("--max-gap x", "Invalid value for '--max-gap': 'x' is not a number"),
    ):
        code, out, err = run(f"check plan.json first.npy {more}")
        assert (code, out) == (2, "")
        assert err.startswith(f"eplb: {words}"), err


def test_a_limit_that_is_met_exactly_holds(run: Any) -> None:
    # GPU loads 5 and 3, 4 and 4, 4 and 4; the best possible are 4 and 4.
    pairs([3, 2, 1, 2], [2, 2, 2, 2], [1, 3, 1, 3])
    for options, holds in (
        ("--min-balancedness 0.8", True),
        ("--min-balancedness 80%", True),
        ("--min-balancedness 0.8000001", False),
        ("--max-gap 0.25", True),
        ("--max-gap 25%", True),
        ("--max-gap 0.2499999", False),
        ("--min-balancedness 0.8 --max-gap 0.25", True),
    ):
        code, out, err = run(f"check pairs.json loads.npy {options}")
        assert code == (0 if holds else 1), options
        assert out.endswith("  holds\n") is holds
        assert (err == "") is holds
    assert (
        "layer 0: gap 0.2500, expected at most 0.24999\n"
        in run("check pairs.json loads.npy --max-gap 0.24999")[2]
    )


def test_each_limit_has_its_own_layers(run: Any) -> None:
    # Layer 0 misses both; layer 1 cannot be better, and misses the balancedness alone.
    pairs([3, 2, 1, 2], [9, 0, 1, 0], [1, 3, 1, 3])
    line = "check pairs.json loads.npy --json"
    values = json.loads(run(f"{line} --min-balancedness 0.9 --max-gap 0.1")[1])
    found = [(each["layer"], each["misses"]) for each in values["failures"]]
    assert found == [(0, ["balancedness", "gap"]), (1, ["balancedness"])]
    values = json.loads(run(f"{line} --max-gap 0.1")[1])
    assert [(each["layer"], each["misses"]) for each in values["failures"]] == [(0, ["gap"])]


def test_the_worst_is_by_the_limit_that_is_given(run: Any) -> None:
    # Layer 1 has the least balancedness, layer 0 the largest gap.
    pairs([3, 3, 1, 1], [9, 1, 1, 0], [1, 3, 1, 3])
    code, out, err = run("check pairs.json loads.npy --max-gap 0.01")
    assert (code, err) == (
        1,
        "eplb: 2 of 3 layers fail; the worst is layer 0: gap 0.5000, expected at most 0.01\n",
    )
    assert out.index("layer 0: gap 0.5000") < out.index("layer 1: gap 0.1111")
    _, out, err = run("check pairs.json loads.npy --min-balancedness 0.9 --max-gap 0.01")
    assert "the worst is layer 1: balancedness 0.5500, expected at least 0.9, gap 0.1111" in err
    assert out.index("layer 1: ") < out.index("layer 0: ")


def test_a_figure_is_told_from_its_limit(run: Any) -> None:
    pairs([100000, 100001, 100000, 100002], [2, 2, 2, 2], [2, 2, 2, 2])
    _, _, err = run("check pairs.json loads.npy --min-balancedness 1")
    assert err.endswith("layer 0: balancedness 0.999998, expected at least 1.0\n")
    pairs([300002, 200002, 100000, 199996], [2, 2, 2, 2], [2, 2, 2, 2])
    _, _, err = run("check pairs.json loads.npy --max-gap 0.25")
    found = re.search(r"layer 0: gap (0\.25\d+), expected at most 0\.25\n$", err)
    assert found is not None, err
    assert float(found[1]) > 0.25


def test_layers_without_load_are_said(run: Any) -> None:
    pairs([3, 2, 1, 2], [0, 0, 0, 0], [1, 3, 1, 3])
    code, out, _ = run("check pairs.json loads.npy --min-balancedness 0.8")
    assert (code, out.splitlines()[0]) == (0, "Check of 3 layers; 1 of 3 has no load")
    code, out, err = run("check pairs.json loads.npy --min-balancedness 0.9")
    assert err.startswith("eplb: 1 of 2 layers fail; the worst is layer 0: ")
    trace = np.ones((2, 3, 4), np.int64)
    trace[0, 1] = trace[1] = 0
    np.save("loads.npy", trace)
    code, out, _ = run("check pairs.json loads.npy --max-gap 0")
    assert (code, out.splitlines()[0]) == (0, "Check of 3 layers in 2 windows; 4 of 6 have no load")
