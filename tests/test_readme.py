"""The README's examples give what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_examples() -> None:
    results = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert results.failed == 0
    assert results.attempted >= 8


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
    targets = set(re.findall(r"(?:`|^)make ([a-z]+)", text, flags=re.MULTILINE))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    files = set(re.findall(r"tests/test_\w+\.py", text))
    assert len(files) > 5
    for file in files:
        assert (ROOT / file).exists(), file
