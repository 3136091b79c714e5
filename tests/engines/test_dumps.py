"""What engines dump: recognised or named, read whole, odd and hostile ones refused with the place."""

from __future__ import annotations

import json
import math
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
import torch
from engine_files import load_engine_file
from eplb import LoadError, PlanFileError, cli, limits
from eplb.engines.ranks import token_counts
from eplb.load_files import WRITERS, read_loads, read_windows
from real_loads import TOPOLOGIES, total
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = np.random.default_rng(3).integers(0, 1000, (4, 16))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(source: str, **options: Any) -> str:
    with pytest.raises(LoadError) as caught:
        read_loads(source, **options)
    message = str(caught.value)
    assert message.startswith(f"{source}: ")
    return message.removeprefix(f"{source}: ")


def run(line: str) -> int:
    return cli.main(line.split())


# --- SGLang's recorder ----------------------------------------------------------------------------


def sglang(counts: Any, **more: Any) -> None:
    torch.save({"rank": 0, "logical_count": torch.tensor(counts), **more}, "dump.pt")


def test_sglang_s_windows_are_summed_and_dense_layers_stay() -> None:
    windows = np.stack([COUNTS, COUNTS * 2])
    windows[:, 0] = 0  # a dense layer
    sglang(windows.astype(np.int32), average_utilization_rate_over_window=0.5)
    for writer in (None, "sglang"):
        read = read_loads("dump.pt", written_by=writer)
        assert read.table.tolist() == windows.sum(axis=0).tolist()
        assert (len(read.windows), read.notes) == (2, ())
        assert read.layers is None


# 4 experts in 6 slots, two layers.
PHY2LOG = [[0, 1, 2, 3, 0, 2], [3, 2, 1, 0, 1, 1]]


def passes(rank: int, counts: dict[int, Any], **more: Any) -> dict[str, Any]:
    """A dump of the modes ``per_pass`` and ``per_token``."""
    records = [
        {"forward_pass_id": number, "rank": rank, "global_physical_count": torch.tensor(table)}
        for number, table in counts.items()
    ]
    return {"records": records, "last_physical_to_logical_map": torch.tensor(PHY2LOG), **more}


def test_passes_of_one_rank() -> None:
    first, second = [[1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 3]], [[0] * 6, [9, 0, 0, 0, 0, 0]]
    torch.save(passes(3, {8: second, 7: first}), "dump.pt")
    for writer in ("sglang", None):
        read = read_loads("dump.pt", written_by=writer)
        assert [window.tolist() for window in read.windows] == [
            [[6, 2, 9, 4], [1, 6, 0, 0]],
            [[0, 0, 0, 0], [0, 0, 0, 9]],
        ]
        assert read.notes[0] == "2 forward passes, each a window"
        assert read.notes[1].startswith("of rank 3 alone; the directory with the files of all")


def test_parts_of_one_window_by_rank_are_no_windows() -> None:
    table = [[1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 3]]
    folder = Path("ranks")
    folder.mkdir()
    files = [str(folder / f"expert_distribution_recorder_1_{rank}.pt") for rank in (0, 1)]
    for rank, file in enumerate(files):
        torch.save(passes(rank, {7: table, 9: table}), file)
    message = (
        r"_1_1\.pt: it has what rank 1 counted in forward passes of which .*_1_0\.pt has what rank 0 "
        r"counted: these are parts of one window; give the directory of all expert_distribution_"
    )
    for weights in (None, [1, 1]):
        with pytest.raises(LoadError, match=message):
            read_windows(files, weights=weights)
    together = read_loads(folder)  # as the hint says
    one = read_loads(files[0])
    assert [window.tolist() for window in together.windows] == [
        (2 * window).tolist() for window in one.windows
    ]
    # Other passes, or the same rank after a restart, are windows.
    torch.save(passes(1, {10: table}), "later.pt")
    torch.save(passes(0, {7: table}), "again.pt")
    for other in ("later.pt", "again.pt"):
        assert len(read_windows([files[0], other]).windows) == 3


def test_passes_of_all_ranks_are_summed() -> None:
    Path("dump").mkdir()
    table = [[1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 3]]
    name = "dump/expert_distribution_recorder_170_{}.pt"
    torch.save(passes(0, {7: table}), name.format(0))
    torch.save(passes(1, {7: table, 9: table}), name.format(1))
    for writer in ("sglang-passes", None):
        read = read_loads("dump", written_by=writer)
        one = np.array([[6, 2, 9, 4], [1, 6, 0, 0]])
        assert [window.tolist() for window in read.windows] == [(2 * one).tolist(), one.tolist()]
        assert "2 files summed for each forward pass" in read.notes
    other = torch.tensor(PHY2LOG).roll(1, 1)
    torch.save(passes(2, {7: table}, last_physical_to_logical_map=other), name.format(2))
    assert "_2.pt: it has another placement than expert_distribution" in refusal("dump")


BAD_PASSES: dict[str, tuple[Any, str]] = {
    "no record": (passes(0, {}), "it has no record of a forward pass"),
    "records that are none": (passes(0, {}, records=3), "its 'records' are not a list"),
    "a record without counts": (passes(0, {}, records=[{}]), "record 0 has no 'global_physical"),
    "counts of a layer": (passes(0, {1: [1, 2, 3]}), r"record 0: its counts have shape \[3\]"),
    "negative counts": (passes(0, {1: [[-1] * 6] * 2}), "record 0: expected counts of tokens"),
    "fewer slots": (
        passes(0, {1: [[1] * 5] * 2}),
        "the loads have 5 slots, but its placement has 6",
    ),
    "fewer layers": (passes(0, {1: [[1] * 6]}), "the loads have 1 layer, but its placement has 2"),
    "no placement": (
        passes(0, {1: [[1] * 6] * 2}, last_physical_to_logical_map=torch.full((2, 6), 1.5)),
        "the placement beside its loads: it is not a placement; expected numbers of",
    ),
    "an expert that nobody has": (
        passes(0, {1: [[1] * 6] * 2}, last_physical_to_logical_map=torch.full((2, 6), 2**40)),
        "the placement beside its loads: it is not a placement",
    ),
    "load of an empty slot": (
        passes(
            0, {1: [[1] * 6] * 2}, last_physical_to_logical_map=torch.tensor([[0, 1, -1] * 2] * 2)
        ),
        "window 0, layer 0, slot 2: the load is 1, but the placement has no expert there",
    ),
}


@pytest.mark.parametrize("name", BAD_PASSES)
def test_bad_passes(name: str) -> None:
    content, wanted = BAD_PASSES[name]
    torch.save(content, "dump.pt")
    assert re.search(wanted, refusal("dump.pt"))


def test_what_sglang_does_not_write() -> None:
    torch.save({"counts": torch.tensor(COUNTS)}, "dump.pt")
    assert "not a dump of SGLang's recorder" in refusal("dump.pt", written_by="sglang")
    assert read_loads("dump.pt").table.tolist() == COUNTS.tolist()


# --- vLLM's and vllm-ascend's loads of slots ------------------------------------------------------


def test_vllm_s_records_have_windows_of_their_own() -> None:
    record = {
        "expert_load_window": [[[1, 2, 3]], [[4, 5, 6]]],
        "physical_to_logical_map": [[1, 0, 1]],
    }
    other = {"expert_load_window": [[[7, 0, 0]]], "physical_to_logical_map": [[0, 1, 0]]}
    Path("dump.json").write_text(json.dumps([record, other]))
    for writer in ("vllm", None):
        read = read_loads("dump.json", written_by=writer)
        assert [window.tolist() for window in read.windows] == [[[2, 4]], [[5, 10]], [[7, 0]]]
    del other["physical_to_logical_map"]
    Path("dump.json").write_text(json.dumps([record, other]))
    assert "some of its records have no 'physical_to_logical_map'" in refusal("dump.json")
    Path("dump.json").write_text(json.dumps([other]))
    assert refusal("dump.json").startswith("it counts 3 slots, not experts; give the placement")
    Path("dump.json").write_text(json.dumps([record, {}]))
    assert "record 1 has none of window_expert_load, " in refusal("dump.json")
    Path("dump.jsonl").write_text('{"a": 1}\n{"a": ')
    assert "line 2: it is not valid JSON" in refusal("dump.jsonl")


def test_a_folder_of_vllm_ascend_s_loads() -> None:
    Path("dump").mkdir()
    for iteration, times in ((9, 1), (100, 3)):
        table = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]) * times
        np.save(f"dump/moe_load_{iteration}.npy", table)
    Path("map.json").write_text("[[0, 1, 2, 0], [2, 1, 0, 2]]")
    for writer in ("vllm-ascend", None):
        read = read_loads("dump", written_by=writer, placement="map.json")
        assert [window.tolist() for window in read.windows] == [
            [[5, 2, 3], [7, 6, 13]],
            [[15, 6, 9], [21, 18, 39]],
        ]
    np.save("dump/moe_load_3.npy", np.ones((2, 2, 3)))
    assert re.search(
        r"moe_load_9.npy has shape \[2, 2, 2\]; expected .* as moe_load_3", refusal("dump")
    )


# --- TensorRT-LLM's statistics --------------------------------------------------------------------


def trtllm(
    ranks: list[dict[str, Any]],
    meta: str = '{"num_experts": 16, "num_experts_per_token": 2}',
    without: int | None = None,
) -> None:
    Path("dump").mkdir(exist_ok=True)
    Path("dump/meta_info.json").write_text(meta)
    for rank, cells in enumerate(ranks):
        if rank != without:
            arrays = {name: np.asarray(cell) for name, cell in cells.items()}
            save_file(arrays, f"dump/rank{rank}.safetensors")


def test_trtllm_s_ranks_and_iterations_are_summed() -> None:
    ranks = [
        {
            f"{step}_{layer}": COUNTS[row] * (step - 99 + rank)
            for row, layer in enumerate((3, 4, 10, 2))
            for step in (100, 101)
        }
        for rank in range(3)
    ]
    trtllm(ranks)
    save_file({"100_3": np.zeros((7, 2), np.int64)}, "dump/rank0_raw.safetensors")
    Path("dump/notes.txt").write_text("left alone")
    for writer in (None, "trtllm"):
        read = read_loads("dump", written_by=writer)
        factor = sum(step - 99 + rank for rank in range(3) for step in (100, 101))
        assert read.table.tolist() == (COUNTS[[3, 0, 1, 2]] * factor).tolist()
        assert read.layers == (2, 3, 4, 10)
        assert read.notes == ("2 iterations of 3 ranks summed",)
        assert len(read.windows) == 1
        # Each iteration is kept, as the engine's report averages over them.
        assert [each.tolist() for each in read.recorded] == [
            (COUNTS[[3, 0, 1, 2]] * sum(step - 99 + rank for rank in range(3))).tolist()
            for step in (100, 101)
        ]
    twice = read_windows(["dump", "dump"])
    assert (len(twice.windows), len(twice.recorded)) == (2, 4)
    assert len(twice.merged(1).recorded) == 4


def test_the_metric_of_trtllm_is_a_mean_over_iterations(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Their sum is even, but each has one busy GPU: largest / mean - 1 is 1."""
    halves = np.arange(16) < 8
    trtllm([{"1_3": halves * 5, "2_3": ~halves * 5}])
    for command in ("plan dump", "evaluate plan.json dump", "compare dump"):
        sizes = "--gpus 2" if "evaluate" not in command else ""
        out = "--out plan.json" if "plan dump" in command else ""
        even = f"{command} {sizes} {out} --json".split()
        assert cli.main(even) == 0
        values = json.loads(capsys.readouterr().out)
        figures = values["rows"][0] if "compare" in command else values["unbalanced"]
        assert figures["balancedness_worst"] == figures["metrics"]["trtllm"] == 1
        assert cli.main(f"{command} {sizes} {out} --metric trtllm".split()) == 0
        assert "largest / mean - 1, over 2 windows" in " ".join(capsys.readouterr().out.split())
    # One layer of each of many iterations would be mostly zeros.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_LOADS", 32)
        trtllm([{"1_3": COUNTS[0], "2_4": COUNTS[1]}])
        assert len(read_loads("dump").recorded) == 1


def trtllm_bytes(rank: bytes) -> None:
    trtllm([])
    Path("dump/rank0.safetensors").write_bytes(rank)


CELL = np.ones(16, np.int64)
BAD_TRTLLM: dict[str, tuple[Callable[[], None], str]] = {
    "no rank": (lambda: trtllm([]), "it has a meta_info.json but no rank0.safetensors"),
    "no counts": (lambda: trtllm([{}]), "its files have no counts"),
    "no number of experts": (
        lambda: trtllm([{"1_1": CELL}], "{}"),
        "^meta_info.json: it has no 'num_experts'; .* from 1 to 16384",
    ),
    "a list for meta": (
        lambda: trtllm([{"1_1": CELL}], "[16]"),
        "^meta_info.json: the file must be an object with keys, found a list",
    ),
    "meta that is no JSON": (
        lambda: trtllm([{"1_1": CELL}], "{"),
        "^meta_info.json: .* valid JSON",
    ),
    **{
        f"{number} experts": (
            partial(trtllm, [{"1_1": CELL}], f'{{"num_experts": {number}}}'),
            f"^meta_info.json: num_experts is {said}; .* from 1 to 16384",
        )
        for number, said in (
            ("true", "true"),
            ("null", "null"),
            ('"8"', "'8'"),
            ("0", "0"),
            ("16385", "16385"),
            ("8.0", "8.0"),
        )
    },
    "another number": (
        lambda: trtllm([{"1_1": CELL}, {"1_1": CELL[:9]}]),
        r"^rank1.safetensors: 1_1 has shape \[9\], but meta_info.json says 16 experts",
    ),
    "a rank is missing": (
        lambda: trtllm([{"1_1": CELL}, {"1_1": CELL}, {"1_1": CELL}], without=1),
        "rank 1 is missing: there are files of 2 ranks",
    ),
    "an iteration by another name": (
        lambda: trtllm([{"1_1": CELL, "01_1": CELL}]),
        "'01_1' is not an iteration and a layer",
    ),
    "bools": (
        lambda: trtllm([{"1_1": CELL > 0}]),
        "^rank0.safetensors: 1_1: expected integers or floats",
    ),
    "another name": (
        lambda: trtllm([{"one": CELL}]),
        "rank0.safetensors: 'one' is not an iteration and",
    ),
    "floats": (
        lambda: trtllm([{"1_1": CELL * 0.5}]),
        "1_1: expected counts of tokens, whole numbers",
    ),
    "negative": (
        lambda: trtllm([{"1_1": CELL - 2}]),
        "1_1: expected counts of tokens, whole numbers",
    ),
    "too many": (
        lambda: trtllm([{"1_1": CELL << 40}]),
        "1_1: expected counts of tokens, whole numbers",
    ),
    "no safetensors": (
        lambda: trtllm_bytes(b"\xff" * 99),
        "cannot be read as rank0.safetensors",
    ),
    "a header beyond the file": (
        lambda: trtllm_bytes(b"\0" * 6 + b"\x7f\0{}"),
        "cannot be read as rank0.safetensors",
    ),
}


@pytest.mark.parametrize("case", BAD_TRTLLM)
def test_bad_statistics_of_trtllm(case: str) -> None:
    make, message = BAD_TRTLLM[case]
    make()
    assert re.search(message, refusal("dump"))


def test_only_files_named_as_a_rank_s_are_read() -> None:
    trtllm([{"1_1": CELL}])
    save_file({"1_1": CELL}, "dump/rank00.safetensors")
    os.mkfifo("dump/rank1.safetensors")  # to read it would take for ever
    assert read_loads("dump").table.tolist() == [[1] * 16]


def test_counts_up_to_2_to_the_36() -> None:
    trtllm([{"1_1": CELL * (2**36 - 1)}, {"1_1": CELL}])
    assert read_loads("dump").table.tolist() == [[2**36] * 16]
    trtllm([{"1_1": CELL * 2**36}, {"1_1": CELL}])
    assert "whole numbers from 0 below 2**36" in refusal("dump")


def test_trtllm_s_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    trtllm([{"1_1": CELL, "1_2": CELL}, {"1_1": CELL}])
    assert read_loads("dump").table.tolist() == [[2] * 16, [1] * 16]
    monkeypatch.setattr(limits, "MAX_LOADS", 47)
    assert refusal("dump") == "it holds more than 47 loads"


def test_from_trtllm_s_statistics_to_its_placement(capsys: pytest.CaptureFixture[str]) -> None:
    """The dump names the hidden layers: nobody else has to."""
    trtllm([{f"7_{layer}": COUNTS[row] for row, layer in enumerate((3, 4, 5, 9))}])
    line = "plan dump --gpus 4 --redundant 4 --format trtllm --out placement.yaml"
    assert run(line) == 0
    assert "3 to 5, 9" in capsys.readouterr().out.replace("3, 4, 5", "3 to 5")
    file = load_engine_file("placement.yaml", "trtllm", num_gpus=4)
    assert file.layers == (3, 4, 5, 9)
    assert np.array_equal(file.plan.phy2log, eplb.plan(COUNTS, num_gpus=4, num_replicas=20).phy2log)
    assert run("evaluate placement.yaml dump --format trtllm --gpus 4 --json") == 0
    assert json.loads(capsys.readouterr().out)["digest"] == file.plan.digest()


def test_layers_that_are_not_the_dump_s_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    trtllm([{f"7_{layer}": COUNTS[row] for row, layer in enumerate((3, 4, 5, 9))}])
    line = "plan dump --gpus 4 --format trtllm --out placement.yaml --layers"
    assert run(f"{line} 0-3") == 2
    assert "the loads are those of layers 3, 4, 5, 9" in capsys.readouterr().err
    assert not Path("placement.yaml").exists()
    assert run(f"{line} 3-5,9") == 0
    line = "evaluate placement.yaml dump --format trtllm --gpus 4 --layers"
    assert run(f"{line} 3-5,9") == 0
    assert run(f"{line} 3-4,9") == 2
    assert "the loads are those of layers 3, 4, 5, 9" in capsys.readouterr().err


def test_evaluate_takes_the_layers_that_were_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """A placement of more layers: of multi-token prediction, perhaps."""
    trtllm([{f"7_{layer}": COUNTS[row] for row, layer in enumerate((3, 4, 5, 9))}])
    assert run("plan dump --gpus 4 --redundant 4 --format trtllm --out placement.yaml") == 0
    trtllm([{f"7_{layer}": COUNTS[row] for row, layer in ((1, 4), (3, 9))}])
    capsys.readouterr()
    assert run("evaluate placement.yaml dump --format trtllm --gpus 4 --json") == 0
    whole = eplb.plan(COUNTS, num_gpus=4, num_replicas=20)
    assert json.loads(capsys.readouterr().out)["phy2log"] == whole.phy2log[[1, 3]].tolist()


def test_loads_of_other_layers_than_the_placement_s(capsys: pytest.CaptureFixture[str]) -> None:
    """What the hint says works."""
    counts = np.vstack([np.zeros((3, 16), int), COUNTS])
    plan = eplb.plan(COUNTS, num_gpus=4)
    for name in ("sglang", "vllm"):
        plan.save(f"{name}.json", name, layers=range(3, 7), num_hidden_layers=7)
    np.save("all.npy", counts)
    np.save("moe.npy", COUNTS)
    for file, loads, said in (
        (
            "sglang",
            "moe",
            "has 7 layers (layers 0 to 6), but the loads have 4\nhint: give --layers",
        ),
        ("vllm", "all", "has 4 layers, but the loads have 7\nhint: give --layers or --config"),
    ):
        line = f"evaluate {file}.json {loads}.npy --format {file} --gpus 4"
        assert run(line) == 2
        assert f"{file}.json {said}" in capsys.readouterr().err
        assert run(f"{line} --layers 3-6") == 0
        assert plan.digest() in capsys.readouterr().out
    # Neither option would help here.
    eplb.plan(counts, num_gpus=4).save("plan.json")
    eplb.plan(counts, num_gpus=4).save("vllm.json", "vllm", layers=range(7))
    for line in ("plan.json moe.npy", "vllm.json moe.npy --format vllm --gpus 4"):
        assert run(f"evaluate {line}") == 2
        assert capsys.readouterr().err.endswith(".json has 7 layers, but the loads have 4\n")
    line = "evaluate sglang.json moe.npy --format sglang --gpus 4 --layers 3-5"
    assert run(line) == 2
    err = capsys.readouterr().err
    assert err.endswith("has 3 layers (layers 3, 4, 5), but the loads have 4\n")


def test_a_dump_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    trtllm([{"7_3": COUNTS[0]}])
    meta = Path("dump/meta_info.json").read_bytes()
    assert run("plan dump --gpus 4 --out dump/meta_info.json") == 2
    assert "would overwrite the loads" in capsys.readouterr().err
    assert Path("dump/meta_info.json").read_bytes() == meta
    assert run("plan dump --gpus 4 --out dump/plan.json") == 0


CONFIG = {"model_type": "deepseek_v3", "num_hidden_layers": 7, "first_k_dense_replace": 3}


@pytest.mark.parametrize(
    ("format", "ending"), [("trtllm", "yaml"), ("sglang", "json"), ("vllm-ascend", "json")]
)
def test_a_dump_judges_the_placement_that_was_made_of_it(
    format: str,  # noqa: A002
    ending: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Dense layers are in the dump, and not in the placement or not in what is judged of it."""
    counts = np.vstack([np.zeros((3, 16), int), COUNTS])
    sglang(counts)
    Path("config.json").write_text(json.dumps(CONFIG))
    out = f"placement.{ending}"
    line = f"dump.pt --gpus 4 --config config.json --policy minimax --format {format} --out {out}"
    assert run(f"plan {line}") == 0
    wanted = eplb.plan(COUNTS, num_gpus=4, policy="minimax")
    for option in ("--config config.json", "--layers 3-6"):
        capsys.readouterr()
        assert run(f"evaluate {out} dump.pt --gpus 4 --format {format} {option} --json") == 0
        values = json.loads(capsys.readouterr().out)
        assert values["phy2log"] == wanted.phy2log.tolist()
        assert values["balancedness_worst"] == wanted.balancedness.min()
        assert values["notes"][-1].startswith("layers 0, 1, 2 of the loads left out")
    assert run(f"evaluate {out} dump.pt --gpus 4 --format {format} --layers 0-3") in (0, 2)
    wanted.save("plan.json")
    assert run("evaluate plan.json dump.pt --layers 3-6 --json") == 0
    assert run("evaluate plan.json dump.pt") == 2


def test_one_dense_layer_is_not_taken_for_a_moe_layer() -> None:
    plan = eplb.plan(np.vstack([np.zeros((1, 16), int), COUNTS]), num_gpus=4)
    with pytest.raises(PlanFileError, match=r"layer 0 .* has no load, so it may be a dense layer;"):
        plan.save("placement.json", "vllm")


@pytest.mark.parametrize("format", ["vllm-ascend", "vllm"])
def test_dense_layers_are_not_taken_for_moe_layers(
    format: str,  # noqa: A002
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = np.vstack([np.zeros((3, 16), int), COUNTS])
    sglang(counts)
    line = f"plan dump.pt --gpus 4 --policy minimax --format {format} --out placement.json"
    assert run(line) == 2
    assert (
        "layers 0, 1, 2 of the plan have no load, so they may be dense layers"
        in capsys.readouterr().err
    )
    assert run(f"{line} --layers 3-6 --num-hidden-layers 7") == 0
    read = load_engine_file("placement.json", format, num_gpus=4).plan.phy2log
    wanted = eplb.plan(counts, num_gpus=4, policy="minimax").phy2log
    assert np.array_equal(read, wanted[3:])
    assert run(f"{line} --layers 0-6") == 0  # MoE layers all the same, says the user
    assert len(load_engine_file("placement.json", format, num_gpus=4).plan.phy2log) == 7


# --- Load histories -------------------------------------------------------------------------------


def history(*windows: Any) -> None:
    entries = [{"step": step, "logical_expert_load": table} for step, table in enumerate(windows)]
    Path("dump.json").write_text(json.dumps({"load_history": entries}))


def test_a_load_history_is_summed() -> None:
    history(COUNTS.tolist(), (COUNTS * 3).tolist())
    for writer in (None, "load-history"):
        read = read_loads("dump.json", written_by=writer)
        assert read.table.tolist() == (COUNTS * 4).tolist()
        assert (len(read.windows), read.notes) == (2, ())


BAD_HISTORY = {
    '{"load_history": []}': "'load_history' must be a list with at least one window",
    '{"load_history": 3}': "'load_history' must be a list with at least one window",
    '{"load_history": [[[1, 2]]]}': "window 0: it has no table 'logical_expert_load'",
    '{"load_history": [{"logical_expert_load": 3}]}': "window 0: it has no table",
    '{"load_history": [{"logical_expert_load": [[1]]}, {"logical_expert_load": [[-1]]}]}': "window 1: "
    "layer 0, expert 0: the load is -1",
    '{"load_history": [{"logical_expert_load": [[1]]}, {"logical_expert_load": [[1, 2]]}]}': "window 1 "
    "has 2 experts, but window 0 has 1",
}


@pytest.mark.parametrize("text", BAD_HISTORY)
def test_bad_histories(text: str) -> None:
    Path("dump.json").write_text(text)
    assert refusal("dump.json").startswith(BAD_HISTORY[text])


def test_no_history() -> None:
    Path("dump.json").write_text("[[1, 2]]")
    assert "it has no key 'load_history'" in refusal("dump.json", written_by="load-history")


# --- MindIE's hotspots ----------------------------------------------------------------------------


def mindie(
    tables: list[Any],
    stage: str = "decode",
    folder: str = "dump",
    without: int | None = None,
    **config: Any,
) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for rank, table in enumerate(tables):
        if rank != without:
            np.savetxt(f"{folder}/{stage}_{rank}.csv", table, fmt="%.0f", delimiter=",")
    if config:
        Path(f"{folder}/model_gen_config.json").write_text(json.dumps(config))


def test_mindie_s_ranks_are_beside_each_other() -> None:
    mindie(np.hsplit(COUNTS, 4))
    for writer in (None, "mindie"):
        read = read_loads("dump", written_by=writer)
        assert read.table.tolist() == COUNTS.tolist()
        assert read.notes == ("decode: 4 ranks side by side",)


def test_mindie_s_ranks_are_in_the_order_of_their_numbers() -> None:
    wide = np.random.default_rng(5).integers(0, 99, (3, 24))
    mindie(np.hsplit(wide, 12))  # decode_10.csv comes before decode_2.csv by name
    assert read_loads("dump").table.tolist() == wide.tolist()


@pytest.mark.parametrize("stage", ["decode", "prefill"])
def test_mindie_s_stages(stage: str) -> None:
    mindie(np.hsplit(COUNTS, 2), "decode")
    mindie(np.hsplit(COUNTS + 1, 2), "prefill", "dump/prefill")
    table = COUNTS + (stage == "prefill")
    assert read_loads("dump", key=stage).table.tolist() == table.tolist()
    assert refusal("dump") == "it has decode and prefill; choose one with key"
    assert refusal("dump", key="train") == "unknown key 'train'; expected one of decode, prefill"
    assert refusal("dump", key="prefil").endswith("did you mean 'prefill'?")


def test_mindie_s_counters_run_on() -> None:
    counters = np.stack([COUNTS, COUNTS * 2, COUNTS * 5])
    mindie(np.split(counters.reshape(12, 16), 4, axis=1), num_moe_layers=4, num_of_experts=16)
    read = read_loads("dump")
    assert read.table.tolist() == counters[-1].tolist()
    assert read.notes == (
        "decode: 3 matrices of 4 ranks",
        "cumulative counters: the last matrix of each of 1 run is used",
    )


def test_mindie_s_matrices_that_do_not_run_on_are_summed() -> None:
    matrices = np.stack([COUNTS, COUNTS[::-1], COUNTS])
    tables = np.split(matrices.reshape(12, 16), 4, axis=1)
    tables[2] = np.vstack([tables[2], [[9] * 4]])  # one rank was stopped a row later
    mindie(tables, num_moe_layers=4, num_of_experts=16)
    assert read_loads("dump").table.tolist() == matrices.sum(axis=0).tolist()


def test_mindie_s_counters_start_again_where_the_engine_did() -> None:
    counters = np.stack([COUNTS + 1, COUNTS * 3 + 1, COUNTS, COUNTS * 2, COUNTS * 2 + 1])
    tables = np.split(counters.reshape(20, 16), 4, axis=1)
    tables[3] = np.vstack([tables[3], np.full((2, 4), 9)])
    mindie(tables, num_moe_layers=4, num_of_experts=16)
    read = read_loads("dump")
    assert read.table.tolist() == (COUNTS * 3 + 1 + COUNTS * 2 + 1).tolist()
    assert read.notes == (
        "decode: 5 matrices of 4 ranks",
        "cumulative counters: the last matrix of each of 2 runs is used",
        "2 rows of an unfinished matrix left out",
    )


def test_mindie_s_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    mindie(np.hsplit(COUNTS, 4))
    monkeypatch.setattr(limits, "MAX_LOADS", 63)
    assert refusal("dump") == "its files have more than 63 loads"


def test_mindie_s_map_of_experts() -> None:
    """Loads are of slots: copies of an expert add up, and ranks of shared experts are left out."""
    plan = eplb.plan(COUNTS, num_gpus=4, num_replicas=20, policy="minimax")
    slots = np.random.default_rng(6).integers(0, 99, (4, 20))
    shared = np.full((4, 1), 77)
    config: dict[str, Any] = {
        "num_moe_layers": 4,
        "num_of_experts": 16,
        "num_dangling_shared_experts": 2,
    }
    mindie(
        [shared, shared, *np.hsplit(slots, 4)],
        **config,
        eplb_expert_map_file="C:\\models\\map.json",
    )
    assert refusal("dump").endswith(
        "names the expert map 'map.json', which is not beside the files"
    )
    plan.save("dump/map.json", "vllm-ascend")
    expected = np.zeros((4, 16), int)
    for layer in range(4):
        for slot in range(20):
            expected[layer, plan.phy2log[layer, slot]] += slots[layer, slot]
    assert read_loads("dump").table.tolist() == expected.tolist()


def test_mindie_s_shared_experts_in_the_map_are_left_out() -> None:
    """They follow the routed ones, in a slot of every device."""
    routed = np.arange(16).reshape(4, 4)
    row = np.column_stack([routed, [16, 16, 17, 17]]).ravel()
    eplb.Plan.from_phy2log(np.tile(row, (4, 1)), num_gpus=4).save("map.json", "vllm-ascend")
    slots = np.random.default_rng(8).integers(1, 99, (4, 20))
    mindie(
        np.hsplit(slots, 4), num_moe_layers=4, num_of_experts=16, eplb_expert_map_file="map.json"
    )
    Path("map.json").rename("dump/map.json")
    wanted = slots.reshape(4, 4, 5)[:, :, :4].reshape(4, 16)
    assert read_loads("dump").table.tolist() == wanted.tolist()


def test_minus_one_shared_rank_is_none() -> None:
    tables = np.split(COUNTS, 4, axis=1)
    mindie(tables, num_moe_layers=4, num_of_experts=16, num_dangling_shared_experts=-1)
    assert read_loads("dump").table.tolist() == COUNTS.tolist()


class Counted(np.ndarray[Any, Any]):
    """A table that counts how often it is asked for its size."""

    asked = 0

    @property
    def size(self) -> int:
        Counted.asked += 1
        return 2


def test_each_rank_of_mindie_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each rank that follows: that would take for ever with many ranks."""
    mindie([[[rank, 1]] for rank in range(40)])
    monkeypatch.setattr(
        "eplb.engines.ascend.hotspots.token_counts", lambda *of: token_counts(*of).view(Counted)
    )
    monkeypatch.setattr(limits, "MAX_LOADS", 79)
    Counted.asked = 0
    assert "more than 79 loads" in refusal("dump")
    assert Counted.asked <= 80


def mindie_twice(tables: list[Any]) -> None:
    mindie(tables)
    mindie(tables, folder="dump/decode")


def mindie_map(tables: list[Any], **config: Any) -> None:
    mindie(tables, eplb_expert_map_file="map.json", **config)
    eplb.plan(COUNTS, num_gpus=4, policy="minimax").save("dump/map.json", "vllm-ascend")


BAD_MINDIE: dict[str, tuple[Callable[[], Any], str]] = {
    "a rank is missing": (
        lambda: mindie([COUNTS] * 3, without=1),
        "rank 1 is missing: there are files of 2 ranks",
    ),
    "ranks of other rows": (
        lambda: mindie([COUNTS, COUNTS[:3]]),
        "decode_1.csv has 3 rows, but decode_0.csv has 4",
    ),
    "huge": (lambda: mindie([COUNTS * 2**50]), "decode_0.csv: expected counts of tokens, whole"),
    "two places": (
        lambda: mindie_twice([COUNTS]),
        "both it and its folder decode have decode_0.csv",
    ),
    "a map of fewer experts": (
        lambda: mindie_map([COUNTS], num_moe_layers=4, num_of_experts=17),
        "map.json has 16 experts, but model_gen_config.json says 17",
    ),
    "text": (
        lambda: mindie([[[1, math.nan]]]),
        "decode_0.csv: line 1, column 2: expected a finite number, found 'nan'",
    ),
    "rows of several matrices": (
        lambda: mindie([np.ones((300, 2))]),
        "its files have 300 rows, and no model_gen_config.json says how many layers",
    ),
    "no layers": (
        lambda: mindie([COUNTS], num_of_experts=16),
        "model_gen_config.json: it has no 'num_moe_layers'; expected a whole number from 1",
    ),
    "many layers": (
        lambda: mindie([COUNTS], num_moe_layers=99999999, num_of_experts=16),
        "num_moe_layers is 99999999; expected a whole number from 1 to 16384",
    ),
    "experts in words": (
        lambda: mindie([COUNTS], num_moe_layers=4, num_of_experts="16"),
        "num_of_experts is '16'; expected a whole number from 1 to 16384",
    ),
    "shared ranks below -1": (
        lambda: mindie(
            [COUNTS], num_moe_layers=4, num_of_experts=16, num_dangling_shared_experts=-2
        ),
        "num_dangling_shared_experts is -2; expected a whole number from -1",
    ),
    "one row": (
        lambda: mindie([COUNTS[:1]], num_moe_layers=4, num_of_experts=16),
        "its files have 1 row, but model_gen_config.json says 4 layers",
    ),
    "too few rows": (
        lambda: mindie([COUNTS], num_moe_layers=9, num_of_experts=16),
        "its files have 4 rows, but model_gen_config.json says 9 layers",
    ),
    "other experts": (
        lambda: mindie([COUNTS], num_moe_layers=4, num_of_experts=17),
        "its files have 16 columns, but model_gen_config.json says 17 experts",
    ),
    "shared only": (
        lambda: mindie(
            [COUNTS], num_moe_layers=4, num_of_experts=16, num_dangling_shared_experts=1
        ),
        "all of its ranks hold shared experts",
    ),
    "a map that is no path": (
        lambda: mindie([COUNTS], num_moe_layers=4, num_of_experts=16, eplb_expert_map_file=3),
        "model_gen_config.json: eplb_expert_map_file is 3; expected a path",
    ),
}


@pytest.mark.parametrize("case", BAD_MINDIE)
def test_bad_hotspots(case: str) -> None:
    make, message = BAD_MINDIE[case]
    make()
    assert message in refusal("dump")


def test_a_map_of_experts_is_looked_for_beside_the_files_only() -> None:
    Path("secret.json").write_text("[[0]]")
    mindie([COUNTS], num_moe_layers=4, num_of_experts=16, eplb_expert_map_file="../secret.json")
    assert "which is not beside the files" in refusal("dump")


# --- Who wrote it ---------------------------------------------------------------------------------


def test_writers_that_do_not_fit() -> None:
    np.save("loads.npy", COUNTS)
    Path("empty").mkdir()
    with pytest.raises(
        LoadError, match=r"^unknown written_by 'me'; expected one of table, sglang, "
    ):
        read_loads("loads.npy", written_by="me")
    for writer in ("trtllm", "mindie"):
        assert "writes a directory" in refusal("loads.npy", written_by=writer)
    for writer in ("table", "sglang", "load-history"):
        assert f"this is a directory, but {writer} is a file" in refusal("empty", written_by=writer)
    assert re.match(
        r"this is a directory without .* or meta_info\.json \(TensorRT-LLM's ", refusal("empty")
    )
    assert "it has no 'logical_count'" in refusal("loads.npy", written_by="sglang")
    for writer in ("sglang", "load-history"):
        message = refusal("loads.npy", written_by=writer, key="counts")
        assert message == f"{writer} has only one table; leave out key"


def test_from_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    sglang(COUNTS)
    for writer in WRITERS:
        code = cli.main(["plan", "dump.pt", "--gpus", "4", "--from", writer, "--json"])
        out, err = capsys.readouterr()
        assert code == (0 if writer in ("table", "sglang") else 2), writer
        assert (err == "") == (code == 0)
        if code == 0:
            assert json.loads(out)["digest"] == eplb.plan(COUNTS, num_gpus=4).digest()
    assert run("plan dump.pt --gpus 4 --out plan.json") == 0
    for command in (
        "compare dump.pt --gpus 4",
        "verify plan.json dump.pt",
        "evaluate plan.json dump.pt",
    ):
        assert run(f"{command} --from sglang") == 0
        assert run(f"{command} --from mindie") == 2
        assert "mindie writes a directory" in capsys.readouterr().err
    assert run("compare dump.pt --gpus 4 --from engine") == 2
    assert "unknown --from 'engine'; expected one of table, " in capsys.readouterr().err


def test_other_files_in_the_place_of_loads() -> None:
    plan = eplb.plan(COUNTS, num_gpus=4, policy="minimax")
    files = {"plan.json": "a plan", "plan.npz": "a plan"}
    for name in files:
        plan.save(name)
    for engine, what in (("sglang", "SGLang"), ("vllm-ascend", "vllm-ascend")):
        plan.save(f"{engine}.json", engine)
        files[f"{engine}.json"] = f"a placement of {what}"
    Path("config.json").write_text(json.dumps(CONFIG))
    files["config.json"] = "a model's config.json"
    for name, what in files.items():
        message = f"this is {what}, not a load table; are the arguments swapped?"
        assert refusal(name) == message
        if name.startswith("plan"):
            assert refusal(name, key="logcnt") == message


# --- Numbers of experts instead of loads ----------------------------------------------------------


def test_expert_ids_are_refused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    ids = np.argsort(np.random.default_rng(1).random((500, 40, 256)), axis=2)[:, :, :6]
    np.save("ids.npy", ids.astype(np.uint8))
    message = refusal("ids.npy")
    assert message.startswith(
        "none of its 20000 rows of 6 has a number twice, and none is above 255"
    )
    assert "trust=True" in message
    assert read_loads("ids.npy", trust=True).table.tolist() == ids.sum(axis=0).tolist()
    for command in ("plan", "compare"):
        assert cli.main([command, "ids.npy", "--gpus", "2"]) == 2
        assert "are these the experts of each token?" in capsys.readouterr().err
        assert cli.main([command, "ids.npy", "--gpus", "2", "--trust-loads"]) == 0
        capsys.readouterr()


def test_every_command_trusts_if_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("loads.npy", np.tile(np.arange(16), (4, 1)))
    assert run("plan loads.npy --gpus 4 --out plan.json --trust-loads") == 0
    for command in ("verify plan.json loads.npy", "evaluate plan.json loads.npy"):
        assert run(command) == 2
        assert "--trust-loads" in capsys.readouterr().err
        assert run(f"{command} --trust-loads") == 0


@pytest.mark.parametrize(
    ("slots", "last", "doubted"), [(7, 6, False), (8, 7, True), (8, 3, True), (8, 2, False)]
)
def test_where_a_placement_begins(slots: int, last: int, doubted: bool) -> None:  # noqa: FBT001
    """From 8 slots on, of experts that have two slots at most on average."""
    row = [slot % (last + 1) for slot in range(slots)]
    np.save("loads.npy", [row, row[::-1]])
    if doubted:
        assert "is this a placement" in refusal("loads.npy")
    else:
        assert read_loads("loads.npy").table.tolist() == [row, row[::-1]]


@pytest.mark.parametrize(("largest", "doubted"), [(1023, True), (1024, False)])
def test_ids_are_of_at_most_1024_experts(largest: int, doubted: bool) -> None:  # noqa: FBT001
    rows = np.argsort(np.random.default_rng(4).random((300, 64)), axis=1)[:, :4]
    rows[7, 3] = largest
    np.save("loads.npy", rows)
    if doubted:
        assert "none is above 1023" in refusal("loads.npy")
    else:
        assert read_loads("loads.npy").table.tolist() == rows.tolist()


def test_placements_are_refused_with_a_hint() -> None:
    plan = eplb.plan(COUNTS, num_gpus=4, num_replicas=20)
    np.save("phy2log.npy", plan.phy2log)
    Path("placement.json").write_text(json.dumps(plan.phy2log.tolist()))
    for file in ("phy2log.npy", "placement.json"):
        assert refusal(file).startswith(
            "each row has every number from 0 to 15; is this a placement"
        )
        assert read_loads(file, trust=True).table.tolist() == plan.phy2log.tolist()


@pytest.mark.parametrize("file", TOPOLOGIES)
def test_real_loads_are_not_doubted(file: str) -> None:
    np.save("loads.npy", total(file))
    assert read_loads("loads.npy").table.tolist() == total(file).tolist()


def test_small_and_equal_loads_are_not_doubted() -> None:
    for loads in (
        np.zeros((58, 256), int),
        np.ones((300, 8), int),
        [[3, 1, 2, 0]],
        np.random.default_rng(2).integers(0, 40, (400, 8)),
        np.random.default_rng(2).random((400, 8)),
    ):
        np.save("loads.npy", loads)
        assert read_loads("loads.npy").table.tolist() == np.asarray(loads).tolist()
