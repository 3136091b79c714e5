"""The command line: what it prints where, its exit codes, and every mistake a user can make."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
import torch
from engine_files import load_engine_file
from eplb import cli
from eplb.analysis.comparison import compare
from eplb.analysis.layer_figures import layer_figures
from eplb.cli.compare import comparison_text
from eplb.cli.pictures import title_of
from eplb.cli.program import COMMANDS
from eplb.engines import FORMATS, METRICS
from eplb.load_files import read_loads
from eplb.planning import EFFORTS
from eplb.plots import ENDINGS, figure_of, plot_plan
from eplb.sampling import sample
from eplb.summary import at_most
from paths import ROOT
from recorded import write_record

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [name for name, *_ in COMMANDS]
COMMAND = [sys.executable, "-m", "eplb.cli"]
LOADS = np.random.default_rng(7).integers(1, 1000, (5, 16))
PLAN = eplb.plan(LOADS, num_gpus=4, num_replicas=20)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with loads in it."""
    monkeypatch.chdir(tmp_path)
    np.save("loads.npy", LOADS)
    return tmp_path


def start(line: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a shell does, without a terminal."""
    switches = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "PYTHONUNBUFFERED")
    environment = {name: value for name, value in os.environ.items() if name not in switches}
    environment |= options.pop("environment", {})
    return subprocess.run(
        [*COMMAND, *line.split()],
        env=environment,
        capture_output=options.pop("capture_output", True),
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def figures(plan: eplb.Plan) -> dict[str, Any]:
    """The figures of a plan whose layers all carry a load, from the definitions."""
    return {
        "balancedness_mean": pytest.approx(plan.balancedness.mean()),
        "balancedness_worst": plan.balancedness.min(),
        "gap_mean": pytest.approx(plan.gap.mean()),
        "gap_worst": plan.gap.max(),
        "duplicates": plan.duplicates.sum(),
        "metrics": {
            name: pytest.approx(metric.of(plan.gpu_load)) for name, metric in METRICS.items()
        },
    }


def trivial() -> eplb.Plan:
    """The placement without balancing, of the sizes of PLAN and for its loads."""
    row = np.arange(20) % 16
    placed = eplb.Plan.from_phy2log(np.tile(row, (5, 1)), num_gpus=4)
    plan: eplb.Plan = eplb.evaluate(placed, LOADS)
    return plan


def timeless(out: str) -> str:
    """What `plan` printed, without the line that says how long it took."""
    left, count = re.subn(r"\n  planned in    \d+\.\d\d ms", "", out)
    assert count == 1
    return left


NOT_WRITTEN = "  note          not written; --out FILE writes the plan\n"


# --- plan -----------------------------------------------------------------------------------------


def test_plan_prints_the_plan(run: Any) -> None:
    code, out, err = run("plan loads.npy --gpus 4 --replicas 20")
    assert (code, timeless(out), err) == (0, f"{PLAN}\n{NOT_WRITTEN}", "")


def test_plan_writes_the_plan(run: Any, folder: Path) -> None:
    for name in ("plan.json", "plan.npz"):
        code, out, err = run("plan loads.npy --gpus 4 --replicas 20 --out", name)
        assert (code, err) == (0, "")
        assert timeless(out) == f"{PLAN}\n  written to    {name}\n"
        assert eplb.load_plan(name) == PLAN
    assert names(folder) == ["loads.npy", "plan.json", "plan.npz"]


def test_plan_as_json(run: Any) -> None:
    code, out, err = run("plan loads.npy --gpus 4 --replicas 20 --out plan.json --json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == {
        "policy": PLAN.policy,
        "digest": PLAN.digest(),
        "num_layers": 5,
        "num_experts": 16,
        "num_replicas": 20,
        "num_groups": 1,
        "num_nodes": 1,
        "num_gpus": 4,
        "used_slots": 20,
        "cluster": None,
        "is_global": False,
        "loaded_layers": 5,
        **figures(PLAN),
        "unbalanced": figures(trivial()),
        "phy2log": PLAN.phy2log.tolist(),
        "hidden_layers": None,
        "layers": json.loads(json.dumps([asdict(layer) for layer in layer_figures(PLAN)])),
        "plot": None,
        "out": "plan.json",
        "notes": [],
    }
    assert eplb.load_plan("plan.json") == PLAN


def test_every_option_reaches_the_planner(run: Any) -> None:
    line = "plan loads.npy --gpus 4 --redundant 8 --groups 4 --nodes 2 --threads 2 --json --policy"
    for policy in eplb.POLICIES:
        sizes: dict[str, Any] = {
            "num_gpus": 4,
            "num_replicas": 24,
            "num_groups": 4,
            "num_nodes": 2,
        }
        made = eplb.plan(LOADS, policy=policy, **sizes)
        values = json.loads(run(line, policy)[1])
        assert values["digest"] == made.digest()
        assert values["policy"] == policy
        assert {name: values[name] for name in sizes} == sizes
        assert values["out"] is None
    alone = run("plan loads.npy --gpus 5 --json")[1]
    assert json.loads(alone)["digest"] == eplb.plan(LOADS, num_gpus=5).digest()


def test_efforts_reach_the_planner(run: Any) -> None:
    for effort in EFFORTS:
        made = eplb.plan(LOADS, num_gpus=4, num_replicas=20, policy="minimax", effort=effort)
        line = f"plan loads.npy --gpus 4 --replicas 20 --policy minimax --effort {effort} --json"
        assert json.loads(run(line)[1])["digest"] == made.digest()


def test_a_target_reaches_the_planner(run: Any) -> None:
    digests = set()
    for gap, wanted in (("0", 0), ("0.5", 0.5), ("50%", 0.5), ("0.999", 0.999), ("500%", 5)):
        made = eplb.plan(LOADS, num_gpus=4, num_replicas=20, target_gap=wanted)
        line = f"plan loads.npy --gpus 4 --replicas 20 --target-gap {gap} --json"
        assert json.loads(run(line)[1])["digest"] == made.digest()
        digests.add(made.digest())
    assert len(digests) == 2


def test_that_no_slots_are_spare_is_told(run: Any) -> None:
    np.save("hot.npy", np.array([[9] + [1] * 7]))
    np.save("even.npy", np.ones((2, 8)))
    np.save("zeros.npy", np.zeros((2, 8)))
    note = "there are no redundant slots, so no expert has a second replica; try --redundant 4"
    for command in ("plan", "compare"):
        line = f"{command} hot.npy --gpus 4"
        assert note in " ".join(run(line)[1].split())
        assert json.loads(run(f"{line} --json")[1])["notes"] == [note]
        assert "redundant" not in run(f"{line} --redundant 4")[1]
        for other in ("loads.npy --gpus 1", "even.npy --gpus 4", "zeros.npy --gpus 4"):
            assert "redundant" not in run(f"{command} {other}")[1]


def test_a_large_gap_points_to_a_longer_search(run: Any) -> None:
    skewed = np.array([[1, 49, 100, 81, 25, 100]])
    np.save("skewed.npy", skewed)
    line = "plan skewed.npy --gpus 6 --replicas 12"
    told = {}
    for effort in EFFORTS:
        made = eplb.plan(skewed, num_gpus=6, num_replicas=12, effort=effort)
        told[effort] = "--effort best searches longer" in run(line, "--effort", effort)[1]
        assert told[effort] == (effort != "best" and made.gap.max() > 0.05)
    assert told["fast"]
    assert told["default"]


def test_a_plan_of_minimax_suits_vllm_ascend(run: Any) -> None:
    line = "plan loads.npy --gpus 4 --replicas 20 --format vllm-ascend --out a.json --policy"
    code, _, err = run(line, "adaptive")
    assert code == 2
    assert "use --policy minimax" in err
    assert run(line, "minimax")[0] == 0


def test_the_fallback_is_told(run: Any) -> None:
    line = "plan loads.npy --gpus 4 --groups 3 --nodes 2"
    assert (
        "3 groups cannot be divided over 2 nodes,\n                so groups and nodes are ignored"
        in run(line)[1]
    )
    assert json.loads(run(line, "--json")[1])["is_global"] is True


def write_loads(kind: str, loads: Any) -> None:
    """Writes a file ``mine.kind``."""
    name = f"mine.{kind}"
    if kind == "npy":
        np.save(name, loads)
    elif kind == "npz":
        np.savez_compressed(name, counts=loads)
    elif kind == "csv":
        np.savetxt(name, loads, fmt="%d", delimiter=",")
    elif kind == "json":
        Path(name).write_text(json.dumps(loads.tolist()))
    else:
        torch.save(torch.tensor(loads), name)


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "json", "pt"])
def test_every_kind_of_file_gives_the_same_plan(
    kind: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_loads(kind, LOADS)
    code, out, err = run(f"plan mine.{kind} --gpus 4 --replicas 20 --json")
    assert (code, err, json.loads(out)["digest"]) == (0, "", PLAN.digest())
    content = io.BytesIO(Path(f"mine.{kind}").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
    code, out, err = run("plan - --gpus 4 --replicas 20 --json")
    assert (code, err, json.loads(out)["digest"]) == (0, "", PLAN.digest())


def test_windows_are_planned_for_the_next(run: Any) -> None:
    """From one file, or from several."""
    windows = np.array([LOADS // 2, LOADS - LOADS // 2])
    np.save("windows.npy", windows)
    for name, window in zip(("first.npy", "second.npy"), windows, strict=True):
        np.save(name, window)
    plan = eplb.plan(windows, num_gpus=4, num_replicas=20)
    each = eplb.evaluate(plan, windows)
    text = "\n".join([str(plan), *each.lines()])
    for files in ("windows.npy", "first.npy second.npy"):
        line = f"plan {files} --gpus 4 --replicas 20"
        code, out, err = run(line)
        assert (code, timeless(out), err) == (0, f"{text}\n{NOT_WRITTEN}", "")
        values = json.loads(run(line, "--json")[1])
        assert (values["digest"], values["notes"]) == (plan.digest(), [])
        assert values["over_windows"] == asdict(each.over_windows())
        assert values["figures_of"] == "the newest of 2 windows"
        assert [window["balancedness_worst"] for window in values["windows"]] == [
            *each.balancedness.min(axis=1)
        ]
        assert values["metrics"] == {
            name: pytest.approx(metric.of(each.gpu_load)) for name, metric in METRICS.items()
        }
        summed = json.loads(run(f"{line} --policy minimax --json")[1])
        assert (summed["digest"], summed["figures_of"]) == (PLAN.digest(), "the sum of 2 windows")
    text = run("compare windows.npy --gpus 4")[1]
    assert text.splitlines()[1:3] == [
        "all figures are of the sum of 2 windows, which all but multiwindow planned;",
        "a plan is worth what it reaches on the next window, see eplb evaluate",
    ]
    values = json.loads(run("compare windows.npy --gpus 4 --replicas 20 --json")[1])
    assert values["figures_of"] == "the sum of 2 windows"
    [found] = [row for row in values["rows"] if row["name"] == plan.policy]
    assert found["metrics"]["sglang"] == pytest.approx(METRICS["sglang"].of(each.gpu_load))
    on_sum = eplb.evaluate(plan, windows.sum(axis=0)).balancedness
    assert found["balancedness_worst"] == on_sum.min() != plan.balancedness.min()
    np.save("other.npy", LOADS[1:])
    err = run("plan first.npy other.npy --gpus 4")[2]
    assert err == "eplb: other.npy: it has 4 layers x 16 experts, but first.npy has 5 x 16\n"


def test_evaluate_shows_every_window(run: Any) -> None:
    PLAN.save("plan.json")
    windows = np.array([LOADS, LOADS[::-1], LOADS * 0])
    np.save("windows.npy", windows)
    figures = eplb.evaluate(PLAN, windows)
    out = run("evaluate plan.json windows.npy")[1]
    assert out.endswith("\n".join(["", *figures.lines(), ""]))
    assert "\n  figures       of the sum of 3 windows\n  balancedness " in out
    values = json.loads(run("evaluate plan.json windows.npy --json")[1])
    assert values["figures_of"] == "the sum of 3 windows"
    assert values["over_windows"] == asdict(figures.over_windows())
    values = values["windows"]
    assert [window["balancedness_mean"] for window in values] == [
        pytest.approx(figures.balancedness[0].mean()),
        pytest.approx(figures.balancedness[1].mean()),
        None,
    ]
    worst = [window["balancedness_worst"] for window in values]
    assert worst == [*figures.balancedness[:2].min(axis=1), None]


def test_verify_of_a_plan_from_windows(run: Any) -> None:
    np.save("windows.npy", np.array([LOADS, LOADS[::-1]]))
    for policy in eplb.POLICIES:
        run(f"plan windows.npy --gpus 4 --policy {policy} --out plan.json")
        code, out, err = run("verify plan.json windows.npy")
        assert (code, err) == (0, "")
        assert out.startswith("verified: structure, GPU loads and lower bounds of 5 layers")


def test_the_key_names_the_array(run: Any) -> None:
    np.savez("two.npz", a=LOADS[:2], b=LOADS)
    code, out, _ = run("plan two.npz --key b --gpus 4 --replicas 20 --json")
    assert (code, json.loads(out)["digest"]) == (0, PLAN.digest())


def test_short_options(run: Any, folder: Path) -> None:
    assert run("-V") == run("--version") == (0, f"eplb {eplb.__version__}\n", "")
    assert run("plan loads.npy --gpus 4 -o plan.json")[0] == 0
    assert run("replan loads.npy --previous plan.json -o next.json")[0] == 0
    assert run("sample --model olmoe-1b-7b --layers 2 -o drawn.npy")[0] == 0
    assert names(folder) == ["drawn.npy", "loads.npy", "next.json", "plan.json"]
    assert run("plan loads.npy --gpus 4 -o a.json --out b.json")[2] == (
        "eplb: --out is given twice; expected one value\n"
    )


# --- Narrow terminals -----------------------------------------------------------------------------

SUMMARIES = {
    "plan": "plan loads.npy --gpus 4 --redundant 4 --groups 4 --nodes 2 --metric sglang",
    "plan of windows": "plan windows.npy --gpus 4 --redundant 4 --metric trtllm --out plan.npz",
    "layers": "plan loads.npy --gpus 4 --redundant 4 --layers 3-7 --layers-table",
    "a global plan": "plan loads.npy --gpus 4 --groups 3 --nodes 2",
    "evaluate": "evaluate plan.json windows.npy --metric ascend --layers-table",
    "compare": "compare windows.npy --gpus 4 --redundant 4",
    "compare by a metric": "compare windows.npy --gpus 4 --redundant 4 --metric vllm",
    "compare with notes": "compare loads.npy --gpus 4 --groups 3 --nodes 2 --redundant 20",
    "compare sizes": "compare windows.npy --gpus 2,4 --redundant 3,4,8",
    "compare sizes by a metric": "compare loads.npy --gpus 2,4 --redundant 4,8 --metric trtllm",
    "replan": "replan windows.npy --previous plan.json --expert-bytes 44040192 --bandwidth 50",
}


@pytest.mark.parametrize("case", SUMMARIES)
@pytest.mark.parametrize("columns", [60, 80, 200])
def test_summaries_fit_the_terminal(
    case: str, columns: int, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    PLAN.save("plan.json")
    np.save("windows.npy", np.array([LOADS, LOADS[::-1]]))
    wide = run(SUMMARIES[case])[1]
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = run(SUMMARIES[case])
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= min(columns, 80)
    if "compare" not in case and "layers" not in SUMMARIES[case]:  # these have other columns
        figures = re.compile(r"[0-9]+\.[0-9]+ ms")
        assert figures.sub("", out).split() == figures.sub("", wide).split()


def test_a_name_is_not_broken(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    name = "a" * 60 + ".json"
    out = run(f"plan loads.npy --gpus 4 --out {name}")[1]
    assert out.endswith(f"\n  written to\n{'':16}{name}\n")


# --- compare --------------------------------------------------------------------------------------


def test_compare_shows_every_policy(run: Any) -> None:
    code, out, err = run("compare loads.npy --gpus 4 --replicas 20")
    assert (code, err) == (0, "")
    assert out.startswith("5 layers: 16 experts in 20 slots on 4 GPUs\n\npolicy  ")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()[4:]}
    assert list(rows) == ["trivial", *eplb.POLICIES]
    plans = {"trivial": trivial()} | {
        name: eplb.plan(LOADS, num_gpus=4, num_replicas=20, policy=name) for name in eplb.POLICIES
    }
    for name, plan in plans.items():
        assert rows[name][:5] == [
            f"{plan.balancedness.mean():.4f}",
            f"{plan.balancedness.min():.4f}",
            f"{plan.gap.mean():.3%}",
            at_most(plan.gap.max()),
            str(plan.duplicates.sum()),
        ]
        assert re.fullmatch(r"-" if name == "trivial" else r"\d+\.\d\d", rows[name][5])


def test_compare_says_why_a_policy_is_not_there(run: Any) -> None:
    line = "compare loads.npy --gpus 4 --replicas 100"
    out = run(line)[1]
    assert "\nnote: minimax is impossible: --replicas 100" in out
    assert "25 slots per GPU, but there are 16 experts" in " ".join(out.split())
    values = json.loads(run(f"{line} --json")[1])
    assert [row["name"] for row in values["rows"]] == ["trivial", "deepseek", "adaptive"]
    impossible = [note.partition(" is imp")[0] for note in values["notes"]]
    assert impossible == ["minimax", "multiwindow"]


@pytest.mark.parametrize("command", ["plan", "compare"])
def test_groups_without_nodes_are_noted(command: str, run: Any) -> None:
    note = "--groups 4 restricts nothing on one node; give --nodes too"
    line = f"{command} loads.npy --gpus 4 --redundant 4 --groups 4"
    assert note in run(line)[1]
    assert json.loads(run(f"{line} --json")[1])["notes"] == [note]
    assert json.loads(run(f"{line} --nodes 2 --json")[1])["notes"] == []


def test_compare_as_json(run: Any) -> None:
    values = json.loads(run("compare loads.npy --gpus 4 --redundant 4 --json")[1])
    assert (values["num_replicas"], values["loaded_layers"], values["notes"]) == (20, 5, [])
    rows = {row.pop("name"): row for row in values["rows"]}
    assert list(rows) == ["trivial", *eplb.POLICIES]
    assert rows["trivial"].pop("milliseconds") is None
    for name in eplb.POLICIES:
        plan = eplb.plan(LOADS, num_gpus=4, num_replicas=20, policy=name)
        assert rows[name].pop("milliseconds") > 0
        assert rows[name] == {"digest": plan.digest(), **figures(plan)}


def test_layers_without_load_are_left_out(run: Any) -> None:
    with_zeros = np.concatenate([np.zeros((2, 16), dtype=np.int64), LOADS])
    np.save("zeros.npy", with_zeros)
    line = "--gpus 4 --replicas 20 --json"
    values, full = (json.loads(run(f"plan {name}.npy {line}")[1]) for name in ("zeros", "loads"))
    assert (values["num_layers"], values["loaded_layers"]) == (7, 5)
    for name in ("balancedness_mean", "balancedness_worst", "gap_mean", "gap_worst"):
        assert values[name] == full[name]
    assert "\n2 layers without load are" in run("compare zeros.npy --gpus 4")[1]
    np.save("zeros.npy", with_zeros[1:])
    assert "\n1 layer without load is" in run("compare zeros.npy --gpus 4")[1]


def test_loads_that_are_all_zero(run: Any) -> None:
    np.save("zeros.npy", LOADS * 0)
    code, out, err = run("compare zeros.npy --gpus 4")
    assert (code, err) == (0, "")
    assert re.search(r"\ntrivial +- +- +- +- +0 +-\n", out)
    values = json.loads(run("plan zeros.npy --gpus 4 --json")[1])
    assert (values["gap_mean"], values["balancedness_worst"]) == (None, None)
    assert run("plan zeros.npy --gpus 4")[0] == 0


def test_groups_are_told(run: Any) -> None:
    out = run("compare loads.npy --gpus 4 --groups 4 --nodes 2")[1]
    assert out.splitlines()[1] == "4 groups, each whole on one of 2 nodes"
    out = run("compare loads.npy --gpus 4 --groups 3 --nodes 2")[1]
    assert (
        out.splitlines()[1]
        == "3 groups cannot be divided over 2 nodes, so groups and nodes are ignored"
    )


def test_the_table_fits_80_columns_and_nothing_of_it_is_cut() -> None:
    skewed = np.ones((3, 256), dtype=np.int64)
    skewed[:, 0] = 10**9
    text = comparison_text(compare(skewed, num_gpus=128, num_replicas=512))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert len(text.splitlines()) == 5 + len(eplb.POLICIES)


# --- verify ---------------------------------------------------------------------------------------


def test_verify(run: Any) -> None:
    PLAN.save("plan.json")
    line = eplb.verify(PLAN, LOADS)
    assert run("verify plan.json loads.npy") == (0, f"{line}\n", "")
    code, out, err = run("verify plan.json loads.npy --json")
    assert (code, json.loads(out), err) == (
        0,
        {"verified": True, "checked": "certificate", "message": line},
        "",
    )


def spoil_slots(values: dict[str, Any]) -> None:
    row = values["phy2log"][3]
    row[0] = (row[0] + 1) % 16


def spoil_gpu_load(values: dict[str, Any]) -> None:
    values["certificate"]["gpu_load"][3][1] += 1


def spoil_bound(values: dict[str, Any]) -> None:
    values["certificate"]["lower_bound"][3] += 1


def spoil_gap(values: dict[str, Any]) -> None:
    values["certificate"]["gap"][3] = 0.0


@pytest.mark.parametrize("spoil", [spoil_slots, spoil_gpu_load, spoil_bound, spoil_gap])
def test_verify_finds_what_is_false(spoil: Callable[[dict[str, Any]], None], run: Any) -> None:
    values = PLAN.to_dict()
    spoil(values)
    Path("plan.json").write_text(json.dumps(values))
    code, out, err = run("verify plan.json loads.npy")
    assert (code, out) == (1, "")
    assert re.fullmatch(r"eplb: [^\n]*layer 3\b[^\n]*\n(hint: [^\n]+\n)?", err)
    code, out, said = run("verify plan.json loads.npy --json")
    assert (code, said) == (1, err)
    answer = json.loads(out)
    assert (answer["verified"], answer["layer"]) == (False, 3)
    assert f"eplb: {answer['message']}\n" == err


def test_verify_finds_other_loads(run: Any) -> None:
    PLAN.save("plan.json")
    np.save("other.npy", LOADS + 1)
    code, out, err = run("verify plan.json other.npy")
    assert (code, out) == (1, "")
    assert "loads" in err
    np.save("other.npy", LOADS[:, :15])
    code, out, err = run("verify plan.json other.npy --json")
    assert (code, out) == (2, "")
    assert "5 layers x 15 experts, but the plan has 5 x 16" in err


# --- Mistakes -------------------------------------------------------------------------------------

PLANNED = "plan loads.npy --gpus 4"
MISTAKES: dict[str, tuple[str, str]] = {
    "no such command": ("plant loads.npy", "No such command 'plant'.*'plan'"),
    "no such option": ("plan loads.npy --gpu 4", "No such option: --gpu .*--gpus"),
    "no loads": ("plan --gpus 4", "Missing argument 'LOADS"),
    "no gpus": ("plan loads.npy", "give --gpus, or --slots with the slots of each GPU"),
    "an option without its value": ("plan loads.npy --gpus", "--gpus"),
    "no number": ("plan loads.npy --gpus 4x", "'--gpus': '4x' is not a whole number"),
    "no valid": (f"{PLANNED} --replicas 20.0", "'--replicas': '20.0' is not a whole"),
    "no gpu": ("plan loads.npy --gpus 0", "^--gpus 0 is too small; expected at least 1"),
    "less than no gpu": ("plan loads.npy --gpus -4", "^--gpus -4 is too small"),
    "2**70 gpus": (f"plan loads.npy --gpus {2**70}", f"--gpus {2**70} is too large"),
    "2**40 replicas": (
        f"{PLANNED} --replicas {2**40}",
        f"--replicas {2**40} is too large; expected at most",
    ),
    "2**70 nodes": (f"{PLANNED} --nodes {2**70}", f"--nodes {2**70} is too large"),
    "replicas that do not divide": (
        "plan loads.npy --gpus 3 --replicas 20",
        "^--replicas 20 is not divisible by --gpus 3\nhint: try --replicas 18 or --replicas 21$",
    ),
    "the same of compare": (
        "compare loads.npy --gpus 3 --replicas 20",
        "--replicas 18 or --replicas 21",
    ),
    "groups that do not divide": (
        f"{PLANNED} --groups 3",
        "the number of experts, 16, is .* by --groups 3\n",
    ),
    "spares for replicas": (f"{PLANNED} --replicas 4", r"did you mean --replicas 20\?"),
    "spares that do not divide": (
        f"{PLANNED} --redundant 3",
        "^--redundant 3 .19 slots. is not divisible by --gpus 4\n",
    ),
    "less than no spares": (
        f"{PLANNED} --redundant -4",
        "^--redundant -4 is too small; expected at least 0",
    ),
    "replicas and spares": (f"{PLANNED} --redundant 4 --replicas 20", "--redundant, not both"),
    "no threads": (f"{PLANNED} --threads 0", "^--threads 0 is too small; expected at least 1"),
    "no threads to compare with": (
        "compare loads.npy --gpus 4 --threads 0",
        "^--threads 0 is too small",
    ),
    "no such policy": (
        f"{PLANNED} --policy best",
        "unknown --policy 'best'; expected one of deepseek, adaptive",
    ),
    "no such effort": (
        f"{PLANNED} --policy minimax --effort most",
        "unknown --effort 'most'; expected one of fast, ",
    ),
    "a target that is none": (
        f"{PLANNED} --target-gap -1",
        "^--target-gap -1.0 is not a gap; expected a finite number",
    ),
    "a target in percent without the sign": (
        f"{PLANNED} --target-gap 5",
        r"'--target-gap': 5 without % is 500%; did you mean 5%\?",
    ),
    "a target of all": (f"{PLANNED} --target-gap 1", r"1 without % is 100%; did you mean 1%\?"),
    "a target without end": (f"{PLANNED} --target-gap inf", "--target-gap inf is not a gap"),
    "a target of another policy": (
        f"{PLANNED} --policy adaptive --target-gap 0.1",
        "^--target-gap 0.1 is an option of the policy minimax",
    ),
    "a target that is no number": (
        "plan loads.npy --gpus 4 --target-gap low%",
        "'--target-gap': 'low%' is not a number; expected for example 0.0005 or 0.05%",
    ),
    "an effort of another policy": (
        f"{PLANNED} --policy adaptive --effort best",
        "^--effort 'best' is an option of the policy min",
    ),
    "no such file": ("plan missing.npy --gpus 4", r"^missing\.npy: No such file"),
    "a folder": ("plan empty --gpus 4", r"^empty: this is a directory without .*meta_info\.json"),
    "no loads in it": (
        "plan text.csv --gpus 4",
        r"^text\.csv: line 1, column 2: expected a finite number, found 'x'",
    ),
    "a bad cell": ("plan bad.json --gpus 4", r"^bad\.json: layer 1, expert 0: the load is -3;"),
    "no such key": (f"{PLANNED} --key mine", r"^loads\.npy: .* not 'mine'"),
    "another ending": (
        f"{PLANNED} --out plan.txt",
        r"'plan\.txt' is not a file name for the format plan",
    ),
    "no such format": (
        f"{PLANNED} --out a.json --format sgl",
        "unknown --format 'sgl'; expected one of plan, sglang",
    ),
    "an engine's ending": (
        f"{PLANNED} --out a.json --format trtllm",
        r"^'a\.json' is not a file name for the format trtllm",
    ),
    "a format without a file": (
        f"{PLANNED} --format trtllm",
        "^the trtllm format needs hidden-layer numbers for the plan's 5 layers\nhint: give --layers",
    ),
    "layers without a file": (f"{PLANNED} --layers 3", "^1 layer named for a plan of 5\n"),
    "extra layers of an engine without": (
        f"{PLANNED} --format sglang --out a.json --extra-layers 61",
        "^--extra-layers are written in the format trtllm alone, not in sglang\nhint: leave out",
    ),
    "extra layers that are planned": (
        f"{PLANNED} --format trtllm --out a.yaml --layers 3-7 --extra-layers 7",
        "^layer 7 is planned, so not extra\nhint: leave out --extra-layers$",
    ),
    "layers that are none": (
        f"{PLANNED} --layers 3- --out a.json",
        "'3-' is not a list of layers; expected for example 3-60",
    ),
    "layers backwards": (f"{PLANNED} --layers 9-3 --out a.json", "'9-3' ends before it begins"),
    "too many layers": (
        f"{PLANNED} --layers 0-999999999 --out a.json",
        "'--layers': layer 999999999 is too large; expected 0 to 16383",
    ),
    "a layer of many digits": (
        f"{PLANNED} --layers 1,{10**20 - 1} --out a.json",
        f"'--layers': layer {10**20 - 1} is too large; expected 0 to 16383",
    ),
    "a layer of more digits than Python reads": (
        f"{PLANNED} --layers {'9' * 5000} --out a.json",
        "is too large; expected 0 to 16383",
    ),
    "layers that descend": (
        f"{PLANNED} --layers 4,3 --out a.json",
        "must ascend, but 3 comes after 4",
    ),
    "layers unsaid": (
        f"{PLANNED} --format trtllm --out a.yaml",
        "for the plan's 5 layers\nhint: give --layers or --config$",
    ),
    "too few layers": (
        f"{PLANNED} --format sglang --layers 3-4 --out a.json",
        "^2 layers named for a plan of 5\n",
    ),
    "no config": (f"{PLANNED} --config no.json --out a.json", r"^no\.json: No such file"),
    "layers and a config": (
        f"{PLANNED} --config bad.json --layers 3 --out a.json",
        "says which layers there are",
    ),
    "no such metric": (
        f"{PLANNED} --metric mine",
        "^unknown --metric 'mine'; expected one of sglang,",
    ),
    "a metric that is misspelt": (f"{PLANNED} --metric vlm", r"\nhint: did you mean 'vllm'\?$"),
    "a policy that is misspelt": (
        f"{PLANNED} --policy minmax",
        r"unknown --policy 'minmax'; .*\nhint: did you mean 'minimax'\?$",
    ),
    "a writer that is misspelt": (
        f"{PLANNED} --from slang",
        r"unknown --from 'slang'.*\nhint: did you mean 'sglang'\?$",
    ),
    "a key that is misspelt": (
        "plan two.npz --gpus 4 --key lods",
        r"^two\.npz: unknown --key 'lods'; .* loads, other\nhint: did you mean 'loads'\?$",
    ),
    "gpus that do not divide an engine's slots": (
        "evaluate lists.json loads.npy --format vllm --gpus 3",
        r"^lists\.json: its layers have 2 slots, .* --gpus 3\nhint: try --gpus 2$",
    ),
    "a picture of another kind": (
        f"{PLANNED} --plot a.gif",
        r"^'a\.gif' is not a picture file name",
    ),
    "a picture over the loads": (f"{PLANNED} --plot loads.npy", "^--plot .* overwrite the loads"),
    "no such model": ("sample --model gpt", "unknown --model 'gpt'; expected one of deepseek-v3,"),
    "loads of another kind": ("sample --out a.txt", r"^'a\.txt' is not a file name for loads"),
    "no tokens": ("sample --tokens 0", "^--tokens 0 is too small; expected at least 1"),
    "half a seed": ("sample --seed 0.5", "'0.5' is not a whole number"),
    "a seed below 0": ("sample --seed -1", "^--seed"),
    "too many of the best": ("sample --experts 4 --top-k 8", "--top-k"),
    "a drift of one window": (
        "sample --drift walk",
        r"^one window has no drift\nhint: give the number of --w",
    ),
    "no such drift": (
        "sample --drift run --windows 9",
        "^unknown --drift 'run'; expected one of walk",
    ),
    "a drift of one domain": (
        "sample --drift walk --windows 9 --domains 1",
        "^--domains 1 is out of range; expected 2 to 64 with drift=walk",
    ),
    "windows as CSV": ("sample --windows 2", "^CSV has only one window"),
    "layers and a config of evaluate": (
        "evaluate lists.json loads.npy --gpus 1 --layers 0 --config bad.json",
        "--config says which layers there are",
    ),
    "too wide a range of layers": (
        f"{PLANNED} --layers 0-16384 --out a.json",
        "layer 16384 is too large; expected 0 to 16383",
    ),
    "a plan over the config": (
        f"{PLANNED} --config config.json --out config.json",
        "^--out config.json would overwrite the config",
    ),
    "sizes of a plan file": (
        "evaluate plan.json loads.npy --gpus 4",
        "contains its own sizes",
    ),
    "no sizes of an engine's": (
        "evaluate lists.json loads.npy --format vllm",
        r"^lists\.json: the file does not say for how many GPUs it is\nhint: give --gpus",
    ),
    "no such folder": (
        f"{PLANNED} --out no/plan.json",
        r"^--out no/plan\.json: its folder does not exist",
    ),
    "out is a folder": (f"{PLANNED} --out folder.json", r"^folder\.json: Is a directory"),
    "no plan": (
        "verify bad.json loads.npy",
        r"^bad\.json: this is not a plan file: expected an object",
    ),
    "an engine's file for a plan": (
        "verify sglang.json loads.npy",
        r"^sglang\.json: this is not a plan file: .*\nhint: .* read by eplb evaluate",
    ),
    "the same of evaluate": (
        "evaluate sglang.json loads.npy",
        r"many GPUs it is\nhint: give --gpus",
    ),
    "a picture for a plan": (
        "verify picture.png loads.npy",
        r"^picture\.png: it is not valid JSON: its bytes are not UTF-8 text$",
    ),
    "out is this folder": (f"{PLANNED} --out .", r"^'\.' is not a file name for the format plan"),
    "no config, nor a file": (f"{PLANNED} --config no.json", r"^no\.json: No such file"),
    "an option twice": (f"{PLANNED} --gpus 2", "^--gpus is given twice; expected one value"),
    "a key twice": ("plan two.npz --gpus 4 --key b --key b", "^the --key 'b' is given twice"),
    "no plan file": ("verify no.json loads.npy", r"^no\.json: No such file"),
    "no plan, binary": (
        "verify loads.npy loads.npy",
        "loads.npy: this is an .npy file, not a plan file",
    ),
    "loads for verify that are none": ("verify plan.json bad.json", r"^bad\.json: layer 1"),
    "a plan of strange keys": ("verify strange.json loads.npy", r"\\x1b\[31m two"),
}


def test_a_config_keeps_its_own_words(run: Any) -> None:
    Path("config.json").write_text('{"first_k_dense_replace": 3}')
    for line in (f"{PLANNED} --out a.json", "evaluate a.json loads.npy --format sglang"):
        code, _, err = run(f"{line} --config config.json")
        assert code == 2
        assert err.startswith("eplb: config.json: it has no 'num_hidden_layers';")


def test_layers_without_load_have_no_duplicates_to_count(run: Any) -> None:
    np.save("loads.npy", np.vstack([LOADS, 0 * LOADS[:1]]))
    plan = eplb.plan(np.load("loads.npy"), num_gpus=4, num_replicas=20, policy="deepseek")
    assert plan.duplicates[-1] > 0
    wanted = int(plan.duplicates[:-1].sum())
    line = "loads.npy --gpus 4 --replicas 20"
    out = run(f"plan {line} --policy deepseek")[1]
    assert f"duplicates    {wanted} slot" in out or (wanted == 0 and "duplicates    none" in out)
    rows = json.loads(run(f"compare {line} --json")[1])["rows"]
    assert {row["name"]: row["duplicates"] for row in rows}["deepseek"] == wanted


def interrupted(line: str, after: float) -> subprocess.CompletedProcess[str]:
    """A process that is told to end by Ctrl-C."""
    process = subprocess.Popen(
        [*COMMAND, *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_an_interruption_ends_it_at_once() -> None:
    """Also while Rust plans, where Python looks at no signals: this takes a minute and more."""
    np.save("large.npy", np.random.default_rng(1).lognormal(0, 2, (2000, 2048)))
    line = "plan large.npy --gpus 512 --redundant 1024 --policy minimax --effort best"
    ended = interrupted(line, 6)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, run: Any, folder: Path) -> None:
    Path("text.csv").write_text("1,x\n")
    Path("bad.json").write_text("[[1, 2], [-3, 4]]")
    Path("empty").mkdir()
    Path("folder.json").mkdir()
    np.savez("two.npz", loads=LOADS, other=LOADS)
    Path("lists.json").write_text("[[0, 1]]")
    Path("config.json").write_text('{"model_type": "mixtral", "num_hidden_layers": 5}')
    Path("sglang.json").write_text('{"physical_to_logical_map": [[0, 1]]}')
    Path("picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    PLAN.save("plan.json")
    Path("strange.json").write_text(json.dumps({**PLAN.to_dict(), "\33[31m\ntwo": 0}))
    before = names(folder)
    line, wanted = MISTAKES[name]
    for as_json in ([], *([["--json"]] if not line.startswith("sample") else [])):
        code, out, err = run(line, *as_json)
        assert (code, out) == (2, "")
        assert re.fullmatch(r"eplb: [ -~]+\n(hint: [ -~]+\n)?", err)
        assert re.search(wanted, err.removeprefix("eplb: "))
    assert names(folder) == before


def test_a_mistake_in_a_process_of_its_own() -> None:
    done = start("plan loads.npy --gpus 3 --replicas 20")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("eplb: --replicas 20 is not divisible by --gpus 3")
    assert done.stderr.count("\n") == 2


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("eplb.cli.options.read_windows", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["plan", "loads.npy", "--gpus", "4"])


def test_no_memory(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("eplb.cli.options.read_windows", greedy)
    assert run(PLANNED) == (2, "", "eplb: not enough memory for loads or a plan of this size\n")


def test_a_long_message_is_cut(run: Any) -> None:
    code, out, err = run("plan loads.npy --policy", "x" * 9999, "--gpus", "4")
    assert (code, out) == (2, "")
    assert len(err) < 600


# --- Streams --------------------------------------------------------------------------------------


def test_a_plan_that_cannot_be_written_leaves_nothing_behind(folder: Path) -> None:
    Path("plan.json").write_text("what was there before")
    before = names(folder)
    script = 'ulimit -f 1; exec "$@"'
    options = ["plan", "loads.npy", "--gpus", "4", "--replicas", "1600", "--out", "plan.json"]
    options += ["--policy", "adaptive"]
    shell = ["sh", "-c", script, "sh", *COMMAND, *options]
    done = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "eplb: plan.json: File too large\n"
    assert Path("plan.json").read_text() == "what was there before"
    assert names(folder) == before


@pytest.mark.parametrize("line", ["compare loads.npy --gpus 4", PLANNED, "plan --help"])
def test_piped_output_is_plain(line: str) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "TERM": "xterm-256color"}
    done = start(line, environment=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"[\n -~]+", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_colours_can_be_had() -> None:
    done = start("compare loads.npy --gpus 4", environment={"FORCE_COLOR": "1", "TERM": "xterm"})
    assert "\33[" in done.stdout


@pytest.mark.parametrize("line", ["compare loads.npy --gpus 4", "plan loads.npy --gpus 4 --json"])
def test_a_reader_that_has_gone(line: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = start(line, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk() -> None:
    with Path("/dev/full").open("w") as full:
        done = start(PLANNED, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, "eplb: standard output: No space left on device\n")


def test_closed_output(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdout", "stderr"):
        with monkeypatch.context() as closed:
            closed.setattr(sys, stream, None)
            assert cli.main(["compare", "loads.npy", "--gpus", "4"]) == 0
            assert cli.main(["plan", "missing.npy", "--gpus", "4"]) == 2
    assert run("--version")[0] == 0


def test_names_of_any_characters(run: Any) -> None:
    name = "l\xf6ads \udcff\33[31m.npy"
    np.save("loads.npy", LOADS)
    Path("loads.npy").rename(name)
    assert run("plan", name, "--gpus", "4")[0] == 0
    code, _, err = run("plan", f"no {name}", "--gpus", "4")
    assert (code, err) == (2, "eplb: no l\xf6ads \\udcff\\x1b[31m.npy: No such file or directory\n")
    code, out, _ = run("plan", name, "--gpus", "4", "--out", "\xe9\udcfe.json")
    assert code == 0
    assert out.endswith("  written to    \xe9\\udcfe.json\n")


# --- Help -----------------------------------------------------------------------------------------


def test_version(run: Any) -> None:
    assert run("--version") == (0, f"eplb {eplb.__version__}\n", "")


@pytest.mark.parametrize("command", NAMES)
def test_help_has_an_example_that_works(command: str, run: Any) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    example = re.search(r"Example: eplb (.*)", out)
    assert example
    np.save("loads.npy", np.random.default_rng(1).integers(1, 99, (2, 256)))
    np.save("trace.npy", np.random.default_rng(1).integers(1, 99, (12, 2, 256)))
    eplb.plan(np.load("loads.npy"), num_gpus=32).save("plan.json")
    if command == "record":
        write_record(Path())
    assert run(example[1])[0] == 0


def test_help_says_what_the_words_mean(run: Any) -> None:
    for command in ("plan", "evaluate"):
        text = " ".join(run(f"{command} --help")[1].split())
        assert "config.json: which hidden layers are MoE layers" in text


def test_without_a_command_there_is_help(run: Any) -> None:
    code, out, err = run("")
    assert (code, out) == (2, "")
    for command in NAMES:
        assert f"\n  {command} " in err
    assert run("--help") == (0, err, "")


# --- The demo -------------------------------------------------------------------------------------


def test_demo(folder: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "demo.py"), "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\nverified: ") == 5
    results = folder / "out" / "replay.json"
    assert len({*(folder / "out").glob("*.json")} - {results}) == 5
    assert "\nReplay of 48 windows, 26 layers: 64 experts in 80 slots on 8 GPUs\n" in done.stdout
    paths = done.stdout.partition("out/trace.npy\nout/replay.json\n")[2]
    # With the extra `report` there is a page too.
    assert paths in {"out/replay.html: open it in a browser\n", ""}
    assert (folder / "out" / "replay.html").exists() == bool(paths)
    assert json.loads(results.read_text())["recommendation"]["setting"] == "multiwindow"
    for model in ("DeepSeek-V2-Lite", "gpt-oss-20b", "DeepSeek-V4-Flash", "DeepSeek-V3"):
        assert model in done.stdout


def test_the_loads_are_not_overwritten(run: Callable[..., tuple[int, str, str]]) -> None:
    np.savez("loads.npz", LOADS)
    before = Path("loads.npz").read_bytes()
    Path("link.npz").symlink_to("loads.npz")
    for out in ("loads.npz", "link.npz"):
        code, _, complaint = run(f"plan loads.npz --gpus 4 --out {out}")
        assert (code, complaint) == (
            2,
            f"eplb: --out {out} would overwrite the loads; give another file\n",
        )
    assert Path("loads.npz").read_bytes() == before


def test_python_m_eplb() -> None:
    module = subprocess.run(
        [sys.executable, "-m", "eplb", "--version"], capture_output=True, text=True, check=False
    )
    assert module.stdout == f"eplb {eplb.__version__}\n"


# --- Files of engines -----------------------------------------------------------------------------

PLACEMENTS = [(name, ending) for name in FORMATS for ending in FORMATS[name].endings]
#: Without an expert twice on a GPU, whatever the loads: one slot more than experts a GPU.
EVEN = "plan even.npy --gpus 4 --layers 3-7 --num-hidden-layers 9 --out"


@pytest.mark.parametrize(("name", "ending"), PLACEMENTS)
def test_plan_writes_every_engine_s_file(name: str, ending: str, run: Any) -> None:
    np.save("even.npy", LOADS)
    out = f"placement{ending}"
    code, printed, err = run(f"{EVEN} {out} --format {name}")
    assert (code, err) == (0, "")
    assert f"  written to    {out}\n" in printed
    assert "  note          " in printed
    made = eplb.plan(LOADS, num_gpus=4)
    layers = None if FORMATS[name].rows == "moe" else [3, 4, 5, 6, 7]
    read = load_engine_file(out, name, num_gpus=4, layers=layers)
    assert read.plan.digest() == made.digest()
    of_engine = "" if layers is None else "--layers 3-7"
    line = f"evaluate {out} loads.npy --format {name} --gpus 4 {of_engine} --json"
    values = json.loads(run(line)[1])
    assert (values["digest"], values["gap_worst"]) == (made.digest(), made.gap.max())
    assert json.loads(run(f"{EVEN} {out} --format {name} --json")[1])["notes"]


def test_plan_takes_layers_from_a_config(run: Any) -> None:
    config = {"num_hidden_layers": 7, "first_k_dense_replace": 2, "n_routed_experts": 16}
    Path("config.json").write_text(json.dumps(config))
    line = "plan loads.npy --gpus 4 --format sglang --out placement.json --config config.json"
    code, printed, _ = run(line)
    assert code == 0
    assert "layers 0, 1 have the default placement" in printed
    rows = json.loads(Path("placement.json").read_text())["physical_to_logical_map"]
    assert len(rows) == 7
    evaluated = run(
        "evaluate placement.json loads.npy --format sglang --gpus 4 --config config.json"
    )
    assert evaluated[0] == 0
    assert eplb.plan(LOADS, num_gpus=4).digest() in evaluated[1]


def test_evaluate_a_plan_file_under_other_loads(run: Any) -> None:
    PLAN.save("plan.json")
    other = LOADS[:, ::-1].copy()
    np.save("other.npy", other)
    code, out, err = run("evaluate plan.json other.npy --metric ascend")
    evaluated = eplb.evaluate(PLAN, other)
    assert (code, err) == (0, "")
    assert out.startswith(
        f"{evaluated}\n  as ascend     {METRICS['ascend'].of(evaluated.gpu_load):.4f} ("
    )


def test_notes_fit_80_columns(run: Any) -> None:
    for metric in METRICS:
        line = f"{EVEN} placement.json --format sglang --metric {metric}"
        np.save("even.npy", LOADS)
        out = run(line)[1]
        assert max(map(len, out.splitlines())) <= 80
        assert f"\n  as {metric:<11}" in out


def test_compare_has_a_column_for_a_metric(run: Any) -> None:
    out = run("compare loads.npy --gpus 4 --replicas 20 --metric vllm")[1]
    assert max(map(len, out.splitlines())) <= 80
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines()[4:-1]}
    assert rows == {
        "trivial": f"{METRICS['vllm'].of(trivial().gpu_load):.4f}",
        **{
            name: f"{METRICS['vllm'].of(eplb.plan(LOADS, num_gpus=4, num_replicas=20, policy=name).gpu_load):.4f}"
            for name in eplb.POLICIES
        },
    }


# --- The picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_plan_draws_a_picture(ending: str, magic: bytes, run: Any) -> None:
    pytest.importorskip("matplotlib")
    code, out, err = run(f"plan loads.npy --gpus 4 --replicas 20 --plot loads.{ending}")
    assert (code, err) == (0, "")
    assert out.endswith(f"  written to    loads.{ending}\n")
    assert Path(f"loads.{ending}").read_bytes().startswith(magic)


def test_what_a_picture_shows() -> None:
    pytest.importorskip("matplotlib")
    zeros = np.concatenate([LOADS[:1] * 0, LOADS])
    plan = eplb.plan(zeros, num_gpus=4, num_replicas=20)
    figure = figure_of(plan)
    before, after = figure.axes
    for axes, shown in ((before, eplb.evaluate(plan.trivial(), zeros)), (after, plan)):
        load = shown.gpu_load[1:]
        relative = load / load.mean(axis=1, keepdims=True)
        dots = np.array(axes.collections[0].get_offsets())
        assert np.array_equal(dots[:, 0], np.repeat(np.arange(1, 6), 4))
        assert np.allclose(dots[:, 1], relative.ravel())
        patches: Any = axes.patches
        bars = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in patches]
        assert np.allclose(bars, [(0, peak) for peak in relative.max(axis=1)])
        assert axes.get_ylim()[0] == 0
        assert (
            f"{relative.max():.2f} x in layer {1 + relative.max(axis=1).argmax()}"
            in axes.get_title(loc="left")
        )


@pytest.mark.parametrize("few", [1, 2])
def test_a_picture_of_few_layers_has_a_bar_for_each_gpu(few: int) -> None:
    pytest.importorskip("matplotlib")
    rows = [1, 3][:few]
    loads = np.zeros_like(LOADS)
    loads[rows] = LOADS[rows]
    plan = eplb.plan(loads, num_gpus=4, num_replicas=20)
    figure = figure_of(plan, [10, 11, 12, 13, 14], "trtllm", "a title")
    assert figure.get_suptitle() == "a title\n16 experts in 20 slots on 4 GPUs"
    start = plan.trivial("trtllm")
    wanted = [(shown, row) for shown in (start, plan) for row in rows]
    for axes, (shown, row) in zip(figure.axes, wanted, strict=True):
        relative = shown.gpu_load[row] / shown.gpu_load[row].mean()
        patches: Any = axes.patches
        assert [bar.get_y() for bar in patches] == [0] * 4
        assert np.allclose([bar.get_height() for bar in patches], relative)
        assert axes.get_ylim()[0] == 0
        name = "start placement of trtllm" if shown is start else "minimax"
        assert axes.get_title(loc="left") == (
            f"{name}, hidden layer {10 + row}: busiest GPU {relative.max():.2f} x the mean"
        )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of every picture that is drawn."""
    pytest.importorskip("matplotlib")
    calls: list[tuple[Any, ...]] = []

    def noted(*arguments: Any) -> Any:
        calls.append(arguments)
        return figure_of(*arguments)

    monkeypatch.setattr("eplb.plots.figure_of", noted)
    return calls


def test_evaluate_draws_the_start_and_the_placement(run: Any, drawn: list[tuple[Any, ...]]) -> None:
    PLAN.save("plan.json")
    other = LOADS[::-1]
    np.save("other.npy", other)
    code, out, _ = run("evaluate plan.json other.npy --from table --plot a.png")
    assert (code, out.endswith("\n  written to    a.png\n")) == (0, True)
    [(plan, *_)] = drawn
    assert plan == eplb.evaluate(PLAN, other)
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run("evaluate plan.json other.npy --plot b.png --json")[1])["plot"] == "b.png"
    Path("loads.png").write_bytes(Path("loads.npy").read_bytes())
    for line, what in (
        ("plan.json loads.png", "the loads"),
        ("loads.png other.npy", "the placement"),
    ):
        err = run(f"evaluate {line} --plot loads.png")[2]
        assert err == f"eplb: --plot loads.png would overwrite {what}; give another file\n"


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ({"architectures": ["Some$ForCausalLM", "SomeMoe"], "model_type": "some"}, "SomeMoe, "),
        ({"model_type": "some_moe-2.5"}, "some_moe-2.5, "),
        ({"architectures": "Some", "model_type": ["some"]}, ""),
        ({"architectures": None, "model_type": "a$b$"}, ""),
    ],
)
def test_the_title_has_the_model_and_the_date_of_the_loads(
    config: dict[str, Any], model: str, run: Any, drawn: list[tuple[Any, ...]]
) -> None:
    values = {"num_hidden_layers": 5, "first_k_dense_replace": 0, "n_routed_experts": 16}
    Path("config.json").write_text(json.dumps(values | config))
    np.save("windows.npy", np.array([LOADS, LOADS[::-1]]))
    PLAN.save("plan.json")
    os.utime("windows.npy", (0, 1_700_000_000))
    os.utime("loads.npy", (0, 1_600_000_000))
    for line, title in (
        ("plan windows.npy loads.npy --gpus 4", "loads of 2023-11-14, the newest of 3 windows"),
        ("plan windows.npy --gpus 4 --policy minimax", "loads of 2023-11-14, the sum of 2 windows"),
        ("plan loads.npy --gpus 4", "loads of 2020-09-13"),
        ("evaluate plan.json windows.npy", "loads of 2023-11-14, the sum of 2 windows"),
    ):
        assert run(f"{line} --config config.json --plot a.png")[0] == 0
        assert drawn[-1][3] == model + title


def test_a_title_of_a_directory_and_of_standard_input() -> None:
    assert title_of(["-"], None, None) is None
    Path("dump").mkdir()
    for name, changed in (("a", 1_600_000_000), ("b", 1_500_000_000)):
        Path("dump", name).touch()
        os.utime(Path("dump", name), (0, changed))
    assert title_of(["dump", "-"], None, None) == "loads of 2020-09-13"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_picture_is_reproducible(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = [tmp_path / f"{name}{ending}" for name in "ab"]
    for file in files:
        plot_plan(PLAN, file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    # It does not say when it was drawn.
    assert not re.search(rb"<dc:date>|CreationDate", first)


def test_without_matplotlib(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eplb.plots.find_spec", lambda _: None)
    code, out, err = run("plan loads.npy --gpus 4 --plot loads.png --out plan.json")
    assert (code, out) == (2, "")
    assert err == "eplb: matplotlib is needed to draw\nhint: pip install matplotlib\n"
    assert not Path("plan.json").exists()


# --- sample ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "json"])
def test_sample_writes_loads(kind: str, run: Any) -> None:
    wanted = sample("olmoe-1b-7b", seed=3, layers=2, tokens=1000)
    line = f"sample --model olmoe-1b-7b --seed 3 --layers 2 --tokens 1000 --out drawn.{kind}"
    code, out, err = run(line)
    assert (code, err) == (0, "")
    assert out.startswith("2 x 64 loads (layers x experts) of ")
    assert out.endswith(f"written to drawn.{kind}\n")
    assert np.array_equal(read_loads(f"drawn.{kind}").table, wanted)


def test_sample_into_a_pipe(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("sample --model olmoe-1b-7b --layers 3")
    assert (code, err, out.count("\n")) == (0, "", 3)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out.encode())))
    values = json.loads(run("plan - --gpus 8 --json")[1])
    assert values["digest"] == eplb.plan(sample("olmoe-1b-7b", layers=3), num_gpus=8).digest()


def test_sample_of_a_drift(run: Any) -> None:
    line = "sample --model olmoe-1b-7b --layers 2 --windows 9 --drift redraw --out drawn.npy"
    code, out, err = run(line)
    assert (code, err) == (0, "")
    assert out.startswith("9 x 2 x 64 loads (windows x layers x experts) of OLMoE-1B-7B on instr")
    assert out.splitlines()[0].endswith("; 10 domains, drift redraw")
    drawn = sample("olmoe-1b-7b", layers=2, windows=9, drift="redraw")
    assert (np.load("drawn.npy") == drawn).all()
    assert run(f"{line} --domains 3")[1].splitlines()[0].endswith("; 3 domains, drift redraw")
    assert (np.load("drawn.npy") != drawn).any()


def test_sample_of_windows(run: Any) -> None:
    assert run("sample --model olmoe-1b-7b --windows 2 --layers 1 --out drawn.npy")[0] == 0
    assert np.load("drawn.npy").shape == (2, 1, 64)


def test_loads_are_not_thrown_at_a_terminal(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, _, err = run("sample")
    assert code == 2
    assert err == "eplb: loads are not printed on a terminal\nhint: give --out FILE, or pipe them\n"
