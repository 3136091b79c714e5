"""Draws the GPU loads of one real layer under three placements: ``make picture``.

python docs/picture.py OUT.png

The loads are DeepSeek-V4-Flash's (tests/loads/SOURCES.md), the layer is the one in which
DeepSeek's algorithm leaves most to gain.
"""

from __future__ import annotations

import sys
from typing import Any

import eplb
import numpy as np
from demo import deepseek_v4_flash
from matplotlib.figure import Figure

SIZES = {"num_gpus": 64, "num_replicas": 320}
COLOURS = {"trivial": "#b3541e", "deepseek": "#7a7a3c", "minimax": "#1f6f8b"}


def placements(load: Any) -> dict[str, eplb.Plan]:
    """A plan of each name in ``COLOURS``."""
    plans = {name: eplb.plan(load, policy=name, **SIZES) for name in ("deepseek", "minimax")}
    return {"trivial": plans["minimax"].trivial(), **plans}


def figure_of(load: Any) -> Figure:
    """GPUs from the busiest to the idlest, in means of the layer; everybody waits for the first."""
    plans = placements(load)
    layer = int(plans["deepseek"].balancedness.argmin())
    figure = Figure(figsize=(9.5, 4), layout="constrained")
    whole, near = figure.subplots(1, 2)
    for name, plan in plans.items():
        relative = np.sort(plan.gpu_load[layer] / plan.gpu_load[layer].mean())[::-1]
        for axes in (whole, near):
            axes.step(
                range(1, len(relative) + 1),
                relative,
                where="mid",
                linewidth=1.8,
                color=COLOURS[name],
                label=f"{name}: busiest {relative[0]:.3f} x the mean",
            )
    deepseek = plans["deepseek"]
    excess = 1.1 * (1 / deepseek.balancedness[layer] - 1)
    near.set_ylim(1 - excess, 1 + excess)
    for axes, title in ((whole, "all three"), (near, "near the mean")):
        axes.axhline(1, color="black", linewidth=0.6)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("GPU, busiest first")
        axes.margins(x=0.01)
    whole.set_ylim(bottom=0)
    whole.set_ylabel("GPU load / mean of the layer")
    whole.legend(frameon=False, fontsize=9)
    sizes = f"256 experts in {SIZES['num_replicas']} slots on {SIZES['num_gpus']} GPUs"
    figure.suptitle(f"DeepSeek-V4-Flash, hidden layer {layer + 3}: {sizes}", fontsize=11)
    return figure


if __name__ == "__main__":
    figure_of(deepseek_v4_flash()).savefig(sys.argv[1], dpi=110, metadata={"Software": None})
    print(f"drawn to {sys.argv[1]}")
