"""What a plan was made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MadeFrom:
    """What a plan was made from."""

    #: Windows of loads that were planned for.
    windows: int
    #: Digest of the history; None if the loads, or the sum of the windows, were planned.
    history: str | None = None
