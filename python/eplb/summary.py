"""A plan on one screen: what it costs, what it gains, how far it is from the best."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eplb.planner import trivial_plan
from eplb.shown import count

if TYPE_CHECKING:
    from eplb.plans import FloatTable, IntTable, Plan


def loaded_layers(plan: Plan) -> IntTable:
    """The layers that carry a load: means leave the others out."""
    return np.flatnonzero(np.array(plan.certificate.max_load, dtype=np.uint64))


def summary(plan: Plan) -> str:
    """The text of ``print(plan)``: at most 80 columns."""
    lines = [_sizes(plan), *_cost(plan), _duplicates(plan), _row("digest", plan.digest())]
    return "\n".join(lines)


#: A row goes on.
_MORE = "\n" + " " * 16


def _row(name: str, text: str) -> str:
    return f"  {name:<14}{text}"


def _sizes(plan: Plan) -> str:
    slots = f"{count(plan.num_experts, 'expert')} in {count(plan.num_replicas, 'slot')}"
    lines = [
        f"Plan of {count(plan.num_layers, 'layer')}: {slots} on {count(plan.num_gpus, 'GPU')}",
        _row("policy", plan.policy or "none: a placement from elsewhere"),
    ]
    if plan.fallback:
        groups = f"{plan.num_groups}, no multiple of {plan.num_nodes} nodes: planned globally"
        lines.append(_row("groups", groups))
    elif plan.num_nodes > 1:
        groups = f"{plan.num_groups}, each whole on one of {plan.num_nodes} nodes"
        lines.append(_row("groups", groups))
    return "\n".join(lines)


def _cost(plan: Plan) -> list[str]:
    if not plan.certified:
        return [_row("load", "unknown: see eplb.evaluate(plan, load)")]
    layers = loaded_layers(plan)
    lines = []
    if len(layers) < plan.num_layers:
        without = plan.num_layers - len(layers)
        lines.append(_row("no load", f"{count(without, 'layer')}, left out of what follows"))
    if len(layers) == 0:
        return lines
    lines.append(_row("balancedness", _extremes(plan.balancedness, layers, worst=np.argmin)))
    trivial = trivial_plan(plan)
    if trivial.certified:
        before = trivial.balancedness[layers]
        least = f"mean {ratio(before.mean())}, worst {ratio(before.min())}"
        lines.append(_row("  unbalanced", least))
    lines.append(_row("gap to bound", _extremes(plan.gap, layers, worst=np.argmax, percent=True)))
    lines.append(_row("", _promise(plan, float(plan.gap[layers].max()))))
    if plan.num_nodes > 1 and not plan.fallback:
        rise = plan.lower_bound[layers] / plan.bound_without_groups[layers] - 1
        at = int(rise.argmax())
        cost = f"mean {rise.mean():.3%}, worst {rise[at]:.3%} (layer {layers[at]}) on the bound"
        lines.append(_row("groups cost", cost))
    # A hair above the mean is how integers divide, not what holds a plan up.
    mean = plan.certificate.gpu_load()[layers].mean(axis=1)
    bound = np.array(plan.certificate.lower_bound, dtype=np.float64)[layers]
    kind = np.where(bound <= mean * (1 + 1e-6), "mean", np.array(plan.bound)[layers])
    kinds = Counter(kind.tolist())
    reasons = {
        "mean": "the mean load",
        "adams": "the largest share of an expert",
        "node": "the best packing of groups on nodes",
        "packing": "the packing of experts, no slot being spare",
        "counting": "copies too heavy to share a GPU",
    }
    parts = [f"{reasons[kind]} ({count(n, 'layer')})" for kind, n in kinds.most_common()]
    lines.append(_row("bound by", ("," + _MORE).join(parts)))
    return lines


def _extremes(values: FloatTable, layers: IntTable, *, worst: object, percent: bool = False) -> str:
    values = values[layers]
    at = int(worst(values))  # type: ignore[operator]
    if percent:
        return f"mean {values.mean():.3%}, worst {at_most(values[at])} (layer {layers[at]})"
    return f"mean {ratio(values.mean())}, worst {ratio(values[at])} (layer {layers[at]})"


def ratio(value: float) -> str:
    """Four digits, and 1 only where it is 1."""
    text = f"{value:.4f}"
    return ">0.9999" if value < 1 and float(text) == 1 else text


#: Such a gap is told as what may be left to gain.
LARGE_GAP = 0.05


def _promise(plan: Plan, gap: float) -> str:
    """What the largest gap means."""
    grouped = plan.num_nodes > 1 and not plan.fallback
    if gap > LARGE_GAP:
        less = f"another plan may take at most {at_most(gap / (1 + gap))} off the busiest GPU"
        return less + (_MORE + "as long as groups stay on nodes" if grouped else "")
    best = "the best that any planner could do"
    best += _MORE + "that keeps the groups on nodes" if grouped else ""
    if gap == 0:
        return f"every layer is {best}"
    return f"every layer within {at_most(gap)} of {best}"


def at_most(gap: float) -> str:
    """The largest of gaps in percent: rounded up, so that what is said of it stays true."""
    return f"{math.ceil(Fraction(repr(float(gap))) * 10**5) / 1e3:.3f}%"


def _duplicates(plan: Plan) -> str:
    duplicates = plan.duplicates
    if plan.certified and len(loaded := loaded_layers(plan)):
        duplicates = duplicates[loaded]
    if not duplicates.any():
        beaten = int(np.count_nonzero(plan.beaten_by_duplicates)) if plan.certified else 0
        lines = [_row("duplicates", "none: no GPU holds an expert twice")]
        if beaten:
            lower = f"with duplicates a published policy ends lower in {count(beaten, 'layer')}"
            lines.append(_row("", lower))
        return "\n".join(lines)
    slots = count(int(duplicates.sum()), "slot")
    layers = count(int(np.count_nonzero(duplicates)), "layer")
    return _row("duplicates", f"{slots} with an expert that their GPU holds already, in {layers}")
