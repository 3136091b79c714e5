"""`eplb split`: a placement and loads in, the best shares out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest

RANDOM = np.random.default_rng(5)
WINDOWS = RANDOM.lognormal(5, 1, (2, 3, 16)).astype(np.int64)
PLAN = eplb.plan(WINDOWS[0], num_gpus=4, num_replicas=20)
LEAVE_OUT = "hint: leave out --gpus, --groups and --nodes, or give --format if it is the file of an engine\n"
NOT_WRITTEN = "  note          not written; --out FILE writes the shares"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a plan and loads in it."""
    monkeypatch.chdir(tmp_path)
    np.save("both.npy", WINDOWS)
    np.save("next.npy", WINDOWS[1])
    PLAN.save("plan.json")
    return tmp_path


def test_it_prints_the_split_and_writes_it(run: Any) -> None:
    split = PLAN.split(WINDOWS[1])
    assert run("split plan.json next.npy -o shares.json") == (
        0,
        f"{split}\n  written to    shares.json\n",
        "",
    )
    assert json.loads(Path("shares.json").read_text()) == split.to_dict()
    assert run("split plan.json next.npy") == (0, f"{split}\n{NOT_WRITTEN}\n", "")
    assert run("split plan.json next.npy --threads 2 -o shares.npz")[0] == 0
    with np.load("shares.npz", allow_pickle=False) as arrays:
        assert (arrays["numerators"] == split.numerators).all()


def test_several_windows_are_summed(run: Any) -> None:
    split = PLAN.split(WINDOWS)
    assert run("split plan.json both.npy") == (0, f"{split}\n{NOT_WRITTEN}\n", "")
    np.save("first.npy", WINDOWS[0])
    assert run("split plan.json first.npy next.npy")[1] == f"{split}\n{NOT_WRITTEN}\n"
    assert "of the sum of 2 windows" in str(split)


def test_json_has_every_figure(run: Any) -> None:
    split = PLAN.split(WINDOWS[1])
    values = json.loads(run("split plan.json next.npy --json")[1])
    assert values.items() >= split.to_dict().items()
    assert values["balancedness_mean"] == split.balancedness.mean()
    assert values["equal_shares"]["balancedness_worst"] == split.balancedness_of_equal_shares.min()
    assert (values["out"], values["loaded_layers"], values["hidden_layers"]) == (None, 3, None)
    np.save("none.npy", np.zeros((3, 16), np.int64))
    values = json.loads(run("split plan.json none.npy --json")[1])
    assert (values["balancedness_mean"], values["equal_shares"]["balancedness_mean"]) == (
        None,
        None,
    )


def test_placements_of_engines_and_their_layers(run: Any) -> None:
    PLAN.save("sglang.json", "sglang", layers=[3, 4, 5])
    code, out, err = run("split sglang.json next.npy --gpus 4 --layers 3-5")
    assert (code, err) == (0, "")
    assert "  layers        3, 4, 5, as hidden layers are counted" in out
    assert out.startswith("Split of 3 layers: 16 experts in 20 slots on 4 GPUs\n")
    named = PLAN.split(WINDOWS[1]).summary([3, 4, 5])
    assert out.startswith(named)


def test_what_does_not_go_together_is_refused(run: Any) -> None:
    for line, error, hint in (
        (
            "split plan.json next.npy -o plan.json",
            "eplb: --out plan.json would overwrite the placement; give another file\n",
            "",
        ),
        (
            "split plan.json next.npy -o a.csv",
            "eplb: 'a.csv' is not a file name for a split; expected .json or .npz\n",
            "",
        ),
        (
            "split plan.json next.npy --gpus 4",
            "eplb: plan.json is a plan file, which contains its own sizes\n",
            LEAVE_OUT,
        ),
        (
            "split next.npy plan.json",
            "eplb: plan.json: this is a plan, not a load table; are the arguments swapped?\n",
            "",
        ),
    ):
        assert run(line) == (2, "", error + hint)
