"""Records: a line of JSON for each, with date, commit and machine; nothing is made from them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).with_name("records")
#: Times of a machine that does other work say little.
BUSY = 1.0


class BusyError(Exception):
    """Other work is going on: nothing is recorded."""


def require_quiet(about: Mapping[str, str]) -> None:
    """Before it is measured: raises ``BusyError`` on a busy machine."""
    load = float(about["load average before"])
    if load >= BUSY:
        raise BusyError(f"load average {load}: record when it is below {BUSY:g}")


def append(name: str, about: Mapping[str, str], cases: Mapping[str, Any]) -> None:
    """Add a line to ``records/<name>.jsonl``."""
    line = json.dumps({"commit": commit(), "machine": about, "cases": cases})
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def commit() -> str:
    """What was measured; marked if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FOLDER.parent)
    return run.stdout.strip()
