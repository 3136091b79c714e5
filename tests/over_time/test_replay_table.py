"""The table of docs/over-time.md, which `make quality-over-time` prints, out of `eplb replay`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from eplb import cli
from over_time.floors import FLOORS
from over_time.sequences import v2_lite

if TYPE_CHECKING:
    from over_time.sequences import Sequence

PAGE = Path(__file__).parents[2] / "docs" / "over-time.md"
#: Columns of the table, by setting; those of the engines are other people's planners.
COLUMNS = {"multiwindow": 1, "deepseek": 2, "hindsight": 6}


def rows() -> dict[str, list[str]]:
    """Cells of the rows of the table, by sequence."""
    lines = [
        line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line[:1] == "|"
    ]
    whole = [cells for cells in lines if len(cells) == 7 and cells[0] in FLOORS]
    return {cells[0]: [cell.strip("*") for cell in cells] for cells in whole}


def test_the_page_has_every_sequence() -> None:
    assert [*rows()] == [*FLOORS]


@pytest.mark.parametrize("name", [*FLOORS])
def test_the_table_comes_out_of_replay(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence: Sequence = FLOORS[name][0]
    trace = tmp_path / "trace.npy"
    np.save(trace, sequence.windows)
    sizes = f"--gpus {sequence.num_gpus} --replicas {sequence.num_replicas}"
    line = f"replay {trace} {sizes} --settings".split()
    assert cli.main([*line, " ".join(COLUMNS), "--json"]) == 0
    values: Any = json.loads(capsys.readouterr().out)
    for figures in values["settings"]:
        mean, p10 = (figures[f"balancedness_{which}"] * 100 for which in ("mean", "p10"))
        found = f"{mean:.1f} / {p10:.1f}"
        if figures["name"] != "hindsight":
            found += f" ({figures['copies_share'] * 100:.1f} %)"
        printed = rows()[name][COLUMNS[figures["name"]]]
        assert re.sub(r"\s+", " ", printed) == found, figures["name"]


def test_how_often(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of docs/replay.md."""
    np.save(tmp_path / "trace.npy", v2_lite(None).windows)
    line = f"replay {tmp_path / 'trace.npy'} --gpus 8 --redundant 16 --expert-bytes 8650752"
    page = (PAGE.parent / "replay.md").read_text().partition("\n## How often\n")[2]
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line[:1] == "|"][2:6]
    for every, (_, *printed) in zip((1, 2, 4, 8), rows, strict=True):
        options = ["--settings", "multiwindow", "--every", str(every), "--json"]
        assert cli.main([*line.split(), *options]) == 0
        [figures] = json.loads(capsys.readouterr().out)["settings"]
        assert printed == [
            f"{figures['balancedness_mean']:.4f}",
            f"{figures['balancedness_p10']:.4f}",
            f"{figures['copies_share'] * 100:.2f} %",
            f"{figures['gigabytes']:.1f}",
        ]
