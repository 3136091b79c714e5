"""The README's examples give what it says."""

from __future__ import annotations

import doctest
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
from eplb import cli

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("page", "least"), [("README.md", 8), ("docs/minimax.md", 8)])
def test_examples(page: str, least: int) -> None:
    results = doctest.testfile(str(ROOT / page), module_relative=False)
    assert results.failed == 0
    assert results.attempted >= least


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


def test_console_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command of a console block prints what stands below it, but for its times."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    commands = [
        part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    assert len(commands) >= 4
    for part in commands:
        line, wanted = part.split("\n", 1)
        program, *arguments = shlex.split(line)
        assert (program, cli.main(arguments)) == ("eplb", 0), line
        printed = capsys.readouterr().out
        assert timeless(printed) == timeless(wanted), line


def timeless(text: str) -> str:
    """Without milliseconds, and without the spaces that depend on their width."""
    return re.sub(r" +[0-9]+\.[0-9]{2}( ms)?$", " TIME", text, flags=re.MULTILINE)


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "README.md"]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())
    ]
    assert len(links) >= 8
    for page, link in links:
        assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_commands_exist() -> None:
    """Every `make` target and test file that a page names is there."""
    makefile = (ROOT / "Makefile").read_text()
    text = "".join(page.read_text() for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
    targets = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, flags=re.MULTILINE))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    files = set(re.findall(r"tests/(?:\w+/)?test_\w+\.py", text))
    assert len(files) > 5
    for file in files:
        assert (ROOT / file).exists(), file


def test_figures_of_what_is_verified() -> None:
    """Each figure that is kept stands on the page, and the page's large figures are kept."""
    page = " ".join((ROOT / "docs" / "verified.md").read_text().split())
    figures = json.loads((ROOT / "docs" / "verified.json").read_text())
    assert len(figures) >= 12
    for what, figure in figures.items():
        assert figure in page, what
    kept = " ".join(figures.values())
    limits = {"1,000,000"}
    for figure in re.findall(r"\d+,\d{3}(?:,\d{3})*", page):
        assert figure in kept or figure in limits, figure
