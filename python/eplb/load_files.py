"""Load files: .npy, .npz, .pt, .json, .csv and standard input, whoever wrote them.

What a file holds is told by its first bytes, then by its ending. Integers stay exact. Windows
``[windows, layers, experts]`` are summed: integers exactly, floats to the nearest float64.
"""

from __future__ import annotations

import io
import math
import re
import sys
import warnings
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from eplb.errors import EplbError, LoadError, LoadTypeError
from eplb.loads import MAX_LOAD, as_array
from eplb.npy_files import MAX_BYTES, read_npy, read_npz
from eplb.plan_files import parse_json
from eplb.tensors import is_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from os import PathLike

#: Names under which loads are looked for in a file of several arrays.
KEYS = ("counts", "load", "logical_count")
#: Files of text hold at most so many bytes: as Python numbers they take many times as much.
MAX_TEXT_BYTES = 2**27
#: A file holds at most so many loads.
MAX_CELLS = MAX_BYTES // 8

_NPY = b"\x93NUMPY"
_ZIP = b"PK"
# The first pickle in what torch.save wrote before it wrote zip files: a magic number.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
# So many numbers in a row that count 0, 1, 2, ... are labels rather than loads.
_LABELS = 4

_SHAPES = "[layers, experts] or [windows, layers, experts] is needed"
_KINDS = "neither .npy, .npz, .pt nor text (CSV or JSON)"


@dataclass(frozen=True)
class FileLoads:
    """Loads of a file."""

    #: ``[layers, experts]``: int64, uint64, float32 or float64, finite and not negative.
    table: npt.NDArray[Any]
    #: What was done to them on the way, a line each.
    notes: tuple[str, ...] = ()


def read_loads(source: str | PathLike[str], *, key: str | None = None) -> FileLoads:
    """Reads loads from a file, or from standard input where ``source`` is ``"-"``.

    Args:
        source: ``.npy``, ``.npz``, ``.pt`` (needs torch), ``.json`` (lists of lists) or ``.csv``
            (a row per layer).
        key: which array of an ``.npz``, which entry of a JSON object or a ``.pt`` dict. By default
            the only one, or the one that is named as in ``KEYS``.

    Raises:
        LoadError: it holds no loads; the message names the file and what is wrong where.
        OSError: it cannot be read.
    """
    name = "standard input" if source == "-" else str(source)
    content = _content(source)
    try:
        array = _array(_values(content, Path(source).suffix.lower(), key))
        _check_loads(array)
        if array.ndim == 2:
            return FileLoads(array)
        return FileLoads(_sum_of_windows(array), (_sum_note(array),))
    except EplbError as error:
        place = (error.layer, error.slot, error.expert)
        raise LoadError(f"{name}: {error}", *place) from error
    except LoadTypeError as error:
        raise LoadError(f"{name}: {error}") from error


def _content(source: str | PathLike[str]) -> bytes:
    if source != "-":
        with Path(source).open("rb") as stream:
            return _limited(stream, str(source))
    if sys.stdin is None or sys.stdin.closed:
        raise LoadError("standard input: it is closed")
    return _limited(sys.stdin.buffer, "standard input")


def _limited(stream: BinaryIO, name: str) -> bytes:
    content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise LoadError(f"{name}: it holds more than {MAX_BYTES} bytes")
    return content


def _values(content: bytes, ending: str, key: str | None) -> Any:
    """The array, tensor or nested list that the content stands for."""
    if not content:
        raise LoadError("it is empty")
    if content.startswith(_NPY):
        return _only(_decoded("an .npy file", read_npy, content), key)
    if content.startswith(_ZIP):
        return _zip_values(content, key)
    if ending in (".pt", ".pth") or content.startswith(_OLD_TORCH):
        return _entry(_torch_values(content), key)
    if ending in (".npy", ".npz"):
        raise LoadError(f"it is no {ending} file: it begins with {content[:8]!r}")
    text = _text(content)
    if ending == ".json" or text.lstrip()[:1] in ("[", "{"):
        return _entry(parse_json(content), key)
    return _only(_csv_rows(text), key)


def _decoded(kind: str, read: Callable[[Any], Any], content: Any) -> Any:
    """What ``read`` makes of hostile bytes, or an error: decoders raise whatever they meet."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return read(content)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise LoadError(f"it cannot be read as {kind}: {reason}") from error


# -- .npz and .pt ---------------------------------------------------------------------------------


def _zip_values(content: bytes, key: str | None) -> Any:
    kind = "an .npz or .pt file"
    members = _decoded(kind, _zip_members, content)
    if any(Path(member.filename).name == "data.pkl" for member in members):
        total = sum(member.file_size for member in members)
        if total > MAX_BYTES:
            raise LoadError(f"its tensors hold {total} bytes; at most {MAX_BYTES} are read")
        return _entry(_torch_values(content), key)
    return _entry(_decoded(kind, read_npz, io.BytesIO(content)), key)


def _zip_members(content: bytes) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.infolist()


def _torch_values(content: bytes) -> Any:
    try:
        import torch
    except ImportError as error:
        raise LoadError("torch is needed to read it: pip install torch") from error
    from pickle import UnpicklingError

    def load(content: bytes) -> Any:
        try:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except UnpicklingError:  # torch's own message goes on for a page
            raise ValueError("it holds more than tensors and plain values, or none") from None

    return _decoded("a .pt file", load, content)


# -- Files of several arrays ----------------------------------------------------------------------


def _only(values: Any, key: str | None) -> Any:
    if key is not None:
        raise LoadError(f"it holds one table without a name, and none named {key!r}")
    return values


def _entry(values: Any, key: str | None) -> Any:
    """The loads among named arrays; ``values`` itself where it has no names."""
    if not isinstance(values, dict):
        return _only(values, key)
    if key is not None:
        if key in values:
            return values[key]
        raise LoadError(f"it holds no {key!r}; it holds {_names(values)}")
    if len(values) == 1:
        return next(iter(values.values()))
    known = [name for name in KEYS if name in values]
    if len(known) != 1:
        raise LoadError(
            f"which are the loads? It holds {_names(values)}: name one as the key (--key)"
        )
    return values[known[0]]


def _names(values: Mapping[Any, Any]) -> str:
    names = [repr(str(name)[:40]) for name in list(values)[:8]]
    return ", ".join(names) + (", ..." if len(values) > len(names) else "") if names else "nothing"


# -- Text -----------------------------------------------------------------------------------------


def _text(content: bytes) -> str:
    if len(content) > MAX_TEXT_BYTES:
        raise LoadError(
            f"it holds {len(content)} bytes of text; at most {MAX_TEXT_BYTES} are read: "
            "give it as .npy"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LoadError(f"it is {_KINDS}") from None
    if "\0" in text:
        raise LoadError(f"it is {_KINDS}")
    return text


def _csv_rows(text: str) -> list[list[int | float]]:
    """Rows of numbers; a first line without any number is a header, and left out."""
    numbers: list[int] = []
    rows: list[list[int | float]] = []
    header_seen = False
    for line, cells in _csv_lines(text):
        if not rows and not header_seen:
            _refuse_index_column(line, cells[0])
            if not any(map(_looks_like_number, cells)):
                header_seen = True
                continue
        rows.append([_csv_number(line, column, cell) for column, cell in enumerate(cells, 1)])
        numbers.append(line)
        if len(cells) != len(rows[0]):
            raise LoadError(
                f"line {line} has {len(cells)} columns, line {numbers[0]} has {len(rows[0])}"
            )
    if not rows:
        raise LoadError("it holds no row of numbers")
    _refuse_labels(f"line {numbers[0]}", "header", rows[0])
    first = [row[0] for row in rows]
    _refuse_labels("column 1", "layers' numbers", first, least=2 if header_seen else _LABELS)
    return rows


def _csv_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line that is neither blank nor a comment, with its number from 1."""
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip() and not row.lstrip().startswith("#"):
            separator = next((mark for mark in ",;\t" if mark in row), None)  # None: any space
            yield line, [cell.strip() for cell in row.split(separator)]


def _looks_like_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _csv_number(line: int, column: int, cell: str) -> int | float:
    place = f"line {line}, column {column}"
    value: int | float
    if _INTEGER.fullmatch(cell) and len(cell) < 40:
        value = int(cell)
    elif _FLOAT.fullmatch(cell):
        value = float(cell)
    else:
        shown = repr(cell[:40]) if cell else "nothing"
        raise LoadError(f"{place}: {shown} is there; a finite number is needed")
    if value < 0 or value == math.inf:
        raise LoadError(f"{place}: the load is {cell}; a load must be finite and not negative")
    if isinstance(value, int) and value > MAX_LOAD:
        raise LoadError(f"{place}: the load is {cell}; an integer load is 0 to 2**64 - 1")
    return value


def _refuse_index_column(line: int, cell: str) -> None:
    """Refuses a header that names, or leaves unnamed as pandas does, a column of layers."""
    if cell.lower() in ("", "layer", "layers", "layer_id", "index"):
        raise LoadError(
            f"line {line} starts with {cell!r}: is column 1 the layers' numbers? "
            "Delete it, or with pandas write to_csv(index=False, header=False)"
        )


def _refuse_labels(
    where: str, what: str, cells: list[int | float], *, least: int = _LABELS
) -> None:
    """Refuses cells that only count: as loads they would silently spoil the plan."""
    counted = all(right - left == 1 for left, right in pairwise(cells))
    if len(cells) >= least and counted:
        raise LoadError(
            f"{where} only counts {cells[0]}, {cells[1]}, ...: is it the {what}? "
            "Delete it; loads that do count can be given as .npy or .json"
        )


# -- Arrays ---------------------------------------------------------------------------------------


def _array(values: Any) -> npt.NDArray[Any]:
    """Values of any number of dimensions as int64, uint64, float32 or float64."""
    if isinstance(values, list):
        return _list_array(values)
    if not isinstance(values, np.ndarray) and not is_tensor(values):
        raise LoadError(f"a table of loads is needed, it holds {_kind(values)}")
    cells = values.size if isinstance(values, np.ndarray) else values.numel()
    if cells > MAX_CELLS:
        raise LoadError(f"it holds {cells} loads; at most {MAX_CELLS} are read")
    array, bits_of = as_array(values)
    if bits_of == "float16":
        return array.view(np.float16).astype(np.float32)
    if bits_of == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _kind(values: Any) -> str:
    return "an object" if isinstance(values, dict) else repr(values)[:40]


def _list_array(values: list[Any]) -> npt.NDArray[Any]:
    """Nested lists of two or three levels; each cell is looked at."""
    first = values[0] if values else None
    if not (isinstance(first, list) and first and isinstance(first[0], list)):
        return as_array(values)[0]
    for window, table in enumerate(values):
        if not isinstance(table, list) or len(table) != len(first):
            found = f"{len(table)} layers" if isinstance(table, list) else _kind(table)
            raise LoadError(f"window {window} holds {found}, window 0 holds {len(first)} layers")
        try:
            as_array(table)
        except (LoadError, LoadTypeError) as error:
            raise LoadError(f"window {window}: {error}") from error
    rows = [row for table in values for row in table]
    widths = [len(row) for row in rows]
    for row, width in enumerate(widths):
        if width != widths[0]:
            window = row // len(first)
            raise LoadError(f"window {window} has {width} experts, window 0 has {widths[0]}")
    return as_array(rows)[0].reshape(len(values), len(first), widths[0])


def _check_loads(array: npt.NDArray[Any]) -> None:
    if array.ndim not in (2, 3) or array.size == 0:
        raise LoadError(f"the loads have shape {list(array.shape)}; {_SHAPES}")
    bad = array < 0
    if array.dtype.kind == "f":
        bad |= ~np.isfinite(array)
    if not bad.any():
        return
    place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), array.shape))
    axes = ("window", "layer", "expert")[-array.ndim :]
    where = ", ".join(f"{axis} {at}" for axis, at in zip(axes, place, strict=True))
    raise LoadError(
        f"{where}: the load is {array[place]}; a load must be finite and not negative",
        layer=place[-2],
        expert=place[-1],
    )


def _sum_note(array: npt.NDArray[Any]) -> str:
    windows, layers, experts = array.shape
    return f"{windows} windows summed: [{windows}, {layers}, {experts}] to [{layers}, {experts}]"


def _sum_of_windows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind == "f":
        return _sum_of_floats(array)
    return _sum_of_integers(array.astype(np.uint64))


def _sum_of_integers(array: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Exact sums: of upper and lower halves, which cannot overflow, then in Python's integers."""
    upper = (array >> np.uint64(32)).sum(axis=0, dtype=np.uint64)
    lower = (array & np.uint64(2**32 - 1)).sum(axis=0, dtype=np.uint64)
    total = upper.astype(object) * 2**32 + lower.astype(object)
    for (layer, expert), load in np.ndenumerate(total):
        if load > MAX_LOAD:
            raise LoadError(
                f"layer {layer}, expert {expert}: the windows sum to {load}; "
                "an integer load is 0 to 2**64 - 1",
                layer=layer,
                expert=expert,
            )
    return np.array(total, dtype=np.uint64)


def _sum_of_floats(array: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The float64 nearest to each exact sum, whatever the order of the windows."""
    windows, layers, experts = array.shape
    total = np.empty((layers, experts))
    for layer, expert in np.ndindex(layers, experts):
        try:
            total[layer, expert] = math.fsum(array[:, layer, expert].tolist())
        except OverflowError:
            raise LoadError(
                f"layer {layer}, expert {expert}: the sum of {windows} windows exceeds float64",
                layer=layer,
                expert=expert,
            ) from None
    return total
