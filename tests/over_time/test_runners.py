"""Runners of cells: the same rows in one process and in several, whoever dies."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import eplb
import ml_dtypes
import numpy as np
import pytest
from eplb.analysis.replay.cells import Cell, Course
from eplb.analysis.replay.runners.processes import Processes
from eplb.analysis.replay.runners.steps import Again, Judged, Lost
from eplb.analysis.replay.runners.stored_windows import StoredWindows
from eplb.analysis.replay.settings import settings_of
from eplb.analysis.replay.trace import trace_of
from planners_that_end import Ends, everywhere, refuses

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (12, 3, 16)).astype(np.int64)
TRACE[7, 1] = 0  # a row has NaN
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}


def timeless(replay: eplb.Replay) -> str:
    """Everything but times, as JSON."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(each) for name, each in value.items() if name != "seconds"}
        return [without(each) for each in value] if isinstance(value, list) else value

    return json.dumps(without(replay.to_dict()))


def cells_of(trace: Any, settings: Any) -> dict[int, Cell]:
    """The cells of a replay, by their numbers."""
    windows = trace_of(trace)
    course = Course(eplb.Cluster.even(4, 20), num_groups=1, warmup=3, every=1)
    return {
        number: Cell(setting, windows, course)
        for number, setting in enumerate(settings_of(settings))
    }


def steps_of(settings: Any, jobs: int) -> list[Any]:
    """What the runner tells."""
    return [*Processes(jobs).steps(cells_of(TRACE, settings))]


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_answer_does_not_depend_on_jobs(jobs: int) -> None:
    arguments: dict[str, Any] = {**SIZES, "num_replicas": 24, "events": ["7:dead=2", "9:live=2"]}
    alone, several = (eplb.replay(TRACE, jobs=each, **arguments) for each in (1, jobs))
    assert len(alone.results) == 9
    assert timeless(alone) == timeless(several)
    for one, other in zip(alone.results, several.results, strict=True):
        np.testing.assert_array_equal(one.balancedness, other.balancedness)
        assert not other.rows[0].balancedness.flags.writeable
    assert multiprocessing.active_children() == []


def test_callables_run_in_other_processes() -> None:
    settings = {"mine": everywhere, "theirs": "deepseek"}
    assert timeless(eplb.replay(TRACE, settings, **SIZES)) == timeless(
        eplb.replay(TRACE, settings, jobs=2, **SIZES)
    )
    with pytest.raises(
        eplb.EplbError, match=r"^setting f: its planner cannot be sent to another process: .*"
    ):
        eplb.replay(TRACE, {"f": lambda *_: 0}, jobs=2, **SIZES)


def test_a_worker_that_dies_costs_its_cell_which_is_run_again(tmp_path: Path) -> None:
    ends = Ends(str(tmp_path / "count"), window=6, times=1)
    settings = {"a": "multiwindow", "ends": ends, "b": "deepseek", "c": "trivial"}
    steps = steps_of(settings, jobs=2)
    assert [step for step in steps if not isinstance(step, Judged)] == [Again(1)]
    at = steps.index(Again(1))
    assert [row.window for step in steps[:at] if step.cell == 1 for row in step.rows] == [4, 5]
    assert [row.window for step in steps[at + 1 :] if step.cell == 1 for row in step.rows] == [
        *range(4, 12)
    ]
    (tmp_path / "count").unlink()
    replayed = eplb.replay(TRACE, settings, jobs=2, **SIZES)
    assert (tmp_path / "count").read_text() == "1"
    assert (replayed.finished, replayed.lost) == (True, {})
    assert timeless(replayed) == timeless(
        eplb.replay(TRACE, {**settings, "ends": everywhere}, **SIZES)
    )


def test_a_worker_that_always_dies_is_told(tmp_path: Path) -> None:
    ends = Ends(str(tmp_path / "count"), window=6, times=9)
    settings = {"ends": ends, "a": "multiwindow", "b": "deepseek"}
    replayed = eplb.replay(TRACE, settings, jobs=2, **SIZES)
    assert (tmp_path / "count").read_text() == "2"
    why = "its process died 2 times, by signal 9 (SIGKILL); is memory short? fewer jobs need less"
    assert replayed.lost == {"ends": why}
    assert not replayed.finished
    assert [result.setting.name for result in replayed.results] == ["a", "b"]
    assert [len(result.rows) for result in replayed.results] == [8, 8]
    assert f"\nmissing: ends: {why}\n" in str(replayed)
    assert "interrupted" not in str(replayed)
    assert replayed.to_dict()["lost"] == {"ends": why}
    assert Lost(0, why) in steps_of(settings, jobs=1)


def test_the_first_setting_that_fails_is_told_whatever_ends_first() -> None:
    settings = {"a": "multiwindow:rows=8", "b": refuses, "c": refuses, "d": "trivial"}
    messages = set()
    for jobs in (1, 2, 4):
        with pytest.raises(eplb.EplbError) as error:
            eplb.replay(np.tile(TRACE, (9, 1, 1)), settings, jobs=jobs, **SIZES)
        messages.add(str(error.value))
        assert multiprocessing.active_children() == []
    assert messages == {"setting b, window 8: it raised RuntimeError: no placement today"}


def test_closing_ends_every_process() -> None:
    settings = ["minimax:effort=best", "multiwindow", "deepseek"]
    steps = Processes(2).steps(cells_of(np.tile(TRACE, (200, 1, 1)), settings))
    next(steps)
    assert len(multiprocessing.active_children()) == 2
    steps.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    "windows",
    [
        [TRACE[0], TRACE[1].astype(np.float32) / 3, TRACE[2]],
        [TRACE[0, :1, :3].astype(np.float32), np.array([[2**64 - 1, 2**63, 1]], np.uint64)],
        [TRACE[0].astype(np.float16), TRACE[1].astype(ml_dtypes.bfloat16), TRACE[2].tolist()],
        [np.asfortranarray(TRACE[0]), TRACE[1].astype(">i4"), TRACE[2][:, ::-1]],
    ],
)
def test_stored_windows_have_the_values(windows: list[Any], tmp_path: Path) -> None:
    stored = StoredWindows.write(tmp_path / "windows", windows)
    stored[0]  # mapped, which is not sent
    there: StoredWindows = pickle.loads(pickle.dumps(stored))
    assert len(pickle.dumps(stored)) < 400
    assert len(there) == len(windows)
    for window, table in zip(windows, there[:], strict=True):
        np.testing.assert_array_equal(table, np.asarray(window))
        exact = eplb.plan(window, num_gpus=1).digest()
        assert eplb.plan(table, num_gpus=1).digest() == exact
    assert [each.tolist() for each in there[1:]] == [
        there[at].tolist() for at in range(1, len(there))
    ]
    with pytest.raises(IndexError):
        there[len(windows)]


def test_a_script_without_its_last_line_is_told(tmp_path: Path) -> None:
    """Spawned processes import the script of the first one."""
    script = tmp_path / "script.py"
    script.write_text(
        "import eplb, numpy\n"
        "loads = numpy.ones((4, 1, 4), int)\n"
        "print(eplb.replay(loads, 'trivial deepseek', num_gpus=2, num_replicas=6, jobs=2))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert "a script that starts several jobs needs the line" in done.stdout
