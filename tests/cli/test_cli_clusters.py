"""GPUs that die, are drained, come back, are slower or have other slots, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest

RANDOM = np.random.default_rng(6)
WINDOWS = (RANDOM.lognormal(5, 1, (3, 24)) * RANDOM.lognormal(0, 0.3, (6, 3, 24))).astype(np.int64)
PLAN = eplb.plan(WINDOWS, num_gpus=6, num_replicas=36)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with loads and a placement in force in it."""
    monkeypatch.chdir(tmp_path)
    np.save("loads.npy", WINDOWS)
    PLAN.save("plan.json")
    return tmp_path


def test_a_gpu_dies_and_the_next_update_knows_it(run: Any) -> None:
    code, out, err = run("replan loads.npy --previous plan.json --dead 5 --out next.json")
    assert (code, err) == (0, "")
    update = eplb.replan(WINDOWS, PLAN, dead_gpus=[5])
    assert out.startswith(f"{update}\n")
    assert "cluster       6 GPUs with 6 slots, 1 dead (5)" in out
    assert "from storage" in out
    assert eplb.load_plan("next.json") == update.plan
    assert run("verify next.json loads.npy")[0] == 0
    assert "1 dead (5)" in run("evaluate next.json loads.npy")[1]
    code, out, err = run("replan loads.npy --previous next.json --drain 1 --json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert values["cluster"]["gpu_state"] == ["live", "draining", *["live"] * 3, "dead"]
    assert values["phy2log"][0][6:12] == values["phy2log"][0][30:] == [-1] * 6
    assert values["used_slots"] == 24
    code, out, _ = run("replan loads.npy --previous next.json --live 5")
    assert code == 0
    assert "dead" not in out
    _, out, _ = run("replan loads.npy --previous next.json --live 1 --dead 5")
    assert "--live 1: it was live already" in out
    assert "--dead 5: it was dead already" in out


def test_missing_slots_say_what_would_do(run: Any) -> None:
    line = "replan loads.npy --previous plan.json --drain 1-2 --dead 5"
    code, _, err = run(line)
    assert code == 2
    assert "the GPUs in use have 18 slots for 24 experts" in err
    assert (
        "at least one slot for each expert: 6 more\nhint: try --replicas 48, 8 on each GPU" in err
    )
    assert run(f"{line} --replicas 48")[0] == 0
    _, _, err = run(f"{line} --redundant 12")
    assert "hint: try --redundant 24 (48 slots), 8 on each GPU" in err


def test_the_gpus_in_use_for_an_engine(run: Any) -> None:
    line = "replan loads.npy --previous plan.json --drain 0,3 --redundant 36 --format vllm --out v.json"
    code, _, err = run(line)
    assert code == 2
    assert "for GPUs that are all in use, but the cluster has 6 GPUs with 10 slots" in err
    assert "hint: number the GPUs in use anew: --renumber" in err
    code, out, err = run(f"{line} --renumber")
    assert (code, err) == (0, "")
    update = eplb.replan(WINDOWS, PLAN, drain_gpus=[0, 3], num_replicas=60)
    digest = update.plan.without_unused_gpus().digest()
    assert f"GPUs 0 to 3 of the file are GPUs 1, 2, 4, 5; its digest is {digest}" in " ".join(
        out.split()
    )
    assert digest in run("evaluate v.json loads.npy --gpus 4")[1]


def test_a_placement_is_judged_on_other_gpus(run: Any) -> None:
    Path("speed.txt").write_text("1 1 1 1 1 0.5")
    code, out, _ = run("evaluate plan.json loads.npy --speed speed.txt --json")
    assert code == 0
    cluster = PLAN.cluster.changed(gpu_speed=[2, 2, 2, 2, 2, 1])
    worth = eplb.evaluate(PLAN, WINDOWS.sum(axis=0), cluster=cluster)
    assert json.loads(out)["balancedness_mean"] == worth.balancedness.mean()
    code, out, err = run("evaluate plan.json loads.npy --dead 5")
    assert (code, out) == (1, "")
    assert "only on GPUs that are not in use, first expert" in err


def test_shares_on_other_gpus(run: Any) -> None:
    Path("speed.txt").write_text("1 1 1 1 1 0.5")
    code, out, _ = run("split plan.json loads.npy --speed speed.txt --json")
    assert code == 0
    slower = PLAN.on_cluster(PLAN.cluster.changed(gpu_speed=[2, 2, 2, 2, 2, 1]))
    best = slower.split(WINDOWS).balancedness
    assert json.loads(out)["balancedness_mean"] == best.mean()
    code, _, err = run("split plan.json loads.npy --dead 0")
    assert code == 1
    assert "only on GPUs that are not in use" in err


def test_new_plans_of_unequal_gpus(run: Any) -> None:
    Path("speed.txt").write_text("1 1 1\n0.5, 0.5; 0.5\n")
    code, out, err = run(
        "plan loads.npy --slots 5x4,4,4 --speed speed.txt --drain 0 --dead 1 --nodes 2 -o p.json"
    )
    assert code == 2
    assert "the GPUs in use have 18 slots for 24 experts" in err
    code, out, err = run(
        "plan loads.npy --slots 7x4,6,6 --speed speed.txt --dead 1 --nodes 2 -o p.json"
    )
    assert (code, err) == (0, "")
    cluster = eplb.Cluster(
        [7, 7, 7, 7, 6, 6], gpu_node=[0, 0, 0, 1, 1, 1], gpu_speed=[2, 2, 2, 1, 1, 1], dead_gpus=[1]
    )
    assert eplb.load_plan("p.json") == eplb.plan(WINDOWS, cluster=cluster)
    code, out, _ = run("plan loads.npy --gpus 6 --redundant 12 --speed speed.txt --json")
    assert code == 0
    assert json.loads(out)["cluster"]["gpu_speed"] == [2, 2, 2, 1, 1, 1]


def test_slots_of_an_update(run: Any) -> None:
    code, out, _ = run("replan loads.npy --previous plan.json --slots 7x4,4,4 -o next.json")
    assert code == 0
    assert "6 GPUs with 4 to 7 slots" in out
    assert eplb.load_plan("next.json").cluster.gpu_slots.tolist() == [7, 7, 7, 7, 4, 4]
    # GPUs after the last one are as large as the largest.
    code, _, _ = run("replan loads.npy --previous next.json --gpus 7 -o more.json")
    assert code == 0
    assert eplb.load_plan("more.json").cluster.gpu_slots.tolist() == [7, 7, 7, 7, 4, 4, 7]
    code, _, _ = run("replan loads.npy --previous more.json --gpus 5 -o less.json")
    assert code == 0
    assert eplb.load_plan("less.json").cluster.gpu_slots.tolist() == [7, 7, 7, 7, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "give --gpus, or --slots with the slots of each GPU"),
        ("--dead 1", "give --gpus, or --slots with the slots of each GPU"),
        ("--gpus 5 --slots 6x6", "--slots is for 6 GPUs, but --gpus is 5"),
        ("--slots 6x6 --redundant 3", "give --slots or --redundant, not both"),
        ("--slots 6x6 --replicas 36", "give --slots or --replicas, not both"),
        ("--slots 6,,6", "'6,,6' is not a list of slots; expected for example 43,43,42 or 43x2,42"),
        ("--slots 6x9999999", "is for more than 1048576 GPUs"),
        ("--slots 6x3 --dead 3", "--dead names GPU 3; expected 0 to 2, the last GPU"),
        ("--gpus 6 --dead five", "'five' is not a list of GPUs; expected for example 3-60"),
        ("--gpus 6 --drain 3-1", "'3-1' ends before it begins"),
        ("--gpus 6 --dead 9999999", "GPU 9999999 is too large; expected 0 to 1048575"),
        ("--gpus 6 --speed none.txt", "none.txt: No such file or directory"),
        ("--gpus 6 --speed few.txt", "--speed has 2 values for 6 GPUs"),
        ("--gpus 6 --redundant 12 --dead 1 --policy deepseek", "deepseek plans equal GPUs only"),
    ],
)
def test_bad_options_are_refused(run: Any, options: str, message: str) -> None:
    Path("few.txt").write_text("1 2")
    code, out, err = run(f"plan loads.npy {options}")
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"1 2 x",
            "the speed of GPU 2 is 'x'; expected a number for each GPU, or lines of gpu,speed",
        ),
        (b"1 0", "the speed of GPU 1 is '0'; expected a number for each GPU"),
        (b"1 -1", "the speed of GPU 1 is '-1'"),
        (b"1 nan", "the speed of GPU 1 is 'nan'"),
        (b"1 1e999999999", "the speed of GPU 1 is '1e999999999'"),
        (b"", "there is no speed in it; expected a number for each GPU"),
        (b'{"a": 1}', "expected a JSON list of numbers, one for each GPU"),
        (b"[1, [2]]", "expected a JSON list of numbers"),
        (b"[1, ", "it is not JSON"),
        (b"\xff\xfe", "it is not text; expected a number for each GPU"),
    ],
)
def test_bad_speeds_are_refused(run: Any, content: bytes, message: str) -> None:
    Path("speed.txt").write_bytes(content)
    code, _, err = run("plan loads.npy --gpus 6 --redundant 12 --speed speed.txt")
    assert code == 2
    assert f"speed.txt: {message}" in err


@pytest.mark.parametrize(
    "content",
    [
        "[1, 0.87, 1e0, 1.0, 1, 1]",
        '{"gpu_speed": [100, 87, 100, 100, 100, 100]}',
        "gpu,speed\n0,1\n1,0.87\n2,1\n3,1\n4,1\n5,1\n",
        "200 174 200 200 200 200",
        "0 1\n1 0.87\n2 1\n3 1\n4 1\n5 1\n",
        "speed\n100%\n87%\n100%\n100%\n100%\n100%\n",
        "# of six GPUs\n1, 0.87, 1\n1; 1 1  # the last\n",
    ],
)
def test_forms_of_speeds(run: Any, content: str) -> None:
    Path("speed.txt").write_text(content)
    code, out, _ = run("plan loads.npy --gpus 6 --redundant 12 --speed speed.txt --json")
    assert code == 0
    assert json.loads(out)["cluster"]["gpu_speed"] == [100, 87, 100, 100, 100, 100]


def test_speeds_of_many_digits_are_rounded(run: Any) -> None:
    Path("speed.txt").write_text("826.873 413.436 826.873 826.873 826.873 1e-9")
    code, out, _ = run("plan loads.npy --gpus 6 --redundant 12 --speed speed.txt --json")
    assert code == 0
    assert json.loads(out)["cluster"]["gpu_speed"] == [65536, 32768, 65536, 65536, 65536, 1]
