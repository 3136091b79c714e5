"""The table of ``--layers-table``: a row for each layer, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb.analysis.layer_figures import HotExpert, layer_figures
from eplb.cli.output import WIDTH, columns, fitted, table_text
from eplb.summary import at_most, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import eplb

_HEADINGS = ("layer", "before", "after", "gap", "bound", "GPU")
_HOTTEST = "hottest experts: share/replicas"


def layers_table(plan: eplb.Plan, layers: Sequence[int] | None, engine: str | None) -> str:
    """The layers with load, the worst first; arguments are those of ``layer_figures``."""
    kind = "Layers" if layers is None else "Hidden layers"
    title = f"{kind}, the worst first: balancedness before and after, the busiest GPU"
    narrow = columns() < WIDTH
    headings = (*_HEADINGS, "hottest expert" if narrow else _HOTTEST)
    rows = [
        [
            str(figures.layer),
            ratio(figures.unbalanced),
            ratio(figures.balancedness),
            at_most(figures.gap),
            figures.bound,
            str(figures.busiest_gpu),
            "  ".join(map(_hot, figures.hottest[: 1 if narrow else None])),
        ]
        for figures in layer_figures(plan, layers, engine)
    ]
    return f"{fitted(title)}\n\n{table_text(headings, rows, left=[4, 6])}"


def _hot(hot: HotExpert) -> str:
    return f"{hot.expert}: {hot.share:.1%}/{hot.replicas}"
