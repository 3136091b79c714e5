"""Sizes on the command line: what is ignored, hints that work, a row for each of several sizes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest
from eplb.summary import at_most

LOADS = np.random.default_rng(7).integers(1, 1000, (5, 16))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with loads of 5 layers and 16 experts in it."""
    monkeypatch.chdir(tmp_path)
    np.save("loads.npy", LOADS)
    return tmp_path


def notes(run: Any, line: str) -> list[str]:
    code, out, err = run(f"{line} --json")
    assert (code, err) == (0, "")
    found: list[str] = json.loads(out)["notes"]
    return found


# --- What groups and nodes do not do --------------------------------------------------------------


def config_with(groups: int) -> None:
    config = {"num_hidden_layers": 5, "first_k_dense_replace": 0, "n_group": groups}
    Path("config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("sizes", "groups", "note"),
    [
        (
            "--nodes 2",
            None,
            "--nodes 2 does nothing without --groups; the model's config.json says how many groups there are (n_group)",
        ),
        (
            "--nodes 2",
            8,
            "--nodes 2 does nothing without --groups; by its config, --groups 8 keeps each group of the model on one node",
        ),
        (
            "--nodes 2",
            1,
            "--nodes 2 does nothing without --groups; by its config, the model has no groups",
        ),
        (
            "--nodes 4",
            2,
            "--nodes 4 does nothing without --groups; the 2 groups of the model do not go with 4 nodes",
        ),
        (
            "--nodes 3",
            8,
            "--nodes 3 does nothing without --groups, and 4 GPUs cannot be divided over 3 nodes",
        ),
        ("--groups 4", None, "--groups 4 restricts nothing on one node; give --nodes too"),
        ("--groups 4 --nodes 2", 8, "by its config, the model has 8 groups, not 4"),
        ("--groups 4 --nodes 2", 1, "by its config, the model has no groups, not 4"),
        (
            "--groups 8 --nodes 3",
            8,
            "--groups 8 and --nodes 3 do nothing; try --nodes 2",
        ),
        ("--groups 6 --nodes 4", None, "--groups 6 and --nodes 4 do nothing"),
        ("--groups 3 --nodes 2", None, "--groups 3 and --nodes 2 do nothing"),
        ("--groups 8 --nodes 2", 8, None),
        ("", 8, None),
    ],
)
def test_what_groups_and_nodes_do_not_do(
    sizes: str, groups: int | None, note: str | None, run: Any
) -> None:
    line = f"plan loads.npy --gpus 4 --redundant 4 {sizes}"
    if groups is not None:
        config_with(groups)
        line += " --config config.json"
    assert notes(run, line) == ([] if note is None else [note])


def test_the_groups_that_are_proposed_work(run: Any) -> None:
    config_with(8)
    line = "plan loads.npy --gpus 4 --redundant 4 --nodes 2 --config config.json"
    [note] = notes(run, line)
    proposed = re.search(r"--groups \d+", note)
    assert proposed
    assert notes(run, f"{line} {proposed[0]}") == []


def test_the_nodes_that_are_proposed_work(run: Any) -> None:
    line = "plan loads.npy --gpus 8 --redundant 0 --groups 8 --nodes"
    for nodes in (3, 5, 7):  # 2 and 4, 4 and 8, 4 and 8
        note = notes(run, f"{line} {nodes}")[0]
        proposed = re.findall(r"(?:try|or) --nodes (\d+)", note)
        assert proposed
        for better in proposed:
            assert "--nodes" not in " ".join(notes(run, f"{line} {better}"))


def test_ignored_nodes_are_told_above_the_figures(run: Any) -> None:
    line = "loads.npy --gpus 4 --redundant 4 --nodes 2"
    assert (
        "\n  groups        no groups are given, so the 2 nodes are ignored\n"
        in run(f"plan {line}")[1]
    )
    assert "\nno groups are given, so the 2 nodes are ignored\n" in run(f"compare {line}")[1]
    several = json.loads(run("compare loads.npy --gpus 4 --redundant 0,4 --nodes 2 --json")[1])
    assert [note[:41] for note in several["notes"]] == ["--nodes 2 does nothing without --groups; "]
    run("plan loads.npy --gpus 4 --redundant 4 --out plan.json")
    line = "replan loads.npy --previous plan.json --nodes 2"
    assert "--nodes 2 does nothing without --groups" in " ".join(run(line)[1].split())


def test_too_few_gpus_for_the_weights_are_told(run: Any) -> None:
    config = {"model_type": "mixtral", "num_hidden_layers": 5, "dtype": "bfloat16"}
    wide = {"hidden_size": 2**16, "moe_intermediate_size": 2**14}
    Path("config.json").write_text(json.dumps(config | wide))
    line = "plan loads.npy --config config.json --redundant 4 --gpus"
    # 10 slots x 5 layers x 3 matrices of 2^30 numbers of 2 bytes.
    [note] = notes(run, f"{line} 2")
    assert note.startswith(
        "10 slots per GPU in 5 layers are 322 GB of expert weights, by the config"
    )
    assert note.endswith(": are 2 all GPUs of all nodes?")
    assert notes(run, f"{line} 4") == []


# --- Hints ----------------------------------------------------------------------------------------


def followed(line: str, hint: str) -> list[str]:
    """The command lines that a hint names."""
    words = shlex.split(line)
    lines = []
    for choice in re.split(r",? or (?=--)", hint):
        changed = [*words]
        for option, value in re.findall(r"(--[a-z]+) (\d+)", choice):
            changed[changed.index(option) + 1] = value
        lines.append(shlex.join(changed))
    return lines


@pytest.mark.parametrize(
    ("sizes", "hint"),
    [
        ("--gpus 4 --redundant 3", "try --redundant 0 (16 slots) or --redundant 4 (20 slots)"),
        (
            "--gpus 4 --replicas 3",
            "all slots count, not only redundant ones: did you mean --replicas 20?",
        ),
        ("--gpus 4 --replicas 18", "try --replicas 16 or --replicas 20"),
        ("--gpus 7 --redundant 3", "try --redundant 5 (21 slots)"),
        ("--gpus 4 --redundant 0 --groups 6 --nodes 2", "try --groups 4 or --groups 8"),
        ("--gpus 5 --redundant 4 --groups 4 --nodes 4", "try --nodes 1"),
        (
            "--gpus 4 --redundant 3 --groups 3 --nodes 1",
            "try --redundant 0 (16 slots) and --groups 2, or --redundant 4 (20 slots) and --groups 2",
        ),
        (
            "--gpus 1 --redundant 4 --groups 1 --nodes 1 --policy minimax",
            "try --redundant 0 (16 slots)",
        ),
    ],
)
def test_hints_work_and_speak_of_the_options_that_were_given(
    sizes: str, hint: str, run: Any
) -> None:
    line = f"plan loads.npy {sizes}"
    code, _, err = run(line)
    assert code == 2
    assert err.splitlines()[1].startswith(f"hint: {hint}")
    for better in followed(line, err.splitlines()[1].split("or --policy")[0]):
        assert run(better)[0] == 0, better


def test_a_transposed_table_is_noticed(run: Any) -> None:
    np.save("turned.npy", LOADS.T)
    for command in ("plan", "compare"):
        line = f"{command} turned.npy --gpus 4 --redundant"
        doubt = "the loads have 16 layers x 5 experts; is the table transposed?"
        assert run(f"{line} 4")[2].splitlines() == [
            f"eplb: {doubt} As read, --redundant 4 (9 slots) is not divisible by --gpus 4",
            "hint: try --redundant 3 (8 slots) or --redundant 7 (12 slots)",
        ]
        assert "try --redundant" in run(f"{line} 5")[2]  # 16 + 5 would not do either
    assert "transposed" not in run("plan loads.npy --gpus 5 --redundant 1")[2]


# --- A row for each of several sizes --------------------------------------------------------------


def test_compare_has_a_row_for_each_number_of_redundant_slots(run: Any) -> None:
    code, out, err = run("compare loads.npy --gpus 4 --redundant 0,4,8")
    assert (code, err) == (0, "")
    assert out.startswith("5 layers of 16 experts, planned by minimax\n\n")
    assert max(map(len, out.splitlines())) <= 80
    rows = [line.split() for line in out.splitlines()[4:]]
    for row, redundant in zip(rows, (0, 4, 8), strict=True):
        plan = eplb.plan(LOADS, num_gpus=4, num_replicas=16 + redundant)
        share = (plan.gpu_load.max(axis=1) / plan.gpu_load.sum(axis=1)).mean()
        assert row == [
            "4",
            str(redundant),
            str((16 + redundant) // 4),
            f"{plan.balancedness.mean():.4f}",
            f"{plan.balancedness.min():.4f}",
            f"{plan.trivial().balancedness.mean():.4f}",
            f"{share:.3%}",
            at_most(plan.gap.max()),
        ]


def test_compare_sizes_as_json(run: Any) -> None:
    values = json.loads(run("compare loads.npy --gpus 2,4 --redundant 4,0 --json")[1])
    sizes = [(row["num_gpus"], row["redundant"]) for row in values["rows"]]
    assert sizes == [(2, 4), (2, 0), (4, 4), (4, 0)]
    for row in values["rows"]:
        plan = eplb.plan(LOADS, num_gpus=row["num_gpus"], num_replicas=row["num_replicas"])
        assert row["digest"] == plan.digest()
        assert row["balancedness_worst"] == plan.balancedness.min()
        assert row["policy"] == "minimax"
    assert values["notes"] == []


def test_sizes_that_are_impossible_are_told_and_left_out(run: Any) -> None:
    out = run("compare loads.npy --gpus 4 --redundant 0,3")[1]
    assert len(out.splitlines()) == 7
    assert out.endswith(
        "note: impossible: --redundant 3 (19 slots) is not divisible by --gpus 4; try\n"
        "      --redundant 0 (16 slots) or --redundant 4 (20 slots)\n"
    )
    code, out, err = run("compare loads.npy --gpus 4 --redundant 1,3")
    assert (code, out) == (2, "")
    assert err.startswith("eplb: --redundant 1 (17 slots) is not divisible by --gpus 4\nhint: try")


def test_sizes_for_several_windows_and_for_no_load(run: Any) -> None:
    windows = np.array([LOADS, LOADS[::-1]])
    np.save("windows.npy", windows)
    values = json.loads(run("compare windows.npy --gpus 4 --redundant 0,4 --json")[1])
    assert (values["figures_of"], values["notes"]) == ("the sum of 2 windows", [])
    second = run("compare windows.npy --gpus 4 --redundant 0,4")[1].splitlines()[1]
    assert second == "all figures are of the sum of 2 windows;"
    for row, redundant in zip(values["rows"], (0, 4), strict=True):
        plan = eplb.plan(windows, num_gpus=4, num_replicas=16 + redundant)
        assert row["digest"] == plan.digest()
        on_sum = eplb.evaluate(plan, windows.sum(axis=0)).balancedness
        assert row["balancedness_worst"] == on_sum.min()
    np.save("zeros.npy", np.zeros((2, 4)))
    out = run("compare zeros.npy --gpus 2,4 --metric vllm")[1]
    assert [line.split()[3:] for line in out.splitlines()[4:6]] == [["-"] * 6] * 2


def test_numbers_that_are_none(run: Any) -> None:
    for numbers in ("0,x", "0,", ","):
        code, _, err = run(f"compare loads.npy --gpus 4 --redundant {numbers}")
        assert code == 2
        assert "is not a whole number" in err
    assert (
        "give --replicas or --redundant"
        in run("compare loads.npy --gpus 4 --replicas 20 --redundant 0,4")[2]
    )
