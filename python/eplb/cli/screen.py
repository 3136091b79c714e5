"""What commands print of a plan."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eplb.cli.output import WIDTH
from eplb.comparison import figures_of, sizes_of
from eplb.metrics import METRICS
from eplb.planner import trivial_plan
from eplb.summary import loaded_layers, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable

    import eplb


def metric_lines(plan: eplb.Plan, name: str | None) -> list[str]:
    """A line for the metric that was asked for, if one was."""
    if name is None:
        return []
    metric = METRICS[name]
    before, after = metric.of(trivial_plan(plan)), metric.of(plan)
    figures = "no load"
    if after is not None and before is not None:
        figures = f"{ratio(after)} (unbalanced {ratio(before)})"
    return lines_of(f"as {name}", [f"{figures}: {metric.formula}"])


def lines_of(name: str, texts: Iterable[str]) -> list[str]:
    """Lines under those of ``print(plan)``, of 80 columns where words allow."""
    return [line for text in texts for line in _wrapped(name, text)]


def _wrapped(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {name:<14}",
        subsequent_indent=" " * 16,
        break_long_words=False,
        break_on_hyphens=False,
    )


def plan_values(plan: eplb.Plan) -> dict[str, Any]:
    """A plan for machines."""
    return {
        "policy": plan.policy,
        "digest": plan.digest(),
        **asdict(sizes_of(plan)),
        "fallback": plan.fallback,
        "loaded_layers": len(loaded_layers(plan)),
        **asdict(figures_of(plan)),
        "unbalanced": asdict(figures_of(trivial_plan(plan))),
        "phy2log": plan.phy2log.tolist(),
    }
