"""The first half of ``make wheel``: what it prints, with a maturin that is a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MATURIN = """
import pathlib, sys
print("noise of", sys.argv[1], flush=True)
print("more noise", file=sys.stderr)
if sys.argv[1] == {failing!r}:
    sys.exit(3)
pathlib.Path(sys.argv[-1], {{"build": "eplb-1.whl", "sdist": "eplb-1.tar.gz"}}[sys.argv[1]]).touch()
"""


def build(folder: Path, failing: str) -> subprocess.CompletedProcess[str]:
    (folder / "maturin.py").write_text(MATURIN.format(failing=failing))
    return subprocess.run(
        [sys.executable, str(ROOT / "tests" / "wheel" / "build.py"), "dist"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_says_how_long_it_takes_and_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "eplb-0.whl").touch()
    done = build(tmp_path, "nothing")
    assert (done.returncode, done.stderr) == (0, "")
    expected, *built = done.stdout.splitlines()
    assert "minute" in expected
    assert built == ["built the wheel in 0 s", "built the source distribution in 0 s"]
    names = sorted(path.name for path in (tmp_path / "dist").iterdir())
    assert names == ["eplb-1.tar.gz", "eplb-1.whl"]


@pytest.mark.parametrize("failing", ["build", "sdist"])
def test_the_output_of_what_fails_is_shown(failing: str, tmp_path: Path) -> None:
    done = build(tmp_path, failing)
    assert done.returncode == 3
    assert f" failed:\nnoise of {failing}\nmore noise\n" in done.stderr
    assert ("built the wheel" in done.stdout) == (failing == "sdist")
