"""The README's examples give what it says."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import re
import runpy
import shlex
from typing import TYPE_CHECKING

import pytest
from eplb import cli
from paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


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


PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tests" / "README.md"]


def links(page: str) -> list[str]:
    """Where a page leads to, on this machine."""
    found: list[str] = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page)
    return found


def test_links_lead_somewhere() -> None:
    led = [(page, link) for page in PAGES for link in links(page.read_text())]
    assert len(led) >= 8
    assert [(page.name, link) for page, link in led if not (page.parent / link).exists()] == []


def not_there(text: str) -> list[str]:
    """The `make` targets and test files that a text names and nobody has."""
    targets = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, flags=re.MULTILINE))
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    files = set(re.findall(r"tests/(?:\w+/)?\w+\.(?:py|rs|json)", text))
    return sorted(targets - made) + sorted(file for file in files if not found(file))


def found(file: str) -> bool:
    """As seen from the top, or from the core's crate."""
    places = (ROOT, ROOT / "rust_core", ROOT / "rust_core" / "src")
    return any((place / file).exists() for place in places)


def test_commands_exist() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert not_there(text) == []


def untrue(page: str, figures: dict[str, str]) -> list[str]:
    """Figures that are kept and not on the page, and large ones of the page that are not kept."""
    page = " ".join(page.split())
    kept = " ".join(figures.values()).split()
    on_it = re.findall(r"(?<![\d,])\d+(?:,\d{3})+(?![\d,])", page)
    limits = {"1,000,000"}
    return [
        *(f"{what}: {figure}" for what, figure in figures.items() if figure not in page),
        *(figure for figure in on_it if figure not in {*kept, *limits}),
    ]


def test_figures_of_what_is_verified() -> None:
    figures = json.loads((ROOT / "docs" / "verified.json").read_text())
    assert len(figures) >= 12
    assert untrue((ROOT / "docs" / "verified.md").read_text(), figures) == []


def test_control_a_false_page_is_seen() -> None:
    assert links("[a](b.md#c), [d](https://e.f), [g](#h)") == ["b.md"]
    named = "`make test` runs tests/package/test_readme.py and tests/corpus.rs"
    assert not_there(named) == []
    planted = "`make tests` runs tests/test_nothing.py,\nmake nothing-else"
    assert not_there(planted) == ["nothing-else", "tests", "tests/test_nothing.py"]
    kept = {"worlds": "19,656", "proofs": "24"}
    assert untrue("19,656 worlds and\n24 proofs; at least 1,000,000", kept) == []
    assert untrue("19,656 worlds and 25 proofs", kept) == ["proofs: 24"]
    assert untrue("19,656 worlds, 24 proofs, 9,656 more", kept) == ["9,656"]


def test_control_another_answer_of_a_command_is_seen() -> None:
    shown = "minimax  0.9990   12.34 ms"
    assert timeless(shown) == timeless("minimax  0.9990  1.00 ms")
    assert timeless(shown) != timeless("minimax  0.9991   12.34 ms")


def test_control_a_false_example_of_a_page_fails(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```python\n>>> 1 + 1\n3\n\n```\n")
    with contextlib.redirect_stdout(io.StringIO()):
        assert doctest.testfile(str(tmp_path / "page.md"), module_relative=False) == (1, 1)
