"""Placements on the command line: of any engine, by its own start, as its scripts write them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest
from eplb.engines import FORMATS, METRICS
from safetensors.numpy import save_file

needs_yaml = pytest.mark.skipif(
    importlib.util.find_spec("yaml") is None, reason="PyYAML is not installed"
)
LOADS = np.random.default_rng(7).integers(1, 1000, (5, 16))
PLAN = eplb.plan(LOADS, num_gpus=4, num_replicas=20)
# Two dense layers before the five MoE layers, and one of multi-token prediction behind them.
CONFIG = {
    "num_hidden_layers": 7,
    "first_k_dense_replace": 2,
    "n_routed_experts": 16,
    "n_group": 4,
    "num_nextn_predict_layers": 1,
}
PLANNED = "plan loads.npy --gpus 4 --redundant 4 --config config.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("loads.npy", LOADS)
    Path("config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def values(run: Any, line: str) -> Any:
    code, out, err = run(f"{line} --json")
    assert (code, err) == (0, ""), err
    return json.loads(out)


@pytest.mark.parametrize("name", ["plan", *FORMATS])
def test_placements_are_recognised(name: str, run: Any) -> None:
    if name == "trtllm" and importlib.util.find_spec("yaml") is None:
        pytest.skip("PyYAML is not installed")
    for ending in (".json", ".npz") if name == "plan" else FORMATS[name].endings:
        file = f"placement{ending}"
        assert run(f"{PLANNED} --format {name} --out {file}")[0] == 0
        gpus = "" if name == "plan" else "--gpus 4"
        found = values(run, f"evaluate {file} loads.npy --config config.json {gpus}")
        assert found["digest"] == PLAN.digest()
        found = values(run, f"replan loads.npy --previous {file} --config config.json {gpus}")
        assert found["previous"]["digest"] == PLAN.digest()


def test_a_grouped_plan_comes_back_from_sglang_s_file(run: Any) -> None:
    groups = "--gpus 4 --groups 4 --nodes 2"
    made = values(run, f"{PLANNED} --groups 4 --nodes 2 --format sglang --out placement.json")
    for line in (
        f"evaluate placement.json loads.npy --config config.json {groups}",
        f"evaluate placement.json loads.npy --layers 2-6 {groups}",
    ):
        found = values(run, line)
        assert (found["digest"], found["gap_worst"]) == (made["digest"], made["gap_worst"])
    # Loads of all hidden layers: dense layers keep groups on nodes too.
    np.save("all.npy", np.vstack([np.zeros((2, 16), dtype=np.int64), LOADS]))
    found = values(run, f"evaluate placement.json all.npy {groups}")
    assert (found["num_layers"], found["gap_worst"]) == (7, made["gap_worst"])


@needs_yaml
def test_unbalanced_is_what_the_engine_starts_with(run: Any) -> None:
    start = eplb.evaluate(PLAN, LOADS).trivial("trtllm")
    figures = f"mean {start.balancedness.mean():.4f}, worst {start.balancedness.min():.4f}"
    assert start.balancedness.min() != PLAN.trivial().balancedness.min()
    line = f"{PLANNED} --format trtllm --out placement.yaml --metric trtllm"
    printed = run(line)[1]
    assert f"    unbalanced  {figures} (as trtllm starts)\n" in printed
    assert f"(unbalanced {METRICS['trtllm'].of(start.gpu_load):.4f})" in printed
    found = values(run, line)
    assert found["unbalanced"]["balancedness_worst"] == start.balancedness.min()
    line = "evaluate placement.yaml loads.npy --gpus 4 --config config.json"
    assert f"    unbalanced  {figures} (as trtllm starts)\n" in run(line)[1]
    plain = values(run, f"{PLANNED} --format sglang")["unbalanced"]
    assert plain["balancedness_worst"] == PLAN.trivial().balancedness.min()


def test_a_dump_that_is_named_says_how_its_engine_starts(run: Any) -> None:
    Path("dump").mkdir()
    Path("dump/meta_info.json").write_text('{"num_experts": 16, "num_experts_per_token": 2}')
    counts = {f"1_{layer}": row for layer, row in zip(range(2, 7), LOADS, strict=True)}
    save_file(counts, "dump/rank0.safetensors")
    start = eplb.evaluate(PLAN, LOADS).trivial("trtllm")
    note = "the unbalanced placement is the one that trtllm starts with"
    line = "compare dump --gpus 4 --redundant 4 --from trtllm"
    found = values(run, line)
    assert found["rows"][0]["balancedness_worst"] == start.balancedness.min()
    assert note in found["notes"]
    several = values(run, "compare dump --gpus 4 --redundant 4,8 --from trtllm")
    assert several["rows"][0]["unbalanced_mean"] == pytest.approx(start.balancedness.mean())
    assert note in several["notes"]
    assert note not in values(run, "compare dump --gpus 4 --redundant 4")["notes"]


@needs_yaml
def test_the_layer_of_multi_token_prediction_is_written(run: Any) -> None:
    printed = " ".join(run(f"{PLANNED} --format trtllm --out placement.yaml")[1].split())
    assert "layer 7 has the start placement of trtllm" in printed
    line = "plan loads.npy --gpus 4 --redundant 4 --layers 2-6 --format trtllm --out other.yaml"
    run(f"{line} --extra-layers 7")
    assert Path("placement.yaml").read_text() == Path("other.yaml").read_text()
    run(line)
    assert "\n  7: " not in Path("other.yaml").read_text()


@needs_yaml
def test_loads_may_have_the_layer_of_multi_token_prediction(run: Any) -> None:
    loads = np.vstack([LOADS, LOADS[:1] + 1])
    np.save("loads.npy", loads)
    hidden = [2, 3, 4, 5, 6, 7]
    rows = dict(zip(map(str, hidden), loads.tolist(), strict=True))
    Path("dump.json").write_text(json.dumps(rows))
    digest = eplb.plan(loads, num_gpus=4, num_replicas=20).digest()
    for source in ("loads.npy", "dump.json"):
        line = f"plan {source} --gpus 4 --redundant 4 --config config.json --format trtllm"
        found = values(run, f"{line} --out placement.yaml")
        assert (found["digest"], found["hidden_layers"]) == (digest, hidden)
        assert "start placement" not in " ".join(found["notes"])
        line = f"evaluate placement.yaml {source} --gpus 4 --config config.json"
        assert values(run, line)["digest"] == digest
        assert values(run, f"evaluate placement.yaml {source} --gpus 4")["digest"] == digest


def test_a_format_is_checked_without_a_file(run: Any, folder: Path) -> None:
    before = sorted(folder.iterdir())
    printed = " ".join(run(f"{PLANNED} --format sglang")[1].split())
    assert "needs --ep-size 4 --ep-num-redundant-experts 4" in printed
    assert printed.endswith("note not written; --out FILE writes the plan")
    code, _, err = run(f"{PLANNED} --format vllm-ascend --policy deepseek")
    assert (code, "use --policy minimax" in err) == (2, True)
    assert sorted(folder.iterdir()) == before


def test_shared_experts_of_a_map_are_left_out(run: Any) -> None:
    rows = [
        [*row[:5], 16, *row[5:10], 16, *row[10:15], 16, *row[15:], 16]
        for row in PLAN.phy2log.tolist()
    ]
    Path("map.json").write_text(json.dumps(rows))
    found = values(run, "evaluate map.json loads.npy --gpus 4")
    assert found["digest"] == PLAN.digest()
    assert found["notes"] == ["1 shared expert that every GPU holds behind the others left out"]


@pytest.mark.parametrize("name", ["plan", *FORMATS])
def test_the_digest_is_that_of_the_file(name: str, run: Any) -> None:
    """Of a plan of all hidden layers, of which files for some engines have the MoE layers alone."""
    if name == "trtllm" and importlib.util.find_spec("yaml") is None:
        pytest.skip("PyYAML is not installed")
    np.save("all.npy", np.vstack([np.zeros((2, 16), dtype=np.int64), LOADS]))
    file = f"placement{FORMATS[name].endings[0] if name != 'plan' else '.json'}"
    for rows in ("all.npy", "loads.npy"):
        groups = "--gpus 4 --groups 4 --nodes 2"
        line = (
            f"plan {rows} {groups} --redundant 4 --config config.json --format {name} --out {file}"
        )
        printed = " ".join(run(line)[1].split())
        planned = values(run, line)["digest"]
        assert f" digest {planned} " in printed
        # The start placement of TensorRT-LLM's further layer does not keep groups on nodes.
        kept: dict[str, Any] = {} if name == "trtllm" else {"num_groups": 4, "num_nodes": 2}
        placed = (
            eplb.load_plan(file)
            if name == "plan"
            else eplb.Plan.from_engine_file(file, name, num_gpus=4, **kept)[0]
        )
        other = f"the file has {placed.num_layers} layers, digest {placed.digest()}, the plan "
        assert (
            (placed.digest() == planned)
            == ("the file has" not in printed)
            == (other not in printed)
        )
    # The file of an update too.
    line = (
        f"replan loads.npy --previous {file} --config config.json --format {name} --out new{file}"
    )
    updated = values(run, f"{line} {'' if name == 'plan' else '--gpus 4'}")["digest"]
    line = f"evaluate new{file} loads.npy --config config.json"
    found = values(run, f"{line} {'' if name == 'plan' else '--gpus 4'}")["digest"]
    assert found == updated


def test_a_plan_file_has_its_own_sizes(run: Any) -> None:
    PLAN.save("plan.json")
    for option in ("--gpus 4", "--groups 4", "--nodes 2"):
        error = "eplb: plan.json is a plan file, which contains its own sizes\n"
        hint = "hint: leave out --gpus, --groups and --nodes"
        engines = "if it is the file of an engine"
        line = f"evaluate plan.json loads.npy {option}"
        assert run(line)[2] == f"{error}{hint}, or give --format {engines}\n"
        assert run(f"{line} --format plan")[2] == f"{error}{hint}\n"
    err = run("replan loads.npy --previous plan.json --previous-gpus 4")[2]
    assert err == f"{error}hint: leave out --previous-gpus, or give --previous-format {engines}\n"
