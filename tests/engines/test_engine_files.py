"""Placement files of engines: round trips, every engine's traps, files of strangers."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest
import torch
from engine_files import load_engine_file
from eplb import PlanFileError, TopologyError, limits
from eplb.engines import (
    FORMAT_NAMES,
    FORMATS,
    moe_layers_of,
)
from eplb.engines import load_engine_file as load_engine_table
from eplb.engines.hidden_layers import hidden_layer_count
from hypothesis import given, settings
from hypothesis import strategies as st

try:
    yaml: Any = importlib.import_module("yaml")
except ImportError:
    yaml = None
needs_yaml = pytest.mark.skipif(yaml is None, reason="PyYAML is not installed")

ENDINGS = [(name, ending) for name in FORMATS for ending in FORMATS[name].endings]
# Two MoE layers, 4 experts in 6 slots on 2 GPUs, none twice on a GPU.
ROWS = [[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 2]]
TRIVIAL = [0, 1, 2, 3, 0, 1]
PLAN = eplb.Plan.from_phy2log(ROWS, num_gpus=2)
TWICE = eplb.Plan.from_phy2log([ROWS[0], [3, 2, 1, 0, 2, 0]], num_gpus=2)


def saved(folder: Path, name: str, plan: eplb.Plan = PLAN, **options: Any) -> Any:
    """What an engine's parser makes of the file."""
    path = folder / f"placement{FORMATS[name].endings[0]}"
    plan.save(path, name, **options)
    assert list(folder.iterdir()) == [path]
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_text()


def refusal(folder: Path, name: str, plan: eplb.Plan = PLAN, **options: Any) -> str:
    """Why the plan is not written; and nothing is."""
    path = folder / f"placement{FORMATS[name].endings[0]}"
    with pytest.raises(PlanFileError) as caught:
        plan.save(path, name, **options)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def bad(folder: Path, name: str, content: Any, ending: str | None = None, **options: Any) -> str:
    """Why the file is not read."""
    path = folder / f"placement{ending or FORMATS[name].endings[0]}"
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(PlanFileError) as caught:
        load_engine_file(path, name, **{"num_gpus": 2, **options})
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def pt(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


# --- Round trips ----------------------------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn) -> eplb.Plan:
    """Placements at random, and ones without a duplicate."""
    gpus, per_gpu = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    slots = gpus * per_gpu
    experts = draw(st.integers(1, slots))
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        spares = chance.integers(experts, size=slots - experts)
        mixed = chance.permutation(np.concatenate([np.arange(experts), spares]))
        rotated = (np.arange(slots) + chance.integers(slots)) % experts
        rows.append(rotated if draw(st.booleans()) else mixed)
    return eplb.Plan.from_phy2log(np.array(rows), num_gpus=gpus)


@st.composite
def models(draw: st.DrawFn) -> tuple[eplb.Plan, list[int], int]:
    """A plan, the hidden layers that are its layers, and how many hidden layers there are."""
    plan = draw(plans())
    total = draw(st.integers(plan.num_layers, plan.num_layers + 4))
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    layers = sorted(chance.permutation(total)[: plan.num_layers].tolist())
    return plan, layers, total


@pytest.mark.parametrize(("name", "ending"), ENDINGS)
@settings(max_examples=40)
@given(model=models())
def test_round_trips(name: str, ending: str, model: tuple[eplb.Plan, list[int], int]) -> None:
    if name == "trtllm" and yaml is None:
        pytest.skip("PyYAML is not installed")
    plan, layers, total = model
    rows = FORMATS[name].rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"placement{ending}"
        options: Any = {"layers": layers, "num_hidden_layers": total}
        doubles = name == "vllm-ascend" and plan.duplicates.any()
        if doubles or (name == "rtp-llm" and plan.num_replicas > 2 * plan.num_experts):
            with pytest.raises(PlanFileError, match=r"twice|redundant slots"):
                plan.save(path, name, **options)
            assert not path.exists()
            return
        notes = plan.save(path, name, **options)
        assert notes
        assert all("\n" not in note for note in notes)
        wanted = layers if rows == "hidden" else None
        read = load_engine_file(path, name, num_gpus=plan.num_gpus, layers=wanted)
    assert read.plan.phy2log.tolist() == plan.phy2log.tolist()
    assert read.plan.digest() == plan.digest()
    assert read.layers == (None if rows == "moe" else tuple(layers))


@settings(max_examples=30)
@given(plan=plans())
def test_the_plan_format_is_a_plan_file(plan: eplb.Plan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".json", ".npz"):
            path = Path(folder) / f"plan{ending}"
            assert plan.save(path, "plan") == []
            assert eplb.load_plan(path) == plan
            assert plan.save(path, "plan", layers=[0]) == [
                "a plan file has no hidden layers: they are left out"
            ]
            with pytest.raises(PlanFileError, match=r"eplb\.load_plan"):
                load_engine_file(path, "plan")


def test_every_format_says_what_it_is_for() -> None:
    assert ("plan", *FORMATS) == FORMAT_NAMES
    for kind in FORMATS.values():
        assert kind.endings
        assert len(kind.description) < 80
        assert "\n" not in kind.description


# --- What is in the files -------------------------------------------------------------------------


def test_sglang_has_one_key_and_a_row_for_every_hidden_layer(tmp_path: Path) -> None:
    values = saved(tmp_path, "sglang", layers=[1, 3], num_hidden_layers=5)
    assert values == {"physical_to_logical_map": [TRIVIAL, ROWS[0], TRIVIAL, ROWS[1], TRIVIAL]}


def test_sglang_as_pt(tmp_path: Path) -> None:
    path = tmp_path / "placement.pt"
    PLAN.save(path, "sglang", layers=[1, 2])
    values = torch.load(path, weights_only=True)
    assert list(values) == ["physical_to_logical_map"]
    assert values["physical_to_logical_map"].tolist() == [TRIVIAL, *ROWS]
    assert values["physical_to_logical_map"].dtype == torch.int64


def test_trtllm_has_three_keys_and_absolute_layers(tmp_path: Path) -> None:
    text = saved(tmp_path, "trtllm", layers=[3, 60])
    assert text == (
        "num_slots: 6\n"
        "initial_global_assignments:\n"
        "  3: [0, 1, 2, 3, 0, 1]\n"
        "  60: [3, 2, 1, 0, 3, 2]\n"
        "layer_updates_per_iter: 0\n"
    )


@needs_yaml
def test_trtllm_as_yaml_reads_it(tmp_path: Path) -> None:
    assert yaml.safe_load(saved(tmp_path, "trtllm", layers=[3, 60])) == {
        "num_slots": 6,
        "initial_global_assignments": {3: ROWS[0], 60: ROWS[1]},
        "layer_updates_per_iter": 0,
    }


def test_vllm_ascend_counts_moe_layers(tmp_path: Path) -> None:
    def layer(number: int, row: list[int]) -> dict[str, Any]:
        devices = [
            {"device_id": 0, "device_expert": row[:3]},
            {"device_id": 1, "device_expert": row[3:]},
        ]
        return {"layer_id": number, "device_count": 2, "device_list": devices}

    expected = {"moe_layer_count": 2, "layer_list": [layer(0, ROWS[0]), layer(1, ROWS[1])]}
    assert saved(tmp_path, "vllm-ascend", layers=[3, 4], num_hidden_layers=5) == expected
    assert saved(tmp_path, "vllm-ascend") == expected


def test_lists(tmp_path: Path) -> None:
    assert saved(tmp_path, "vllm", layers=[1, 2]) == ROWS
    assert saved(tmp_path, "rtp-llm", layers=[1, 2]) == [TRIVIAL, *ROWS]


def test_notes_say_what_was_done_and_what_else_is_needed(tmp_path: Path) -> None:
    def notes(name: str, **options: Any) -> list[str]:
        return PLAN.save(tmp_path / f"a{FORMATS[name].endings[0]}", name, **options)

    sglang = (
        "SGLang takes it as --init-expert-location, and also needs --ep-size 2 "
        "--ep-num-redundant-experts 2"
    )
    five = notes("sglang", layers=[3, 4], num_hidden_layers=5)
    placed = eplb.Plan.from_engine_file(tmp_path / "a.json", "sglang", num_gpus=2)[0]
    assert five == [
        "layers 0, 1, 2 have the default placement: not named as MoE layers",
        sglang,
        f"the file has 5 layers, digest {placed.digest()}, the plan 2 layers, {PLAN.digest()}",
    ]
    assert notes("sglang", layers=[1, 2])[:-1] == [
        "layer 2 is assumed to be the last hidden layer",
        "layer 0 has the default placement: not named as MoE layers",
        sglang,
    ]
    assert notes("sglang") == [
        "layers 0, 1 are the plan's, because no others were named; dense layers count too",
        sglang,
    ]
    assert notes("sglang", num_hidden_layers=2) == [sglang]
    assert "--redundant_expert 2" in notes("rtp-llm")[-1]
    assert "layers 3, 4 (layers of multi-token" in notes("trtllm", layers=[3, 4])[-1]
    assert "no released vLLM" in notes("vllm")[-1]
    spareless = eplb.Plan.from_phy2log([[0, 1]], num_gpus=2)
    assert spareless.save(tmp_path / "b.json", "sglang", num_hidden_layers=1) == [
        "SGLang takes it as --init-expert-location, and also needs --ep-size 2"
    ]


# --- Traps ----------------------------------------------------------------------------------------


def test_trtllm_needs_absolute_layers(tmp_path: Path) -> None:
    assert refusal(tmp_path, "trtllm") == (
        "the trtllm format needs hidden-layer numbers for the plan's 2 layers; give layers or config"
    )
    assert "give layers" in refusal(tmp_path, "trtllm", num_hidden_layers=5)
    assert "  0: [" in saved(tmp_path, "trtllm", num_hidden_layers=2)


def test_vllm_ascend_refuses_an_expert_twice_on_a_device(tmp_path: Path) -> None:
    assert refusal(tmp_path, "vllm-ascend", TWICE) == (
        "layer 1: device 1 holds expert 0 twice (slots 3 and 5), and vllm-ascend would silently "
        "misroute its tokens; use policy=minimax, which never places an expert twice on a GPU"
    )
    values = saved(tmp_path, "vllm-ascend")
    values["layer_list"][1]["device_list"][1]["device_expert"] = [0, 2, 0]
    assert bad(tmp_path, "vllm-ascend", values).startswith("layer 1: device 1 holds expert 0 twice")


def test_rtp_llm_takes_no_more_spares_than_experts(tmp_path: Path) -> None:
    plan = eplb.Plan.from_phy2log([[0, 1, 0, 1, 0, 1]], num_gpus=2)
    assert refusal(tmp_path, "rtp-llm", plan) == (
        "the plan has 4 redundant slots for 2 experts; RTP-LLM takes at most as many redundant slots as "
        "experts; plan with at most num_replicas=4"
    )
    assert "6 slots for 2 experts" in bad(tmp_path, "rtp-llm", [[0, 1, 0, 1, 0, 1]])


@pytest.mark.parametrize("name", ["sglang", "rtp-llm"])
def test_dense_layers_are_not_guessed(name: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, name, num_hidden_layers=5) == (
        "the plan has 2 layers, but the model has 5 hidden layers; give layers or config"
    )


def test_a_plan_of_all_hidden_layers_is_cut_for_engines_of_moe_layers(tmp_path: Path) -> None:
    plan = eplb.Plan.from_phy2log([TRIVIAL, *ROWS], num_gpus=2)
    options: Any = {"layers": [1, 2], "num_hidden_layers": 3}
    assert saved(tmp_path, "vllm", plan, **options) == ROWS
    notes = plan.save(tmp_path / "placement.json", "vllm-ascend", **options)
    assert notes[0] == "layer 0 of the plan left out: not named as MoE layers"
    path = tmp_path / "placement.json"
    assert load_engine_file(path, "vllm-ascend").plan.phy2log.tolist() == ROWS
    path.unlink()
    assert saved(tmp_path, "sglang", plan, **options)["physical_to_logical_map"][1:] == ROWS
    (tmp_path / "placement.json").unlink()
    text = saved(tmp_path, "trtllm", plan, **options)
    assert "\n  1: [0" in text
    assert "\n  0: " not in text


@pytest.mark.parametrize("name", FORMATS)
def test_a_layer_that_is_not_named_is_not_written_as_planned(name: str, tmp_path: Path) -> None:
    """One rule for all: by the trivial placement or not at all, and its load is told."""
    if name == "trtllm" and yaml is None:
        pytest.skip("PyYAML is not installed")
    load = np.array([[0, 0, 0, 0], [1, 2, 3, 9], [9, 3, 2, 1]])
    plan = eplb.plan(load, num_gpus=2, num_replicas=6)
    path = tmp_path / f"placement{FORMATS[name].endings[0]}"
    notes = plan.save(path, name, layers=[1], num_hidden_layers=3)
    rows = load_engine_file(path, name, num_gpus=2).plan.phy2log.tolist()
    planned = plan.phy2log[1].tolist()
    if FORMATS[name].rows == "hidden":
        assert rows == [TRIVIAL, planned, TRIVIAL]
        assert "layers 0, 2 have the default placement: not named as MoE layers" in notes
    else:
        assert rows == [planned]
        assert "layers 0, 2 of the plan left out: not named as MoE layers" in notes
    assert "layer 2 has load, but the plan's placement of it is not written" in notes
    notes = plan.save(path, name, layers=[1, 2], num_hidden_layers=3)
    assert not any("has load" in note for note in notes)
    with pytest.raises(PlanFileError, match="or give num_hidden_layers=3 if the plan covers all"):
        plan.save(path, name, layers=[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layers": [0]},
            "1 layer named for a plan of 2; name the hidden layer of each layer of the plan, or give num_hidden_layers=2 if the plan covers all hidden layers",
        ),
        ({"layers": [0, 1, 2]}, "3 layers named for a plan of 2"),
        ({"layers": [0], "num_hidden_layers": 3}, "1 layer named for a plan of 2"),
        ({"layers": [5], "num_hidden_layers": 2}, "layer 5 is not one of the 2 hidden layers"),
        ({"layers": [3, 5], "num_hidden_layers": 5}, "layer 5 is not one of the 5 hidden layers"),
        ({"layers": [4, 3]}, "layers must ascend, but 3 comes after 4"),
        ({"layers": [3, 3]}, "layers must ascend, but 3 comes after 3"),
        ({"layers": [-1, 3]}, "layers must be from 0 to 16383, got -1 to 3"),
        ({"layers": [0, 2**40]}, "layers must be from 0 to 16383"),
        ({"layers": [0, 2**80]}, "layers must be a list of whole numbers"),
        ({"layers": [0.0, 1.0]}, "layers must be a list of whole numbers"),
        ({"layers": [False, True]}, "layers must be a list of whole numbers"),
        ({"layers": []}, "layers must be a list of whole numbers"),
        ({"layers": "01"}, "layers must be a list of whole numbers"),
        ({"layers": [[0], [1, 2]]}, "layers must be a list of whole numbers"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0 is too small; expected at least 1"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000 is too large"),
    ],
)
def test_bad_layers(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, "sglang", **options)


def test_layers_of_numpy_are_layers(tmp_path: Path) -> None:
    text = saved(tmp_path, "trtllm", layers=np.array([3, 60], dtype=np.int32))
    assert "\n  60: [3" in text


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_the_ending_is_the_engine_s(name: str, tmp_path: Path) -> None:
    for ending in (".txt", "", ".JSON"):
        path = tmp_path / f"placement{ending}"
        with pytest.raises(
            PlanFileError,
            match=rf"is not a file name for the format {name}; expected an ending \.\w+",
        ):
            PLAN.save(path, name, layers=[0, 1])
        assert list(tmp_path.iterdir()) == []
        if name != "plan":
            with pytest.raises(PlanFileError, match="is not a file name for the format"):
                load_engine_file(path, name, num_gpus=2)


def test_an_unknown_format(tmp_path: Path) -> None:
    names: list[Any] = ["nonsense", None, 3]
    for name in names:
        with pytest.raises(PlanFileError, match=r"unknown format .*; expected one of plan, "):
            PLAN.save(tmp_path / "a.json", name)
        with pytest.raises(PlanFileError, match=r"unknown format .*; expected one of plan, "):
            load_engine_file(tmp_path / "a.json", name)


@pytest.mark.parametrize(("name", "ending"), ENDINGS)
def test_a_failed_save_leaves_the_old_file(
    name: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"placement{ending}"
    path.write_text("old")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        PLAN.save(path, name, layers=[0, 1])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "a.pt"
    with pytest.raises(PlanFileError, match=r"torch is needed to write .*pip install torch"):
        PLAN.save(path, "sglang")
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"PK")
    with pytest.raises(PlanFileError, match=r"torch is needed to read .*pip install torch"):
        load_engine_file(path, "sglang", num_gpus=2)


def test_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert bad(tmp_path, "trtllm", "{}") == "PyYAML is needed to read it; pip install pyyaml"


# --- Reading --------------------------------------------------------------------------------------


def test_the_number_of_gpus(tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    PLAN.save(path, "vllm")
    with pytest.raises(PlanFileError, match="does not say for how many GPUs it is; give num_gpus"):
        load_engine_file(path, "vllm")
    for gpus, near in ((4, "3 or num_gpus=6"), (5, "3 or num_gpus=6"), (7, "6"), (2**40, "6")):
        with pytest.raises(
            PlanFileError, match=rf"6 slots, .* num_gpus={gpus}; try num_gpus={near}$"
        ):
            load_engine_file(path, "vllm", num_gpus=gpus)
        with pytest.raises(
            PlanFileError, match=f"6 slots, .* num_gpus={gpus}; try num_gpus={near}$"
        ):
            load_engine_table(path, "vllm", num_gpus=gpus)
    with pytest.raises(TopologyError, match="num_gpus=0"):
        load_engine_file(path, "vllm", num_gpus=0)
    PLAN.save(path, "vllm-ascend")
    assert load_engine_file(path, "vllm-ascend").plan.num_gpus == 2
    assert load_engine_file(path, "vllm-ascend", num_gpus=2).plan.num_gpus == 2
    with pytest.raises(PlanFileError, match="the file is for 2 devices, not for num_gpus=3"):
        load_engine_file(path, "vllm-ascend", num_gpus=3)
    path.write_text("[[1, 0, 2, 3], [0, 1, 3, 2]]")
    read = load_engine_file(path, "vllm", num_gpus=4, num_groups=2, num_nodes=2)
    assert (read.plan.num_groups, read.plan.num_nodes) == (2, 2)
    path.write_text("[[0, 2, 1, 3]]")
    with pytest.raises(PlanFileError, match="layer 0, slot 2, expert 1: is on node 1, but group 0"):
        load_engine_file(path, "vllm", num_gpus=4, num_groups=2, num_nodes=2)


def test_layers_that_are_not_there(tmp_path: Path) -> None:
    rows = {"physical_to_logical_map": ROWS}
    assert (
        bad(tmp_path, "sglang", rows, layers=[1, 4]) == "the file lacks layer 4; it has layers 0, 1"
    )
    assert "the file names no hidden layers" in bad(tmp_path, "vllm", ROWS, layers=[1])


def test_a_misspelt_key_is_told(tmp_path: Path) -> None:
    content = json.dumps({"physical_to_logical_maps": ROWS})
    assert bad(tmp_path, "sglang", content).endswith(
        "; is its key 'physical_to_logical_maps' a misspelt physical_to_logical_map?"
    )
    assert "misspelt" not in bad(tmp_path, "sglang", {"rows": ROWS})


def test_the_system_s_errors_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_engine_file(tmp_path / "missing.json", "vllm", num_gpus=2)
    with pytest.raises(FileNotFoundError):
        PLAN.save(tmp_path / "missing" / "a.json", "vllm")


BAD_TABLES: dict[str, tuple[Any, str]] = {
    "nothing": ([], "expected a list of layers, found an empty list"),
    "a number": (3, "expected a list of layers, found 3"),
    "an object": ({"a": 1}, "expected a list of layers, found an object"),
    "a flat list": ([0, 1, 2, 3], "layer 0: expected a list of slots, found 0"),
    "an empty row": ([[]], "layer 0: expected a list of slots, found an empty list"),
    "ragged": ([[0, 1], [0, 1, 0, 1]], "layer 1 has 4 slots, but layer 0 has 2"),
    "a float": ([[0, 1.0]], "layer 0, slot 1: expected the number of an expert, found 1.0"),
    "a bool": ([[False, True]], "layer 0, slot 0: expected the number of an expert, found false"),
    "a string": ([["0", "1"]], "layer 0, slot 0: expected the number of an expert, found '0'"),
    "null": ([[0, None]], "layer 0, slot 1: expected the number of an expert, found null"),
    "too deep": ([[[0], [1]]], "layer 0, slot 0: expected the number of an expert, found a list"),
    "a hole": ([[0, 1], [0, -1]], "layer 1, slot 1: expected the number of an expert, found -1"),
    "huge": (
        [[0, 2**63]],
        "layer 0, slot 1: expected the number of an expert, found 9223372036854775808",
    ),
    "large": ([[0, 2**30]], "layer 0, expert 1: the expert has no slot"),
    "no such slot": ([[0, 1], [1, 1]], "layer 1, expert 0: the expert has no slot"),
    "many layers": ([[0, 1]] * 20000, "it has 20000 layers; at most 16384 are read"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_that_are_none(case: str, tmp_path: Path) -> None:
    table, message = BAD_TABLES[case]
    assert bad(tmp_path, "vllm", table).startswith(message)
    assert bad(tmp_path, "rtp-llm", table).startswith(message)
    assert bad(tmp_path, "sglang", {"physical_to_logical_map": table}).startswith(message)
    content = pt({"physical_to_logical_map": table})
    assert bad(tmp_path, "sglang", content, ".pt").startswith(message)


def test_errors_carry_their_place(tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    path.write_text("[[0, 1], [1, 1]]")
    with pytest.raises(PlanFileError) as caught:
        load_engine_file(path, "vllm", num_gpus=2)
    assert (caught.value.layer, caught.value.expert) == (1, 0)


@pytest.mark.parametrize("name", ["sglang", "vllm-ascend", "rtp-llm", "vllm"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[[0, NaN]]", "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', "duplicate key"),
        (b"[" * 10**6, "nested too deeply"),
        (b'{"a":' * 10**5, "nested too deeply"),
        (b"[[" + b"9" * 10**5 + b"]]", "not valid JSON"),
    ],
)
def test_strange_json(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    assert message in bad(tmp_path, name, content)


def test_limits_of_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eplb.limits.MAX_TEXT_BYTES", 5)
    assert bad(tmp_path, "vllm", ROWS) == "it holds more than 5 bytes of text"
    monkeypatch.undo()
    monkeypatch.setattr("eplb.limits.MAX_PLACEMENT_SLOTS", 11)
    assert bad(tmp_path, "vllm", ROWS) == "it has more than 11 slots"
    monkeypatch.setattr("eplb.limits.MAX_PLACEMENT_SLOTS", 11)
    held = {"physical_to_logical_map": torch.tensor(ROWS)}
    assert bad(tmp_path, "sglang", pt(held), ".pt") == "it holds 12 slots; at most 11 are read"


def test_sglang_s_other_files(tmp_path: Path) -> None:
    counts: Any = {"logical_count": [[1, 2]]}
    assert "this is a load table (logical_count), not a placement" in bad(
        tmp_path, "sglang", counts
    )
    both = counts | {"physical_to_logical_map": ROWS}
    message = "SGLang accepts no key 'logical_count'; expected only physical_to_logical_map"
    assert bad(tmp_path, "sglang", both) == message
    assert bad(tmp_path, "sglang", {}) == "the file lacks physical_to_logical_map"
    assert bad(tmp_path, "sglang", ROWS) == "the file must be an object with keys, found a list"


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil"),)


def recursive() -> list[Any]:
    row: list[Any] = [0, 1]
    row[1] = row
    return [row]


def test_hostile_pt_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key = "physical_to_logical_map"
    wide = torch.zeros(1, dtype=torch.int64).expand(2**20, 2**20)
    none = "it is not a .pt file of tensors and plain values"
    cases: list[tuple[bytes, str]] = [
        (b"", none),
        (b"PK\x03\x04", none),
        (pickle.dumps({key: ROWS}), none),
        (pt({key: Evil()}), none),
        (pt({key: torch.tensor(ROWS)}, _use_new_zipfile_serialization=False), none),
        (pt({key: torch.tensor(ROWS)})[:-40], none),
        (pt(torch.tensor(ROWS)), "the file must be an object with keys"),
        (pt({key: wide}), f"it holds {2**40} slots"),
        (pt({key: torch.tensor([0.5])}), "expected a table [layers, slots] of integers, found"),
        (pt({key: torch.tensor([0, 1])}), "expected a table [layers, slots] of integers, found"),
        (
            pt({key: torch.tensor([[True]])}),
            "layer 0, slot 0: expected the number of an expert, found true",
        ),
        (pt({key: torch.tensor(ROWS).to_sparse()}), "expected a plain tensor [layers, slots]"),
        (
            pt({key: torch.zeros((1, 2), dtype=torch.int64, device="meta")}),
            "expected a plain tensor",
        ),
        (pt({key: recursive()}), "layer 0, slot 1: expected the number of an expert, found a list"),
        (pt({key: [list(range(5000))] * 16384}), "it has more than 67108864 slots"),
        (pt({key: torch.tensor(ROWS), 7: 1}), f"SGLang accepts no key 7; expected only {key}"),
    ]
    for content, message in cases:
        assert bad(tmp_path, "sglang", content, ".pt").startswith(message)
    assert not (tmp_path / "evil").exists()


def test_a_pt_file_that_inflates(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        for number in range(9):
            archive.writestr(f"a/data/{number}", bytes(2**20))
    content = bytearray(stream.getvalue())
    # Let the directory declare 128 MiB for each of the nine.
    content = content.replace((2**20).to_bytes(4, "little"), (2**27).to_bytes(4, "little"))
    assert "at most 1073741824 are read" in bad(tmp_path, "sglang", bytes(content), ".pt")


BAD_YAML: dict[str, tuple[str, str]] = {
    "empty": ("", "it is empty"),
    "two documents": ("{}\n---\n{}", "it holds more than one document"),
    "a list": ("[]", "the file must be an object with keys, found an empty list"),
    "no slots": ("initial_global_assignments: {3: [0]}", "the file lacks num_slots"),
    "no layers": (
        "num_slots: 2",
        "the file lacks initial_global_assignments",
    ),
    "one key more": (
        "num_slots: 2\ninitial_global_assignments: {3: [0, 1]}\nversion: 1",
        "TensorRT-LLM accepts no key 'version'; expected only num_slots",
    ),
    "wrong length": (
        "num_slots: 2\ninitial_global_assignments: {3: [0, 1], 4: [0]}",
        "layer 4 has 1 slot, but num_slots is 2",
    ),
    "length in words": (
        "num_slots: two\ninitial_global_assignments: {3: [0, 1]}",
        "layer 3 has 2 slots, but num_slots is 'two'",
    ),
    "a row that is none": (
        "num_slots: 2\ninitial_global_assignments: {3: 7}",
        "layer 3 is 7, but num_slots is 2",
    ),
    "rows without layers": (
        "num_slots: 2\ninitial_global_assignments: [[0, 1]]",
        "initial_global_assignments must have a list of slots for each layer, found a list",
    ),
    "a name for a layer": (
        "num_slots: 2\ninitial_global_assignments: {layer3: [0, 1]}",
        "initial_global_assignments: 'layer3' is not the number of a hidden layer",
    ),
    "a quoted layer": (
        "num_slots: 2\ninitial_global_assignments: {'3': [0, 1]}",
        "initial_global_assignments: '3' is not the number of a hidden layer",
    ),
    "a layer before the first": (
        "num_slots: 2\ninitial_global_assignments: {-3: [0, 1]}",
        "initial_global_assignments: -3 is not the number of a hidden layer",
    ),
    "a layer twice": (
        "num_slots: 2\ninitial_global_assignments:\n  3: [0, 1]\n  3: [1, 0]",
        "line 4: duplicate key 3",
    ),
    "updates in words": (
        "num_slots: 2\ninitial_global_assignments: {3: [0, 1]}\nlayer_updates_per_iter: no",
        "layer_updates_per_iter must be a whole number, found 'no'",
    ),
    "octal": (
        "num_slots: 2\ninitial_global_assignments: {3: [00, 01]}",
        "layer 3, slot 0: expected the number of an expert, found '00'",
    ),
    "a hidden layer by its number": (
        "num_slots: 2\ninitial_global_assignments: {3: [0, 1], 5: [1, 1]}",
        "layer 1, expert 0: the expert has no slot; expected at least one slot for each expert (hidden layer 5)",
    ),
    "a tag": (
        "num_slots: !!python/object/apply:os.system ['true']",
        "line 1: tags are not supported",
    ),
    "a harmless tag": ("num_slots: !!int '2'", "line 1: tags are not supported"),
    "an alias": (
        "num_slots: 2\ninitial_global_assignments: {3: &a [0, 1], 4: *a}",
        "line 2: anchors and aliases are not supported",
    ),
    "many laughs": (
        "a: &a [0, 0]\nb: &b [*a, *a]\nc: &c [*b, *b]",
        "line 1: anchors and aliases are not supported",
    ),
    "a merge": ("<<: *x", "no YAML"),
    "a key that is a list": ("? [0, 1]\n: 2", "line 1: a key is neither a name nor a number"),
    "deep": ("a: " + "[" * 100000, "line 1: it is nested too deeply"),
    "deep in block": ("- " * 5000 + "0", "line 1: it is nested too deeply"),
    "no YAML": ("num_slots: [", "it is not valid YAML"),
    "control characters": ("\x07", "it is not valid YAML"),
}


@needs_yaml
@pytest.mark.parametrize("case", BAD_YAML)
@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
def test_strange_yaml(
    case: str, parser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parser == "SafeLoader":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    text, message = BAD_YAML[case]
    start = time.perf_counter()
    found = bad(tmp_path, "trtllm", text)
    others = {  # what releases of libyaml refuse by themselves
        "a merge": "line 1: anchors",
        "deep": "it is not valid YAML: while increasing flow level",
    }
    assert found.startswith((message, others.get(case, message)))
    assert time.perf_counter() - start < 2


@needs_yaml
def test_yaml_of_other_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"num_slots": 6, "initial_global_assignments": {60: ROWS[1], 3: ROWS[0]}}
    path = tmp_path / "placement.yml"
    path.write_text("# a comment\n" + yaml.safe_dump(values, default_flow_style=False))
    for _ in range(2):
        read = load_engine_file(path, "trtllm", num_gpus=2)
        assert read.layers == (3, 60)
        assert read.plan.phy2log.tolist() == ROWS
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    monkeypatch.setattr("eplb.limits.MAX_YAML_BYTES", 20)
    with pytest.raises(PlanFileError, match="it holds more than 20 bytes of YAML"):
        load_engine_file(path, "trtllm", num_gpus=2)


ASCEND_CHANGES: dict[str, tuple[list[Any], Any, str]] = {
    "count": (["moe_layer_count"], 3, "moe_layer_count is 3, but by its place or length it is 2"),
    "count in words": (["moe_layer_count"], "2", "moe_layer_count is '2'"),
    "no layers": (["layer_list"], [], "layer_list must be a list, found an empty list"),
    "layer": (["layer_list", 1], 7, "layer 1 must be an object with keys, found 7"),
    "empty layer": (["layer_list", 1], {}, "layer 1 lacks layer_id, device_count, device_list"),
    "hidden layer": (["layer_list", 1, "layer_id"], 4, "layer 1: layer_id is 4, but by its place"),
    "true": (["layer_list", 1, "layer_id"], True, "layer 1: layer_id is true, but by its place"),
    "devices": (
        ["layer_list", 0, "device_count"],
        8,
        "layer 0: device_count is 8, but by its place",
    ),
    "device": (["layer_list", 0, "device_list", 1, "device_id"], 0, "layer 0, device 1: device_id"),
    "experts": (
        ["layer_list", 0, "device_list", 1, "device_expert"],
        [1],
        "layer 0, device 1 has 1 expert, but device 0 has 3",
    ),
    "no experts": (
        ["layer_list", 0, "device_list", 1, "device_expert"],
        3,
        "layer 0, device 1: device_expert must be a list, found 3",
    ),
    "a list among them": (
        ["layer_list", 0, "device_list", 1, "device_expert"],
        [1, [2], 3],
        "layer 0, device 1: device_expert must hold only numbers of experts",
    ),
    "fewer devices": (
        ["layer_list", 1],
        {
            "layer_id": 1,
            "device_count": 1,
            "device_list": [{"device_id": 0, "device_expert": [0, 1, 2]}],
        },
        "layer 1 has 1 device, but layer 0 has 2",
    ),
}


@pytest.mark.parametrize("case", ASCEND_CHANGES)
def test_vllm_ascend_files_that_are_none(case: str, tmp_path: Path) -> None:
    place, to, message = ASCEND_CHANGES[case]
    values = saved(tmp_path, "vllm-ascend")
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = to
    assert bad(tmp_path, "vllm-ascend", values).startswith(message)


@pytest.mark.parametrize(("name", "ending"), ENDINGS)
@settings(max_examples=40)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0, 10**6),
)
def test_changed_bytes_give_a_placement_or_an_error(
    name: str, ending: str, changes: list[tuple[int, int]], cut: int | None
) -> None:
    if name == "trtllm" and yaml is None:
        pytest.skip("PyYAML is not installed")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"placement{ending}"
        PLAN.save(path, name, layers=[0, 1])
        content = bytearray(path.read_bytes())
        for at, byte in changes:
            content[at % len(content)] = byte
        path.write_bytes(content if cut is None else content[: cut % len(content)])
        try:
            read = load_engine_file(path, name, num_gpus=2)
        except PlanFileError:
            return
    assert read.plan.num_gpus == 2


# --- The layers of a model ------------------------------------------------------------------------


DEEPSEEK: Any = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "n_routed_experts": 256,
    "num_nextn_predict_layers": 1,
}


def test_the_most_hidden_layers() -> None:
    assert hidden_layer_count(limits.MAX_HIDDEN_LAYERS) == 16384
    with pytest.raises(PlanFileError, match=r"num_hidden_layers=16385.* at most 16384"):
        hidden_layer_count(limits.MAX_HIDDEN_LAYERS + 1)


def test_a_config_names_the_layers(tmp_path: Path) -> None:
    config, placement = tmp_path / "config.json", tmp_path / "placement.json"
    config.write_text(json.dumps(DEEPSEEK | {"num_hidden_layers": 5, "n_routed_experts": 4}))
    notes = PLAN.save(placement, "sglang", config=config)
    assert notes[0] == "layers 0, 1, 2 have the default placement: not named as MoE layers"
    rows = json.loads(placement.read_text())["physical_to_logical_map"]
    assert rows == [TRIVIAL, TRIVIAL, TRIVIAL, *ROWS]
    placement.unlink()
    config.write_text(json.dumps(DEEPSEEK))
    with pytest.raises(
        PlanFileError,
        match=r"256 experts per layer, but the plan has 4; is this the config.json of another",
    ):
        PLAN.save(placement, "sglang", config=config)
    both: list[dict[str, Any]] = [{"layers": [3, 4]}, {"num_hidden_layers": 61}]
    for more in both:
        with pytest.raises(PlanFileError, match="says which layers there are"):
            PLAN.save(placement, "sglang", config=config, **more)
    assert not placement.exists()


def test_from_the_model_s_configuration_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DEEPSEEK))
    model = moe_layers_of(tmp_path / "config.json")
    load = np.random.default_rng(1).integers(0, 100, (58, 16))
    plan = eplb.plan(load, num_gpus=4, num_replicas=20)
    path = tmp_path / "placement.json"
    notes = plan.save(path, "sglang", layers=model.moe, num_hidden_layers=model.num_hidden_layers)
    assert notes[0].startswith("layers 0, 1, 2 have the default placement")
    read = load_engine_file(path, "sglang", num_gpus=4, layers=model.moe)
    assert read.plan.digest() == plan.digest()
    assert read.layers == model.moe
    assert load_engine_file(path, "sglang", num_gpus=4).plan.num_layers == 61
