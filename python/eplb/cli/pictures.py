"""Pictures that commands draw."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from eplb.engines import moe_layers_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def picture_of(plot: str | None) -> Path | None:
    """Where to draw, checked before anything is planned.

    Raises:
        EplbError: a picture cannot be drawn there.
    """
    if plot is None:
        return None
    from eplb.plots import picture_path

    return picture_path(plot)


def title_of(sources: Sequence[str], config: str | None, figures_of: str | None) -> str | None:
    """The model, by its config; the date of the loads; which of several windows are drawn.

    The date is that of the newest file, in UTC, so that the same loads give the same picture.
    """
    parts = [] if config is None else [moe_layers_of(config).name]
    times = [file.stat().st_mtime for source in sources for file in _files(source)]
    if times:
        parts.append(f"loads of {datetime.fromtimestamp(max(times), UTC).date()}")
    return ", ".join(part for part in [*parts, figures_of] if part) or None


def _files(source: str) -> list[Path]:
    """The files of loads; standard input has none."""
    path = Path(source)
    if source == "-":
        return []
    return [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
