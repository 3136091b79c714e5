"""Which layer: hidden layers wherever they are known, and the table of all layers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest
from eplb.analysis.layer_figures import layer_figures
from eplb.plots import figure_of
from eplb.summary import at_most

LOADS = np.random.default_rng(7).integers(1, 1000, (5, 16))
LOADS[3, 11] = 40_000
PLAN = eplb.plan(LOADS, num_gpus=4, num_replicas=20)
HIDDEN = [2, 3, 5, 6, 9]
NAMED = "--layers 2-3,5-6,9"
ROW = int(PLAN.balancedness.argmin())
WORST = f"(layer {HIDDEN[ROW]})"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("loads.npy", LOADS)
    # A dump that names its hidden layers.
    Path("dump.json").write_text(
        json.dumps(dict(zip(map(str, HIDDEN), LOADS.tolist(), strict=True)))
    )
    flags = [int(layer in HIDDEN) for layer in range(10)]
    Path("config.json").write_text(json.dumps({"num_hidden_layers": 10, "moe_layer_freq": flags}))
    return tmp_path


SIZES = "--gpus 4 --redundant 4"
SOURCES = [
    f"loads.npy {SIZES} {NAMED}",
    f"loads.npy {SIZES} --config config.json",
    f"dump.json {SIZES}",
]


@pytest.mark.parametrize("source", SOURCES)
def test_plan_names_hidden_layers_and_says_so_once(source: str, run: Any) -> None:
    code, out, err = run(f"plan {source}")
    assert (code, err) == (0, "")
    assert out.count("hidden layers") == 1
    assert "\n  layers        2, 3, 5, 6, 9, as hidden layers are counted\n" in out
    assert f"worst {PLAN.balancedness.min():.4f} {WORST}" in out
    assert out.count("(layer ") == 2 == out.count(WORST)
    values = json.loads(run(f"plan {source} --json")[1])
    assert values["hidden_layers"] == HIDDEN
    assert (values["layers"][0]["layer"], values["layers"][0]["row"]) == (HIDDEN[ROW], ROW)


def test_evaluate_and_replan_name_them_too(run: Any) -> None:
    run(f"plan loads.npy {SIZES} --out plan.json")
    for loads in ("dump.json", f"loads.npy {NAMED}", "loads.npy --config config.json"):
        out = run(f"evaluate plan.json {loads}")[1]
        assert WORST in out
        assert out.count("hidden layers") == 1
        np.save("loads.npy", LOADS)
        out = run(f"replan {loads} --previous plan.json --layers-table")[1]
        assert "\n  layers        2, 3, 5, 6, 9, as hidden layers are counted\n" in out
        assert [line.split()[0] for line in out.splitlines()[-5:]].count("9") == 1


@pytest.mark.skipif(importlib.util.find_spec("yaml") is None, reason="PyYAML is not installed")
def test_a_file_that_names_them_is_enough(run: Any) -> None:
    run(f"plan loads.npy {SIZES} {NAMED} --format trtllm --out placement.yaml")
    out = run("evaluate placement.yaml loads.npy --gpus 4")[1]
    assert WORST in out
    assert "2, 3, 5, 6, 9, as hidden layers are counted" in out


def test_rows_that_are_all_hidden_layers_need_no_names(run: Any) -> None:
    whole = np.zeros((10, 16), dtype=np.int64)
    whole[HIDDEN] = LOADS
    np.save("whole.npy", whole)
    for option in ("", "--config config.json"):
        out = run(f"plan whole.npy {SIZES} {option}")[1]
        assert WORST in out
        assert "hidden layers" not in out


def test_a_number_of_layers_that_cannot_be_is_refused(run: Any) -> None:
    np.save("few.npy", LOADS[:4])
    for option, message in (
        (NAMED, "eplb: 5 layers named for a plan of 4"),
        ("--config config.json", "eplb: few.npy: the loads are 4 layers x 16 experts; expected "),
    ):
        code, _, err = run(f"plan few.npy --gpus 4 {option}")
        assert code == 2
        assert err.startswith(message)


def test_what_groups_cost_names_the_hidden_layer(run: Any) -> None:
    sizes: Any = {"num_gpus": 4, "num_replicas": 20, "num_groups": 4, "num_nodes": 2}
    plan = eplb.plan(LOADS, **sizes)
    rise = plan.lower_bound / plan.bound_without_groups
    out = run(f"plan loads.npy {SIZES} --groups 4 --nodes 2 {NAMED}")[1]
    [line] = [line for line in out.splitlines() if "groups cost" in line]
    assert f"(layer {HIDDEN[rise.argmax()]}) on the bound" in line


def test_moves_name_hidden_layers(run: Any) -> None:
    eplb.plan(LOADS[::-1].copy(), num_gpus=4, num_replicas=20).save("plan.json")
    line = "replan loads.npy --previous plan.json"
    plain = json.loads(run(f"{line} --transfers moves.json --json")[1])
    rows = [row[0] for row in json.loads(Path("moves.json").read_text())["rows"]]
    assert plain["transfers"] == len(rows) > 0
    out = run(f"{line} {NAMED} --transfers moves.json")[1]
    named = [row[0] for row in json.loads(Path("moves.json").read_text())["rows"]]
    assert named == [HIDDEN[row] for row in rows]
    assert "note          the layers in moves.json are hidden layers\n" in out
    update = eplb.replan([LOADS], eplb.load_plan("plan.json"))
    assert f"(layer {HIDDEN[update.gain.argmax()]}) on the history" in out


def test_verify_names_the_hidden_layer(run: Any) -> None:
    values = PLAN.to_dict()
    values["certificate"]["gpu_load"][3][0] += 1
    Path("plan.json").write_text(json.dumps(values))
    code, _, err = run("verify plan.json dump.json")
    assert code == 1
    assert err.startswith("eplb: layer 3")
    assert err.endswith("(hidden layer 6)\n")
    assert "hidden" not in run("verify plan.json loads.npy")[2]


def test_the_picture_names_hidden_layers() -> None:
    panels: Any = figure_of(PLAN, HIDDEN).axes
    before, after = panels
    for axes in (before, after):
        places = {round(bar.get_x() + bar.get_width() / 2) for bar in axes.patches}
        assert places == {*HIDDEN}
    assert f"in layer {HIDDEN[ROW]}" in after.get_title(loc="left")
    assert after.get_xlabel() == "hidden layer"
    assert figure_of(PLAN).axes[1].get_xlabel() == "layer"


# --- The table of all layers ----------------------------------------------------------------------


def test_figures_of_layers_are_those_of_the_plan() -> None:
    start = PLAN.trivial("trtllm")
    figures = layer_figures(PLAN, HIDDEN, "trtllm")
    assert figures[0].row == ROW
    assert [each.balancedness for each in figures] == sorted(PLAN.balancedness)
    for each in figures:
        row = each.row
        assert each.layer == HIDDEN[row]
        assert each.balancedness == PLAN.balancedness[row]
        assert each.unbalanced == start.balancedness[row]
        assert (each.gap, each.bound) == (PLAN.gap[row], PLAN.bound[row])
        assert each.busiest_gpu == PLAN.gpu_load[row].argmax()
        hottest = sorted(range(16), key=lambda expert: (-LOADS[row, expert], expert))[:3]
        assert [hot.expert for hot in each.hottest] == hottest
        for hot in each.hottest:
            assert hot.share == pytest.approx(LOADS[row, hot.expert] / LOADS[row].sum())
            assert hot.replicas == PLAN.logcnt[row, hot.expert]
    assert [each.layer for each in layer_figures(PLAN)] == [each.row for each in figures]


def test_layers_without_load_have_no_figures() -> None:
    plan = eplb.plan([[0, 0], [1, 2]], num_gpus=2)
    [only] = layer_figures(plan)
    assert (only.layer, len(only.hottest)) == (1, 2)
    assert plan.expert_share.tolist() == [[0, 0], [pytest.approx(1 / 3), pytest.approx(2 / 3)]]
    with pytest.raises(eplb.EplbError, match=r"not known; use eplb\.evaluate"):
        _ = eplb.Plan.from_dict(plan.to_dict()).expert_share


def test_the_table_has_the_worst_layer_first(run: Any) -> None:
    out = run(f"plan loads.npy {SIZES} {NAMED} --layers-table")[1]
    lines = out.splitlines()
    start = lines.index(
        "Hidden layers, the worst first: balancedness before and after, the busiest GPU"
    )
    assert lines[start + 2].split()[:6] == ["layer", "before", "after", "gap", "bound", "GPU"]
    assert max(map(len, lines)) <= 80
    worst = layer_figures(PLAN, HIDDEN)[0]
    cells = lines[start + 3].split()
    assert cells[:6] == [
        str(worst.layer),
        f"{worst.unbalanced:.4f}",
        f"{worst.balancedness:.4f}",
        at_most(worst.gap),
        worst.bound,
        str(worst.busiest_gpu),
    ]
    hot = worst.hottest[0]
    assert cells[6:8] == [f"{hot.expert}:", f"{hot.share:.1%}/{hot.replicas}"]
    assert len(lines) == start + 3 + 5
    assert "\nLayers, the worst first: " in run(f"plan loads.npy {SIZES} --layers-table")[1]
    PLAN.save("plan.json")
    assert "hottest experts" in run("evaluate plan.json loads.npy --layers-table")[1]


# --- Layers of multi-token prediction -------------------------------------------------------------

MTP_CONFIG = {
    "num_hidden_layers": 5,
    "first_k_dense_replace": 2,
    "n_routed_experts": 16,
    "num_nextn_predict_layers": 1,
}
# Rows of a record, and which hidden layers these are.
RECORDS = {3: [2, 3, 4], 4: [2, 3, 4, 5], 6: [0, 1, 2, 3, 4, 5]}
# Whether the file of a format has the layer of multi-token prediction, if the record has it.
HAS_MTP = {"plan": True, "sglang": False, "trtllm": True, "vllm-ascend": True, "rtp-llm": False}


@pytest.mark.skipif(importlib.util.find_spec("yaml") is None, reason="PyYAML is not installed")
@pytest.mark.parametrize("format_name", HAS_MTP)
@pytest.mark.parametrize("rows", RECORDS)
def test_a_file_written_for_a_record_fits_it_and_the_next_one(
    rows: int, format_name: str, run: Any
) -> None:
    Path("mtp.json").write_text(json.dumps(MTP_CONFIG))
    loads = np.zeros((6, 16), dtype=np.int64)
    loads[2:] = LOADS[:4]
    np.save("record.npy", loads[RECORDS[rows]])
    file = "p.yaml" if format_name == "trtllm" else "p.json"
    given = f"record.npy --config mtp.json {SIZES}"
    assert run(f"plan {given} --format {format_name} --out {file}")[0] == 0
    whole = format_name == "plan" and rows == 6
    layers = RECORDS[rows if whole else 4 if rows > 3 and HAS_MTP[format_name] else 3]
    gpus = "" if format_name == "plan" else "--gpus 4"
    code, out, err = run(f"evaluate {file} record.npy --config mtp.json {gpus} --json")
    assert (code, err) == (0, "")
    assert json.loads(out)["hidden_layers"] == (None if whole else layers)
    for other in ("sglang", "trtllm"):
        ending = "yaml" if other == "trtllm" else "json"
        line = f"replan {given} --previous {file} --format {other} --out next.{ending} --json"
        code, out, err = run(line)
        assert (code, err) == (0, "")
        values = json.loads(out)
        assert values["num_layers"] == len(layers)
    maps = json.loads(Path("next.json").read_text())["physical_to_logical_map"]
    assert len(maps) == 5
    assert Path("next.yaml").read_text().count("\n  5: [") == 1
