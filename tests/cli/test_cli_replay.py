"""`eplb replay`."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest
from eplb.analysis.replay.planners import Balanced
from eplb.analysis.replay.running import Run
from eplb.errors import Parameter

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (12, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}
PLAN = eplb.plan(TRACE[0], **SIZES)
LINE = "replay trace.npy --gpus 4 --redundant 4"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a trace and a plan in it."""
    monkeypatch.chdir(tmp_path)
    np.save("trace.npy", TRACE)
    np.save("first.npy", TRACE[0])
    PLAN.save("plan.json")
    return tmp_path


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name != "seconds"}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def test_json_is_what_python_gives(run: Any) -> None:
    code, out, err = run(
        f"{LINE} --every 2 --warmup 4 --event 7:drain=2 --event 9:live=2 --redundant 8 "
        "--expert-bytes 1000 --time-model 1,0.5,1.1 --json"
    )
    assert (code, out, err) == (2, "", "eplb: --redundant is given twice; expected one value\n")
    code, out, err = run(
        "replay trace.npy --gpus 4 --redundant 8 --every 2 --warmup 4 --event 7:drain=2 "
        "--event 9:live=2 --expert-bytes 1000 --time-model 1,0.5,1.1 --json"
    )
    assert (code, err) == (0, "")
    values = json.loads(out)
    expected = eplb.replay(
        TRACE,
        num_gpus=4,
        num_replicas=24,
        every=2,
        warmup=4,
        events=["7:drain=2", "9:live=2"],
        expert_bytes=1000,
        time_model=(1, 0.5, 1.1),
    ).to_dict()
    assert (values.pop("out"), values.pop("report")) == (None, None)
    assert without_times(values) == without_times(json.loads(json.dumps(expected)))
    assert values["finished"]


def test_the_table_has_the_figures(run: Any) -> None:
    code, out, err = run(LINE, "--settings", "trivial multiwindow:rows=8", "--out", "a.csv")
    assert (code, err) == (0, "")
    replayed = eplb.replay(TRACE, "trivial multiwindow:rows=8", **SIZES)
    for result in replayed.results:
        figures = result.figures
        line = next(each for each in out.splitlines() if each.startswith(result.setting.name))
        assert line.split()[1:6] == [
            f"{figures.balancedness_mean:.4f}",
            f"{figures.balancedness_p10:.4f}",
            f"{figures.balancedness_worst:.4f}",
            str(figures.copies),
            f"{figures.copies_share:.2%}",
        ]
    assert "first plan after 3 windows, an update for each window; 8 windows judged\n" in out
    assert f"recommended: {replayed.recommendation.setting}\n" in out
    assert out.endswith("  written to    a.csv\n")
    assert all(len(line) <= 80 for line in out.splitlines())
    with Path("a.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [row["window"] for row in rows] == [*map(str, range(4, 12))] * 2


def test_bytes_of_an_expert_are_those_of_the_model(run: Any) -> None:
    config = {
        "model_type": "olmoe",
        "hidden_size": 2048,
        "intermediate_size": 1024,
        "num_experts": 16,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 3,
        "torch_dtype": "bfloat16",
    }
    Path("config.json").write_text(json.dumps(config))
    line = f"{LINE} --settings deepseek --config config.json --json"
    code, out, err = run(line)
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert values["expert_bytes"] == 3 * 2048 * 1024 * 2
    settings = values["settings"][0]
    assert settings["gigabytes"] == settings["copies"] * 3 * 2048 * 1024 * 2 / 1e9
    assert json.loads(run(line, "--expert-bytes", "7")[1])["expert_bytes"] == 7


def test_what_does_not_go_is_said(run: Any) -> None:
    for more, words in (
        (
            ["--settings", "multiwindo"],
            "unknown --settings 'multiwindo'; expected one of trivial, ",
        ),
        (["--warmup", "11"], "--warmup 11 is too large for 12 windows; expected at most 10"),
        (["--every", "0"], "--every 0 is too small; expected at least 1"),
        (["--event", "4:dead"], "'4:dead' is not an event; expected for example 40:dead=5"),
        (
            ["--event", "6:dead=1"],
            "event at window 6: the GPUs in use have 15 slots for 16 experts",
        ),
        (["--time-model", "1"], "'1' is not a time model; expected flat,slope,knee"),
        (
            ["--out", "a.txt"],
            "'a.txt' is not a file name for results; expected .json, .csv, .parquet or .jsonl",
        ),
        (["--out", "trace.npy"], "--out trace.npy would overwrite the loads"),
    ):
        code, out, err = run(LINE, *more)
        assert (code, out) == (2, "")
        assert err.startswith(f"eplb: {words}"), err
    assert run("replay trace.npy")[::2] == (2, "eplb: give --gpus\n")
    assert "the trace has 1 window; expected at least 3" in run("replay first.npy --gpus 4")[2]


def test_an_interruption_leaves_what_is_done(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Run.steps

    def interrupted(self: Run) -> Any:
        for number, setting in enumerate(steps(self)):
            yield setting
            if number == 10:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "steps", interrupted)
    before = signal.getsignal(signal.SIGINT)
    code, out, err = run(LINE, "--settings", "trivial static multiwindow", "--out", "a.json")
    assert signal.getsignal(signal.SIGINT) is before
    assert code == 130
    assert err == "eplb: interrupted: the results are those of what was done\n"
    assert "unfinished: static has 3 windows of 8\n" in out
    assert "recommended: trivial\n" in out
    values = json.loads(Path("a.json").read_text())
    assert not values["finished"]
    assert [each["windows"] for each in values["settings"]] == [8, 3]


def test_an_interruption_before_anything_is_done(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Run) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        yield

    monkeypatch.setattr(Run, "steps", interrupted)
    assert run(LINE, "--out", "a.json") == (
        130,
        "",
        "eplb: interrupted before anything was done\n",
    )
    assert not Path("a.json").exists()


def test_a_failure_in_the_middle_leaves_what_is_done(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that can plan as far as anyone can tell, and then cannot."""
    step = Balanced.__call__

    def fails(self: Balanced, windows: Any, now: Any) -> Any:
        if now.window == 6:
            raise eplb.TopologyError("something is wrong with ", Parameter("num_replicas", "24"))
        return step(self, windows, now)

    monkeypatch.setattr(Balanced, "__call__", fails)
    settings = ["--settings", "trivial multiwindow static"]
    code, out, err = run(LINE, *settings, "--out", "a.json")
    assert code == 2
    assert err == (
        "eplb: setting multiwindow, window 6: something is wrong with --redundant 8 (24 slots)\n"
    )
    assert "unfinished: multiwindow has 2 windows of 8\n" in out
    assert "recommended: trivial\n" in out
    values = json.loads(Path("a.json").read_text())
    assert [each["windows"] for each in values["settings"]] == [8, 2]
    code, out, err = run(LINE, "--settings", "multiwindow", "--warmup", "5")
    assert (code, out) == (2, "")
    assert err.startswith("eplb: setting multiwindow, window 6: ")


def test_settings_that_are_left_out(run: Any) -> None:
    line = "replay trace.npy --gpus 4 --redundant 16 --groups 4 --nodes 2 --event 6:dead=2"
    note = (
        "not replayed: setting deepseek, window 6: policy=deepseek plans equal GPUs only, all of "
        "them in use"
    )
    spelled = note.replace("policy=", "--policy ")
    code, out, err = run(line)
    assert (code, err) == (0, "")
    assert f"note {spelled}" in " ".join(out.split())
    assert "\ndeepseek" not in out
    values = json.loads(run(line, "--json")[1])
    assert values["notes"] == [spelled]
    code, out, err = run(line, "--settings", "trivial deepseek")
    assert (code, out) == (2, "")
    assert err.startswith(
        f"eplb: {spelled.removeprefix('not replayed: ')}\nhint: try --policy mini"
    )
    replayed = eplb.replay(
        TRACE, num_gpus=4, num_replicas=32, num_groups=4, num_nodes=2, events="6:dead=2"
    )
    assert [*replayed.notes] == replayed.to_dict()["notes"] == [note]
    assert str(replayed).endswith(f"\nnote: {note}")
    assert eplb.replay(TRACE, **SIZES).notes == ()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_process(jobs: str) -> None:
    """Ctrl-C of a process group of its own, as from a terminal, in the middle of planning."""
    trace = np.tile(RANDOM.lognormal(5, 1, (40, 8, 128)), (20, 1, 1))
    np.save("long.npy", trace)
    line = ["long.npy", "--gpus", "16", "--redundant", "16", "--settings"]
    program = [
        sys.executable,
        "-m",
        "eplb",
        "replay",
        *line,
        "trivial minimax:effort=best",
        "--json",
        "--jobs",
        jobs,
    ]
    with subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        time.sleep(4)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    if process.returncode == -signal.SIGINT:
        pytest.skip("the machine is too slow: it was still starting")
    assert process.returncode == 130, err
    values = json.loads(out)
    assert not values["finished"]
    assert values["settings"][0]["windows"] == 791
    assert err == "eplb: interrupted: the results are those of what was done\n"
