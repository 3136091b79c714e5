"""Draws how balanced a real sequence stays, and what is moved for it: ``make picture``.

python docs/picture_over_time.py OUT.png

Requests to DeepSeek-V2-Lite (tests/loads/SOURCES.md), six windows from one task, then from the
next. After each window both planners plan, and are judged on the next window.
"""

from __future__ import annotations

import sys
from pathlib import Path

import eplb
import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from over_time.judge import DeepSeek, OverTime, Planner, arrivals, balancedness
from over_time.sequences import Sequence, v2_lite_blocks

NAMES = {"eplb.replan": "#1f6f8b", "DeepSeek's planner": "#b3541e"}
STYLES = {"eplb.replan": "-", "DeepSeek's planner": "--"}


def course(sequence: Sequence, planner: Planner) -> np.ndarray:
    """Balancedness on the next window, and share of the slots moved, after each window."""
    previous, points = None, []
    for window, following in zip(sequence.windows, sequence.windows[1:], strict=False):
        planner.observe(window)
        plan = planner(previous)
        reached = balancedness(plan, following, sequence.num_gpus).mean()
        moved = np.nan if previous is None else arrivals(previous, plan, sequence.num_gpus)
        points.append((reached, moved / plan.size))
        previous = plan
    return np.array(points)


def figure_of(sequence: Sequence) -> Figure:
    """Balancedness above, moves below, by window."""
    figure = Figure(figsize=(9.5, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    for name, planner in zip(NAMES, (OverTime(sequence), DeepSeek(sequence)), strict=True):
        reached, moved = course(sequence, planner).T
        window = np.arange(2, len(reached) + 2)
        look = {"color": NAMES[name], "linestyle": STYLES[name], "linewidth": 1.8}
        above.plot(window, reached, label=f"{name}: mean {reached.mean():.3f}", **look)
        below.plot(window, moved * 100, label=f"{name}: mean {np.nanmean(moved):.1%}", **look)
    for axes, title in (
        (above, "balancedness on the window (mean of 26 layers)"),
        (below, "slots moved before the window, %"),
    ):
        axes.set_title(title, fontsize=10, loc="left")
        axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
        axes.margins(x=0.01)
        for change in range(7, len(sequence.windows) + 1, 6):
            axes.axvline(change, color="black", linewidth=0.4, alpha=0.5)
    below.set_ylim(0, 100)
    below.set_xlabel("window; lines: the task changes")
    figure.suptitle("DeepSeek-V2-Lite, 64 experts in 80 slots on 8 GPUs", fontsize=11)
    return figure


if __name__ == "__main__":
    figure_of(v2_lite_blocks(6)).savefig(sys.argv[1], dpi=110, metadata={"Software": None})
    print(f"drawn to {sys.argv[1]} with eplb {eplb.__version__}")
