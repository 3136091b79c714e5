"""Advice as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.analysis.advice.outcome import Outcome
    from eplb.analysis.advice.points import Point
    from eplb.errors import Parameter


def text_of(advice: Outcome) -> str:
    """What was tried, a table with a line for each point, and which to take."""
    headings = [heading.replace("\n", " ").strip() for heading in headings_of(advice)]
    rows = [cells_of(advice, point) for point in advice.points]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    ]
    return "\n".join([*title_of(advice), "", *lines, "", *ending_of(advice)])


def title_of(advice: Outcome) -> list[str]:
    """What was tried, and how it was judged."""
    layers, experts = count(advice.num_layers, "layer"), count(advice.num_experts, "expert")
    every = "each window" if advice.every == 1 else f"every {advice.every} windows"
    first = f"first plan after {count(advice.warmup, 'window')}, an update for {every}"
    judged = count(advice.windows - advice.warmup - 1, "window")
    trace = f"{count(advice.windows, 'window')}, {layers} of {experts}"
    return [
        f"Advice from {trace}, by {advice.setting.name}",
        f"{first}; {judged} judged",
    ]


def headings_of(advice: Outcome) -> list[str]:
    """Headings of the table, of two lines each."""
    memory = [] if advice.expert_bytes is None else ["GB per\nGPU", "of it\nredundant"]
    return [
        "GPUs\n",
        "redundant\nslots",
        "slots\nper GPU",
        "mean\n",
        "p10\n",
        "worst\n",
        "copies\nof slots",
        *memory,
        "\n",
    ]


def cells_of(advice: Outcome, point: Point) -> list[str]:
    """The line of a point."""
    figures = point.figures
    memory = [
        "-" if value is None else f"{value:.2f}"
        for value in (point.gigabytes, point.redundant_gigabytes)
    ]
    return [
        str(point.num_gpus),
        str(point.redundant),
        str(point.slots_per_gpu),
        *(
            "-" if value is None else f"{value:.4f}"
            for value in (
                figures.balancedness_mean,
                figures.balancedness_p10,
                figures.balancedness_worst,
            )
        ),
        f"{figures.copies_share:.2%}",
        *([] if advice.expert_bytes is None else memory),
        "knee" if is_knee(advice, point) else "",
    ]


def is_knee(advice: Outcome, point: Point) -> bool:
    """Whether this point is the one of its curve to take."""
    return any(
        (knee.num_gpus, knee.redundant) == (point.num_gpus, point.redundant)
        for knee in advice.knees
    )


def ending_of(advice: Outcome, spell: Callable[[Parameter], str] = str) -> list[str]:
    """What the columns are, which points to take and why, and what is left out."""
    lines = [
        "mean, p10, worst: balancedness on the next window, over layers and windows",
        "copies: share of the slots that an update fills with another expert, mean",
    ]
    if any(point.gigabytes is not None for point in advice.points):
        lines.append("GB: expert weights of all layers, in 10^9 bytes")
    lines.append(
        f"knee: the fewest redundant slots from which more bring less than {100 * advice.per_slot:g} points "
        "of mean for each further slot of a GPU (a point is 0.01)"
    )
    lines += ["", *(knee.words for knee in advice.knees)]
    if advice.points and not advice.knees:
        lines.append("No window that was judged has load.")
    lines += [f"left out: {note.text(spell)}" for note in advice.left_out]
    lines += [f"missing: {name}: {why}" for name, why in advice.lost.items()]
    if not advice.finished and not advice.lost:
        lines.append("unfinished: some points are missing")
    return lines
