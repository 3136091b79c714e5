"""A plan on one screen: what it costs, what it gains, how far it is from the best."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from eplb import _core
from eplb.plan_tables import start_of
from eplb.text import count, ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eplb.clusters import Cluster
    from eplb.plan_tables import FloatTable, IntTable, PlanTables
    from eplb.storage.made_from import MadeFrom


def summary(
    plan: PlanTables,
    layers: Sequence[int] | None = None,
    engine: str | None = None,
    figures_of: str | None = None,
) -> str:
    """The text of ``print(plan)``: at most 80 columns.

    Args:
        plan: a plan.
        layers: the hidden layer of each row, if it is known; the text then speaks of these.
        engine: the engine whose start placement is the unbalanced one, one of ``ENGINE_OF``.
        figures_of: which of several windows the figures are of, if the plan itself does not say.
    """
    lines = [
        _sizes(plan),
        *([] if figures_of is None else [row("figures", f"of {figures_of}")]),
        *layers_note(layers),
        *_empty_slots(plan),
        *_cost(plan, range(plan.num_layers) if layers is None else layers, engine),
        _duplicates(plan),
        row("digest", plan.digest()),
    ]
    return "\n".join(lines)


# A row continues.
_MORE = "\n" + " " * 16
# Columns that are left for the text of a row.
_TEXT_WIDTH = 64


def row(name: str, text: str) -> str:
    """A line with a name before it."""
    return f"  {name:<14}{text}"


def _sizes(plan: PlanTables) -> str:
    slots = f"{count(plan.num_experts, 'expert')} in {count(plan.num_replicas, 'slot')}"
    lines = [
        f"Plan of {count(plan.num_layers, 'layer')}: {slots} on {count(plan.num_gpus, 'GPU')}",
        row("policy", plan.policy or "unknown: the placement does not say"),
        *_made_from(plan.made_from),
        *cluster_note(plan.cluster),
    ]
    lines += groups_note(plan)
    return "\n".join(lines)


def _empty_slots(plan: PlanTables) -> list[str]:
    if empty := int((plan.phy2log < 0).sum()):
        return [row("empty", f"{count(empty, 'empty slot')} of all layers")]
    return []


def _made_from(made_from: MadeFrom | None) -> list[str]:
    """A line about several windows."""
    if made_from is None or (made_from.windows == 1 and made_from.history is None):
        return []
    windows = count(made_from.windows, "window")
    if made_from.history is None:
        return [row("planned for", f"the sum of {windows}"), row("figures", "of that sum")]
    return [
        row(
            "planned for", f"the windows that follow {windows}{_MORE}(history {made_from.history})"
        ),
        row("figures", "of the newest window"),
    ]


def groups_note(plan: PlanTables) -> list[str]:
    """A line about groups and nodes, if there are any."""
    if plan.is_global:
        cluster = plan.cluster
        used = plan.num_nodes if cluster.is_uniform else cluster.num_used_nodes
        note = global_note(plan.num_groups, plan.num_nodes, used)
        return [row("groups", note if plan.num_groups == 1 else note.replace(", ", f",{_MORE}"))]
    if plan.num_nodes == 1:
        return []
    nodes = plan.num_nodes if plan.cluster.is_uniform else plan.cluster.num_used_nodes
    return [row("groups", f"{plan.num_groups}, each whole on one of {nodes} nodes")]


def cluster_note(cluster: Cluster) -> list[str]:
    """A line about GPUs that are not all equal and in use."""
    if cluster.is_uniform:
        return []
    words = wrap(cluster.describe(), _TEXT_WIDTH, break_on_hyphens=False)
    return [row("" if line else "cluster", text) for line, text in enumerate(words)]


def global_note(groups: int, nodes: int, used_nodes: int) -> str:
    """Why a plan is global."""
    if groups == 1:
        return f"no groups are given, so the {nodes} nodes are ignored"
    in_use = f"{nodes} nodes" if used_nodes == nodes else f"the {used_nodes} nodes in use"
    divided = f"{count(groups, 'group')} cannot be divided over {in_use}"
    return f"{divided}, so groups and nodes are ignored"


def layers_note(layers: Sequence[int] | None) -> list[str]:
    """That numbers of layers are those of hidden layers, if these are others than the rows."""
    if layers is None or [*layers] == [*range(len(layers))]:
        return []
    return [row("layers", f"{ranges(layers)}, as hidden layers are counted")]


def _cost(plan: PlanTables, names: Sequence[int], engine: str | None) -> list[str]:
    if not plan.certified:
        return [row("load", "not known: use eplb.evaluate(plan, load)")]
    layers = plan.loaded_layers
    lines = []
    if len(layers) < plan.num_layers:
        without = plan.num_layers - len(layers)
        lines.append(row("no load", f"{count(without, 'layer')}, not counted below"))
    if len(layers) == 0:
        return lines
    lines.append(row("balancedness", _extremes(plan.balancedness, layers, names, worst=np.argmin)))
    trivial = plan.trivial(engine)
    if trivial.certified:
        before = trivial.balancedness[layers]
        figures = f"mean {ratio(before.mean())}, worst {ratio(before.min())}"
        if start_of(engine) is not start_of(None):
            figures += f" (as {engine} starts)"
        lines.append(row("  unbalanced", figures))
    lines.append(
        row("gap to bound", _extremes(plan.gap, layers, names, worst=np.argmax, percent=True))
    )
    lines.append(row("", _promise(plan, float(plan.gap[layers].max()))))
    if plan.num_nodes > 1 and not plan.is_global:
        rise = plan.lower_bound[layers] / plan.bound_without_groups[layers] - 1
        at = int(rise.argmax())
        cost = (
            f"mean {rise.mean():.3%}, worst {rise[at]:.3%} (layer {names[layers[at]]}) on the bound"
        )
        lines.append(row("groups cost", cost))
    # A bound slightly above the mean comes from rounding up, not from another reason.
    mean = plan.certificate.gpu_load()[layers].sum(axis=1) / plan.cluster.total_speed
    bound = np.array(plan.certificate.lower_bound, dtype=np.float64)[layers]
    kind = np.where(bound <= mean * (1 + 1e-6), "mean", np.array(plan.bound)[layers])
    kinds = Counter(kind.tolist())
    reasons = dict(_core.bounds())
    parts = [f"{reasons[kind]} ({count(n, 'layer')})" for kind, n in kinds.most_common()]
    lines.append(row("bound by", ("," + _MORE).join(parts)))
    return lines


def _extremes(
    values: FloatTable,
    layers: IntTable,
    names: Sequence[int],
    *,
    worst: Callable[[FloatTable], np.int64],
    percent: bool = False,
) -> str:
    values = values[layers]
    at = int(worst(values))
    where = f"(layer {names[layers[at]]})"
    if percent:
        return f"mean {values.mean():.3%}, worst {at_most(values[at])} {where}"
    return f"mean {ratio(values.mean())}, worst {ratio(values[at])} {where}"


def ratio(value: float) -> str:
    """Four digits; 1.0000 only for exactly 1."""
    text = f"{value:.4f}"
    return ">0.9999" if value < 1 and float(text) == 1 else text


def percent(share: float) -> str:
    """A share in percent, of three digits after the point."""
    return f"{share:.3%}"


#: A larger gap is shown as what may be left to gain.
LARGE_GAP = 0.05


def _promise(plan: PlanTables, gap: float) -> str:
    """What the largest gap means, in words."""
    grouped = plan.num_nodes > 1 and not plan.is_global
    if gap > LARGE_GAP:
        less = f"no plan can lower the busiest GPU by more than {at_most(gap / (1 + gap))}"
        return less + (_MORE + "if groups stay on nodes" if grouped else "")
    best = "the best possible plan" + (_MORE + "with groups on nodes" if grouped else "")
    if gap == 0:
        return f"every layer is {best}"
    return f"every layer is within {at_most(gap)} of {best}"


def at_most(gap: float) -> str:
    """A gap in percent, rounded up, so that "at most" stays true."""
    return f"{math.ceil(Fraction(repr(float(gap))) * 10**5) / 1e3:.3f}%"


def _duplicates(plan: PlanTables) -> str:
    duplicates = plan.duplicates
    if plan.certified and len(loaded := plan.loaded_layers):
        duplicates = duplicates[loaded]
    if not duplicates.any():
        beaten = int(np.count_nonzero(plan.beaten_by_duplicates)) if plan.certified else 0
        lines = [row("duplicates", "none: no GPU holds an expert twice")]
        if beaten:
            lower = f"a published policy with duplicates is lower in {count(beaten, 'layer')}"
            lines.append(row("", lower))
        return "\n".join(lines)
    slots = count(int(duplicates.sum()), "slot")
    layers = count(int(np.count_nonzero(duplicates)), "layer")
    return row("duplicates", f"{slots} with an expert that is already on the same GPU, in {layers}")
