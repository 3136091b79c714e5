"""What a placement costs in each of several windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.plan_tables import read_only
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from eplb import _core
    from eplb.plan_tables import FloatTable

# More windows than this are not printed one by one.
_MOST_LINES = 12


@dataclass(frozen=True)
class OverWindows:
    """Balancedness over the windows with load; that of a window is its mean over layers with load.

    Values are None if no window has load.
    """

    balancedness_mean: float | None
    #: That of the window at a tenth of the windows, from the worst one; with less than eleven, the
    #: worst.
    balancedness_p10: float | None
    balancedness_worst: float | None


@dataclass(frozen=True, eq=False)
class WindowFigures:
    """Figures of a placement for each window and layer; arrays are read-only.

    :func:`eplb.evaluate` makes it for loads ``[windows, layers, experts]``. Loads are in the unit of
    the input. A layer without load in a window has balancedness 1 and gap 0 there.
    """

    #: Load of each GPU, ``[windows, layers, G]``.
    gpu_load: FloatTable
    #: Mean GPU load / largest GPU load, ``[windows, layers]``.
    balancedness: FloatTable
    #: The least that the busiest GPU of any plan of these sizes carries, ``[windows, layers]``.
    lower_bound: FloatTable
    #: Largest GPU load / lower bound - 1, ``[windows, layers]``.
    gap: FloatTable
    #: Which layers have load, ``[windows, layers]``.
    loaded: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, certificates: Sequence[_core.Certificate]) -> WindowFigures:
        """The figures of the certificates of one placement, one for each window."""

        def stack(figure: Callable[[_core.Certificate], Any]) -> npt.NDArray[Any]:
            return read_only(np.stack([figure(certificate) for certificate in certificates]))

        return cls(
            gpu_load=stack(lambda c: c.gpu_load_in_units()),
            balancedness=stack(lambda c: c.balancedness()),
            lower_bound=stack(lambda c: c.lower_bound_in_units()),
            gap=stack(lambda c: c.gap()),
            loaded=stack(lambda c: np.array(c.max_load, dtype=np.uint64) > 0),
        )

    def over_windows(self) -> OverWindows:
        """Mean, 10th percentile and worst balancedness over the windows with load."""
        each = [
            float(values[loaded].mean())
            for values, loaded in zip(self.balancedness, self.loaded, strict=True)
            if loaded.any()
        ]
        if not each:
            return OverWindows(None, None, None)
        low = float(np.percentile(each, 10, method="inverted_cdf"))
        return OverWindows(float(np.mean(each)), low, min(each))

    def __str__(self) -> str:
        windows, layers = self.loaded.shape
        title = f"{count(windows, 'window')} of {count(layers, 'layer')}"
        if not self.loaded.any():
            return f"{title}, no load"
        return "\n".join([title, *self.lines()])

    def lines(self) -> list[str]:
        """A line over all windows, and one for each if they are few."""
        over = self.over_windows()
        if over.balancedness_mean is None:
            return []
        figures = (
            f"mean {over.balancedness_mean:.4f}, 10th percentile {over.balancedness_p10:.4f}, "
            f"worst {over.balancedness_worst:.4f}"
        )
        lines = [f"  over windows  balancedness {figures}"]
        if len(self.loaded) <= _MOST_LINES:
            lines += [f"  window {at:<7}{self._line(at)}" for at in range(len(self.loaded))]
        return lines

    def _line(self, window: int) -> str:
        values = self.balancedness[window][self.loaded[window]]
        if values.size == 0:
            return "no load"
        return f"balancedness mean {values.mean():.4f}, worst {values.min():.4f}"
