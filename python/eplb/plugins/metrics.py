"""What a plug-in did as a file of metrics in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, get_args

import eplb
from eplb.plugins.window import Decision
from eplb.storage.atomic import write_whole
from eplb.storage.record_file import FALLBACKS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from eplb.plugins.window import Window

#: Name, type, and what it is.
FAMILIES = (
    ("eplb_info", "gauge", "Always 1; the version of eplb is a label."),
    (
        "eplb_balancedness_before",
        "gauge",
        "Mean over mean GPU load / largest GPU load of the newest window, under the map in force.",
    ),
    ("eplb_balancedness_after", "gauge", "The same under the map that was answered."),
    ("eplb_windows_total", "counter", "Windows of loads, by what was answered."),
    ("eplb_fallbacks_total", "counter", "Windows without a plan of eplb, by what was answered."),
    ("eplb_copies_total", "counter", "Weight copies of experts, of all layers."),
    ("eplb_shifted_layers_total", "counter", "Layers whose traffic had shifted, of all windows."),
    ("eplb_last_planning_seconds", "gauge", "Planning time of the newest window."),
    ("eplb_planning_seconds_total", "counter", "Planning time of all windows."),
    ("eplb_last_window_timestamp_seconds", "gauge", "When the newest window came."),
)


@dataclass
class _Series:
    """What is counted of one model of an engine."""

    newest: Window
    decisions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(get_args(Decision), 0))
    copies: int = 0
    shifted: int = 0
    seconds: float = 0.0

    def add(self, window: Window) -> None:
        self.newest = window
        self.decisions[window.decision] = self.decisions.get(window.decision, 0) + 1
        self.copies += window.copies
        self.shifted += window.shifted
        self.seconds += window.seconds

    def values(self) -> dict[str, float | int | None]:
        """The values of families without further labels."""
        newest = self.newest
        return {
            "eplb_balancedness_before": newest.balancedness_before,
            "eplb_balancedness_after": newest.balancedness_after,
            "eplb_copies_total": self.copies,
            "eplb_shifted_layers_total": self.shifted,
            "eplb_last_planning_seconds": newest.seconds,
            "eplb_planning_seconds_total": self.seconds,
            "eplb_last_window_timestamp_seconds": newest.time,
        }

    def samples(self, family: str) -> Iterator[tuple[dict[str, str], float | int]]:
        """Further labels and value of each sample of a family."""
        if family == "eplb_info":
            yield {"version": eplb.__version__}, 1
        elif family == "eplb_windows_total":
            for decision, windows in self.decisions.items():
                yield {"decision": decision}, windows
        elif family == "eplb_fallbacks_total":
            for decision in FALLBACKS:
                yield {"decision": decision}, self.decisions[decision]
        elif (value := self.values()[family]) is not None:
            yield {}, value


class Metrics:
    """Counts windows, and writes the file anew after each. May be shared by threads.

    Counters begin at 0 with the process, as those of any program.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = Lock()
        self._series: dict[tuple[str, int], _Series] = {}

    def add(self, window: Window) -> None:
        """Counts a window, also if the file cannot be written.

        Raises:
            OSError: the file cannot be written.
        """
        with self._lock:
            series = self._series.setdefault((window.engine, window.model), _Series(window))
            series.add(window)
            write_whole(self._path, self._text().encode(errors="replace"))

    def _text(self) -> str:
        lines = []
        for name, kind, what in FAMILIES:
            samples = [
                f"{name}{{{_labels({'engine': engine, 'model': str(model), **labels})}}} {value}"
                for (engine, model), series in self._series.items()
                for labels, value in series.samples(name)
            ]
            if samples:
                lines += [f"# HELP {name} {what}", f"# TYPE {name} {kind}", *samples]
        return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
