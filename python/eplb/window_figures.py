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

    def __str__(self) -> str:
        windows, layers = self.loaded.shape
        lines = [f"{count(windows, 'window')} of {count(layers, 'layer')}"]
        if not self.loaded.any():
            return f"{lines[0]}, no load"
        lines.append(f"  all windows   {self._line(slice(None))}")
        if windows <= _MOST_LINES:
            lines += [f"  window {window:<7}{self._line(window)}" for window in range(windows)]
        return "\n".join(lines)

    def _line(self, windows: int | slice) -> str:
        values = self.balancedness[windows][self.loaded[windows]]
        if values.size == 0:
            return "no load"
        return f"balancedness mean {values.mean():.4f}, worst {values.min():.4f}"
