"""A folder of files with loads: windows, in the order of their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from eplb.engines.sglang.dump import is_folder_of_totals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

_ENDINGS = (".npy", ".npz", ".csv", ".json", ".jsonl", ".ndjson", ".pt", ".pth")
_NUMBER = re.compile(r"([0-9]+)")

#: What such a folder holds, for messages.
CONTENT = f"files with loads ({', '.join(_ENDINGS)})"


def expanded(
    sources: Sequence[str | PathLike[str]], is_dump: Callable[[Path], bool]
) -> list[str | PathLike[str]]:
    """The sources, and the files of a folder in the place of it, unless it is a dump of an engine.

    Files are in the order of their names, numbers in them by size. SGLang's recorder writes a file for
    each dump of mode ``stat``: these are windows, too.

    Raises:
        OSError: a folder cannot be read.
    """
    found: list[str | PathLike[str]] = []
    for source in sources:
        folder = Path(source)
        if (
            source == "-"
            or not folder.is_dir()
            or (is_dump(folder) and not is_folder_of_totals(folder))
        ):
            found.append(source)
            continue
        files = sorted(filter(_has_loads, folder.iterdir()), key=_by_number)
        found += files or [source]
    return found


def _has_loads(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS and not path.name.startswith(".") and path.is_file()


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = _NUMBER.split(path.name)
    return [(int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts)], path.name
