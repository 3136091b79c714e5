"""A replay as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.analysis.replay.outcome import Outcome
    from eplb.analysis.replay.result import Result


def text_of(replay: Outcome) -> str:
    """What the replay is of, a table with a line for each setting, and the recommendation."""
    headings, rows = headings_of(replay), [cells_of(replay, result) for result in replay.results]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (headings, *rows)
    ]
    notes = [f"note: {note}" for note in replay.notes]
    return "\n".join([*title_of(replay), "", *lines, "", *ending_of(replay), *notes])


def title_of(replay: Outcome) -> list[str]:
    """Sizes, and what is judged."""
    course = replay.course
    slots = f"{count(replay.num_experts, 'expert')} in {count(replay.num_replicas, 'slot')}"
    judged = count(replay.windows - course.first, "window")
    every = "each window" if course.every == 1 else f"every {course.every} windows"
    layers, gpus = count(replay.num_layers, "layer"), count(replay.num_gpus, "GPU")
    first = f"first plan after {count(course.warmup, 'window')}, an update for {every}"
    lines = [
        f"Replay of {count(replay.windows, 'window')}, {layers}: {slots} on {gpus}",
        f"{first}; {judged} judged",
    ]
    return [*lines, *(f"event: {event}" for event in course.events)]


def headings_of(replay: Outcome) -> list[str]:
    """Headings of the table."""
    gigabytes = [] if replay.expert_bytes is None else ["GB"]
    lost = [] if replay.time_model is None else ["lost"]
    return ["setting", "mean", "p10", "worst", "copies", "of slots", *gigabytes, *lost, "plan ms"]


def cells_of(replay: Outcome, result: Result) -> list[str]:
    """The line of a setting."""
    figures = result.figures

    def shown(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    gigabytes = [] if replay.expert_bytes is None else [shown(figures.gigabytes, ".1f")]
    lost = [] if replay.time_model is None else [shown(figures.lost_share, ".2%")]
    judged = replay.windows - replay.course.first
    done = "" if figures.windows == judged else f" ({figures.windows} of {judged})"
    return [
        result.setting.name + done,
        shown(figures.balancedness_mean, ".4f"),
        shown(figures.balancedness_p10, ".4f"),
        shown(figures.balancedness_worst, ".4f"),
        str(figures.copies),
        f"{figures.copies_share:.2%}",
        *gigabytes,
        *lost,
        shown(None if figures.seconds is None else figures.seconds * 1000, ".2f"),
    ]


def ending_of(replay: Outcome) -> list[str]:
    """What the columns are, and the recommendation."""
    lines = [
        "mean, p10, worst: balancedness on the next window, over layers and windows",
        "copies: of all updates; of slots: of an update, mean; plan ms: of an update, median",
    ]
    if replay.time_model is not None:
        lines.append(f"lost: to imbalance, by a model: {replay.time_model}")
    if any(not result.setting.usable for result in replay.results):
        lines.append("hindsight: one plan made from what is judged; nobody has it in time")
    lines += [f"missing: {name}: {why}" for name, why in replay.lost.items()]
    if not replay.finished and not replay.lost:
        lines += _unfinished(replay.results, replay.windows - replay.course.first)
    recommendation = replay.recommendation
    lines += ["", f"recommended: {recommendation.setting or 'none'}", recommendation.reason]
    for what, command in (
        ("first", recommendation.first_command),
        ("command", recommendation.command),
    ):
        if command is not None:
            lines.append(f"{what}: {command}")
    if recommendation.variables:
        lines.append(
            "plug-ins: " + " ".join(f"{name}={it}" for name, it in recommendation.variables.items())
        )
    lines += recommendation.notes
    return lines


def _unfinished(results: Sequence[Result], judged: int) -> list[str]:
    parts = [
        f"{result.setting.name} has {count(result.figures.windows, 'window')} of {judged}"
        for result in results
        if result.figures.windows < judged
    ]
    return [f"unfinished: {', '.join(parts)}" if parts else "unfinished: some settings are missing"]
