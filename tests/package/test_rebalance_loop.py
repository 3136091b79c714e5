"""The loop of docs/rebalance-loop.md runs, and says what the page says."""

from __future__ import annotations

import re
import subprocess
import sys

from paths import ROOT


def test_the_loop_of_the_docs() -> None:
    """Four ranks agree after each window, and every weight is where the map says, or it raises."""
    script = ROOT / "docs" / "rebalance_loop.py"
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    page = (ROOT / "docs" / "rebalance-loop.md").read_text()
    said = re.search(r"rebalance_loop\.py\n(in force.*?)```", page, flags=re.DOTALL)
    assert said is not None
    assert run.stdout == said[1]
