"""What the rows of a setting amount to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError
from eplb.inputs.sizes import real_number
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.analysis.replay.cells import Row
    from eplb.plan_tables import FloatTable


@dataclass(frozen=True)
class TimeModel:
    """A model, not a measurement: a layer takes ``flat + slope * max(0, max/mean - knee)`` of time.

    ``max/mean`` is the largest GPU load by the mean. Times are in any unit, of one layer of a step.
    """

    flat: float
    slope: float
    knee: float = 1.0

    @classmethod
    def of(cls, given: Any) -> TimeModel:
        """A model of three numbers, or of a text such as ``"1.0,0.4,1.1"``.

        Raises:
            EplbError, TypeError: they are not finite, not negative, or not three.
        """
        if isinstance(given, TimeModel):
            given = (given.flat, given.slope, given.knee)
        try:
            parts = given.split(",") if isinstance(given, str) else [*given]
            flat, slope, knee = (
                float(part) if isinstance(part, str) else real_number("time_model", part)
                for part in parts
            )
        except (TypeError, ValueError):
            raise _not_a_model(given) from None
        if not all(0 <= number < math.inf for number in (flat, slope, knee)) or flat + slope == 0:
            raise _not_a_model(given)
        return cls(flat, slope, knee)

    def times(self, balancedness: FloatTable) -> FloatTable:
        """The time of layers with these values of balancedness."""
        times: FloatTable = self.flat + self.slope * np.maximum(0, 1 / balancedness - self.knee)
        return times

    @property
    def even(self) -> float:
        """The time of a layer without imbalance."""
        return self.flat + self.slope * max(0.0, 1 - self.knee)

    def __str__(self) -> str:
        return f"time = {self.flat:g} + {self.slope:g} * max(0, max/mean - {self.knee:g})"


def _not_a_model(given: Any) -> EplbError:
    return EplbError(
        f"{short(given)} is not a time model; expected flat,slope,knee, three finite numbers that are "
        "not negative, for example 1,0.5,1: time = flat + slope * max(0, max/mean - knee)"
    )


@dataclass(frozen=True)
class Figures:
    """Figures of a setting over the windows that were judged.

    Balancedness is over all layers with load of all windows, each layer of a window one value; None if
    there is none.
    """

    windows: int
    balancedness_mean: float | None
    #: A tenth of the values is below it.
    balancedness_p10: float | None
    balancedness_worst: float | None
    #: Where the worst one is.
    worst_window: int | None
    worst_layer: int | None
    #: Weight copies of all updates.
    copies: int
    #: Windows for which it was asked to plan, whether it moved anything or not.
    updates: int
    #: Mean share of the slots that an update fills with another expert.
    copies_share: float
    #: Bytes of these copies in 10^9; None if the bytes of an expert are not known.
    gigabytes: float | None
    #: Median time of an update, learning included; None without updates.
    seconds: float | None
    #: By the time model: mean time of a layer that is lost to imbalance, and as a share of its time.
    lost_time: float | None
    lost_share: float | None


def figures_of(
    rows: Sequence[Row], expert_bytes: int | None = None, model: TimeModel | None = None
) -> Figures:
    """The figures of rows, in any number. Sums are exact, so they do not depend on the machine."""
    updates = [row for row in rows if row.updated]
    copies = sum(row.copies for row in rows)
    shares = [row.copies / row.slots for row in updates]
    values = np.array([row.balancedness for row in rows]).reshape(len(rows), -1)
    loaded = ~np.isnan(values)
    cells = np.sort(values[loaded])
    window = layer = None
    if cells.size:
        at, layer = (int(i) for i in np.unravel_index(int(np.nanargmin(values)), values.shape))
        window = rows[at].window
    lost = mean_time = None
    if model is not None and cells.size:
        mean_time = _mean(model.times(cells))
        lost = mean_time - model.even
    return Figures(
        windows=len(rows),
        balancedness_mean=_mean(cells) if cells.size else None,
        balancedness_p10=float(cells[len(cells) // 10]) if cells.size else None,
        balancedness_worst=float(cells[0]) if cells.size else None,
        worst_window=window,
        worst_layer=layer,
        copies=copies,
        updates=len(updates),
        copies_share=_mean(shares) if shares else 0.0,
        gigabytes=None if expert_bytes is None else copies * expert_bytes / 1e9,
        seconds=float(np.median([row.seconds for row in updates])) if updates else None,
        lost_time=lost,
        lost_share=None if lost is None or not mean_time else lost / mean_time,
    )


def window_means(rows: Sequence[Row]) -> dict[int, float]:
    """Mean balancedness of each window with load, over its layers with load."""
    found = {}
    for row in rows:
        values = row.balancedness[~np.isnan(row.balancedness)]
        if values.size:
            found[row.window] = _mean(values)
    return found


def _mean(values: Any) -> float:
    return math.fsum(values) / len(values)
