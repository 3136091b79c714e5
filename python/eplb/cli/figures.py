"""What commands print of a plan."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eplb.analysis.comparison import figures_of, gpu_loads, sizes_of
from eplb.analysis.layer_figures import layer_figures
from eplb.engines import ENGINE_OF, METRICS
from eplb.plan_tables import start_of
from eplb.planning import HISTORY_POLICIES
from eplb.summary import ratio, row
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import eplb
    from eplb.analysis.comparison import PlanSizes


#: At this balancedness of every layer, replicas would gain little.
_EVEN = 0.99


def spare_notes(sizes: PlanSizes, worst: float) -> list[str]:
    """That no expert can have a replica, if the worst balancedness could gain by one."""
    if sizes.used_slots > sizes.num_experts or worst >= _EVEN:
        return []
    lack = "there are no redundant slots, so no expert has a second replica"
    return [f"{lack}; try --redundant {sizes.num_gpus}"]


def group_notes(sizes: PlanSizes, of_model: int | None = None) -> list[str]:
    """What groups and nodes do not do; ``of_model`` is the number of groups that the config says."""
    groups, nodes = sizes.num_groups, sizes.num_nodes
    if of_model is not None and groups not in (1, of_model):
        model = count(of_model, "group") if of_model > 1 else "no groups"
        return [f"by its config, the model has {model}, not {groups}"]
    if groups > 1 and groups % nodes:
        return [f"--groups {groups} and --nodes {nodes} do nothing{_nodes_for(sizes)}"]
    if groups > 1 and nodes == 1:
        return [f"--groups {groups} restricts nothing on one node; give --nodes too"]
    if groups == 1 and nodes > 1:
        return [f"--nodes {nodes} does nothing without --groups{_groups_for(sizes, of_model)}"]
    return []


def _groups_for(sizes: PlanSizes, of_model: int | None) -> str:
    """What to give for ``--groups``, which then works."""
    nodes = sizes.num_nodes
    if sizes.num_gpus % nodes:
        return f", and {count(sizes.num_gpus, 'GPU')} cannot be divided over {nodes} nodes"
    if of_model is None:
        return "; the model's config.json says how many groups there are (n_group)"
    if of_model == 1:
        return "; by its config, the model has no groups"
    if of_model % nodes or sizes.num_experts % of_model or not _distinct(sizes, nodes):
        return f"; the {of_model} groups of the model do not go with {nodes} nodes"
    return f"; by its config, --groups {of_model} keeps each group of the model on one node"


def _nodes_for(sizes: PlanSizes) -> str:
    """The nearest numbers of nodes that groups and GPUs can be divided over, if there are any."""
    if sizes.num_experts % sizes.num_groups:
        return ""
    fits = math.gcd(sizes.num_gpus, sizes.num_groups)
    able = [nodes for nodes in range(2, fits + 1) if fits % nodes == 0 and _distinct(sizes, nodes)]
    near = [nodes for nodes in able if nodes < sizes.num_nodes][-1:]
    near += [nodes for nodes in able if nodes > sizes.num_nodes][:1]
    return f"; try {' or '.join(f'--nodes {nodes}' for nodes in near)}" if near else ""


def _distinct(sizes: PlanSizes, nodes: int) -> bool:
    """Whether no GPU has more slots than there are experts for its node."""
    return sizes.num_replicas // sizes.num_gpus <= sizes.num_experts // nodes


def engine_named(*names: str | None) -> str | None:
    """The first of these formats and dumps that an engine has, to know how that one starts."""
    return next((name for name in names if name in ENGINE_OF), None)


def start_notes(engine: str | None) -> list[str]:
    """That an engine starts in a way of its own, where that is not said beside the figures."""
    own = start_of(engine) is not start_of(None)
    return [f"the unbalanced placement is the one that {engine} starts with"] if own else []


def metric_lines(
    plan: eplb.Plan, name: str | None, engine: str | None, passes: Sequence[Any]
) -> list[str]:
    """A line for the metric, if one was given: the mean over these passes."""
    if name is None:
        return []
    metric = METRICS[name]
    before, after = (
        metric.of(gpu_loads(placed, passes)) for placed in (plan.trivial(engine), plan)
    )
    figures = "no load"
    if after is not None and before is not None:
        figures = f"{ratio(after)} (unbalanced {ratio(before)})"
    return lines_of(f"as {name}", [f"{figures}: {_formula(name, len(passes))}"])


def formula_lines(name: str | None, passes: int) -> list[str]:
    """What the column of a metric in a table is, if one was given: the mean over so many passes."""
    return [] if name is None else [f"as {name}: {_formula(name, passes)}"]


def _formula(name: str, passes: int) -> str:
    over = f", over {count(passes, 'window')}" if passes > 1 else ""
    return f"{METRICS[name].formula}{over}"


def sum_lines(windows: int, policy: str | None = None) -> list[str]:
    """That plans are judged on the sum of several windows, by policies or by the one given."""
    if windows == 1:
        return []
    summed = f"all figures are of the sum of {count(windows, 'window')}"
    planners = " and ".join(HISTORY_POLICIES)
    by = "" if policy else f", which all but {planners} planned"
    worth = "a plan is worth what it reaches on the next window, see eplb evaluate"
    return [f"{summed}{by};", worth]


def sum_values(windows: int) -> dict[str, str]:
    """The same for JSON."""
    return {} if windows == 1 else {"figures_of": sum_of(windows)}


def sum_of(windows: int) -> str:
    """The sum of so many windows."""
    return f"the sum of {count(windows, 'window')}"


def made_figures(plan: eplb.Plan) -> str | None:
    """Which of several windows the figures of a plan are of."""
    made_from = plan.made_from
    if made_from is None or made_from.windows == 1:
        return None
    if made_from.history is None:
        return sum_of(made_from.windows)
    return f"the newest of {count(made_from.windows, 'window')}"


def window_values(each: eplb.WindowFigures | None) -> dict[str, Any]:
    """The figures of several windows for JSON, over the layers with load."""
    if each is None:
        return {}
    rows = zip(each.balancedness, each.loaded, strict=True)
    windows = [
        {
            "balancedness_mean": float(values[loaded].mean()) if loaded.any() else None,
            "balancedness_worst": float(values[loaded].min()) if loaded.any() else None,
        }
        for values, loaded in rows
    ]
    return {"over_windows": asdict(each.over_windows()), "windows": windows}


def lines_of(name: str, texts: Iterable[str]) -> list[str]:
    """Lines below those of ``print(plan)``; :func:`~eplb.cli.output.fitted` breaks them."""
    return [row(name, text) for text in texts]


def plan_values(
    plan: eplb.Plan,
    layers: Sequence[int] | None,
    engine: str | None,
    passes: Sequence[Any] = (),
) -> dict[str, Any]:
    """A plan as plain values, for JSON; arguments are those of ``summary``.

    Engines' metrics are means over the passes.
    """
    return {
        "policy": plan.policy,
        "digest": plan.digest(),
        **asdict(sizes_of(plan)),
        "is_global": plan.is_global,
        "cluster": None if plan.cluster.is_uniform else plan.cluster.to_dict(),
        "loaded_layers": len(plan.loaded_layers),
        **asdict(figures_of(plan, passes)),
        "unbalanced": asdict(figures_of(plan.trivial(engine), passes)),
        "hidden_layers": None if layers is None else [*layers],
        "layers": [asdict(figures) for figures in layer_figures(plan, layers, engine)],
        "phy2log": plan.phy2log.tolist(),
    }
