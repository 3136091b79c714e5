"""A picture of a plan: the load of every GPU, before and after."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError
from eplb.plan_files import write_whole
from eplb.planner import trivial_plan
from eplb.shown import count
from eplb.summary import loaded_layers

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.figure import Figure

    from eplb.plans import IntTable, Plan

#: What a picture's name may end in.
ENDINGS = (".png", ".svg", ".pdf")

_BEFORE, _AFTER = "#b3541e", "#1f6f8b"


def picture_path(path: str | PathLike[str]) -> Path:
    """Where a picture goes.

    Raises:
        EplbError: another ending, or matplotlib is not installed.
    """
    where = Path(path)
    if where.suffix not in ENDINGS:
        raise EplbError(f"{str(path)!r} does not end in {', '.join(ENDINGS)}, as a picture must")
    if find_spec("matplotlib") is None:
        raise EplbError("matplotlib is needed to draw: pip install matplotlib")
    if not where.parent.is_dir():
        raise EplbError(f"there is no folder {str(where.parent)!r} to draw {where.name} in")
    return where


def plot_plan(plan: Plan, path: str | PathLike[str]) -> None:
    """Draws the load of every GPU in every layer, under no balancing and under the plan.

    Loads are in means of their layer. Layers without load are left out.

    Args:
        plan: a plan that was made by :func:`eplb.plan` or :func:`eplb.evaluate`.
        path: a ``.png``, ``.svg`` or ``.pdf`` file, written whole or not at all.

    Raises:
        EplbError: another ending, matplotlib is not installed, or the plan knows no loads.
        OSError: the file cannot be written.
    """
    where = picture_path(path)
    stream = io.BytesIO()
    figure_of(plan).savefig(stream, format=where.suffix[1:], dpi=150)
    write_whole(where, stream.getvalue())


def figure_of(plan: Plan) -> Figure:
    """The picture itself, a ``matplotlib.figure.Figure``."""
    trivial = trivial_plan(plan)
    if not trivial.certified:
        raise EplbError("this plan knows no loads to draw: use eplb.evaluate(plan, load)")
    layers = loaded_layers(plan)
    if len(layers) == 0:
        raise EplbError("there is nothing to draw: no layer carries a load")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    before, after = figure.subplots(2, 1, sharex=True, sharey=True)
    _panel(before, trivial, layers, _BEFORE, "no balancing")
    _panel(after, plan, layers, _AFTER, plan.policy or "the placement")
    after.set_xlabel("layer")
    figure.supylabel("GPU load / mean of its layer")
    slots = f"{count(plan.num_experts, 'expert')} in {count(plan.num_replicas, 'slot')}"
    figure.suptitle(f"{slots} on {count(plan.num_gpus, 'GPU')}")
    return figure


def _panel(axes: Any, plan: Plan, layers: IntTable, colour: str, name: str) -> None:
    """A dot for each GPU of each layer, a bar up to the busiest, which all others wait for."""
    load = plan.gpu_load[layers]
    relative = load / load.mean(axis=1, keepdims=True)
    peak = relative.max(axis=1)
    axes.bar(layers, peak - 1, bottom=1, width=0.8, color=colour, alpha=0.25, linewidth=0)
    places = np.repeat(layers, plan.num_gpus)
    axes.scatter(places, relative.ravel(), s=7, color=colour, alpha=0.6, linewidths=0)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    worst = int(peak.argmax())
    axes.set_title(
        f"{name}: busiest GPU {peak.mean():.2f} x the mean on average, {peak[worst]:.2f} x in "
        f"layer {layers[worst]}",
        loc="left",
        fontsize=10,
    )
