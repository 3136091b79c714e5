"""Dumps of SGLang's expert distribution recorder, as ``torch.save`` wrote them.

Mode ``stat`` has ``logical_count [windows, hidden layers, experts]``, dense layers as rows of zeros.
The modes ``per_pass`` and ``per_token`` have ``records``, one for each forward pass, with
``global_physical_count [hidden layers, slots]``: what one rank counted. A file is of one rank, so a
directory of the files of all ranks is a dump too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.engines.engine import DecodedLoads
from eplb.engines.ranks import named_in_errors, token_counts
from eplb.errors import EplbError, LoadError
from eplb.inputs.loads import as_array
from eplb.storage.decode import bytes_of, values_of
from eplb.text import count

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_MAP = "last_physical_to_logical_map"
_COUNT = "global_physical_count"
_AXES = ("windows", "layers", "slots")


def is_dump(values: Any) -> bool:
    """Whether the content of a file is a dump of the recorder."""
    return isinstance(values, dict) and (_is_stat(values) or _is_detail(values))


def read(values: Any) -> DecodedLoads:
    """The counts in a dump.

    Raises:
        LoadError: it is not one.
    """
    if not isinstance(values, dict) or not is_dump(values):
        raise LoadError(
            "it is not a dump of SGLang's recorder: it has no 'logical_count' with 'rank'"
        )
    if not _is_detail(values):
        return DecodedLoads(values["logical_count"], axes=("experts",))
    passes: dict[int, npt.NDArray[np.uint64]] = {}
    ranks = _add(values, passes)
    notes = [f"of {ranks} alone; the directory with the files of all ranks has the sum"]
    return replace(_decoded(passes, values[_MAP], notes), counted=_counted(values["records"]))


def is_folder(folder: Path) -> bool:
    """Whether a directory has files of the modes ``per_pass`` or ``per_token``."""
    return bool(_files(folder))


def is_folder_of_totals(folder: Path) -> bool:
    """Whether a directory has files of mode ``stat``: each is a dump of its own. The first one is read.

    Raises:
        OSError: it cannot be read.
    """
    if not (files := _files(folder)):
        return False
    try:
        values = values_of(bytes_of(files[0]), files[0].suffix)
    except EplbError:
        return False  # whoever reads the directory says what is wrong
    return isinstance(values, dict) and not _is_detail(values) and _is_stat(values)


def read_folder(folder: Path, key: str | None = None) -> DecodedLoads:
    """The counts of all ranks, summed for each forward pass.

    Raises:
        LoadError: a file is not such a dump, or is under another placement than the first.
        OSError: a file cannot be read.
    """
    if key is not None:
        raise LoadError(f"it has one unnamed table, not {key!r}")
    files = _files(folder)
    if not files:
        raise LoadError("it has no expert_distribution_recorder_*.pt")
    passes: dict[int, npt.NDArray[np.uint64]] = {}
    phy2log: Any = None
    for path in files:
        with named_in_errors(path):
            values = values_of(bytes_of(path), path.suffix)
            if not isinstance(values, dict) or not _is_detail(values):
                raise LoadError("it has no records of passes; give files of mode stat one by one")
            _add(values, passes)
            if phy2log is None:
                phy2log = as_array(values[_MAP])[0]
            elif not np.array_equal(phy2log, as_array(values[_MAP])[0]):
                raise LoadError(f"it has another placement than {files[0].name}")
    return _decoded(passes, phy2log, [f"{count(len(files), 'file')} summed for each forward pass"])


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("expert_distribution_recorder_*.pt"))


def _decoded(
    passes: dict[int, npt.NDArray[np.uint64]], phy2log: Any, notes: list[str]
) -> DecodedLoads:
    if not passes:
        raise LoadError("it has no record of a forward pass")
    tables = [passes[number] for number in sorted(passes)]
    if len({table.shape for table in tables}) > 1:
        raise LoadError("its records have different numbers of layers or slots")
    note = f"{count(len(tables), 'forward pass', 'forward passes')}, each a window"
    return DecodedLoads(np.stack(tables), axes=_AXES, phy2log=phy2log, notes=(note, *notes))


def _add(values: dict[Any, Any], passes: dict[int, npt.NDArray[np.uint64]]) -> str:
    """Adds the records to the counts of their passes; returns which ranks they are of."""
    records = values["records"]
    if not isinstance(records, list):
        raise LoadError("its 'records' are not a list")
    ranks = set()
    for index, record in enumerate(records):
        if not isinstance(record, dict) or _COUNT not in record:
            raise LoadError(f"record {index} has no {_COUNT!r}")
        number = record.get("forward_pass_id", index)
        if type(number) is not int:
            raise LoadError(f"record {index}: its 'forward_pass_id' is not a whole number")
        counts = token_counts(f"record {index}", record[_COUNT])
        if counts.ndim != 2 or (len(passes) + 1) * counts.size > limits.MAX_LOADS:
            raise LoadError(
                f"record {index}: its counts have shape {list(counts.shape)}; expected [layers, "
                f"slots], and at most {limits.MAX_LOADS} in all"
            )
        before = passes.get(number)
        if before is not None and before.shape != counts.shape:
            raise LoadError(f"record {index} has another shape than one before it")
        passes[number] = counts if before is None else before + counts
        ranks.add(record.get("rank"))
    numbers = sorted(rank for rank in ranks if type(rank) is int)
    return f"{'rank' if len(numbers) == 1 else 'ranks'} {', '.join(map(str, numbers[:8]))}"


def _counted(records: list[dict[Any, Any]]) -> frozenset[tuple[int, int]]:
    """The rank and the forward pass of each record that says them."""
    said = ((record.get("rank"), record.get("forward_pass_id")) for record in records)
    return frozenset(
        (rank, number) for rank, number in said if type(rank) is int and type(number) is int
    )


def _is_stat(values: dict[Any, Any]) -> bool:
    return "logical_count" in values and (
        "rank" in values or "average_utilization_rate_over_window" in values
    )


def _is_detail(values: dict[Any, Any]) -> bool:
    return {"records", _MAP} <= values.keys()
