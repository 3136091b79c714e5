"""What the charts and tables of a page show, as values for JSON, in a size that is bounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eplb.analysis.report.facts import Facts, SettingFacts, SnapshotFacts
    from eplb.plan_tables import FloatTable

# A page stays below 5 MB, of which Vega-Lite takes 0.9.
#: Columns of a heat map, and cells of all heat maps.
MOST_COLUMNS = 120
MOST_CELLS = 120_000
#: Points of a line, and of all lines.
MOST_POINTS = 400
MOST_LINES = 4_000
#: Windows of all settings that the page lists one by one.
MOST_ROWS = 12_000
#: Experts that moved: of a layer in a window, and of all lists.
MOST_LISTED = 40
MOST_MOVED = 30_000
#: Thousandths are enough for a colour or a bar.
_SCALE = 1000


def data_of(facts: Facts) -> dict[str, Any]:
    """Everything, in the order of the settings.

    ``replay`` is what ``--json`` has, but for its rows. These are in ``rows``, a list of columns for each
    setting, or None if they are too many.
    """
    values = {name: value for name, value in facts.values.items() if name != "rows"}
    few = len(facts.values["rows"]) <= MOST_ROWS
    cells = sum(each.balancedness.shape[1] for each in facts.settings) or 1
    most = _most_moved(facts.settings)
    columns = max(1, min(MOST_COLUMNS, MOST_CELLS // cells))
    points = max(1, min(MOST_POINTS, MOST_LINES // max(1, len(facts.settings))))
    return {
        "replay": values,
        "rows": _columns(facts.values["rows"], facts.settings) if few else None,
        "lines": [_line(each, points) for each in facts.settings],
        "heat": [_heat(each, columns) for each in facts.settings],
        "layers": [_layers(each) for each in facts.settings],
        "snapshots": [[_snapshot(one, most) for one in each.snapshots] for each in facts.settings],
        "events": [{"window": window, "what": what} for window, what in facts.events],
    }


def _columns(
    rows: Sequence[Mapping[str, Any]], settings: Sequence[SettingFacts]
) -> list[dict[str, list[Any]]]:
    """Rows by setting, each column a list: a third of the size."""
    found: dict[str, dict[str, list[Any]]] = {each.name: {} for each in settings}
    for row in rows:
        columns = found[row["setting"]]
        for name, value in row.items():
            if name != "setting":
                columns.setdefault(name, []).append(value)
    return [*found.values()]


def bins(windows: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Ranges of places in ``windows``, equally long but for the last one, at most ``most``."""
    width = max(1, math.ceil(len(windows) / most))
    return [(at, min(at + width, len(windows))) for at in range(0, len(windows), width)]


def _mean(values: FloatTable) -> float | None:
    there = values[~np.isnan(values)]
    return math.fsum(there) / there.size if there.size else None


def _line(setting: SettingFacts, most: int) -> list[dict[str, Any]]:
    """Mean balancedness of each window, or of several."""
    return [
        {
            "window": setting.windows[first],
            "until": setting.windows[end - 1],
            "mean": _mean(setting.balancedness[first:end].ravel()),
        }
        for first, end in bins(setting.windows, most)
    ]


def _heat(setting: SettingFacts, columns: int) -> dict[str, Any]:
    """Balancedness in thousandths, ``[columns][layers]``; None without load."""
    ranges = bins(setting.windows, columns)
    return {
        "windows": [[setting.windows[first], setting.windows[end - 1]] for first, end in ranges],
        "cells": [
            [_thousandths(_mean(column)) for column in setting.balancedness[first:end].T]
            for first, end in ranges
        ],
    }


def _layers(setting: SettingFacts) -> list[dict[str, Any]]:
    """Figures of each layer over the windows."""
    found = []
    for layer, values in enumerate(setting.balancedness.T):
        at = None if np.isnan(values).all() else int(np.nanargmin(values))
        found.append(
            {
                "layer": layer,
                "mean": _mean(values),
                "worst": None if at is None else float(values[at]),
                "window": None if at is None else setting.windows[at],
            }
        )
    return found


def _snapshot(snapshot: SnapshotFacts, most_moved: int) -> dict[str, Any]:
    """A snapshot, loads in thousandths; ``after`` is None for a layer in which nothing changed."""
    before = [[_thousandths(load) for load in row] for row in snapshot.before]
    after = [[_thousandths(load) for load in row] for row in snapshot.after]
    return {
        "window": snapshot.window,
        "layers": snapshot.layers,
        "balancedness": [
            [_balancedness(old), _balancedness(new)]
            for old, new in zip(snapshot.before, snapshot.after, strict=True)
        ],
        "before": before,
        "after": [None if new == old else new for old, new in zip(before, after, strict=True)],
        "moved": [
            [[expert, round(share, 4), *gpus] for expert, share, *gpus in layer[:most_moved]]
            for layer in snapshot.moved
        ],
        "num_moved": [len(layer) for layer in snapshot.moved],
    }


def _balancedness(loads: FloatTable) -> float | None:
    """Of GPU loads by their mean, in as many digits as tables have; None without load."""
    there = loads[~np.isnan(loads)]
    return round(1 / float(there.max()), 4) if there.size else None


def _most_moved(settings: Sequence[SettingFacts]) -> int:
    """How many experts of a layer can be listed so that all lists have at most ``MOST_MOVED``."""
    lengths = [
        len(layer) for each in settings for one in each.snapshots for layer in one.moved if layer
    ]
    for most in range(MOST_LISTED, 1, -1):
        if sum(min(length, most) for length in lengths) <= MOST_MOVED:
            return most
    return 1


def _thousandths(value: float | None) -> int | None:
    return None if value is None or math.isnan(value) else round(value * _SCALE)
