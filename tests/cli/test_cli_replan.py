"""`eplb replan`: the placement in force and new windows in, an update out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest

RANDOM = np.random.default_rng(4)
USUAL = RANDOM.lognormal(5, 1, (3, 16))
WINDOWS = (USUAL * RANDOM.lognormal(0, 0.4, (8, 3, 16))).astype(np.int64)
PLAN = eplb.plan(WINDOWS[:6], num_gpus=4, num_replicas=20)
ALL = eplb.replan(WINDOWS, PLAN)
NOT_WRITTEN = "not written; --out FILE writes the new plan"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a placement in force and loads in it."""
    monkeypatch.chdir(tmp_path)
    np.save("all.npy", WINDOWS)
    np.save("seen.npy", WINDOWS[:7])
    np.save("newest.npy", WINDOWS[7])
    PLAN.save("plan.json")
    return tmp_path


def test_it_prints_the_update_and_writes_files(run: Any) -> None:
    code, out, err = run(
        "replan seen.npy newest.npy --previous plan.json --out next.json --transfers t.json "
        "--expert-bytes 1000000 --bandwidth 0.5"
    )
    assert (code, err) == (0, "")
    assert out.startswith(f"{ALL}\n")
    transfers = ALL.transfers(1_000_000)
    assert "\n".join(transfers.lines()) in out
    seconds = (transfers.busiest_gpu_bytes() or 0) / 0.5e9
    assert f"  time          {seconds:.3f} s for the busiest GPU at 0.5 GB/s" in out
    assert eplb.load_plan("next.json") == ALL.plan
    assert json.loads(Path("t.json").read_text()) == transfers.to_dict()
    assert max(map(len, out.splitlines())) <= 80


def test_json_has_every_figure(run: Any) -> None:
    line = "replan all.npy --previous plan.json --json --expert-bytes 10 --bandwidth 1"
    values = json.loads(run(line)[1])
    assert values["phy2log"] == ALL.plan.phy2log.tolist()
    assert values["previous"]["phy2log"] == PLAN.phy2log.tolist()
    assert values["copies"] == ALL.copies.tolist()
    assert values["gain"] == ALL.gain.tolist()
    assert (values["shifted"], values["kept"]) == (ALL.shifted.tolist(), ALL.kept.tolist())
    transfers = ALL.transfers(10)
    assert (values["transfers"], values["bytes"]) == (len(transfers), transfers.num_bytes)
    assert values["seconds"] == (transfers.busiest_gpu_bytes() or 0) / 1e9


def test_a_history_file_is_begun_and_goes_on(run: Any) -> None:
    line = "--previous plan.json --history history.json --json"
    run(f"replan seen.npy {line}")
    assert eplb.LoadHistory.from_file("history.json").windows == 7
    digest = json.loads(run(f"replan newest.npy {line}")[1])["digest"]
    assert digest == ALL.plan.digest()
    assert eplb.LoadHistory.from_file("history.json").windows == 8


def test_plan_begins_a_history_that_replan_goes_on_with(run: Any) -> None:
    run("plan seen.npy --gpus 4 --redundant 4 --history history.json --out first.json")
    first = eplb.load_plan("first.json")
    assert first == eplb.plan(WINDOWS[:7], num_gpus=4, num_replicas=20)
    line = "replan newest.npy --previous first.json --history history.json --json"
    wanted = eplb.replan(WINDOWS, first)
    values = json.loads(run(line)[1])
    assert values["digest"] == wanted.plan.digest()
    made_from = wanted.plan.made_from
    assert made_from is not None
    assert values["history"] == {"windows": 8, "history": made_from.history}
    assert (
        "plans loads, not a history"
        in run("plan seen.npy --gpus 4 --history h.json --policy minimax")[2]
    )


def test_options_reach_the_planner(run: Any) -> None:
    for options, expected in (
        ("--max-moves 2", {"max_moves": 2}),
        ("--max-moves 10%", {"max_moves": 0.1}),
        ("--max-moves 1 --max-moves-after-shift 4", {"max_moves": 1, "max_moves_after_shift": 4}),
        ("--max-copies 1", {"max_copies": 1}),
        ("--move-price 0 --max-copies 3", {"move_price": 0, "max_copies": 3}),
        ("--move-price 5%", {"move_price": 0.05}),
        ("--gpus 6", {"num_gpus": 6}),
        ("--redundant 8 --threads 2", {"num_replicas": 24}),
    ):
        out = run(f"replan all.npy --previous plan.json --json {options}")[1]
        wanted = eplb.replan(WINDOWS, PLAN, **expected)
        assert json.loads(out)["digest"] == wanted.plan.digest(), options


def test_windows_are_merged(run: Any) -> None:
    read = eplb.load_files.read_loads("all.npy").merged(3)
    wanted = eplb.replan(read.loads, PLAN)
    values = json.loads(run("replan all.npy --previous plan.json --windows 3 --json")[1])
    assert values["digest"] == wanted.plan.digest()
    values = json.loads(run("plan all.npy --gpus 4 --redundant 4 --windows 3 --json")[1])
    assert values["digest"] == eplb.plan(read.loads, num_gpus=4, num_replicas=20).digest()
    assert "--windows 0 is too small" in run("plan all.npy --gpus 4 --windows 0")[2]


def test_the_placement_in_force_may_be_an_engine_s(run: Any) -> None:
    PLAN.save("vllm.json", "vllm")
    line = "replan all.npy --previous vllm.json --previous-format vllm --json"
    for gpus in ("--gpus 4", "--previous-gpus 4"):
        assert json.loads(run(f"{line} {gpus}")[1])["digest"] == ALL.plan.digest()
    # All hidden layers are in the loads, MoE layers in the file.
    np.save("hidden.npy", np.insert(WINDOWS, [0, 0], 0, axis=1))
    PLAN.save("map.json", "vllm-ascend")
    PLAN.save("map.yaml", "trtllm", layers=[2, 3, 4])
    for previous in (
        "map.json --previous-format vllm-ascend --layers 2-4",
        "map.yaml --previous-format trtllm --previous-gpus 4",
    ):
        values = json.loads(run(f"replan hidden.npy --previous {previous} --json")[1])
        assert values["phy2log"] == ALL.plan.phy2log.tolist()
        left_out = "layers 0, 1 of the loads left out: the placement does not have them"
        assert values["notes"] == [left_out, NOT_WRITTEN]
    message = run("replan hidden.npy --previous map.json --previous-format vllm-ascend")[2]
    assert "map.json has 3 layers, but the loads have 5" in message
    assert "hint: give --layers or --config" in message


def test_the_bytes_of_an_expert_are_given_or_in_the_config(run: Any) -> None:
    line = "replan all.npy --previous plan.json --json --bandwidth 10"
    config = {"num_hidden_layers": 3, "model_type": "mixtral", "hidden_size": 8}
    Path("config.json").write_text(
        json.dumps(config | {"intermediate_size": 4, "dtype": "float32"})
    )
    copies = len(ALL.transfers())
    assert json.loads(run(f"{line} --config config.json")[1])["bytes"] == copies * 3 * 8 * 4 * 4
    given = json.loads(run(f"{line} --config config.json --expert-bytes 7")[1])
    assert given["bytes"] == copies * 7
    Path("config.json").write_text(json.dumps(config))
    assert "it has no 'intermediate_size'" in run(f"{line} --config config.json")[2]
    without = run("replan all.npy --previous plan.json --json --config config.json")
    assert (without[0], json.loads(without[1])["bytes"]) == (0, None)
    out = run("replan all.npy --previous plan.json --bandwidth 10")[1]
    assert "  time          not known: give --expert-bytes" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("replan all.npy", "Missing option '--previous'"),
        ("replan all.npy --previous no.json", "no.json: No such file"),
        (
            "replan all.npy --previous all.npy",
            "is this a load table, and are the",
        ),
        ("replan plan.json --previous plan.json", "plan.json: this is a plan, not a load table"),
        ("replan all.npy --previous plan.json --max-moves x", "'x' is not a number"),
        ("replan all.npy --previous plan.json --max-moves -1", "--max-moves -1 is too small"),
        (
            "replan all.npy --previous plan.json --move-price -1",
            "--move-price -1.0 is out of range",
        ),
        ("replan all.npy --previous plan.json --max-copies -1", "--max-copies -1 is too small"),
        ("replan all.npy --previous plan.json --expert-bytes 0", "--expert-bytes 0 is too small"),
        ("replan all.npy --previous plan.json --bandwidth 0", "--bandwidth 0.0 is out of range"),
        ("replan all.npy --previous plan.json --transfers t.txt", "'t.txt' is not a file name"),
        ("replan all.npy --previous plan.json --out all.npy", "--out all.npy would overwrite the"),
        ("replan all.npy --previous plan.json --history all.npy", "--history all.npy would overwr"),
        (
            "replan all.npy --previous plan.json --history plan.json",
            "would overwrite the placement",
        ),
        (
            "replan all.npy --previous plan.json --history other.json",
            "this is a plan, not a history",
        ),
        ("replan other.json --previous plan.json", "other.json: this is a plan, not a load table"),
        ("replan all.npy --previous plan.json --out o.json --transfers o.json", "are one file"),
        ("replan all.npy --previous plan.json --out o.json --history o.json", "are one file"),
        (
            "replan all.npy --previous plan.json --transfers plan.json",
            "would overwrite the placement",
        ),
        ("replan all.npy --previous plan.json --out no/o.json", "its folder does not exist"),
        ("replan all.npy --previous plan.json --history h.npz", "is not a file name for a history"),
        ("replan all.npy --previous plan.json --previous-gpus 4", "contains its own sizes"),
        ("replan all.npy --previous plan.json --redundant 9", "--redundant 9 (25 slots)"),
        ("replan all.npy --previous vllm.json --previous-format vllm", "--gpus"),
        ("replan all.npy --previous plan.json --previous-format x", "unknown --previous-format"),
    ],
)
def test_a_mistake_is_one_line(line: str, message: str, run: Any, folder: Path) -> None:
    PLAN.save("vllm.json", "vllm")
    PLAN.save("other.json")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert message in err
    assert err.splitlines()[0].startswith("eplb: ")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_sizes_that_nothing_says_are_noted(run: Any) -> None:
    PLAN.save("s.json", "sglang")
    taken = "s.json is taken as on 2 GPUs; --previous-gpus says otherwise"
    line = "replan all.npy --previous s.json --gpus 2 --json"
    assert json.loads(run(line)[1])["notes"] == [taken, NOT_WRITTEN]
    fewer = "20 slots before, now 16; --redundant sets it"
    assert json.loads(run(f"{line} --previous-gpus 4")[1])["notes"] == [fewer, NOT_WRITTEN]
    line = "replan all.npy --previous plan.json --gpus 5 --json"
    more = "20 slots before, now 25; --redundant sets it"
    assert json.loads(run(line)[1])["notes"] == [more, NOT_WRITTEN]
    assert json.loads(run(f"{line} --redundant 9")[1])["notes"] == [NOT_WRITTEN]


def test_copies_beyond_the_limit_are_told(run: Any) -> None:
    """Empty slots are filled whatever the limit is."""
    line = "replan all.npy --previous plan.json --gpus 5 --redundant 9 --json --max-copies"
    notes = json.loads(run(f"{line} 3")[1])["notes"]
    assert notes[0].startswith("more than --max-copies 3: experts without a slot and empty slots")
    assert json.loads(run(f"{line} 1000")[1])["notes"] == [NOT_WRITTEN]


def test_tables_that_are_no_placement_are_refused() -> None:
    with pytest.raises(eplb.VerificationError, match=r"of 16 experts .*; give plan\.phy2log"):
        eplb.replan(WINDOWS, PLAN.rank, num_gpus=4)
    with pytest.raises(eplb.EplbError, match=r"give eplb\.Plan\.from_dict\(previous\)"):
        eplb.replan(WINDOWS, PLAN.to_dict())
    assert eplb.replan(WINDOWS, eplb.Plan.from_dict(PLAN.to_dict())).plan == ALL.plan


def test_a_plan_of_another_model_is_called_so() -> None:
    for load, hint in (
        (WINDOWS[:, :2, :12], "is it a plan of another model?"),
        (WINDOWS[..., :12], ""),
    ):
        with pytest.raises(eplb.VerificationError, match=r"16 experts, but .* 12") as caught:
            eplb.replan(load, PLAN)
        assert caught.value.hint_text() == hint
