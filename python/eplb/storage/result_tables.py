"""Files of results: everything as .json, or a table as .csv or .parquet."""

from __future__ import annotations

import csv
import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb.errors import EplbError
from eplb.storage.atomic import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

#: What a column holds; a cell may also be None.
TEXT, WHOLE, REAL, FLAG = "text", "whole", "real", "flag"
ENDINGS = (".json", ".csv", ".parquet")


def checked_ending(path: str | PathLike[str], *, also: str | None = None) -> Path:
    """The path, if results can be written there; ``also`` is another ending that an error names.

    Raises:
        EplbError: another ending, or pyarrow is needed and not installed.
    """
    file = Path(path)
    if file.suffix not in ENDINGS:
        *others, last = (*ENDINGS, also) if also else ENDINGS
        raise EplbError(
            f"{file.name!r} is not a file name for results; expected {', '.join(others)} or {last}"
        )
    if file.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise EplbError(
            "pyarrow is needed to write .parquet (eplb's extra parquet)",
            hint=["pip install pyarrow, or write .csv"],
        )
    return file


def save(
    path: str | PathLike[str],
    everything: dict[str, Any],
    columns: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
) -> None:
    """Writes ``everything`` to a .json file, or the table to a .csv or .parquet file.

    Args:
        path: the file.
        everything: plain Python values.
        columns: names, and what they hold.
        rows: of the table, with the names of the columns as keys.

    Raises:
        EplbError: another ending, or pyarrow is not installed. OSError: it cannot be written.
    """
    file = checked_ending(path)
    if file.suffix == ".json":
        write_whole(file, (json.dumps(everything) + "\n").encode())
    elif file.suffix == ".csv":
        write_whole(file, _csv(columns, rows))
    else:
        write_whole(file, _parquet(columns, rows))


def _csv(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def _parquet(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {TEXT: pa.string(), WHOLE: pa.int64(), REAL: pa.float64(), FLAG: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([*rows], schema=schema), stream)
    return stream.getvalue()
