"""Files of cells that are done: what is there is not run again, and what is wrong is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from planners_that_end import everywhere
from planners_that_wait import Waits

if TYPE_CHECKING:
    from pathlib import Path

TRACE = np.random.default_rng(3).lognormal(5, 1, (12, 3, 16)).astype(np.int64)
TRACE[7, 1] = 0  # a row has NaN
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}
SETTINGS = "trivial multiwindow deepseek"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where results are kept."""
    return tmp_path / "r.jsonl"


def test_what_is_there_is_not_run_again(file: Path) -> None:
    first = eplb.replay(TRACE, "deepseek trivial", results=file, **SIZES)
    lines = file.read_bytes().splitlines()
    assert [json.loads(line)["setting"] for line in lines[1:]] == ["deepseek", "trivial"]
    second = eplb.replay(TRACE, SETTINGS, results=file, jobs=2, **SIZES)
    # Times are those of the first run, so it is the same run.
    for name in ("trivial", "deepseek"):
        ours, theirs = first[name], second[name]
        assert [row.seconds for row in ours.rows] == [row.seconds for row in theirs.rows]
        np.testing.assert_array_equal(ours.balancedness, theirs.balancedness)
        assert ours.figures == theirs.figures
    written = file.read_bytes().splitlines()
    assert [json.loads(line)["setting"] for line in written[1:]] == SETTINGS.split()
    assert (written[0], written[1], written[3]) == (lines[0], lines[2], lines[1])
    third = eplb.replay(TRACE, SETTINGS, results=file, **SIZES)
    assert third.to_dict() == second.to_dict()
    # Another order, fewer settings: nothing is lost.
    eplb.replay(TRACE, "deepseek", results=file, **SIZES)
    assert sorted(file.read_bytes().splitlines()) == sorted(written)


def test_equal_values_are_the_same_trace(file: Path) -> None:
    first = eplb.replay(TRACE, "deepseek", results=file, **SIZES)
    for same in (TRACE.astype(np.uint64), [*TRACE.tolist()]):
        assert eplb.replay(same, "deepseek", results=file, **SIZES).to_dict() == first.to_dict()


def test_points_of_other_sizes_may_be_there(file: Path) -> None:
    first = eplb.advise(TRACE, num_gpus=2, results=file)
    both = eplb.advise(TRACE, num_gpus=[4, 2], results=file, jobs=2)
    assert [*both.table()][3:] == [*first.table()]
    cells = [json.loads(line) for line in file.read_bytes().splitlines()[1:]]
    assert [(each["num_gpus"], each["num_replicas"]) for each in cells] == [
        (4, 16), (4, 20), (4, 24), (2, 16), (2, 18), (2, 20), (2, 22), (2, 24),
    ]  # fmt: skip


def test_a_line_that_was_cut_short_is_dropped(file: Path) -> None:
    eplb.replay(TRACE, SETTINGS, results=file, **SIZES)
    whole = file.read_bytes()
    for end in (len(whole) - 1, len(whole) - 400, whole.index(b"\n") + 1):
        file.write_bytes(whole[:end])
        kept = whole[:end].count(b"\n") - 1
        eplb.replay(TRACE, SETTINGS, results=file, **SIZES)
        assert file.read_bytes().splitlines()[: 1 + kept] == whole.splitlines()[: 1 + kept]
        assert file.read_bytes().count(b"\n") == 4
    file.write_bytes(b"")
    eplb.replay(TRACE, SETTINGS, results=file, **SIZES)
    assert file.read_bytes().count(b"\n") == 4


def test_cells_are_written_as_they_end(file: Path, tmp_path: Path) -> None:
    """A failure later on costs nothing of what is done."""
    settings = ["trivial", "deepseek", lambda *_: None]
    with pytest.raises(eplb.EplbError, match=r"setting lambda, window 3: what it returned has"):
        eplb.replay(TRACE, settings, results=file, **SIZES)
    assert file.read_bytes().count(b"\n") == 3
    # Functions are run each time: their names do not say what they do.
    mine = {"mine": Waits(str(tmp_path), "begun", 0), "other": everywhere}
    for _ in range(2):
        eplb.replay(TRACE, mine, results=file, **SIZES)
    assert (tmp_path / "begun").read_text() == "begun\n" * 2
    assert file.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"trace": TRACE + 1}, "its results are of another trace"),
        ({"trace": TRACE[:-1]}, "its results are "),
        ({"num_replicas": 24}, "its results are for other GPUs or slots"),
        ({"num_gpus": 2}, "its results are for other GPUs or slots"),
        ({"num_groups": 2}, "its results are for num_groups 1, not 2"),
        ({"every": 2}, "its results are for every 1, not 2"),
        ({"warmup": 4}, "its results are for warmup 3, not 4"),
        ({"events": "7:drain=2"}, "its results are for events"),
    ],
)
def test_results_of_something_else_are_refused(
    arguments: dict[str, Any], words: str, file: Path
) -> None:
    sizes = {**SIZES, "num_replicas": 24} if "events" in arguments else SIZES
    eplb.replay(TRACE, "trivial", results=file, **sizes)
    before = file.read_bytes()
    given = {"trace": TRACE, **sizes, **arguments}
    with pytest.raises(
        eplb.EplbError, match=rf"^r.jsonl: {words}.*; give another file, or delete this one$"
    ):
        eplb.replay(given.pop("trace"), "trivial", results=file, **given)
    with pytest.raises(eplb.EplbError, match=r"those of replay, not of advise"):
        eplb.advise(TRACE, num_gpus=4, results=file)
    assert file.read_bytes() == before


def test_results_of_another_release_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eplb.replay(TRACE, "trivial", results=file, **SIZES)
    monkeypatch.setattr("eplb.analysis.replay.kept_results.__version__", "9.9.9")
    with pytest.raises(
        eplb.EplbError, match=r"r.jsonl: its results are for eplb '.*', not '9.9.9'"
    ):
        eplb.replay(TRACE, "trivial", results=file, **SIZES)


@pytest.mark.parametrize(
    "content",
    [b"x", b"x\n", b"[]\n", b"{}\n", b'{"a": 1}\n{}\n', b"\xff\xfe\n", b"[" * 9999 + b"\n"],
)
def test_a_file_of_something_else_stays(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(
        eplb.EplbError, match=r"^r.jsonl: it is not a file of results; give another"
    ):
        eplb.replay(TRACE, "trivial", results=file, **SIZES)
    assert file.read_bytes() == content


def test_any_damage_of_a_line_is_named(file: Path) -> None:
    eplb.replay(TRACE, "trivial", results=file, **SIZES)
    heading, line = file.read_bytes().splitlines()

    def damaged(change: Any) -> bytes:
        values = json.loads(line)
        change(values)
        return json.dumps(values).encode()

    for bad in (
        b"",
        b"[]",
        b"null",
        line[:-5],
        damaged(lambda values: values.pop("rows")),
        damaged(lambda values: values["rows"].pop()),
        damaged(lambda values: values["rows"].reverse()),
        damaged(lambda values: values["rows"][2].pop("copies")),
        damaged(lambda values: values["rows"][2].update(copies=-1)),
        damaged(lambda values: values["rows"][2].update(copies=1.5)),
        damaged(lambda values: values["rows"][2].update(slots=0)),
        damaged(lambda values: values["rows"][2].update(updated=1)),
        damaged(lambda values: values["rows"][2].update(seconds="1")),
        damaged(lambda values: values["rows"][2]["balancedness"].pop()),
        damaged(lambda values: values["rows"][2]["balancedness"].__setitem__(0, "1")),
        damaged(lambda values: values["rows"][2]["balancedness"].__setitem__(0, [1])),
        damaged(lambda values: values["rows"][2]["balancedness"].__setitem__(0, -1)),
        damaged(lambda values: values["rows"][2]["balancedness"].__setitem__(0, float("inf"))),
        damaged(lambda values: values["rows"][2]["balancedness"].__setitem__(0, 10**400)),
        damaged(lambda values: values.update(rows=5)),
    ):
        file.write_bytes(b"\n".join([heading, bad, line, b""]))
        with pytest.raises(eplb.EplbError, match=r"^r.jsonl: line 2 is not a result"):
            eplb.replay(TRACE, "trivial", results=file, **SIZES)


def test_the_ending_is_that_of_lines(tmp_path: Path) -> None:
    with pytest.raises(
        eplb.EplbError, match=r"'a.json' is not a file name for kept results; expected .jsonl"
    ):
        eplb.replay(TRACE, "trivial", results=tmp_path / "a.json", **SIZES)
