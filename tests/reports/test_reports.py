"""What strangers feed it: one small input for each public report, and what comes of it.

The inputs are like those of the reports, with other numbers. All tables of 3 layers x 8 experts are
one table in different clothes, so that each must give the plan of ``table.csv``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import eplb
import numpy as np
import pytest
from eplb import EplbError, LoadError, cli
from eplb.load_files import read_loads

INPUTS = Path(__file__).parent / "inputs"
# Digests of plans of table.csv: without redundant slots, with 4, and as two equal windows with 4.
EVEN, SPARE, TWICE = "5efc34ea9c70371e", "e777a6b8bcf433f8", "e9e89cb07a2864c8"
# Nothing is said but what was done to the loads.
_ALWAYS = ("there are no redundant slots",)


class Planned(NamedTuple):
    """A plan: the words of ``eplb plan``, its digest, and what its notes say, in order."""

    words: str
    digest: str
    notes: tuple[str, ...] = ()


class Refused(NamedTuple):
    """A message: the words of the command line, the error, and the hint."""

    words: str
    error: str
    hint: str = ""


LONG = "24 rows of layer, expert and load, read as a table 3 x 8"
SLOTS = r"12 slots counted, read as 8 experts by "

PLANNED: dict[str, Planned] = {
    # 1. Long tables, as recorders and spreadsheets write them.
    "a row per layer and expert": Planned("long.csv", EVEN, (LONG,)),
    "other names, semicolons": Planned("long_tokens.csv", EVEN, (LONG,)),
    "no header": Planned("long_no_header.csv", EVEN, (LONG,)),
    "a column of ranks": Planned("long_ranks.csv", EVEN, ("48 rows",)),
    "one rank after another": Planned("long_ranks_in_turn.csv", EVEN, ("48 rows",)),
    "pairs without tokens are absent": Planned(
        "long_missing.csv --num-experts 8", "d86fb3ba86dacee2", ("20 rows .*; 4 of its cells have",)
    ),
    "the last expert is absent": Planned(
        "long_missing.csv",
        "7fb3995bef4439b7",
        ("a table 3 x 7; 1 of", "last expert with a row is 6; .* --num-experts"),
    ),
    "hidden layers": Planned("long_hidden.csv --config config.json", EVEN, (LONG,)),
    "windows, and a column of text": Planned(
        "long_windows.csv", EVEN, ("48 rows .* 2 x 3 x 8", "columns left out: 'task'")
    ),
    "one phase of two": Planned(
        "long_phases.csv --key prefill", EVEN, (LONG, "columns left out: 'decode'")
    ),
    "one layer by experts": Planned("long_one_layer.csv", "d3eb44725c76c950", ("8 rows",)),
    "slots by their numbers": Planned(
        "long_slots.csv --placement map_list.json", EVEN, ("36 rows", SLOTS)
    ),
    # 1. Axes.
    "a transposed table": Planned("transposed.csv --axes experts,layers", EVEN),
    "experts of another shape than the model, if they are stated": Planned(
        "shared_expert.csv --num-experts 9", "8fed44e9f6dadcdf"
    ),
    "three axes that are what they seem not to be": Planned(
        "ranks_58_32_9.npy --axes windows,layers,experts --gpus 9", "f33e139c6643bb87"
    ),
    # 1. Odd shapes.
    "257 experts": Planned(
        "shared_58_257.npy", "2cab24b7d60b6b5c", ("DeepSeek-V3 has 256 experts; is a column",)
    ),
    "288 slots": Planned(
        "slots_58_288.npy", "3052d8b121f2ce1f", ("are these slots[?] --placement FILE",)
    ),
    "256 layers of 58 experts": Planned(
        "transposed_256_58.npy",
        "cc8e672f0f7abab3",
        ("is the table transposed[?] --axes experts,layers",),
    ),
    "a model with few experts": Planned("phi_32_16.npy", "399627d725d1f430"),
    "MoE layers and one of multi-token prediction": Planned("mtp_59_256.npy", "54a663f8c9e9bbf9"),
    # 1. Odd records.
    "idle experts, uneven layers": Planned(
        "uneven.csv",
        "d099a07c9666dbf8",
        ("4 of 64 experts have no load in any layer .experts 60 to 63", "layers 2, 3 have 3 times"),
    ),
    "a MoE layer without load, a dense one with": Planned(
        "hidden.csv --config config_64.json",
        "482083d46de59602",
        ("layer 1 is a MoE layer by the config, but has no load", "layer 0 is dense by the config"),
    ),
    "nothing recorded": Planned(
        "zeros.csv", "6a43ed6c720ab15a", ("^all loads are 0: nothing was",)
    ),
    # 5. Configs and extra layers.
    "layers of multi-token prediction": Planned(
        "mtp_4_64.npy --config config_mtp.json", "79630f22004b06d8"
    ),
    "all hidden layers, and those of multi-token prediction": Planned(
        "mtp_6_64.npy --config config_mtp.json", "c2cf0230b1b2d910"
    ),
    "layers of multi-token prediction for an engine without them": Planned(
        "mtp_4_64.npy --config config_mtp.json --format sglang",
        "79630f22004b06d8",
        ("layers 0, 1 have the default", "^layer 5 of multi-token prediction left out", "SGLang"),
    ),
    "the same of all hidden layers": Planned(
        "mtp_6_64.npy --config config_mtp.json --format sglang",
        "c2cf0230b1b2d910",
        ("layers 0, 1 have the default", "^layer 5 of multi-token prediction left out", "SGLang"),
    ),
    "a number for each kind of experts": Planned("table.csv --config config_lists.json", EVEN),
    # 2. Slots.
    "slots by SGLang's map": Planned(
        "slots.json --placement map_sglang.json", EVEN, (SLOTS + "map_sglang",)
    ),
    "slots by a list": Planned("slots.json --placement map_list.json", EVEN, (SLOTS,)),
    "slots by TensorRT-LLM's map": Planned(
        "slots.json --config config.json --placement map_trtllm.yaml", EVEN, (SLOTS,)
    ),
    "slots by vllm-ascend's map": Planned("slots.json --placement map_ascend.json", EVEN, (SLOTS,)),
    "slots of ranks": Planned("moe_load_40.npy --placement map_ascend.json", EVEN, (SLOTS,)),
    "slots of ranks, without redundant ones": Planned(
        "moe_load_40.npy --num-experts 12", "ae66cceee62b6ca7", ("slot i is taken as expert i",)
    ),
    "windows of slots": Planned(
        "windows_of_slots.npy --redundant 4 --placement map_list.json", TWICE, (SLOTS,)
    ),
    "windows of slots of ranks": Planned(
        "four_axes.npy --redundant 4 --placement map_list.json", TWICE, (SLOTS,)
    ),
    "four axes by name": Planned(
        "four_axes.npy --redundant 4 --placement map_list.json --axes windows,layers,ranks,slots",
        TWICE,
        (SLOTS,),
    ),
    "vLLM's record with its map": Planned("vllm.json", EVEN, (SLOTS + "its placement",)),
    "vLLM's records, each with its map": Planned(
        "vllm.jsonl --redundant 4", TWICE, ("2 windows of 2 records", SLOTS)
    ),
    "a key beside a map": Planned("mine_and_map.json --key mine", EVEN, (SLOTS,)),
    # 3. Several keys and files.
    "two keys are windows": Planned(
        "keys.json --redundant 4 --key prefill --key decode",
        "f4378036d4d7234a",
        ("windows in this order: prefill, decode; --weights",),
    ),
    "two keys, weighted": Planned(
        "keys.json --redundant 4 --key prefill --key decode --weights 1,9",
        "036323bbd86abbcf",
        ("the loads are 1 x prefill [+] 9 x decode",),
    ),
    "two columns, weighted": Planned(
        "long_phases.csv --key prefill --key decode --weights 0.5,0.25",
        EVEN,
        (LONG, "24 rows", "2 x prefill [+] 1 x decode"),
    ),
    "two files, weighted": Planned("table.csv quoted.csv --weights 3,1", EVEN, ("3 x table.csv",)),
    "two files are windows": Planned("table.csv quoted.csv --redundant 4", TWICE),
    # 7. Text tables.
    "a plain table": Planned("table.csv", EVEN),
    "as pandas writes it": Planned(
        "pandas.csv", EVEN, ("what each row is: column without a name",)
    ),
    "as pandas writes it, named": Planned("pandas_named.csv", EVEN, ("not loads, but what",)),
    "a column of layers": Planned("layer_column.csv", EVEN, ("what each row is: column 'layer'",)),
    "quoted cells": Planned("quoted.csv", EVEN),
}

REFUSED: dict[str, Refused] = {
    "one column": Refused("plan one_column.csv", "1 column of 24 numbers; exp", "experts,layers"),
    "two columns": Refused("plan two_columns.csv", "2 columns of 24 numbers; exp", "expert,count"),
    "two phases": Refused("plan long_phases.csv", "loads: 'prefill', 'decode'", "with --key"),
    "other layers": Refused(
        "plan long_other_layers.csv --config config.json",
        "loads are those of layers 2, 3, 4, but the MoE layers are layers 1, 2, 3, as --config says",
    ),
    "experts from 1": Refused(
        "plan long_from_1.csv --num-experts 8",
        "an expert 8, but 8 experts have numbers 0 to 7; are these numbered from 1[?]",
    ),
    "thousands": Refused("plan thousands.csv", "found '80,000'", "without thousands separators"),
    "thousands and semicolons": Refused("plan thousands_semicolons.csv", "found '80,000'", "thou"),
    "slots of ranks": Refused(
        "plan moe_load_40.npy", "counts 12 slots, not exp", "--placement FILE"
    ),
    "three axes of another kind": Refused(
        "plan ranks_58_32_9.npy --gpus 9",
        r"the shape \[58, 32, 9\] also fits the 58 layers of DeepSeek-V3, with 32 x 9",
        "say which: --axes layers,ranks,slots, or --axes windows,layers,experts",
    ),
    "axes that are not": Refused(
        "plan table.csv --axes layers,rnks,slots", "unknown --axes 'rnks'", "did you mean 'ranks'"
    ),
    "axes twice": Refused("plan table.csv --axes layers,layers,slots", "are not the axes of loads"),
    "fewer axes than named": Refused(
        "plan table.csv --axes windows,layers,experts", r"shape \[3, 8\], but --axes .* are 3"
    ),
    "experts by a placement": Refused(
        "plan table.csv --placement map_list.json", "has 12", "counts experts, leave out --place"
    ),
    "a placement without slots": Refused(
        "plan table.csv --placement map_list.json --axes layers,experts", "is for counts of slots"
    ),
    "loads as a placement": Refused(
        "plan slots.json --placement config.json",
        "^eplb: config.json: this is not a placement; exp",
    ),
    "a table as a placement": Refused(
        "plan slots.json --placement long.csv", "long.csv: it is not a pla"
    ),
    "a placement of other layers": Refused(
        "plan long_slots_of_layers_2_to_4.csv --placement map_trtllm.yaml",
        "loads are those of layers 2, 3, 4, but map_trtllm.yaml has layers 1, 2, 3",
    ),
    "a map as loads": Refused("plan map_sglang.json", "this is a placement of SGLang"),
    "a map with another key": Refused("plan mine_and_map.json", "this is a placement of SGLang"),
    "weights of one": Refused("plan keys.json --key prefill --weights 2", "1 number for 1 file"),
    "weights of two": Refused(
        "plan keys.json --key prefill --key decode --weights 2", "--weights has 1 number for 2 keys"
    ),
    "a weight of 0": Refused("plan table.csv quoted.csv --weights 0,1", "must be positive"),
    "weights in words": Refused("plan table.csv quoted.csv --weights much", "'much' is not a list"),
    "a column too many, and sizes for it": Refused(
        "plan shared_58_257.npy --redundant 32 --gpus 32",
        r"--redundant 32 \(289 slots\) is not divisible by --gpus 32",
        "DeepSeek-V3 has 256 experts; .* or a shared expert[?] .*; or try --redundant 31",
    ),
    "other numbers in a config": Refused(
        "plan table.csv --config config_other_lists.json",
        "num_experts has 8 and 4; expected one number for all of its 3 entries",
    ),
    "a placement as a config": Refused(
        "plan table.csv --config map_sglang.json",
        "this is a placement of SGLang, not a model's config.json; are the arguments swapped",
    ),
    "loads as a config": Refused(
        "plan table.csv --config slots.json", "the configuration must be an object with keys"
    ),
    "a hidden layer too many": Refused(
        "plan mtp_4_64.npy --layers 2-5 --num-hidden-layers 5 --format sglang",
        "layer 5 is not one of the 5 hidden layers, 0 to 4",
        "multi-token prediction, give --config instead",
    ),
    "loads as the placement in force": Refused(
        "replan table.csv --previous table.csv --gpus 4",
        "table.csv: it is not a placement; expected numbers of experts",
        "is this a load table, and are the arguments swapped",
    ),
    "small loads as the placement in force": Refused(
        "replan table.csv --previous small_loads.npy --gpus 4",
        "the expert has no slot; expected at least one slot for each",
        "is this a load table, and are the arguments swapped",
    ),
    "a config as the placement": Refused(
        "evaluate config.json table.csv", "this is a model's config.json, not a placement; are"
    ),
    "a table without GPUs": Refused(
        "evaluate map.npy table.csv", "does not say for how many GPUs it is", "give --gpus"
    ),
    "an option twice": Refused("plan table.csv --gpus 2 --gpus 4", "^eplb: --gpus is given twice"),
}

# Sizes are checked by every command that reads loads.
CHECKS = {
    "plan": "plan {} --gpus 4",
    "replan": "replan {} --previous plan.json",
    "evaluate": "evaluate plan.json {}",
    "verify": "verify plan.json {}",
    "compare": "compare {} --gpus 4",
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Works among the inputs."""
    monkeypatch.chdir(INPUTS)


def arguments(words: str) -> list[str]:
    parts = words.split()
    return parts if "--gpus" in parts or parts[0] != "plan" else [*parts, "--gpus", "4"]


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.usefixtures("here")
def test_is_planned(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = PLANNED[name]
    code = cli.main([*arguments(f"plan {wanted.words}"), "--json"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    plan = json.loads(out)
    notes = [
        note for note in plan["notes"] if not note.startswith(_ALWAYS) and "gap is" not in note
    ]
    assert len(notes) == len(wanted.notes), notes
    for note, expected in zip(notes, wanted.notes, strict=True):
        assert re.search(expected, note), note
    assert plan["digest"] == wanted.digest


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.usefixtures("here")
def test_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = REFUSED[name]
    assert cli.main(arguments(wanted.words)) == 2
    out, err = capsys.readouterr()
    error, _, hint = err.partition("\nhint: ")
    assert out == ""
    assert re.search(wanted.error, error), err
    assert re.search(wanted.hint, hint), err


@pytest.mark.parametrize("command", CHECKS)
@pytest.mark.parametrize("file", ["transposed.csv", "shared_expert.csv"])
@pytest.mark.parametrize("stated", ["--config config.json", "--num-experts 8", "--num-layers 5"])
def test_every_command_checks_the_stated_sizes(
    command: str,
    file: str,
    stated: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", str(INPUTS / "table.csv"), "--gpus", "4", "--out", "plan.json"]) == 0
    capsys.readouterr()
    option, value = stated.split()
    value = str(INPUTS / value) if option == "--config" else value
    words = CHECKS[command].format(INPUTS / file).split()
    assert cli.main([*words, option, value]) == 2
    error = capsys.readouterr().err
    says = "as --config says" if option == "--config" else "as stated"
    assert re.search(rf"{file}: the loads are . layers x . experts; expected .*, {says}", error)


@pytest.mark.usefixtures("here")
def test_python_has_the_same_checks() -> None:
    for stated in ({"num_layers": 3}, {"num_experts": 8}, {"config": "config.json"}):
        options: dict[str, Any] = stated
        assert read_loads("table.csv", **options).notes == ()
        with pytest.raises(LoadError, match="8 layers x 3 experts; expected"):
            read_loads("transposed.csv", **options)
    read = read_loads("transposed.csv", axes=["experts", "layers"], config="config.json")
    assert read.table.tolist() == read_loads("table.csv").table.tolist()
    with pytest.raises(EplbError, match="says 8 experts, not 9"):
        read_loads("table.csv", config="config.json", num_experts=9)


def test_slots_counted_under_any_placement_that_eplb_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a plan makes of loads is turned back into the same loads, from the file of any format."""
    monkeypatch.chdir(tmp_path)
    table, config = str(INPUTS / "table.csv"), str(INPUTS / "config.json")
    loads = read_loads(table).table.astype(np.int64)
    line = ["plan", table, "--gpus", "4", "--redundant", "4", "--config", config]
    for format_name, ending in (
        ("plan", "json"),
        ("plan", "npz"),
        ("sglang", "json"),
        ("sglang", "pt"),
        ("trtllm", "yaml"),
        ("vllm-ascend", "json"),
        ("rtp-llm", "json"),
        ("vllm", "json"),
    ):
        file = f"placement.{ending}"
        assert cli.main([*line, "--format", format_name, "--out", file]) == 0
        plan = eplb.plan(loads, num_gpus=4, num_replicas=12)
        slots = np.take_along_axis(loads, plan.phy2log, 1) * 720  # as many for each replica
        slots //= np.take_along_axis(plan.logcnt, plan.phy2log, 1)
        np.save("slots.npy", np.stack([slots, 2 * slots]))
        read = read_loads("slots.npy", placement=file, config=config)
        assert [window.tolist() for window in read.windows] == [
            (loads * 720).tolist(),
            (loads * 1440).tolist(),
        ]
    capsys.readouterr()


@pytest.mark.usefixtures("here")
def test_compare_reads_keys_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "keys.json", "--key", "prefill", "--gpus", "4"]) == 0
    assert "3 layers: 8 experts" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_a_table_is_a_placement_wherever_a_placement_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``--placement`` takes it: the same as the same placement in the file of an engine."""
    phy2log = np.load("map.npy")
    np.savez(tmp_path / "map.npz", phy2log=phy2log)
    torch = pytest.importorskip("torch")
    torch.save(torch.tensor(phy2log), tmp_path / "map.pt")
    for line, key in (
        ("evaluate {} table.csv", "digest"),
        ("replan table.csv --previous {}", "copies"),
    ):
        found = []
        for file in ("map_list.json", "map.npy", tmp_path / "map.npz", tmp_path / "map.pt"):
            assert cli.main([*line.format(file).split(), "--gpus", "4", "--json"]) == 0
            found.append(json.loads(capsys.readouterr().out)[key])
        assert found == [found[0]] * 4


def test_a_plan_as_a_config_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = str(INPUTS / "table.csv")
    assert cli.main(["plan", table, "--gpus", "4", "--out", "plan.json"]) == 0
    for command in ("plan {} --gpus 4", "verify plan.json {}", "evaluate plan.json {}"):
        words = command.format(table).split()
        capsys.readouterr()
        assert cli.main([*words, "--config", "plan.json"]) == 2
        assert "plan.json: this is a plan, not a model's config.json" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_weights_in_python_are_numbers() -> None:
    keys = ["prefill", "decode"]
    for weights in ("3,1", 3):
        wrong: Any = weights
        with pytest.raises(EplbError, match=r"weights is .*; expected a list of numbers, such as"):
            read_loads("long_phases.csv", key=keys, weights=wrong)
    notes = read_loads("long_phases.csv", key=keys).notes
    assert notes[-1] == "windows in this order: prefill, decode; weights sums them instead"
    assert not any("left out" in note for note in notes)
