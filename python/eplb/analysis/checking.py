"""Whether a placement is good enough under some loads: for CI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError, LoadError, Parameter
from eplb.inputs.sizes import real_number
from eplb.planning import evaluate
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.plans import Plan


@dataclass(frozen=True)
class Failure:
    """A layer that is not good enough in a window."""

    window: int
    #: Row of the plan.
    layer: int
    balancedness: float
    gap: float
    #: Which limits it misses: ``"balancedness"``, ``"gap"``, or both.
    misses: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """Figures over the layers with load of all windows."""

    windows: int
    layers: int
    #: Layers with load, of all windows: at least one.
    loaded: int
    balancedness_mean: float
    balancedness_worst: float
    gap_mean: float
    gap_worst: float
    #: By window and layer.
    failures: tuple[Failure, ...]

    @property
    def holds(self) -> bool:
        """Whether no layer fails."""
        return not self.failures


def check(
    plan: Plan,
    windows: Sequence[Any],
    *,
    min_balancedness: float | None = None,
    max_gap: float | None = None,
) -> Check:
    """Judges every layer with load in every window.

    Args:
        plan: a placement.
        windows: loads ``[layers, experts]`` each.
        min_balancedness: each layer must have at least this mean GPU load / largest GPU load.
        max_gap: the largest GPU load of each layer may exceed its lower bound by this share.

    Raises:
        EplbError: no limit is given, or one is out of range.
        LoadError: invalid loads, or no layer has load in any window.
    """
    if min_balancedness is None and max_gap is None:
        raise EplbError(
            "nothing to check: give ", Parameter("min_balancedness"), " or ", Parameter("max_gap")
        )
    if min_balancedness is not None:
        _check_limit("min_balancedness", min_balancedness, 1.0, "0.9")
    if max_gap is not None:
        _check_limit("max_gap", max_gap, np.inf, "0.01")
    figures = evaluate(plan, [*windows])
    loaded = figures.loaded
    if not loaded.any():
        raise LoadError("no layer has load, so there is nothing to check")
    low = (
        np.zeros_like(loaded)
        if min_balancedness is None
        else loaded & (figures.balancedness < min_balancedness)
    )
    far = np.zeros_like(loaded) if max_gap is None else loaded & (figures.gap > max_gap)
    balancedness, gap = figures.balancedness[loaded], figures.gap[loaded]
    failures = tuple(
        Failure(
            window=int(window),
            layer=int(layer),
            balancedness=float(figures.balancedness[window, layer]),
            gap=float(figures.gap[window, layer]),
            misses=(
                *(("balancedness",) if low[window, layer] else ()),
                *(("gap",) if far[window, layer] else ()),
            ),
        )
        for window, layer in np.argwhere(low | far)
    )
    return Check(
        windows=loaded.shape[0],
        layers=loaded.shape[1],
        loaded=int(loaded.sum()),
        balancedness_mean=float(balancedness.mean()),
        balancedness_worst=float(balancedness.min()),
        gap_mean=float(gap.mean()),
        gap_worst=float(gap.max()),
        failures=failures,
    )


def _check_limit(name: str, value: Any, most: float, example: str) -> None:
    number = real_number(name, value)
    if not 0 <= number <= most or number == np.inf:
        to = "a finite number of at least 0" if most == np.inf else f"0 to {most:g}"
        raise EplbError(
            Parameter(name, short(value)), f" is out of range; expected {to}, for example {example}"
        )
