"""Loads in Python that are probably something else: warned of, or refused, as on the command line."""

from __future__ import annotations

import copy
import pickle
import re
import timeit
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pandas as pd
import pytest
import torch
from eplb import LoadError, LoadWarning, cli
from eplb.errors import Note, Parameter
from eplb.inputs.guards import check_loads
from eplb.inputs.known_models import KNOWN
from eplb.load_files import read_loads
from eplb.load_files.reading import read_windows

if TYPE_CHECKING:
    from collections.abc import Callable


def loads(*shape: int) -> Any:
    return np.random.default_rng(5).integers(1000, 90_000, shape)


def observe(load: Any) -> None:
    eplb.LoadHistory().observe(load)


def replan(load: Any) -> object:
    experts = np.shape(load)[-1]
    return eplb.replan(load, np.tile(np.arange(experts), (np.shape(load)[-2], 1)), num_gpus=1)


pytestmark = pytest.mark.filterwarnings("error")


def evaluate(load: Any) -> object:
    return eplb.evaluate(eplb.Plan.from_phy2log([[0]], num_gpus=1), load)


CALLS: dict[str, Callable[[Any], object]] = {
    "plan": lambda load: eplb.plan(load, num_gpus=1),
    "plan by deepseek": lambda load: eplb.plan(load, num_gpus=1, policy="deepseek"),
    "compare": lambda load: eplb.compare(load, num_gpus=1),
    "observe": observe,
    "replan": replan,
}
DOUBTS = {
    (256, 58): r"256 layers x 58 experts: is the table transposed[?] load\.T turns it",
    (58, 257): "DeepSeek-V3 has 256 experts; is a column the layer's number, or a shared expert",
    (58, 288): r"DeepSeek-V3 has 256 experts; are these slots[?] eplb\.load_files\.read_loads",
    (256, 50): "no known model has 50 experts",
    (2, 58, 257): "58 layers x 257 experts",
    (58, 4, 64): r"also fits the 58 layers of DeepSeek-V3, with 4 x 64 .*; list\(load\) says that",
    (
        58,
        4,
        256,
    ): r"is the second axis that of windows, or of ranks.*, load\.swapaxes\(0, 1\) turns it",
    (232, 256): r"4 times the 58 of DeepSeek-V3: .* reshape\(4, 58, 256\) makes windows of them",
}


@pytest.mark.parametrize("shape", DOUBTS, ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_an_odd_shape_is_warned_of(call: str, shape: tuple[int, ...]) -> None:
    with pytest.warns(LoadWarning, match=DOUBTS[shape]) as caught:
        CALLS[call](loads(*shape))
    assert {(Path(each.filename).name, str(each.message)) for each in caught} == {
        (Path(__file__).name, str(caught[0].message))
    }


@pytest.mark.parametrize("call", CALLS)
def test_axes_that_are_others_are_refused(call: str) -> None:
    load = loads(58, 32, 9)
    hint = r"say which: list\(load\) says that they are windows, load\.reshape\(58, -1\) has"
    words = rf"the shape \[58, 32, 9\] also fits the 58 layers of DeepSeek-V3, .*; {hint}"
    for values in (load, torch.tensor(load)):
        with pytest.raises(LoadError, match=words):
            CALLS[call](values)


def test_what_the_hints_say_works() -> None:
    windows = loads(58, 30, 9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert eplb.plan(list(windows), num_gpus=9).num_layers == 30
        assert eplb.plan(loads(58, 32, 8).reshape(58, -1), num_gpus=8).num_experts == 256
        assert eplb.plan(loads(256, 58).T, num_gpus=8).num_layers == 58
    assert caught == []


def test_evaluate_warns_too() -> None:
    with (
        pytest.warns(LoadWarning, match="is the table transposed"),
        pytest.raises(LoadError, match="256 layers x 58 experts, but the plan has 1 x 1"),
    ):
        evaluate(loads(256, 58))


def test_a_row_of_totals_is_warned_of(tmp_path: Path) -> None:
    load = loads(58, 256)
    total = np.vstack([load, load.sum(axis=0)])
    for table in (total, total.astype(float), total.tolist(), torch.tensor(total)):
        with pytest.warns(LoadWarning, match="its last row is the sum of the 58 others"):
            eplb.plan(table, num_gpus=8)
    np.save(tmp_path / "a.npy", total)
    with pytest.raises(
        LoadError,
        match=r"last row is the sum of all rows above it; .*delete this row, or give trust",
    ):
        read_loads(tmp_path / "a.npy")
    assert read_loads(tmp_path / "a.npy", trust=True).table.shape == (59, 256)


def test_a_placement_in_the_place_of_loads_is_warned_of() -> None:
    placement = eplb.plan(loads(58, 256), num_gpus=32).phy2log
    frame = pd.DataFrame(placement)
    tables = (placement, placement.astype(np.float64), placement.tolist(), torch.tensor(placement))
    for table in (*tables, frame, [placement, placement]):
        with pytest.warns(LoadWarning, match="is this a placement"):
            eplb.plan(table, num_gpus=32)


@pytest.mark.parametrize("model", KNOWN, ids=lambda model: model.name)
def test_models_as_they_are_give_no_warning(model: Any) -> None:
    for layers in model.numbers:
        load = loads(layers, model.experts)
        observe(load)
        observe(np.stack([load, load]))
        observe([load, load])


def test_examples_and_experiments_give_no_warning() -> None:
    for shape in ((2, 12), (7, 13), (24, 5, 2), (58, 2, 2), (30, 100), (24, 12), (256, 4)):
        eplb.plan(loads(*shape), num_gpus=1)


def test_drop_in_replacement_warns_and_plans() -> None:
    with pytest.warns(LoadWarning, match="a shared expert"):
        eplb.rebalance_experts(torch.tensor(loads(58, 257)), 257, 1, 1, 1)


def test_the_command_line_says_it_once_as_a_note(tmp_path: Path, capsys: Any) -> None:
    file = str(tmp_path / "loads.npy")
    np.save(file, loads(58, 257))
    for command in ("plan", "compare"):
        assert cli.main([command, file, "--gpus", "1"]) == 0
        out, err = capsys.readouterr()
        assert out.count("58 layers x 257 experts: DeepSeek-V3 has 256") == 1
        assert err == ""


def test_notes_of_files_name_arguments_in_python(tmp_path: Path) -> None:
    """And options on the command line, which the tests of reports show."""
    file = tmp_path / "loads.npy"
    for shape, note in (
        ((256, 58), "is the table transposed[?] axes=experts,layers turns it"),
        ((58, 288), "are these slots[?] placement=FILE reads them as experts"),
        ((30, 100), "no known model has 100 experts; config=FILE checks it"),
        ((58, 4, 64), "it is read as windows, layers, experts; axes says otherwise"),
        ((58, 4, 256), "is read as windows, layers, experts; axes=layers,windows,experts turns it"),
        ((232, 256), "232 layers are 4 times the 58 of DeepSeek-V3: are these windows, one below"),
    ):
        np.save(file, loads(*shape))
        notes = read_loads(file).notes
        assert re.search(note, notes[0]), notes
        assert not any("--" in each for each in notes)


def test_counters_that_only_grow(tmp_path: Path) -> None:
    """Of windows in one file or several, and in Python; their differences are read without a word."""
    windows = np.stack([loads(16, 64) + window for window in range(4)])
    counters = windows.cumsum(axis=0)
    words = "no load falls from one of the 4 windows to the next: are these counters that only grow"
    files = [tmp_path / f"{number}.npy" for number in range(4)]
    for file, table in zip(files, counters, strict=True):
        np.save(file, table)
    np.save(tmp_path / "all.npy", counters)
    for sources in (files, [tmp_path / "all.npy"]):
        assert read_windows(sources).notes[-1].startswith(words)
    with pytest.warns(LoadWarning, match=words):
        eplb.plan(counters, num_gpus=1)
    with pytest.warns(LoadWarning, match=words):
        eplb.plan(list(counters), num_gpus=1)
    falls = counters.copy()
    falls[2, 3, 5] = 0
    for plain in (falls, counters[:2], np.stack([counters[0]] * 4)):
        np.save(files[0], plain)
        assert not any(words[:12] in note for note in read_loads(files[0]).notes)
        eplb.plan(plain, num_gpus=1)  # warnings are errors


def test_a_second_axis_of_windows_with_a_config(tmp_path: Path) -> None:
    config, file = tmp_path / "config.json", tmp_path / "loads.npy"
    config.write_text(
        '{"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "num_hidden_layers": 48,'
        ' "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1, "mlp_only_layers": []}'
    )
    load = loads(48, 4, 128)
    np.save(file, load)
    with pytest.raises(
        LoadError, match=r"is the second axis that of windows.*axes=layers,windows,exp"
    ):
        read_loads(file, config=config)
    read = read_loads(file, config=config, axes="layers,windows,experts")
    assert np.array_equal(np.stack(read.windows), load.swapaxes(0, 1))
    read = read_loads(file, config=config, axes="layers,ranks,experts")
    assert np.array_equal(read.table, load.sum(axis=1))


def test_notes_survive_copies() -> None:
    note = Note("give ", Parameter("axes", "layers,slots"), " too")
    for same in (copy.deepcopy(note), pickle.loads(pickle.dumps(note))):
        assert (
            (same, same.parts) == (note, note.parts) == ("give axes=layers,slots too", note.parts)
        )


def test_it_takes_microseconds() -> None:
    """Beside a sum of the same loads, which no plan can do without."""
    load = loads(58, 256)
    canonical = eplb._core.Loads(load)
    check = min(timeit.repeat(lambda: check_loads(load, canonical), number=100, repeat=20))
    total = min(timeit.repeat(load.sum, number=100, repeat=20))
    assert check < 5 * total
