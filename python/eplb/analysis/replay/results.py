"""What a replay returns: plain tables, that JSON and CSV can take."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.analysis.replay.facts import facts_of
from eplb.analysis.replay.figures import figures_of
from eplb.analysis.replay.next_steps import steps_of
from eplb.analysis.replay.outcome import Outcome
from eplb.analysis.replay.recommendation import recommend
from eplb.analysis.replay.result import Result
from eplb.analysis.replay.text import text_of
from eplb.storage import result_tables
from eplb.storage.result_tables import FLAG, REAL, TEXT, WHOLE
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from eplb.analysis.replay.cells import Course, Row
    from eplb.analysis.replay.figures import TimeModel
    from eplb.analysis.replay.settings import Setting
    from eplb.analysis.replay.trace import Trace
    from eplb.errors import Note

#: Columns of :meth:`Replay.table`, and what they hold.
COLUMNS = {
    "setting": TEXT,
    "window": WHOLE,
    "balancedness_mean": REAL,
    "balancedness_worst": REAL,
    "worst_layer": WHOLE,
    "updated": FLAG,
    "copies": WHOLE,
    "seconds": REAL,
}


@dataclass(frozen=True)
class Replay(Outcome):
    """What settings reached on a trace; ``print`` shows it. :func:`eplb.replay` makes it."""

    def __getitem__(self, name: str) -> Result:
        """The result of the setting of this name."""
        for result in self.results:
            if result.setting.name == name:
                return result
        raise KeyError(name)

    def table(self) -> Iterator[dict[str, Any]]:
        """A dict for each setting and window, with the keys ``COLUMNS``."""
        for result in self.results:
            for row in result.rows:
                loaded = ~np.isnan(row.balancedness)
                figures = figures_of([row])
                yield dict(
                    zip(
                        COLUMNS,
                        (
                            result.setting.name,
                            row.window,
                            figures.balancedness_mean,
                            figures.balancedness_worst,
                            figures.worst_layer if loaded.any() else None,
                            row.updated,
                            row.copies,
                            row.seconds,
                        ),
                        strict=True,
                    )
                )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values, for JSON; rows as in :meth:`table`, without single layers.

        Only times differ from run to run. ``most_copies`` is None if copies are not limited.
        """
        return {
            "num_layers": self.num_layers,
            "num_experts": self.num_experts,
            "num_replicas": self.num_replicas,
            "num_gpus": self.num_gpus,
            "num_groups": self.course.num_groups,
            "num_nodes": self.course.cluster.num_nodes,
            "cluster": self.course.cluster.to_dict(),
            "windows": self.windows,
            "first_judged": self.course.first,
            "warmup": self.course.warmup,
            "every": self.course.every,
            "events": [{"window": event.window, **event.changes} for event in self.course.events],
            "expert_bytes": self.expert_bytes,
            "time_model": None if self.time_model is None else asdict(self.time_model),
            "most_copies": None if math.isinf(self.most_copies) else self.most_copies,
            "finished": self.finished,
            "lost": dict(self.lost),
            "notes": [str(note) for note in self.notes],
            "settings": [
                {
                    "name": result.setting.name,
                    "kind": result.setting.kind,
                    "options": dict(result.setting.options),
                    **asdict(result.figures),
                }
                for result in self.results
            ],
            "recommendation": asdict(self.recommendation),
            "rows": [*self.table()],
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Writes everything to a .json file, or the rows to a .csv or .parquet file.

        Raises:
            EplbError: another ending, or pyarrow is not installed. OSError: it cannot be written.
        """
        result_tables.save(path, self.to_dict(), COLUMNS, self.table())

    def report(self, path: str | PathLike[str], title: str = "") -> None:
        """Writes a page that shows it: one .html file that needs no network.

        ``title`` says what the trace is. The page shows the GPUs of single layers and windows if snapshots
        were kept.

        Raises:
            EplbError: another ending, or vl-convert-python is not installed. OSError: it cannot be written.
        """
        from eplb.analysis.report.page import write

        write(path, facts_of(self, self.to_dict(), title))

    def __repr__(self) -> str:
        settings = count(len(self.results), "setting")
        return f"<eplb.Replay of {settings} on {count(self.windows, 'window')}>"

    def __str__(self) -> str:
        return text_of(self)


def replay_of(
    trace: Trace,
    course: Course,
    rows: Sequence[tuple[Setting, Sequence[Row]]],
    *,
    expert_bytes: int | None,
    time_model: TimeModel | None,
    most_copies: float,
    finished: bool = True,
    lost: Mapping[str, str] | None = None,
    notes: tuple[Note, ...] = (),
) -> Replay:
    """The results of rows. Settings that have not judged all windows are not recommended."""
    results = tuple(
        Result(setting, tuple(each), figures_of(each, expert_bytes, time_model))
        for setting, each in rows
    )
    cluster = course.cluster
    judged = len(trace) - course.first
    whole = [result for result in results if result.figures.windows == judged]
    return Replay(
        trace.num_layers,
        trace.num_experts,
        cluster.num_slots,
        cluster.num_gpus,
        len(trace),
        course,
        results,
        recommend(whole, most_copies, lambda each: steps_of(each, course, trace.num_experts)),
        expert_bytes,
        time_model,
        finished,
        lost or {},
        notes,
        most_copies,
    )
