"""`eplb advise`."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest
from eplb.analysis.advice.advising import Run

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (12, 3, 16)).astype(np.int64)
LINE = "advise trace.npy --gpus 2,4 --redundant 0..8"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a trace in it."""
    monkeypatch.chdir(tmp_path)
    np.save("trace.npy", TRACE)
    return tmp_path


def timeless(values: dict[str, Any]) -> dict[str, Any]:
    points = [{**point, "seconds": 0} for point in values["points"]]
    return {**values, "points": points}


def test_json_is_what_python_gives(run: Any) -> None:
    options = (
        "--setting minimax --every 2 --warmup 4 --expert-bytes 1000 --per-slot 1% --jobs 2 --json"
    )
    code, out, err = run(f"{LINE} {options} --out a.json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    expected = eplb.advise(
        TRACE,
        num_gpus=[2, 4],
        redundant="0..8",
        setting="minimax",
        every=2,
        warmup=4,
        expert_bytes=1000,
        per_slot=0.01,
    ).to_dict()
    assert (values.pop("out"), values.pop("notes")) == ("a.json", [])
    assert timeless(values) == timeless(json.loads(json.dumps(expected)))
    assert json.loads(Path("a.json").read_text()) == values


def test_the_table_has_the_figures(run: Any) -> None:
    code, out, err = run(LINE, "--expert-bytes", "50000000", "--out", "a.parquet")
    assert (code, err) == (0, "")
    advice = eplb.advise(TRACE, num_gpus=[2, 4], redundant="0..8", expert_bytes=50000000)
    lines = [line.split() for line in out.splitlines() if line[:4].strip().isdigit()]
    assert lines == [
        [
            str(point.num_gpus),
            str(point.redundant),
            str(point.slots_per_gpu),
            f"{point.figures.balancedness_mean:.4f}",
            f"{point.figures.balancedness_p10:.4f}",
            f"{point.figures.balancedness_worst:.4f}",
            f"{point.figures.copies_share:.2%}",
            f"{point.gigabytes:.2f}",
            f"{point.redundant_gigabytes:.2f}",
            *(
                ["knee"]
                if (point.num_gpus, point.redundant)
                in {(knee.num_gpus, knee.redundant) for knee in advice.knees}
                else []
            ),
        ]
        for point in advice.points
    ]
    flat = " ".join(out.split())
    assert all(knee.words in flat for knee in advice.knees)
    assert all(len(line) <= 80 for line in out.splitlines())
    assert len(out.splitlines()) < 40
    assert out.endswith("  written to    a.parquet\n")


def test_impossible_sizes_are_named_as_options(run: Any) -> None:
    code, out, err = run("advise trace.npy --gpus 4,2 --redundant 0,6,18")
    assert (code, err) == (0, "")
    flat = " ".join(out.split())
    assert (
        "left out: --redundant 6, 18 on 4 GPUs: with 16 experts, the slots cannot be divided over the GPUs"
    ) in flat
    assert (
        "left out: --redundant 18 on 2 GPUs: a GPU would have more slots than the 16 experts"
        in flat
    )


def test_what_does_not_go_is_said(run: Any) -> None:
    for more, words in (
        (
            "--redundant x",
            "--redundant 'x' is not understood; expected 0..96, 0..96:16 or 0,16,32\n",
        ),
        ("--redundant 1..2", "--redundant has no number that goes with --gpus 4: the slots, "),
        ("--redundant 3", "--redundant 3 on 4 GPUs: with 16 experts, the slots cannot be divided"),
        ("--setting multiwindo", "unknown --setting 'multiwindo'; expected one of "),
        ("--setting 'trivial deepseek'", "--setting is 2 settings; expected one of them\n"),
        ("--per-slot 1", "Invalid value for '--per-slot': 1 without % is 100%"),
        ("--per-slot=-1", "--per-slot -1.0 is out of range"),
        ("--jobs 0", "--jobs 0 is too small; expected at least 1"),
        ("--nodes 3 --groups 3", "the number of experts, 16, is not divisible by --groups 3\n"),
        (
            "--out a.txt",
            "'a.txt' is not a file name for results; expected .json, .csv, .parquet or .jsonl",
        ),
        ("--out trace.npy", "--out trace.npy would overwrite the loads"),
    ):
        code, out, err = run("advise trace.npy --gpus 4", *shlex.split(more))
        assert (code, out) == (2, "")
        assert err.startswith(f"eplb: {words}"), err


@pytest.mark.parametrize("rows", [10, 3])
def test_an_interruption_leaves_what_is_whole(
    rows: int, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Run.steps

    def interrupted(self: Run) -> Any:
        for number, name in enumerate(steps(self), 1):
            yield name
            if number == rows:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "steps", interrupted)
    code, out, err = run(LINE, "--out", "a.json")
    assert code == 130
    if rows == 3:
        assert (out, err) == ("", "eplb: interrupted before anything was done\n")
        assert not Path("a.json").exists()
        return
    assert err == "eplb: interrupted: the results are those of what was done\n"
    assert "unfinished: some points are missing\n" in out
    values = json.loads(Path("a.json").read_text())
    assert not values["finished"]
    assert len(values["points"]) == 1
