"""The commands and the variables that `eplb replay` recommends plan what was replayed."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb.plugins.settings import settings_of

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (9, 3, 16)).astype(np.int64)
WARMUP = 3


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and the windows in another one."""
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "trace.npy", TRACE)
    for number, window in enumerate(TRACE):
        np.save(tmp_path / f"w{number}.npy", window)
    monkeypatch.chdir(tmp_path / "empty")


def advice(run: Any, setting: str, *more: str) -> Any:
    """What is recommended, and the rows."""
    line = ["replay", "../trace.npy", "--gpus", "4", "--redundant", "8", "--warmup", str(WARMUP)]
    code, out, err = run(*line, "--most-copies", "99%", "--settings", setting, "--json", *more)
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert values["recommendation"]["setting"] == setting
    return values["recommendation"], values["rows"]


def windows(first: int, end: int) -> str:
    return " ".join(f"../w{number}.npy" for number in range(first, end))


def used(run: Any, command: str, **files: str) -> None:
    """Runs a command as a user would, with their files in the place of words in capitals."""
    words = shlex.split(command)
    assert words[0] == "eplb"
    line = [
        part for word in words[1:] for part in (files[word].split() if word in files else [word])
    ]
    assert not [word for word in line if word.isupper()]
    code, _, err = run(*line)
    assert (code, err) == (0, ""), command


def judged(window: int, row: dict[str, Any]) -> None:
    """The plan in the folder is the one that was judged on this window."""
    worth = eplb.evaluate(eplb.load_plan("plan.json"), TRACE[window]).balancedness
    assert row["window"] == window
    assert row["balancedness_mean"] == pytest.approx(worth.mean(), rel=1e-9)
    assert row["balancedness_worst"] == pytest.approx(worth.min(), rel=1e-9)


HISTORIES = [
    ("multiwindow", []),
    ("multiwindow:move_price=0.005,max_moves=0.3,max_moves_after_shift=9,max_copies=40", []),
    ("multiwindow:move_price=2,max_moves=1.5", []),
    ("multiwindow:move_price=1,max_moves=1", []),
    ("multiwindow:move_price=1e-05", ["--groups", "4", "--nodes", "2"]),
    ("multiwindow", ["--every", "2"]),
]


@pytest.mark.parametrize(("setting", "more"), HISTORIES)
def test_updates_from_a_history(run: Any, setting: str, more: list[str]) -> None:
    found, rows = advice(run, setting, *more)
    every = int(more[1]) if "--every" in more else 1
    used(run, found["first_command"], WINDOWS=windows(0, WARMUP))
    before = eplb.load_plan("plan.json").phy2log
    for window in range(WARMUP + every, 9, every):
        since = windows(window - every, window)
        used(run, found["command"], NEWEST_WINDOW=since, NEWEST_WINDOWS=since)
        judged(window, rows[window - WARMUP - 1])
        after = eplb.load_plan("plan.json").phy2log
        assert rows[window - WARMUP - 1]["copies"] <= (before != after).sum()
        before = after
    assert f"WINDOWS: those before the first plan (here {WARMUP})" in found["notes"][0]
    assert ("an update every 2 windows, as it was replayed" in found["notes"]) is (every == 2)


@pytest.mark.parametrize(
    "setting",
    ["deepseek", "adaptive", "minimax", "minimax:effort=fast", "minimax:target_gap=1"],
)
def test_the_newest_window_anew(run: Any, setting: str) -> None:
    found, rows = advice(run, setting, "--groups", "4", "--nodes", "2")
    assert "first_command" in found
    assert found["first_command"] is None
    for window in (5, 8):
        used(run, found["command"], NEWEST_WINDOW=windows(window - 1, window))
        judged(window, rows[window - WARMUP - 1])


@pytest.mark.parametrize(
    ("setting", "number"), [("static", 3), ("static:windows=2", 2), ("static:policy=minimax", 3)]
)
def test_a_plan_that_is_kept(run: Any, setting: str, number: int) -> None:
    found, rows = advice(run, setting)
    used(run, found["command"], WINDOWS=windows(0, number))
    for row in rows:
        judged(row["window"], row)
    assert found["notes"] == [
        f"once, for a plan that is kept; WINDOWS: {number} windows",
        "no variables: the plug-ins update again and again",
    ]


def test_sizes_are_those_of_the_end(run: Any) -> None:
    found, rows = advice(run, "minimax", "--event", "5:add=2")
    assert "--gpus 6 --redundant 20" in found["command"]
    used(run, found["command"], NEWEST_WINDOW=windows(7, 8))
    judged(8, rows[-1])
    for setting in ("minimax", "multiwindow", "static"):
        found, _ = advice(run, setting, "--event", "5:drain=2")
        assert (found["command"], found["first_command"]) == (None, None)
        assert "no command: at the end, the GPUs are not equal or not all in use" in found["notes"]


@pytest.mark.parametrize("setting", [*dict(HISTORIES), "multiwindow:rows=8,decay=0.9", "deepseek"])
def test_variables_are_those_of_the_plug_ins(run: Any, setting: str) -> None:
    found, _ = advice(run, setting)
    given = settings_of({"EPLB_PLUGIN": "1", **found["variables"]})
    kind, _, rest = setting.partition(":")
    assert given.policy == kind
    for option in rest.split(",") if rest else ():
        name, _, value = option.partition("=")
        assert getattr(given, {"rows": "history"}.get(name, name)) == float(value)
        number = getattr(given, {"rows": "history"}.get(name, name))
        assert isinstance(number, int) is (value.isdecimal() and name != "move_price")


def test_why_there_is_no_command(run: Any) -> None:
    for setting, words in (
        ("multiwindow:rows=8", "no command: the command line has no option for rows and decay"),
        ("trivial", "no command and no variables: engines start with this placement"),
        ("minimax:effort=fast", "no variables: the plug-ins have none for effort and target gap"),
    ):
        found, _ = advice(run, setting)
        assert any(note.startswith(words) for note in found["notes"]), setting
        assert (found["command"] is None) is ("no command" in words)
        assert (found["variables"] is None) is ("no variables" in words)

    def mine(load: Any, _: Any, sizes: Any) -> Any:
        return eplb.plan(load, cluster=sizes.cluster)

    found = eplb.replay(TRACE, mine, num_gpus=4, most_copies=1).recommendation
    assert (found.command, found.variables) == (None, None)
    assert found.notes == ("no command and no variables: it is your own planner",)


def test_they_are_in_the_text(run: Any) -> None:
    line = "replay ../trace.npy --gpus 4 --redundant 8 --every 2 --settings multiwindow"
    code, out, _ = run(line + " --most-copies 99%")
    assert code == 0
    assert " ".join(out.split()).endswith(
        "first: eplb plan WINDOWS --gpus 4 --redundant 8 --history history.json --out plan.json "
        "command: eplb replan NEWEST_WINDOWS --previous plan.json --history history.json "
        "--out plan.json plug-ins: EPLB_POLICY=multiwindow WINDOWS: those before the first plan "
        "(here 2); NEWEST_WINDOWS: 2, for each update an update every 2 windows, as it was replayed"
    )
