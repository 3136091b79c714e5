"""What a setting reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from eplb.analysis.replay.cells import Row
    from eplb.analysis.replay.figures import Figures
    from eplb.analysis.replay.settings import Setting


@dataclass(frozen=True)
class Result:
    """A setting, its rows and what they amount to."""

    setting: Setting
    rows: tuple[Row, ...]
    figures: Figures

    @property
    def balancedness(self) -> Any:
        """Of each judged window and layer, ``[windows, layers]``; NaN without load."""
        return np.array([row.balancedness for row in self.rows])
