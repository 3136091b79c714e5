"""Files of histories, which commands read, extend and write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import eplb


def history_with(file: str | None, loads: Any, threads: int) -> eplb.LoadHistory:
    """The history of a file, or a new one if there is none, that has also seen these loads.

    Raises:
        EplbError: another ending than .json, or the file has no history.
    """
    if file is not None and Path(file).suffix != ".json":
        raise eplb.EplbError(f"--history {file} is not a file name for a history; expected .json")
    history = eplb.LoadHistory()
    if file is not None and Path(file).exists():
        history = eplb.LoadHistory.from_file(file)
    history.observe(loads, threads=threads)
    return history
