"""What engines dump: recognised or named, read whole, odd and hostile ones refused with the place."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
import torch
from eplb import LoadError, cli
from eplb.engine_files import load_engine_file, save_for_engine
from eplb.load_files import WRITERS, found, read_loads
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
        assert read.notes == ("2 windows summed: [2, 4, 16] to [4, 16]",)
        assert read.layers is None


def test_sglang_s_other_modes_are_no_counts() -> None:
    torch.save({"records": [], "last_physical_to_logical_map": torch.zeros(2, 2)}, "dump.pt")
    assert refusal("dump.pt").startswith("it records single passes or tokens, not counts: record ")
    torch.save({"counts": torch.tensor(COUNTS)}, "dump.pt")
    assert "no dump of SGLang's recorder" in refusal("dump.pt", written_by="sglang")
    assert read_loads("dump.pt").table.tolist() == COUNTS.tolist()


# --- TensorRT-LLM's statistics --------------------------------------------------------------------


def trtllm(
    ranks: list[dict[str, Any]], meta: str = '{"num_experts": 16, "num_experts_per_token": 2}'
) -> None:
    Path("dump").mkdir(exist_ok=True)
    Path("dump/meta_info.json").write_text(meta)
    for rank, cells in enumerate(ranks):
        save_file(
            {name: np.asarray(cell) for name, cell in cells.items()}, f"dump/rank{rank}.safetensors"
        )


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


def trtllm_bytes(rank: bytes) -> None:
    trtllm([])
    Path("dump/rank0.safetensors").write_bytes(rank)


CELL = np.ones(16, np.int64)
BAD_TRTLLM: dict[str, tuple[Callable[[], None], str]] = {
    "no rank": (lambda: trtllm([]), "it holds no rank0.safetensors beside its meta_info.json"),
    "no counts": (lambda: trtllm([{}]), "its files hold no counts"),
    "no number of experts": (
        lambda: trtllm([{"1_1": CELL}], "{}"),
        "meta_info.json: it has no whole",
    ),
    "a list for meta": (lambda: trtllm([{"1_1": CELL}], "[16]"), "meta_info.json: it has no whole"),
    "true experts": (lambda: trtllm([{"1_1": CELL}], '{"num_experts": true}'), "no whole number"),
    "another number": (
        lambda: trtllm([{"1_1": CELL}, {"1_1": CELL[:9]}]),
        r"^rank1.safetensors: 1_1 has shape \[9\]; meta_info.json says 16 experts",
    ),
    "another name": (
        lambda: trtllm([{"one": CELL}]),
        "rank0.safetensors: 'one' is no iteration and",
    ),
    "floats": (lambda: trtllm([{"1_1": CELL * 0.5}]), "1_1 holds what are no counts of tokens"),
    "negative": (lambda: trtllm([{"1_1": CELL - 2}]), "1_1 holds what are no counts of tokens"),
    "too many": (lambda: trtllm([{"1_1": CELL << 40}]), "1_1 holds what are no counts of tokens"),
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


def test_trtllm_s_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    trtllm([{"1_1": CELL, "1_2": CELL}, {"1_1": CELL}])
    assert read_loads("dump").table.tolist() == [[2] * 16, [1] * 16]
    monkeypatch.setattr(found, "MAX_CELLS", 47)
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


def test_layers_that_the_user_names_come_first() -> None:
    trtllm([{f"7_{layer}": COUNTS[row] for row, layer in enumerate((3, 4, 5, 9))}])
    line = "plan dump --gpus 4 --format trtllm --layers 0-3 --out placement.yaml"
    assert run(line) == 0
    assert load_engine_file("placement.yaml", "trtllm", num_gpus=4).layers == (0, 1, 2, 3)


# --- Load histories -------------------------------------------------------------------------------


def history(*windows: Any) -> None:
    entries = [{"step": step, "logical_expert_load": table} for step, table in enumerate(windows)]
    Path("dump.json").write_text(json.dumps({"load_history": entries}))


def test_a_load_history_is_summed() -> None:
    history(COUNTS.tolist(), (COUNTS * 3).tolist())
    for writer in (None, "load-history"):
        read = read_loads("dump.json", written_by=writer)
        assert read.table.tolist() == (COUNTS * 4).tolist()
        assert read.notes == ("2 windows summed: [2, 4, 16] to [4, 16]",)


BAD_HISTORY = {
    '{"load_history": []}': "'load_history' must be a list of windows",
    '{"load_history": 3}': "'load_history' must be a list of windows",
    '{"load_history": [[[1, 2]]]}': "window 0: it has no table 'logical_expert_load'",
    '{"load_history": [{"logical_expert_load": 3}]}': "window 0: it has no table",
    '{"load_history": [{"logical_expert_load": [[1]]}, {"logical_expert_load": [[-1]]}]}': "window 1: "
    "layer 0, expert 0: the load is -1",
    '{"load_history": [{"logical_expert_load": [[1]]}, {"logical_expert_load": [[1, 2]]}]}': "window 1 "
    "has 2 experts, window 0 has 1",
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
        assert read.notes == ("decode: 4 ranks beside each other",)


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
    assert refusal("dump") == "it holds decode and prefill: name one as the key (--key)"
    assert refusal("dump", key="train") == "it holds no 'train'; it holds decode and prefill"


def test_mindie_s_counters_run_on() -> None:
    counters = np.stack([COUNTS, COUNTS * 2, COUNTS * 5])
    mindie(np.split(counters.reshape(12, 16), 4, axis=1), num_moe_layers=4, num_of_experts=16)
    read = read_loads("dump")
    assert read.table.tolist() == counters[-1].tolist()
    assert read.notes == (
        "decode: 3 matrices of 4 ranks; the counters run on: the last one is taken",
    )


def test_mindie_s_matrices_that_do_not_run_on_are_summed() -> None:
    matrices = np.stack([COUNTS, COUNTS[::-1], COUNTS])
    tables = np.split(matrices.reshape(12, 16), 4, axis=1)
    tables[2] = np.vstack([tables[2], [[9] * 4]])  # one rank was stopped a row later
    mindie(tables, num_moe_layers=4, num_of_experts=16)
    assert read_loads("dump").table.tolist() == matrices.sum(axis=0).tolist()


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
    assert refusal("dump").endswith("names the map of experts 'map.json': put it beside the files")
    save_for_engine(plan, "dump/map.json", "vllm-ascend")
    expected = np.zeros((4, 16), int)
    for layer in range(4):
        for slot in range(20):
            expected[layer, plan.phy2log[layer, slot]] += slots[layer, slot]
    assert read_loads("dump").table.tolist() == expected.tolist()


BAD_MINDIE: dict[str, tuple[Callable[[], None], str]] = {
    "a rank is missing": (
        lambda: mindie([COUNTS] * 3, without=1),
        "it lacks decode_1.csv, but has files of 2 ranks",
    ),
    "text": (
        lambda: mindie([[[1, math.nan]]]),
        "decode_0.csv: line 1, column 2: 'nan' is there",
    ),
    "rows of several matrices": (
        lambda: mindie([np.ones((300, 2))]),
        "its files have 300 rows, and no model_gen_config.json says of how many layers",
    ),
    "no layers": (lambda: mindie([COUNTS], num_of_experts=16), "'num_moe_layers' must be a whole"),
    "too few rows": (
        lambda: mindie([COUNTS], num_moe_layers=9, num_of_experts=16),
        "its files have 4 rows, model_gen_config.json says 9 layers",
    ),
    "other experts": (
        lambda: mindie([COUNTS], num_moe_layers=4, num_of_experts=17),
        "its files have 16 columns, model_gen_config.json says 17 experts",
    ),
    "shared only": (
        lambda: mindie(
            [COUNTS], num_moe_layers=4, num_of_experts=16, num_dangling_shared_experts=1
        ),
        "all of its ranks hold shared experts",
    ),
    "a map that is no path": (
        lambda: mindie([COUNTS], num_moe_layers=4, num_of_experts=16, eplb_expert_map_file=3),
        "'eplb_expert_map_file' must be a path",
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
    assert "put it beside the files" in refusal("dump")


# --- Who wrote it ---------------------------------------------------------------------------------


def test_writers_that_do_not_fit() -> None:
    np.save("loads.npy", COUNTS)
    Path("empty").mkdir()
    with pytest.raises(LoadError, match=r"^nobody known writes 'me'; there are table, sglang, "):
        read_loads("loads.npy", written_by="me")
    for writer in ("trtllm", "mindie"):
        assert "writes a directory: name that" in refusal("loads.npy", written_by=writer)
    for writer in ("table", "sglang", "load-history"):
        assert f"it is a directory, and {writer} is a file" in refusal("empty", written_by=writer)
    assert refusal("empty").startswith("it is a directory without meta_info.json (TensorRT-LLM's ")
    assert "it has no 'logical_count'" in refusal("loads.npy", written_by="sglang")


def test_from_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    sglang(COUNTS)
    for writer in WRITERS:
        code = cli.main(["plan", "dump.pt", "--gpus", "4", "--from", writer, "--json"])
        out, err = capsys.readouterr()
        assert code == (0 if writer in ("table", "sglang") else 2), writer
        assert (err == "") == (code == 0)
        if code == 0:
            assert json.loads(out)["digest"] == eplb.plan(COUNTS, num_gpus=4).digest()
    assert run("compare dump.pt --gpus 4 --from engine") == 2
    assert "'--from': there is no 'engine'; there are table, " in capsys.readouterr().err


# --- Numbers of experts instead of loads ----------------------------------------------------------


def test_expert_ids_are_refused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    ids = np.argsort(np.random.default_rng(1).random((500, 40, 256)), axis=2)[:, :, :6]
    np.save("ids.npy", ids.astype(np.uint8))
    message = refusal("ids.npy")
    assert message.startswith(
        "no number is twice in any of its 20000 rows of 6, and none is above 255"
    )
    assert "--trust-loads" in message
    assert read_loads("ids.npy", trust=True).table.tolist() == ids.sum(axis=0).tolist()
    for command in ("plan", "compare"):
        assert cli.main([command, "ids.npy", "--gpus", "2"]) == 2
        assert "are they the experts that each token goes to?" in capsys.readouterr().err
        assert cli.main([command, "ids.npy", "--gpus", "2", "--trust-loads"]) == 0
        capsys.readouterr()


def test_placements_are_refused_with_a_hint() -> None:
    plan = eplb.plan(COUNTS, num_gpus=4, num_replicas=20)
    np.save("phy2log.npy", plan.phy2log)
    Path("placement.json").write_text(json.dumps(plan.phy2log.tolist()))
    for file in ("phy2log.npy", "placement.json"):
        assert refusal(file).startswith(
            "each row holds every number from 0 to 15: is it a placement"
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
