"""A placement file of an engine as a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import eplb

if TYPE_CHECKING:
    from eplb.engines import HiddenLayers


@dataclass(frozen=True)
class EnginePlan:
    """What `eplb.Plan.from_engine_file` returns, with names."""

    plan: eplb.Plan
    layers: HiddenLayers | None


def load_engine_file(path: Any, format: str, **options: Any) -> EnginePlan:  # noqa: A002
    """Read a placement file."""
    return EnginePlan(*eplb.Plan.from_engine_file(path, format, **options))
