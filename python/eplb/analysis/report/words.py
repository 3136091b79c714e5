"""What a replay found out, in sentences for somebody who has not seen eplb before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.text import count, ranges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eplb.analysis.report.facts import Facts
    from eplb.plan_tables import FloatTable

_MS = 1000
_MORE = "Whether more redundant slots pay is what eplb advise shows."
_RULE = (
    "Of the settings whose updates fill at most a given share of the slots, the one with the best mean is "
    "taken, unless one that copies less is level with it."
)
_JUDGED = "Each plan knows the past alone, and is judged on the window that comes next."
_BALANCEDNESS = (
    "Balancedness is the load of the mean GPU divided by that of the busiest one, for which all others "
    "wait. 1 is perfect."
)
_KINDS = {
    "trivial": "trivial: the default placement of engines, without balancing.",
    "static": "static: one plan of the first windows, which is kept.",
    "deepseek": "deepseek: DeepSeek's published planner; each update plans the newest window anew.",
    "adaptive": "adaptive: a variant of it; each update plans the newest window anew.",
    "minimax": "minimax: the best plan of the newest window; each update plans anew.",
    "multiwindow": "multiwindow: plans for the windows to come, from the history of loads, and moves only "
    "what pays.",
    "callable": "Any other name: somebody else's planner.",
    "hindsight": "hindsight: one plan made from what is judged. Nobody has it in time: it is a line to "
    "compare with, not a limit.",
}


@dataclass(frozen=True)
class Words:
    """The paragraphs of a summary."""

    #: The answer in a sentence.
    headline: str
    #: What it brings and what it costs.
    worth: list[str]
    #: Why this setting.
    why: list[str]
    #: What to do, and lines to copy: what each is for, and the line.
    next_steps: list[str]
    lines: list[tuple[str, str]]
    #: What was replayed, and how it was judged.
    replayed: list[str]
    #: What the kinds of settings do.
    kinds: list[str]
    #: What to keep in mind.
    care: list[str]


def words_of(facts: Facts) -> Words:
    """The summary."""
    values = facts.values
    figures = {each["name"]: each for each in values["settings"]}
    name = values["recommendation"]["setting"]
    steps, lines = _next(facts, name)
    return Words(
        headline=_headline(facts, figures, name),
        worth=[] if name is None else _worth(facts, figures, name),
        why=[_RULE, values["recommendation"]["reason"]],
        next_steps=steps,
        lines=lines,
        replayed=_replayed(facts),
        kinds=_kinds(facts),
        care=_care(facts, figures),
    )


def _trivial(facts: Facts) -> str | None:
    return next((each.name for each in facts.settings if each.is_trivial), None)


def _headline(facts: Facts, figures: Mapping[str, Any], name: str | None) -> str:
    if name is None:
        return "No setting is recommended."
    trivial = _trivial(facts)
    reached = f"{figures[name]['balancedness_mean']:.3f}"
    if name == trivial:
        return (
            f"Keep the default placement: it reaches balancedness {reached}, and nothing else pays."
        )
    before = None if trivial is None else figures[trivial]["balancedness_mean"]
    if before is None:
        return f"Take {name}: it reaches balancedness {reached} on the next window."
    return f"Take {name}: balancedness on the next window goes from {before:.3f} to {reached}."


def _worth(facts: Facts, figures: Mapping[str, Any], name: str) -> list[str]:
    own, trivial = figures[name], _trivial(facts)
    found = []
    if trivial not in (None, name) and figures[trivial]["balancedness_mean"] is not None:
        before, after = figures[trivial]["balancedness_mean"], own["balancedness_mean"]
        found.append(
            f"It brings: balancedness {after:.4f} instead of {before:.4f}, that of the default placement. If a "
            f"layer takes as long as its busiest GPU, a mean GPU waits for {1 - after:.1%} of the time of the "
            f"expert layers; with the default placement, for {1 - before:.1%}. Attention and communication are not in this."
        )
    if facts.values["time_model"] is not None and own["lost_share"] is not None:
        lost = f"By the time model, {own['lost_share']:.2%} of the time is lost to imbalance"
        if trivial not in (None, name):
            lost += f", instead of {figures[trivial]['lost_share']:.2%}"
        found.append(f"{lost}. A model is not a measurement.")
    found.append(_cost(own))
    dearest = max(
        (each for each in facts.settings if each.usable and each.name != name),
        key=lambda each: figures[each.name]["copies"],
        default=None,
    )
    if dearest is not None and figures[dearest.name]["copies"] > 2 * max(1, own["copies"]):
        other = figures[dearest.name]
        found.append(
            f"For comparison: {dearest.name} fills {other['copies_share']:.1%} of the slots in a mean "
            f"update, and reaches {other['balancedness_mean']:.4f}."
        )
    return found


def _cost(own: Mapping[str, Any]) -> str:
    if not own["copies"]:
        return "It costs nothing while the model serves: no expert weights move after the start."
    moved = own["copies"] / own["updates"]
    gigabytes = ""
    if own["gigabytes"] is not None:
        gigabytes = f", {own['gigabytes'] / own['updates']:.2f} GB"
    return (
        f"It costs: a mean update fills {moved:.0f} slots with the weights of another expert{gigabytes}. "
        f"These are {own['copies_share']:.2%} of all slots. Planning takes "
        f"{own['seconds'] * _MS:.1f} ms (median)."
    )


def _next(facts: Facts, name: str | None) -> tuple[list[str], list[tuple[str, str]]]:
    advice = facts.values["recommendation"]
    if name is None:
        advice = "Replay settings that move less (multiwindow:max_copies=N), or allow more copies"
        return [f"{advice} (--most-copies)."], []
    lines = []
    if advice["variables"]:
        variables = {"EPLB_PLUGIN": "1", **advice["variables"]}
        words = " ".join(f"{key}={value}" for key, value in variables.items())
        lines.append(("Inside vLLM or SGLang, with eplb installed beside the engine:", words))
    if advice["first_command"]:
        lines.append(("From the command line, the first plan:", advice["first_command"]))
    if advice["command"]:
        kept = any(each.name == name and each.kind == "static" for each in facts.settings)
        when = "once" if kept else "for each update"
        lines.append((f"From the command line, {when}:", advice["command"]))
    if lines:
        notes = [f"{note[:1].upper()}{note[1:]}." for note in advice["notes"]]
        return [
            f"Set it in one of these ways, and record what it does on your traffic. {_MORE}",
            *notes,
        ], lines
    if name == _trivial(facts):
        return [f"Do nothing, and replay again if the traffic changes. {_MORE}"], []
    return ["No option of the command line or of the plug-ins sets it: call it from Python."], []


def _kinds(facts: Facts) -> list[str]:
    """What each kind of setting does, if it was replayed."""
    there = {each.kind for each in facts.settings}
    return [text for kind, text in _KINDS.items() if kind in there]


def _replayed(facts: Facts) -> list[str]:
    values = facts.values
    redundant = values["num_replicas"] - values["num_experts"]
    judged = values["windows"] - values["first_judged"]
    every = "each window" if values["every"] == 1 else f"every {values['every']} windows"
    windows, layers = count(values["windows"], "window"), count(values["num_layers"], "layer")
    slots = f"{count(values['num_replicas'], 'slot')} ({redundant} redundant)"
    experts, gpus = count(values["num_experts"], "expert"), count(values["num_gpus"], "GPU")
    warmup = count(values["warmup"], "window")
    found = [
        f"{windows} of loads of {layers} with {experts} each, in {slots} on {gpus}.",
        f"The first plan is made after {warmup}, and an update comes for {every}.",
        f"{_JUDGED} {count(judged, 'window')} {'was' if judged == 1 else 'were'} judged.",
        _BALANCEDNESS,
    ]
    if facts.events:
        happens = "; ".join(f"before window {window}: {what}" for window, what in facts.events)
        found.append(f"What happens to GPUs: {happens}.")
    return found


def _care(facts: Facts, figures: Mapping[str, Any]) -> list[str]:
    values, found = facts.values, []
    if not values["finished"]:
        found.append("The replay was interrupted: some settings lack windows, or are missing.")
    name = values["recommendation"]["setting"]
    if name is not None:
        found += _weak(facts, figures, name)
    if empty := _empty_layers(facts):
        found.append(f"Without any load, and in no figure: layer {ranges(empty)}.")
    if values["expert_bytes"] is None:
        found.append("Gigabytes are not known: give --expert-bytes or --config.")
    return found


def _weak(facts: Facts, figures: Mapping[str, Any], name: str) -> list[str]:
    """Where the recommended setting is weak."""
    own = figures[name]
    where = f"layer {own['worst_layer']} in window {own['worst_window']}"
    found = [f"The least that {name} reaches is {own['balancedness_worst']:.4f}, in {where}."]
    setting = next(each for each in facts.settings if each.name == name)
    means = {layer: _mean(values) for layer, values in enumerate(setting.balancedness.T)}
    layer = min(means, key=lambda one: means[one])
    if len(means) > 1:
        found.append(f"The layer with the least mean is layer {layer}: {means[layer]:.4f}.")
    trivial = _trivial(facts)
    if trivial not in (None, name):
        ours, theirs = _of_windows(facts, name), _of_windows(facts, trivial)
        both = ours.keys() & theirs.keys()
        if worse := sum(ours[window] < theirs[window] for window in both):
            found.append(
                f"In {worse} of {count(len(both), 'window')} it is below the default placement."
            )
        beside = next(each for each in facts.settings if each.name == trivial).balancedness
        if beside.shape == setting.balancedness.shape:
            below = setting.balancedness < beside
            if below.any():
                windows = int(below.any(axis=1).sum())
                found.append(
                    f"In {count(windows, 'window')} some layers are below the default placement: {below.sum()} "
                    f"of {below.size} in all. A plan cannot know loads that come for the first time."
                )
    return found


def _of_windows(facts: Facts, name: str) -> dict[int, float]:
    """Mean balancedness of a setting in each window with load."""
    return {
        row["window"]: row["balancedness_mean"]
        for row in facts.values["rows"]
        if row["setting"] == name and row["balancedness_mean"] is not None
    }


def _mean(values: FloatTable) -> float:
    """The mean of what is there; infinite if nothing is."""
    there = values[~np.isnan(values)]
    return math.fsum(there) / there.size if there.size else math.inf


def _empty_layers(facts: Facts) -> list[int]:
    if not facts.settings:
        return []
    return np.flatnonzero(np.isnan(facts.settings[0].balancedness).all(axis=0)).tolist()
