"""``eplb check``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb.analysis.checking import check
from eplb.cli.figures import lines_of
from eplb.cli.options import (
    AsJson,
    Axes,
    Config,
    CountedUnder,
    Groups,
    Key,
    Layers,
    LoadOptions,
    LoadsPaths,
    Nodes,
    NumExperts,
    NumLayers,
    Trust,
    Weights,
    WrittenBy,
    number,
)
from eplb.cli.output import fitted, say
from eplb.cli.placements import read_with_sizes, rows_of
from eplb.engines import FORMAT_NAMES
from eplb.engines.target import target
from eplb.summary import at_most, percent, ratio
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.analysis.checking import Check, Failure

Limits = dict[str, float | None]

# Failing layers that are printed one by one.
_MOST = 10


def _limit(text: str) -> float:
    """A limit, given as 0.9 or 90%."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number; expected for example 0.9") from None


def check_command(
    placement: Annotated[
        str,
        typer.Argument(metavar="PLAN", help="A plan file, or the placement file of an engine."),
    ],
    loads: LoadsPaths,
    *,
    min_balancedness: Annotated[
        Any,
        typer.Option(
            "--min-balancedness",
            metavar="SHARE",
            parser=_limit,
            help="The least balancedness of each layer, mean GPU load / largest: 0.9 or 90%.",
        ),
    ] = None,
    max_gap: Annotated[
        Any,
        typer.Option(
            "--max-gap",
            metavar="SHARE",
            parser=_limit,
            help="The most that the busiest GPU of each layer may be above its lower bound: 0.01 or 1%.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"Format of the placement: {', '.join(FORMAT_NAMES)}. By default it is recognised.",
        ),
    ] = None,
    gpus: Annotated[
        int | None, number("--gpus", "GPUs of all nodes, if the file does not say.")
    ] = None,
    groups: Groups = 1,
    nodes: Nodes = 1,
    layers: Layers = None,
    config: Config = None,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    counted_under: CountedUnder = None,
    weights: Weights = None,
    trust_loads: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Check that a placement is good enough, for CI.

    Give --min-balancedness, --max-gap or both. The exit code is 0 if all layers hold in all windows, 1 if one
    does not, and 2 for invalid input.
    """
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, counted_under, weights, trust_loads
    )
    model = target(None, layers=layers, config=config)
    read = reading.read(loads)
    chosen = model.layers is not None
    model = model.for_loads(len(read.windows[0]), read.layers)
    placed = read_with_sizes(
        placement, format, gpus, model, read.experts, groups=groups, nodes=nodes
    )
    windows, left_out = rows_of(read.windows, placed, model, chosen=chosen)
    found = check(placed.plan, windows, min_balancedness=min_balancedness, max_gap=max_gap)
    notes = [*read.notes, *placed.notes, *left_out]
    limits = {"balancedness": min_balancedness, "gap": max_gap}
    if as_json:
        say(json.dumps({"holds": found.holds, **asdict(found), "notes": notes}))
    else:
        say(
            fitted(
                "\n".join(
                    [
                        *_lines(found),
                        *_failing_lines(found, limits, placed.names),
                        *lines_of("note", notes),
                    ]
                )
            )
        )
    if not found.holds:
        raise _error(found, limits, placed.names)


def _lines(found: Check) -> list[str]:
    """The figures."""
    cells = count(found.layers, "layer")
    if found.windows > 1:
        cells += f" in {count(found.windows, 'window')}"
    if empty := found.windows * found.layers - found.loaded:
        has = "has" if empty == 1 else "have"
        cells += f"; {empty} of {found.windows * found.layers} {has} no load"
    return [
        f"Check of {cells}",
        *lines_of(
            "balancedness",
            [f"mean {ratio(found.balancedness_mean)}, worst {ratio(found.balancedness_worst)}"],
        ),
        *lines_of("gap", [f"mean {percent(found.gap_mean)}, worst {at_most(found.gap_worst)}"]),
        *(["  holds"] if found.holds else []),
    ]


def _failing_lines(found: Check, limits: Limits, names: Sequence[int] | None) -> list[str]:
    """The failing layers, the worst first."""
    worst = sorted(found.failures, key=lambda failure: _order(failure, limits))
    texts = [
        f"{_place(failure, found, names)}: {_misses(failure, limits)}" for failure in worst[:_MOST]
    ]
    more = [f"and {len(worst) - _MOST} more"] if len(worst) > _MOST else []
    return lines_of("fails", [*texts, *more])


def _error(found: Check, limits: Limits, names: Sequence[int] | None) -> eplb.VerificationError:
    """How many layers fail, and the worst."""
    worst = min(found.failures, key=lambda failure: _order(failure, limits))
    where = "layers (each counts once in each window)" if found.windows > 1 else "layers"
    place = _place(worst, found, names)
    return eplb.VerificationError(
        f"{len(found.failures)} of {found.loaded} {where} fail; the worst is {place}: "
        f"{_misses(worst, limits)}",
        layer=worst.layer,
    )


def _order(failure: Failure, limits: Limits) -> tuple[float, float, int, int]:
    """By balancedness, or by the gap if only that is limited."""
    by_gap = limits["balancedness"] is None
    first, second = (
        (-failure.gap, failure.balancedness) if by_gap else (failure.balancedness, -failure.gap)
    )
    return first, second, failure.window, failure.layer


def _place(failure: Failure, found: Check, names: Sequence[int] | None) -> str:
    place = f"layer {failure.layer if names is None else names[failure.layer]}"
    return f"{place} in window {failure.window}" if found.windows > 1 else place


def _misses(failure: Failure, limits: Limits) -> str:
    values = {"balancedness": failure.balancedness, "gap": failure.gap}
    sides = {"balancedness": "at least", "gap": "at most"}
    return ", ".join(
        f"{what} {_beside(values[what], limits[what])}, expected {sides[what]} {limits[what]}"
        for what in failure.misses
    )


def _beside(value: float, limit: float | None) -> str:
    """Four digits, or as many as tell the value from the limit that it misses."""
    for digits in range(4, 17):
        text = f"{value:.{digits}f}"
        if limit is None or ((float(text) < limit) is (value < limit) and float(text) != limit):
            return text
    return repr(value)
