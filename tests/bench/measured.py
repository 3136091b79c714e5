"""What a measure gives."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measured:
    """Figures, which goals are about, and details for a table: row -> column -> figure."""

    figures: dict[str, float]
    details: dict[str, dict[str, float]] = field(default_factory=dict)
