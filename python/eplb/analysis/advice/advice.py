"""What advice gives: plain tables, that JSON, CSV and Parquet can take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from eplb.analysis.advice.outcome import Outcome
from eplb.analysis.advice.text import text_of
from eplb.storage import result_tables
from eplb.storage.result_tables import FLAG, REAL, WHOLE
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

#: Columns of :meth:`Advice.table`, and what they hold.
COLUMNS = {
    "num_gpus": WHOLE,
    "redundant": WHOLE,
    "num_replicas": WHOLE,
    "slots_per_gpu": WHOLE,
    "balancedness_mean": REAL,
    "balancedness_p10": REAL,
    "balancedness_worst": REAL,
    "copies": WHOLE,
    "copies_share": REAL,
    "gigabytes_per_gpu": REAL,
    "redundant_gigabytes_per_gpu": REAL,
    "knee": FLAG,
    "seconds": REAL,
}


@dataclass(frozen=True)
class Advice(Outcome):
    """What numbers of GPUs and redundant slots reach; ``print`` shows it. :func:`eplb.advise` makes it."""

    def table(self) -> Iterator[dict[str, Any]]:
        """A dict for each point, with the keys ``COLUMNS``."""
        knees = {(knee.num_gpus, knee.redundant) for knee in self.knees}
        for point in self.points:
            figures = point.figures
            yield {
                "num_gpus": point.num_gpus,
                "redundant": point.redundant,
                "num_replicas": point.num_replicas,
                "slots_per_gpu": point.slots_per_gpu,
                "balancedness_mean": figures.balancedness_mean,
                "balancedness_p10": figures.balancedness_p10,
                "balancedness_worst": figures.balancedness_worst,
                "copies": figures.copies,
                "copies_share": figures.copies_share,
                "gigabytes_per_gpu": point.gigabytes,
                "redundant_gigabytes_per_gpu": point.redundant_gigabytes,
                "knee": (point.num_gpus, point.redundant) in knees,
                "seconds": figures.seconds,
            }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values, for JSON. Only times differ from run to run."""
        return {
            "num_layers": self.num_layers,
            "num_experts": self.num_experts,
            "num_groups": self.num_groups,
            "num_nodes": self.num_nodes,
            "windows": self.windows,
            "first_judged": self.warmup + 1,
            "warmup": self.warmup,
            "every": self.every,
            "setting": self.setting.name,
            "expert_bytes": self.expert_bytes,
            "per_slot": self.per_slot,
            "finished": self.finished,
            "lost": dict(self.lost),
            "left_out": [str(note) for note in self.left_out],
            "points": [*self.table()],
            "knees": [asdict(knee) for knee in self.knees],
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Writes everything to a .json file, or the points to a .csv or .parquet file.

        Raises:
            EplbError: another ending, or pyarrow is not installed. OSError: it cannot be written.
        """
        result_tables.save(path, self.to_dict(), COLUMNS, self.table())

    def __repr__(self) -> str:
        return f"<eplb.Advice of {count(len(self.points), 'point')}>"

    def __str__(self) -> str:
        return text_of(self)
