"""What happened in the windows of a record: figures of each model, fallbacks, restarts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb.errors import EplbError, LoadError
from eplb.load_files.window_records import records_in
from eplb.storage.record_file import FALLBACKS, CutLine, process_of, utc
from eplb.summary import percent, ratio, row
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from eplb.storage.record_file import Record

#: Fallbacks that the text shows; JSON has the newest of these.
_MOST_SHOWN, _MOST_FALLBACKS = 5, 1000


@dataclass(frozen=True)
class Fallback:
    """A window that got no plan of eplb."""

    #: Seconds since 1970.
    time: float
    series: str
    decision: str
    reason: str


@dataclass(frozen=True)
class Balancedness:
    """Of the windows in which it is known; None if it is in none."""

    mean: float | None
    #: A tenth of the windows have at most this.
    percentile_10: float | None
    worst: float | None
    #: When the worst window was, seconds since 1970.
    worst_time: float | None


@dataclass(frozen=True)
class ModelRecord:
    """The windows of one model of one engine."""

    engine: str
    model: int
    #: Sizes of the newest window.
    num_layers: int
    num_experts: int
    num_slots: int
    num_gpus: int
    num_nodes: int
    dead_gpus: tuple[int, ...]
    #: Seconds since 1970.
    first: float
    last: float
    windows: int
    #: Windows by what was answered, the most frequent first.
    decisions: dict[str, int]
    copies: int
    #: Copies as a share of all slots of all windows.
    copies_share: float
    before: Balancedness
    after: Balancedness
    #: Planning time in seconds.
    median_seconds: float
    largest_seconds: float
    #: Windows with a layer that has shifted, and such layers of all windows.
    shifts: int
    shifted_layers: int


@dataclass(frozen=True)
class RecordSummary:
    """What happened, over all models."""

    path: str
    models: tuple[ModelRecord, ...]
    files: int
    #: Versions of eplb that wrote them, oldest first.
    versions: tuple[str, ...]
    processes: int
    #: Processes that began when another one had ended.
    restarts: int
    #: How many, and the newest of them, oldest first.
    num_fallbacks: int
    fallbacks: tuple[Fallback, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(_lines(self))


@dataclass
class _Model:
    """Figures of one model while its windows are read."""

    newest: Record
    first: float
    decisions: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    slots: int = 0
    shifts: int = 0
    shifted: int = 0
    times: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    def add(self, record: Record) -> None:
        if record.time >= self.newest.time:
            self.newest = record
        self.first = min(self.first, record.time)
        self.decisions[record.decision] += 1
        self.copies += record.copies
        self.slots += record.phy2log.size
        self.shifts += record.shifted > 0
        self.shifted += record.shifted
        self.times.append(record.time)
        self.seconds.append(record.seconds)
        for kept, value in (
            (self.before, record.balancedness_before),
            (self.after, record.balancedness_after),
        ):
            kept.append(np.nan if value is None else value)

    def figures(self) -> ModelRecord:
        newest = self.newest
        layers, experts = newest.load.shape
        return ModelRecord(
            newest.engine,
            newest.model,
            layers,
            experts,
            newest.phy2log.shape[1],
            newest.num_gpus,
            newest.num_nodes,
            newest.dead_gpus,
            self.first,
            newest.time,
            len(self.times),
            dict(self.decisions.most_common()),
            self.copies,
            self.copies / max(self.slots, 1),
            _balancedness(self.before, self.times),
            _balancedness(self.after, self.times),
            float(np.median(self.seconds)),
            max(self.seconds),
            self.shifts,
            self.shifted,
        )


def _balancedness(values: list[float], times: list[float]) -> Balancedness:
    figures = np.array(values)
    known = np.flatnonzero(~np.isnan(figures))
    if not len(known):
        return Balancedness(None, None, None, None)
    worst = int(known[figures[known].argmin()])
    return Balancedness(
        float(figures[known].mean()),
        float(np.quantile(figures[known], 0.1, method="lower")),
        values[worst],
        times[worst],
    )


def summarise(path: str | PathLike[str]) -> RecordSummary:
    """What happened in the windows of a record file, or of a folder of them.

    Raises:
        LoadError: there is no window, or a line is no record; the message says where.
        OSError: it cannot be read.
    """
    models: dict[tuple[str, int], _Model] = {}
    spans: dict[str, tuple[float, float]] = {}
    files: set[Path] = set()
    versions: dict[str, float] = {}
    fallbacks: list[Fallback] = []
    num_fallbacks, notes = 0, []
    try:
        for file, record in records_in(Path(path)):
            files.add(file)
            if isinstance(record, CutLine):
                notes.append(f"{file.name}: {record}")
                continue
            model = models.setdefault((record.engine, record.model), _Model(record, record.time))
            model.add(record)
            process = process_of(file)
            first, last = spans.get(process, (record.time, record.time))
            spans[process] = min(first, record.time), max(last, record.time)
            versions[record.eplb] = min(versions.get(record.eplb, record.time), record.time)
            if record.decision in FALLBACKS:
                num_fallbacks += 1
                fallbacks.append(
                    Fallback(record.time, record.series, record.decision, record.reason)
                )
                if len(fallbacks) > 2 * _MOST_FALLBACKS:
                    fallbacks = _newest(fallbacks)
        if not models:
            raise LoadError("it has no whole window", hint=["was the engine run with EPLB_RECORD?"])
    except EplbError as error:
        raise error.within(str(path), kind=LoadError) from error
    figures = sorted(
        (model.figures() for model in models.values()),
        key=lambda each: (-each.num_layers, each.engine, each.model),
    )
    return RecordSummary(
        str(path),
        tuple(figures),
        len(files),
        tuple(sorted(versions, key=lambda version: versions[version])),
        len(spans),
        len(spans) - _most_at_once(spans.values()),
        num_fallbacks,
        tuple(_newest(fallbacks)),
        tuple(notes),
    )


def _newest(fallbacks: list[Fallback]) -> list[Fallback]:
    return sorted(fallbacks, key=lambda each: each.time)[-_MOST_FALLBACKS:]


def _most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """The most processes that wrote at one time."""
    events = sorted(event for first, last in spans for event in ((first, 0, 1), (last, 1, -1)))
    running, most = 0, 0
    for _, _, change in events:
        running += change
        most = max(most, running)
    return most


def _lines(found: RecordSummary) -> list[str]:
    processes = count(found.processes, "process", "processes")
    restarts = f", {count(found.restarts, 'restart')}" if found.processes > 1 else ""
    windows = sum(model.windows for model in found.models)
    return [
        f"Record of {count(windows, 'window')}: {' and '.join(_engines(found))}",
        row("from", utc(min(model.first for model in found.models)) + " UTC"),
        row("to", utc(max(model.last for model in found.models)) + " UTC"),
        row("written by", f"{processes}{restarts}: {count(found.files, 'file')}"),
        row("eplb", ", then ".join(map(_one_line, found.versions))),
        *(line for model in found.models for line in _model_lines(model)),
        *_fallback_lines(found),
    ]


def _engines(found: RecordSummary) -> list[str]:
    return [*dict.fromkeys(_one_line(model.engine) for model in found.models)]


def _model_lines(model: ModelRecord) -> list[str]:
    windows = ", ".join(f"{number} {_one_line(name)}" for name, number in model.decisions.items())
    share = f"{percent(model.copies_share)} of the slots at a window"
    shifts = "none"
    if model.shifts:
        layers = count(model.shifted_layers, "layer")
        shifts = f"in {count(model.shifts, 'window')}, of {layers} in all"
    sizes = (
        f"{count(model.num_layers, 'layer')}, {count(model.num_experts, 'expert')} in "
        f"{count(model.num_slots, 'slot')} on {count(model.num_gpus, 'GPU')}{_dead(model)}"
    )
    return [
        f"{_one_line(model.engine)}, model {model.model}: {sizes}",
        row("windows", f"{model.windows}: {windows}"),
        row("copies", f"{model.copies}, {share}"),
        row("reached", _figures(model.before)),
        *(
            []
            if model.before.worst_time is None
            else [row("", f"the worst at {utc(model.before.worst_time)}")]
        ),
        row("planned", _figures(model.after)),
        row(
            "planning time",
            f"median {model.median_seconds * 1000:.2f} ms, "
            f"largest {model.largest_seconds * 1000:.2f} ms",
        ),
        row("shifts", shifts),
    ]


def _dead(model: ModelRecord) -> str:
    return f", {len(model.dead_gpus)} of them dead" if model.dead_gpus else ""


def _figures(of: Balancedness) -> str:
    if of.mean is None or of.percentile_10 is None or of.worst is None:
        return "not known"
    low = f"10th percentile {ratio(of.percentile_10)}"
    return f"mean {ratio(of.mean)}, {low}, worst {ratio(of.worst)}"


def _fallback_lines(found: RecordSummary) -> list[str]:
    if not found.num_fallbacks:
        return ["Fallbacks: none"]
    runs = _runs(found.fallbacks)
    more = f", the newest {_MOST_SHOWN} kinds" if len(runs) > _MOST_SHOWN else ""
    several = len(found.models) > 1
    lines = [f"Fallbacks: {count(found.num_fallbacks, 'window')}{more}"]
    for first, last, number in runs[-_MOST_SHOWN:]:
        when = utc(first.time)
        if number > 1:
            when = f"{count(number, 'window')}, {when} to {utc(last.time)}"
        series = f" {_one_line(first.series)}" if several else ""
        reason = _one_line(first.reason) or "no reason is recorded"
        lines.append(row(_one_line(first.decision), f"{when}{series}: {reason}"))
    return lines


def _runs(fallbacks: Sequence[Fallback]) -> list[tuple[Fallback, Fallback, int]]:
    """Fallbacks alike, one after another: the first, the last, and how many."""
    runs: list[tuple[Fallback, Fallback, int]] = []
    for each in fallbacks:
        if runs and _kind(runs[-1][0]) == _kind(each):
            runs[-1] = runs[-1][0], each, runs[-1][2] + 1
        else:
            runs.append((each, each, 1))
    return runs


def _kind(fallback: Fallback) -> tuple[str, str, str]:
    return fallback.series, fallback.decision, fallback.reason


def _one_line(text: str) -> str:
    """Text of a file, which may hold anything, as a part of a line."""
    line = " ".join(text.split())[:200]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
