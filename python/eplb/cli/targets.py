"""Files that commands write: checked before anything is planned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import eplb

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_outputs(inputs: Iterable[tuple[str, str | None]], outputs: dict[str, str | None]) -> None:
    """Refuses output files that are inputs or lie in them, that are one file, or have no folder.

    Args:
        inputs: what each is, and its path.
        outputs: paths by option.

    Raises:
        EplbError
    """
    places = list(inputs)
    taken: dict[Path, str] = {}
    for option, file in outputs.items():
        if file is None:
            continue
        for what, place in places:
            if place is not None and _holds(place, file):
                raise eplb.EplbError(f"{option} {file} would overwrite {what}; give another file")
        path = Path(file).resolve()
        if path in taken:
            raise eplb.EplbError(f"{taken[path]} and {option} are one file, {file}; give two")
        taken[path] = option
        if not path.parent.is_dir():
            raise eplb.EplbError(f"{option} {file}: its folder does not exist")


def _holds(place: str, file: str) -> bool:
    """Whether a file exists and is ``place``, or lies in it."""
    found = Path(file).resolve()
    return found.exists() and found.is_relative_to(Path(place).resolve())
