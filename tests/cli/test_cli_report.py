"""`eplb replay --report`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RANDOM = np.random.default_rng(3)
TRACE = RANDOM.lognormal(5, 1, (12, 3, 16)).astype(np.int64)
LINE = "replay trace.npy --gpus 4 --redundant 8"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to work in, with a trace in it."""
    monkeypatch.chdir(tmp_path)
    np.save("trace.npy", TRACE)


def test_the_numbers_are_those_of_json(run: Any) -> None:
    code, out, err = run(f"{LINE} --event 7:drain=2 --event 9:live=2 --json --report a.html")
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert values.pop("report") == "a.html"
    del values["out"]
    rows = values.pop("rows")
    text = Path("a.html").read_text("utf-8")
    assert "<title>Replay of trace.npy</title>" in text
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found[1])["data"]
    assert data["replay"] == values
    names = [each["name"] for each in values["settings"]]
    assert len(names) == 9
    assert [
        {"setting": name, **dict(zip(columns, row, strict=True))}
        for name, columns in zip(names, data["rows"], strict=True)
        for row in zip(*columns.values(), strict=True)
    ] == rows
    assert [event["what"] for event in data["events"]] == ["GPU 2 drained", "GPU 2 back"]
    assert all(
        len(kept) == len(row["window"])
        for kept, row in zip(data["snapshots"], data["rows"], strict=True)
    )


def test_it_is_named(run: Any) -> None:
    code, out, err = run(f"{LINE} --settings trivial --report a.html --out a.csv")
    assert (code, err) == (0, "")
    assert out.endswith("  written to    a.csv\n  written to    a.html\n")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("trace.npy", "would overwrite"),
        ("none/a.html", "its folder does not exist"),
        ("a.pdf", "'a.pdf' is not a file name for a report; expected .html"),
    ],
)
def test_files_that_are_refused(run: Any, file: str, said: str) -> None:
    code, out, err = run(LINE, "--report", file)
    assert (code, out) == (2, "")
    assert said in err


def test_the_extra_is_named_before_anything_is_planned(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eplb.analysis.report.library.find_spec", lambda _: None)
    monkeypatch.setattr("eplb.cli.replay.prepare", None)
    code, out, err = run(LINE, "--report", "a.html")
    assert (code, out) == (2, "")
    assert err == (
        "eplb: a report needs vl-convert-python, which has Vega-Lite in it\n"
        "hint: pip install vl-convert-python (or the extra: eplb[report])\n"
    )
