"""Replay and advice on a Ray cluster: the answers of one process, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from planners_that_end import Ends, everywhere, refuses
from planners_that_wait import Waits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own
TRACE = np.random.default_rng(3).lognormal(5, 1, (12, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}


def timeless(result: Any) -> str:
    """Everything but times, as JSON."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(each) for name, each in value.items() if name != "seconds"}
        return [without(each) for each in value] if isinstance(value, list) else value

    return json.dumps(without(result.to_dict()))


def until(holds: Any, seconds: float = 60) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_answer_is_that_of_one_process(cluster: Any) -> None:
    from eplb.analysis.replay.runners import ray_windows

    replayed = eplb.replay(TRACE, ray=cluster.address, **SIZES)
    assert len(replayed.results) == 9
    assert timeless(replayed) == timeless(eplb.replay(TRACE, jobs=2, **SIZES))
    sizes: dict[str, Any] = {"num_gpus": [2, 4], "expert_bytes": 1000}
    ours = eplb.advise(TRACE, **sizes)
    # Windows in blocks of one.
    before, ray_windows._BLOCK = ray_windows._BLOCK, 1
    try:
        assert timeless(eplb.advise(TRACE, ray=cluster.address, **sizes)) == timeless(ours)
    finally:
        ray_windows._BLOCK = before
    # A function without a name that another process could find.
    mine = eplb.replay(
        TRACE, {"f": lambda load, _, sizes: everywhere(load, None, sizes)}, ray="auto", **SIZES
    )
    assert timeless(mine) == timeless(eplb.replay(TRACE, {"f": everywhere}, **SIZES))


def test_failures_are_those_of_one_process(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"a": "multiwindow", "b": refuses, "c": refuses, "d": "trivial"}
    with pytest.raises(
        eplb.EplbError, match=r"^setting b, window 3: it raised RuntimeError: no place"
    ):
        eplb.replay(TRACE, settings, ray=cluster.address, **SIZES)
    monkeypatch.setattr("eplb.analysis.replay.runners.on_ray.__version__", "9.9.9")
    with pytest.raises(eplb.EplbError, match=r"expected 9.9.9; install eplb 9.9.9 on every node"):
        eplb.replay(TRACE, "trivial", ray=cluster.address, **SIZES)
    with pytest.raises(eplb.EplbError, match=r"no Ray cluster answers at '127.0.0.1:1': "):
        eplb.replay(TRACE, "trivial", ray="127.0.0.1:1", **SIZES)
    with pytest.raises(eplb.EplbError, match="give jobs or ray, not both"):
        eplb.replay(TRACE, "trivial", ray="auto", jobs=2, **SIZES)


def test_a_worker_that_is_killed_costs_its_cell(cluster: Any, tmp_path: Path) -> None:
    ends = Ends(str(tmp_path / "count"), window=6, times=1)
    settings = {"a": "multiwindow", "ends": ends, "b": "deepseek"}
    replayed = eplb.replay(TRACE, settings, ray=cluster.address, **SIZES)
    assert (tmp_path / "count").read_text() == "1"
    expected = eplb.replay(TRACE, {**settings, "ends": everywhere}, **SIZES)
    assert timeless(replayed) == timeless(expected)
    always = Ends(str(tmp_path / "always"), window=6, times=99)
    replayed = eplb.replay(TRACE, {"a": "deepseek", "ends": always}, ray="auto", **SIZES)
    assert (tmp_path / "always").read_text() == "4"
    assert [result.setting.name for result in replayed.results] == ["a"]
    assert replayed.lost["ends"].startswith("Ray gave it up after 3 retries: WorkerCrashedError")


def test_a_node_that_is_killed_costs_its_cells(cluster: Any, tmp_path: Path) -> None:
    names = [f"waits {number}" for number in range(6)]
    settings = {name: Waits(str(tmp_path), name, 0.3) for name in names}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(eplb.replay, TRACE, settings, ray=cluster.address, **SIZES)
        until(lambda: len([*tmp_path.iterdir()]) >= 3)  # one is done, or nearly; two run
        cluster.remove_node(cluster.others[1], allow_graceful=False)
        replayed = running.result(timeout=120)
    expected = eplb.replay(TRACE, dict.fromkeys(names, everywhere), **SIZES)
    assert timeless(replayed) == timeless(expected)
    begun = [len((tmp_path / name).read_text().splitlines()) for name in names]
    # The cell that ran there, and one that had just been sent there, are run again; no other is.
    assert 7 <= sum(begun) <= 8, begun


def test_a_run_that_was_killed_goes_on(cluster: Any, tmp_path: Path) -> None:
    """`eplb advise --ray ... --out results.jsonl`, killed in the middle and started again."""
    trace = np.tile(np.random.default_rng(5).lognormal(5, 1, (35, 8, 64)), (14, 1, 1))
    np.save(tmp_path / "trace.npy", trace)
    line = f"-m eplb advise trace.npy --gpus 4,8 --ray {cluster.address} --out r.jsonl --json"
    file = tmp_path / "r.jsonl"
    command = [sys.executable, *line.split()]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        until(lambda: file.exists() and file.read_bytes().count(b"\n") >= 3, seconds=120)
        os.kill(process.pid, signal.SIGKILL)
    there = file.read_bytes().splitlines()
    assert 3 <= len(there) < 15
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    # With their times: they were not run again.
    lines = file.read_bytes().splitlines()
    assert {*there} <= {*lines}
    expected = eplb.advise(trace, num_gpus=[4, 8], jobs=2)
    values = json.loads(done.stdout)
    assert len(values["points"]) == len(lines) - 1 == len(expected.points)
    for ours, theirs in zip(values["points"], expected.table(), strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
