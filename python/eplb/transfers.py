"""Transfers: which expert weights an update copies, from where to where, in which order."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import EplbError
from eplb.plan_tables import read_only
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy.typing as npt

    Table = npt.NDArray[np.int64]

#: The columns of a transfer; -1 is none.
COLUMNS = (
    "layer",
    "step",
    "expert",
    "source_gpu",
    "source_slot",
    "destination_gpu",
    "destination_slot",
    "overwrites",
    "buffered",
)
_GIB = 2**30


def check_ending(path: str | PathLike[str]) -> None:
    """Refuses a file name that transfers cannot be written to.

    Raises:
        EplbError
    """
    from pathlib import Path

    if Path(path).suffix not in (".json", ".npy", ".csv"):
        name = Path(path).name
        raise EplbError(f"{name!r} is not a file name for transfers; expected .json, .npy or .csv")


class Transfers:
    """The weight copies of an update, in steps. :meth:`eplb.Migration.transfers` makes it.

    The transfers of one step of a layer can run in any order, or at once; sources are read from the
    map before the step. After the step the engine switches to the map after it: every step leaves a
    valid placement. A transfer that is not buffered overwrites its slot while the step runs, so
    readers leave that slot first. A buffered one arrives in a buffer on its GPU, and is put in its
    slot when the map is switched.
    """

    def __init__(self, table: Table, expert_bytes: int | None) -> None:
        self._table = table
        self._expert_bytes = expert_bytes

    @property
    def table(self) -> npt.NDArray[np.void]:
        """A structured array, a record for each transfer, by layer and step.

        Fields: ``layer``, ``step`` (of its layer, from 0), ``expert``, ``source_gpu`` and
        ``source_slot`` (in the map before the step; -1 if no GPU has the expert, so that it must be
        loaded from storage), ``destination_gpu``, ``destination_slot``, ``overwrites`` (the expert
        there; -1 if the slot is empty), ``buffered``.
        """
        dtype = np.dtype([(name, "?" if name == "buffered" else "<i8") for name in COLUMNS])
        records = np.empty(len(self._table), dtype=dtype)
        for column, name in enumerate(COLUMNS):
            records[name] = self._table[:, column]
        return read_only(records)

    @property
    def from_storage(self) -> npt.NDArray[np.void]:
        """The records of :attr:`table` without a source: experts to be loaded from storage."""
        table = self.table
        return read_only(table[table["source_gpu"] < 0])

    def of_hidden_layers(self, layers: Sequence[int]) -> Transfers:
        """The same with hidden layers in the column ``layer``; ``layers`` has that of each row."""
        table = self._table.copy()
        table[:, 0] = np.array(layers, dtype=np.int64)[table[:, 0]]
        return Transfers(table, self._expert_bytes)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def steps(self) -> int:
        """The most steps of a layer."""
        return int(self._column("step").max()) + 1 if len(self) else 0

    @property
    def expert_bytes(self) -> int | None:
        """Bytes of the weights of one expert of one layer; None if they are not known."""
        return self._expert_bytes

    @property
    def num_bytes(self) -> int | None:
        """Bytes of all transfers; None if those of an expert are not known."""
        return None if self._expert_bytes is None else len(self) * self._expert_bytes

    def busiest_gpu_bytes(self) -> int | None:
        """The most bytes that a GPU sends or receives, other GPUs being the other end."""
        return None if self._expert_bytes is None else self._busiest() * self._expert_bytes

    def _busiest(self) -> int:
        """The most transfers of a GPU in one direction, without those within it or from storage."""
        source, destination = self._column("source_gpu"), self._column("destination_gpu")
        across = (source != destination) & (source >= 0)
        counts = [np.bincount(gpus[across]) for gpus in (source, destination)]
        return max((int(gpu.max()) for gpu in counts if gpu.size), default=0)

    def _column(self, name: str) -> Table:
        column: Table = self._table[:, COLUMNS.index(name)]
        return column

    def to_dict(self) -> dict[str, Any]:
        """The transfers as plain Python values, for JSON: ``columns``, and a row for each."""
        rows = [[*values[:-1], bool(values[-1])] for values in self._table.tolist()]
        return {
            "format": "eplb transfers",
            "version": 1,
            "expert_bytes": self._expert_bytes,
            "columns": [*COLUMNS],
            "rows": rows,
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a ``.json`` file (:meth:`to_dict`), an ``.npy`` (:attr:`table`) or a ``.csv``.

        Raises:
            EplbError: another ending. OSError: it cannot be written.
        """
        from pathlib import Path

        from eplb.storage.atomic import write_whole

        check_ending(path)
        file = Path(path)
        write_whole(file, self._encode(file.suffix))

    def _encode(self, ending: str) -> bytes:
        if ending == ".json":
            return (json.dumps(self.to_dict()) + "\n").encode()
        if ending == ".csv":
            lines = [",".join(COLUMNS), *(",".join(map(str, r)) for r in self._table.tolist())]
            return ("\n".join(lines) + "\n").encode()
        stream = io.BytesIO()
        np.save(stream, self.table)
        return stream.getvalue()

    def __repr__(self) -> str:
        steps = count(self.steps, "step")
        return f"<eplb.Transfers: {count(len(self), 'transfer')} in at most {steps} a layer>"

    def __str__(self) -> str:
        if not len(self):
            return "No transfers"
        return "\n".join(
            [
                f"{count(len(self), 'transfer')}, at most {count(self.steps, 'step')} a layer",
                *self.lines(),
            ]
        )

    def lines(self) -> list[str]:
        """What the transfers cost, a line each."""
        from eplb.summary import row

        source = self._column("source_gpu")
        within = int((source == self._column("destination_gpu")).sum())
        buffered, stored = int(self._column("buffered").sum()), int((source < 0).sum())
        lines = [row("steps", f"at most {self.steps} a layer")] if len(self) else []
        if (num_bytes := self.num_bytes) is not None:
            busiest = f"{(self.busiest_gpu_bytes() or 0) / _GIB:.2f} GiB"
            lines.append(
                row(
                    "bytes",
                    f"{num_bytes / _GIB:.2f} GiB; the busiest GPU sends or receives {busiest}",
                )
            )
        if within:
            lines.append(row("within a GPU", count(within, "transfer")))
        if buffered:
            lines.append(row("buffered", f"{count(buffered, 'transfer')}, to break cycles"))
        if stored:
            lines.append(
                row("from storage", f"{count(stored, 'transfer')}: no GPU has these experts")
            )
        return lines
