"""The README's examples give what it says."""

from __future__ import annotations

import doctest
import re
import runpy
import shlex
from typing import TYPE_CHECKING

import numpy as np
import pytest
from eplb import cli
from eplb.plugins.metrics import FAMILIES
from over_time.sequences import v2_lite
from paths import ROOT
from recorded import write_record

if TYPE_CHECKING:
    from pathlib import Path


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "README.md"]


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in page.read_text()])
def test_examples(page: Path) -> None:
    results = doctest.testfile(str(page), module_relative=False)
    assert results.failed == 0
    assert results.attempted > 0


def test_the_picture_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn, and from what the placements are: the busiest GPUs are named in it."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    picture = runpy.run_path(str(ROOT / "docs" / "picture.py"))
    load = picture["deepseek_v4_flash"]()
    figure = picture["figure_of"](load)
    plans = picture["placements"](load)
    layer = int(plans["deepseek"].balancedness.argmin())
    labels = figure.axes[0].get_legend_handles_labels()[1]
    peaks = [1 / plan.balancedness[layer] for plan in plans.values()]
    assert [float(label.split()[-4]) for label in labels] == pytest.approx(peaks, abs=6e-4)
    assert peaks[2] < peaks[1] < peaks[0]
    figure.savefig(tmp_path / "a.png")
    assert (ROOT / "docs" / "gpu-loads.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn, from a short sequence here, and names the means of its lines."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    picture = runpy.run_path(str(ROOT / "docs" / "picture_over_time.py"))
    sequence = picture["v2_lite_blocks"](3, windows=8)
    above, below = picture["figure_of"](sequence).axes
    for axes, scale, width in ((above, 1, 5e-4), (below, 1, 0.05)):
        for line, text in zip(axes.get_lines(), axes.get_legend().get_texts(), strict=False):
            drawn = [y for y in line.get_ydata() if y == y]  # noqa: PLR0124 - NaN: no moves yet
            said = float(text.get_text().split()[-1].removesuffix("%")) * scale
            assert said == pytest.approx(sum(drawn) / len(drawn), abs=width * 1.01)
    assert (ROOT / "docs" / "over-time.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/advise.md", "docs/clusters.md", "docs/recording.md", "docs/replay.md"],
)
def test_console_examples(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command of a console block prints what stands below it, but for its times."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    commands = [
        part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    assert len(commands) >= 2
    if page == "docs/recording.md":
        write_record(tmp_path)
    if page in ("docs/advise.md", "docs/replay.md"):
        np.save("trace.npy", v2_lite(None).windows)
    for part in commands:
        line, wanted = part.split("\n", 1)
        program, *arguments = shlex.split(line)
        assert (program, cli.main(arguments)) == ("eplb", 0), line
        printed = capsys.readouterr().out
        assert timeless(printed) == timeless(wanted), line


def timeless(text: str) -> str:
    """Without milliseconds, and without the spaces that depend on their width."""
    text = re.sub(r"median [0-9]+\.[0-9]{2} ms", "median TIME", text)
    return re.sub(r" +[0-9]+\.[0-9]{2}( ms)?$", " TIME", text, flags=re.MULTILINE)


def test_the_metrics_of_the_docs() -> None:
    """The table of docs/recording.md has every metric, and no other."""
    text = (ROOT / "docs" / "recording.md").read_text()
    rows = re.findall(r"^\| `(eplb_\w+)`.* \| (gauge|counter) \|", text, flags=re.MULTILINE)
    assert rows == [(name, kind) for name, kind, _ in FAMILIES]
    assert {*re.findall(r"\beplb_\w+", text)} == {name for name, _, _ in FAMILIES}


def links(page: str) -> list[str]:
    """Where a page leads to, on this machine."""
    found: list[str] = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page)
    return found


def test_links_lead_somewhere() -> None:
    led = [(page, link) for page in PAGES for link in links(page.read_text())]
    assert len(led) >= 8
    assert [(page.name, link) for page, link in led if not (page.parent / link).exists()] == []


def test_commands_exist() -> None:
    """`make` targets and test files that pages name."""
    text = "".join(page.read_text() for page in PAGES)
    targets = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, flags=re.MULTILINE))
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert sorted(targets - made) == []
    files = set(re.findall(r"(?<![\w/])tests/(?:\w+/)*\w+\.(?:py|rs)", text))
    places = (ROOT, ROOT / "rust_core")
    missing = [f for f in sorted(files) if not any((place / f).exists() for place in places)]
    assert missing == []
