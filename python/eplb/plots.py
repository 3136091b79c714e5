"""Pictures of a plan: the load of every GPU, before and after."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError
from eplb.plan_tables import start_of
from eplb.storage.atomic import write_whole
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.figure import Figure

    from eplb.plan_tables import FloatTable, IntTable
    from eplb.plans import Plan

__all__ = ["figure_of", "plot_plan"]

#: Endings of picture files.
ENDINGS = (".png", ".svg", ".pdf")

_BEFORE, _AFTER = "#b3541e", "#1f6f8b"


def picture_path(path: str | PathLike[str]) -> Path:
    """The path of a picture.

    Raises:
        EplbError: the ending is unknown, matplotlib is not installed, or the folder does not exist.
    """
    where = Path(path)
    if where.suffix not in ENDINGS:
        raise EplbError(
            f"{str(path)!r} is not a picture file name; expected an ending {', '.join(ENDINGS)}"
        )
    if find_spec("matplotlib") is None:
        raise EplbError("matplotlib is needed to draw", hint=["pip install matplotlib"])
    if not where.parent.is_dir():
        raise EplbError(f"the folder {str(where.parent)!r} for {where.name} does not exist")
    return where


def plot_plan(
    plan: Plan,
    path: str | PathLike[str],
    layers: Sequence[int] | None = None,
    engine: str | None = None,
    title: str | None = None,
) -> None:
    """Draws the load of every GPU in every layer, without and with the plan.

    Without it, engines use the default placement. Loads are divided by the mean of their layer. Layers
    without load are left out. One layer or two are drawn as a bar for each GPU. The same plan gives
    the same file.

    Args:
        plan: a plan that was made by :func:`eplb.plan` or :func:`eplb.evaluate`.
        path: a ``.png``, ``.svg`` or ``.pdf`` file, written as a whole or not at all.
        layers: the hidden layer of each row, if it is known; the picture then names these.
        engine: whose start placement is drawn as before, one of ``eplb.engines.ENGINE_OF``.
        title: a line above the sizes, such as the model and the date of the loads.

    Raises:
        EplbError: the ending is unknown, matplotlib is not installed, or the loads are not known.
        OSError: the file cannot be written.
    """
    where = picture_path(path)
    figure = figure_of(plan, layers, engine, title)
    from matplotlib import rc_context

    kind, stream = where.suffix[1:], io.BytesIO()
    with rc_context({"svg.hashsalt": "eplb"}):
        figure.savefig(stream, format=kind, dpi=150, metadata=_NO_DATE[kind])
    write_whole(where, stream.getvalue())


# What would be the time of drawing.
_NO_DATE: dict[str, dict[str, None]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
# So many layers are drawn as bars of GPUs.
_FEW = 2


def figure_of(
    plan: Plan,
    layers: Sequence[int] | None = None,
    engine: str | None = None,
    title: str | None = None,
) -> Figure:
    """The picture as a ``matplotlib.figure.Figure``; arguments are those of :func:`plot_plan`."""
    trivial = plan.trivial(engine)
    if not trivial.certified:
        raise EplbError(
            "the loads of this plan are not known", hint=["use eplb.evaluate(plan, load)"]
        )
    rows = plan.loaded_layers
    if len(rows) == 0:
        raise EplbError("there is nothing to draw: no layer has load")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    names = np.arange(plan.num_layers) if layers is None else np.array(layers)
    layer = "layer" if layers is None else "hidden layer"
    start = "default placement"
    if start_of(engine) is not start_of(None):
        start = f"start placement of {engine}"
    placed = ((trivial, _BEFORE, start), (plan, _AFTER, plan.policy or "the placement"))
    if len(rows) <= _FEW:
        panels = figure.subplots(2, len(rows), sharex=True, sharey=True, squeeze=False)
        for (which, colour, name), axes_of_layers in zip(placed, panels, strict=True):
            for axes, row in zip(axes_of_layers, rows, strict=True):
                _bars(axes, which.relative_load[row], colour, f"{name}, {layer} {names[row]}")
        figure.supxlabel("GPU")
    else:
        panels = figure.subplots(2, 1, sharex=True, sharey=True)
        for (which, colour, name), axes in zip(placed, panels, strict=True):
            _panel(axes, which, rows, names, colour, name)
        panels[1].set_xlabel(layer)
    equal = (plan.cluster.gpu_speed == 1).all()
    figure.supylabel(f"GPU load{'' if equal else ' by speed'} / mean of its layer")
    slots = f"{count(plan.num_experts, 'expert')} in {count(plan.num_replicas, 'slot')}"
    sizes = f"{slots} on {count(plan.num_gpus, 'GPU')}"
    figure.suptitle(sizes if title is None else f"{title}\n{sizes}")
    return figure


def _bars(axes: Any, relative: FloatTable, colour: str, name: str) -> None:
    """A bar for each GPU of one layer, from 0."""
    axes.bar(range(len(relative)), relative, width=0.8, color=colour)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.margins(x=0.01)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title(f"{name}: busiest GPU {relative.max():.2f} x the mean", loc="left", fontsize=10)


def _panel(axes: Any, plan: Plan, rows: IntTable, names: IntTable, colour: str, name: str) -> None:
    """A dot for each GPU of each layer; a bar from 0 to the busiest one, for which all others wait."""
    relative, layers = plan.relative_load[rows], names[rows]
    peak = relative.max(axis=1)
    axes.bar(layers, peak, width=0.8, color=colour, alpha=0.25, linewidth=0)
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
