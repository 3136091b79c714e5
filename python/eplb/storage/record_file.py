"""Record files: what a plug-in did, a JSON object on a line for each window of loads.

Keys, in this order: ``format``, ``version``, ``eplb`` (the version that wrote it), those of
:class:`Record` up to ``digest``, and then the tables

- ``load [layers, experts]``: tokens,
- ``previous [layers, slots]``: the map in force, -1 for an empty slot; null if there was none,
- ``answer``: null if it is the map in force; a table ``[layers, slots]``; or where it differs from the
  map in force, as three lists ``{"layers": [...], "slots": [...], "experts": [...]}``.

A file begins with a whole line, and only its last line may be cut, if its writer was. Files in a folder
have the names of :func:`name_of`, which sort by time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from functools import cache
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.errors import EplbError, LoadError
from eplb.storage.checked import check_format, check_keys, integers_of, size_of
from eplb.storage.json_text import parse_json
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = "eplb record"
VERSION = 1

_BEGINNING = b'{"format":"eplb record",'
# Between these are the loads of a window.
_LOAD, _PREVIOUS = b',"load":', b',"previous":'
_NAME = re.compile(
    r"eplb-(?P<process>[A-Za-z0-9_]+-[0-9]{8}T[0-9]{6}-[0-9]+)\.(?P<part>[0-9]{5,})\.jsonl",
    re.ASCII,
)
#: Decisions of windows without a plan of eplb, though there was load.
FALLBACKS = ("old map", "own planner", "default")
#: Seconds since 1970 of the year 10000, which no calendar has.
_END_OF_TIME = 253402300800
#: If more slots than this share change, the answer is written as a whole.
_MOST_CHANGES = 1 / 4

IntTable = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Record:
    """A window and what was answered: the fields of a plug-in's ``Window``, and the version of eplb."""

    eplb: str
    engine: str
    model: int
    number: int
    time: float
    num_gpus: int
    num_nodes: int
    num_groups: int
    dead_gpus: tuple[int, ...]
    decision: str
    reason: str
    copies: int
    shifted: int
    balancedness_before: float | None
    balancedness_after: float | None
    seconds: float
    digest: str
    load: IntTable
    previous: IntTable | None
    phy2log: IntTable

    @property
    def series(self) -> str:
        """The engine and its model, such as ``vllm-0``."""
        return f"{self.engine}-{self.model}"

    @property
    def when(self) -> str:
        """Date and time, UTC."""
        return utc(self.time)


_FACTS = [field.name for field in fields(Record)][:-3]
_KEYS = {"format", "version", *_FACTS, "load", "previous", "answer"}


def utc(seconds: float) -> str:
    """Seconds since 1970 as date and time."""
    return strftime("%Y-%m-%d %H:%M:%S", gmtime(seconds))


def name_of(engine: str, seconds: float, process: int, part: int) -> str:
    """The name of a file that a process began to write."""
    return f"eplb-{_plain(engine)}-{strftime('%Y%m%dT%H%M%S', gmtime(seconds))}-{process}.{part:05d}.jsonl"


def _plain(engine: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", engine)[:40] or "_"


def process_of(path: Path) -> str:
    """What all files of a process, and no others, have in common: the name without its end."""
    found = _NAME.fullmatch(path.name)
    return found["process"] if found else str(path)


def files_of(folder: Path, engine: str | None = None) -> list[Path]:
    """The record files in a folder, of all engines or one; those of a process in its order.

    Raises:
        OSError: the folder cannot be read.
    """
    start = "eplb-" if engine is None else f"eplb-{_plain(engine)}-"
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    mine = [(match, path) for match, path in found if path.name.startswith(start)]
    mine.sort(key=lambda each: _by_time(each[0]["process"], each[0]["part"]))
    return [path for _, path in mine]


def _by_time(process: str, part: str) -> tuple[str, str, int]:
    engine, when = process.split("-", 1)
    return when, engine, int(part)


def encode(record: Record) -> bytes:
    """The line of a window. Of 58 layers with 256 experts in 288 slots: 130 KB, in 2 ms.

    Raises:
        ValueError: the loads are not integers ``[layers, experts]``, or a figure is not finite.
    """
    load = np.asarray(record.load)
    if load.ndim != 2 or not load.size or load.dtype.kind not in "iu":
        raise ValueError(
            f"the loads are {load.dtype} of shape {list(load.shape)}; expected integers of shape "
            "[layers, experts]"
        )
    facts = {
        "format": FORMAT,
        "version": VERSION,
        **{name: getattr(record, name) for name in _FACTS},
    }
    # A number may be one of numpy's.
    head = json.dumps(facts, separators=(",", ":"), allow_nan=False, default=lambda x: x.item())
    tables = (
        ("load", json.dumps(load.tolist(), separators=(",", ":"))),
        ("previous", "null" if record.previous is None else _map_text(record.previous)),
        ("answer", _answer_text(record)),
    )
    return "".join([head[:-1], *(f',"{name}":{text}' for name, text in tables), "}\n"]).encode()


def _answer_text(record: Record) -> str:
    before, after = record.previous, record.phy2log
    if before is None or before.shape != after.shape:
        return _map_text(after)
    layers, slots = np.nonzero(before != after)
    if len(layers) > _MOST_CHANGES * after.size:
        return _map_text(after)
    if not len(layers):
        return "null"
    changes = {"layers": layers, "slots": slots, "experts": after[layers, slots]}
    return json.dumps(
        {name: values.tolist() for name, values in changes.items()}, separators=(",", ":")
    )


def _map_text(phy2log: IntTable) -> str:
    """A map as JSON: it takes a fifth of the time of json.dumps."""
    least, most = (int(phy2log.min()), int(phy2log.max())) if phy2log.size else (0, 0)
    if phy2log.ndim != 2 or least < -1 or most >= limits.MAX_EXPERTS:
        return json.dumps(phy2log.tolist(), separators=(",", ":"))
    rows = _words(1 << most.bit_length())[phy2log + 1].tolist()
    return "[" + ",".join([f"[{','.join(row)}]" for row in rows]) + "]"


@cache
def _words(most: int) -> npt.NDArray[Any]:
    """The numbers from -1 to ``most - 1`` in digits."""
    return np.array([str(number) for number in range(-1, most)], dtype=object)


def is_record(content: bytes) -> bool:
    """Whether a file that begins like this is a record."""
    return content.startswith(_BEGINNING)


def begins_as_record(path: Path) -> bool:
    """Whether a file is a record.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return is_record(stream.read(len(_BEGINNING)))


@dataclass(frozen=True)
class CutLine:
    """The last line of a file whose writer was stopped."""

    line: int
    bytes: int

    def __str__(self) -> str:
        return f"line {self.line}, the last one, is cut off after {count(self.bytes, 'byte')}: left out"


def read(stream: BinaryIO) -> Iterator[tuple[int, Record | CutLine]]:
    """The records of a file, one after another, with the numbers of their lines.

    Raises:
        LoadError: a line is no record; the message says which one.
        OSError: the file cannot be read.
    """
    line = 0
    while text := stream.readline(limits.MAX_TEXT_BYTES + 1):
        line += 1
        if (record := _read(text, line)) is not None:
            yield line, record


def _read(text: bytes, line: int) -> Record | CutLine | None:
    """What is on the line with this number; None if it is blank.

    Raises:
        LoadError: it is no record.
    """
    try:
        if len(text) > limits.MAX_TEXT_BYTES:
            raise LoadError(f"it has more than {limits.MAX_TEXT_BYTES} bytes")
        return decode(text) if text.strip() else None
    except _NotJsonError as error:
        if not _may_be_cut(text):
            raise error.within(f"line {line}", kind=LoadError) from error
        return CutLine(line, len(text))
    except EplbError as error:
        raise error.within(f"line {line}", kind=LoadError) from error


@dataclass(frozen=True)
class Place:
    """Where the line of a window is, and what is known of it without its tables."""

    start: int
    bytes: int
    series: str
    time: float
    #: Layers and experts.
    shape: tuple[int, int]


def places(stream: BinaryIO) -> Iterator[Place | CutLine]:
    """Where the windows of a file are that :func:`read` reads.

    The tables of a line as :func:`encode` writes it are not parsed.

    Raises:
        LoadError: a line is no record; the message says which one.
        OSError: the file cannot be read.
    """
    start = line = 0
    while text := stream.readline(limits.MAX_TEXT_BYTES + 1):
        line += 1
        place = _place(text, start)
        if place is not None:
            yield place
        elif isinstance(record := _read(text, line), CutLine):
            yield record
        elif record is not None:
            layers, experts = record.load.shape
            yield Place(start, len(text), record.series, record.time, (layers, experts))
        start += len(text)


def _place(line: bytes, start: int) -> Place | None:
    """The place of a line that has its keys in their order; None if it has not."""
    head, load, rest = line.partition(_LOAD)
    table, previous, _ = rest.partition(_PREVIOUS)
    if not (load and previous and line.endswith(b"}\n") and line.startswith(_BEGINNING)):
        return None
    try:
        facts = parse_json(head + b"}")
        check_format(facts, FORMAT, (VERSION,))
        series, time = (
            f"{_text(facts, 'engine')}-{_whole(facts, 'model')}",
            _figure(facts, "time", _END_OF_TIME),
        )
    except (EplbError, KeyError):
        return None
    layers, cells = table.count(b"[") - 1, table.count(b",") + 1
    if layers < 1 or cells % layers:
        return None
    return Place(start, len(line), series, time, (layers, cells // layers))


def load_of(line: bytes) -> IntTable:
    """The loads on a line, ``[layers, experts]``; the rest is checked only if its keys are in another order.

    Raises:
        EplbError: it has no valid loads.
    """
    _, load, rest = line.partition(_LOAD)
    table, previous, _ = rest.partition(_PREVIOUS)
    if not load or not previous or b'"' in table:
        return decode(line).load
    return _load({"load": parse_json(table)})


class _NotJsonError(LoadError):
    """A line is no JSON text."""


def _may_be_cut(line: bytes) -> bool:
    """Whether it is the beginning of a window, at the end of a file; zeros may follow it."""
    start = line.rstrip(b"\0")[: len(_BEGINNING)]
    return not line.endswith(b"\n") and _BEGINNING.startswith(start)


def decode(line: bytes) -> Record:
    """The record on a line.

    Raises:
        EplbError: it is none.
    """
    try:
        values = parse_json(line)
    except EplbError as error:
        raise error.within(kind=_NotJsonError) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise LoadError(f"this is no window of a record: it begins with {short(line[:40])}")
    if "version" in values:
        check_format(values, FORMAT, (VERSION,))
    check_keys("the window", values, _KEYS)
    load = _load(values)
    previous = None if values["previous"] is None else _table(values, "previous")
    texts = ("eplb", "engine", "decision", "reason", "digest")
    counts = ("model", "number", "copies", "shifted")
    sizes = ("num_gpus", "num_nodes", "num_groups")
    plain: dict[str, Any] = {
        **{name: _text(values, name) for name in texts},
        **{name: _whole(values, name) for name in counts},
        **{name: size_of(values, name) for name in sizes},
    }
    gpus = values["dead_gpus"]
    dead = integers_of(
        values, "dead_gpus", (len(gpus) if isinstance(gpus, list) else 0,), np.uint32
    )
    return Record(
        **plain,
        time=_figure(values, "time", _END_OF_TIME),
        seconds=_figure(values, "seconds", _END_OF_TIME),
        balancedness_before=_balancedness(values, "balancedness_before"),
        balancedness_after=_balancedness(values, "balancedness_after"),
        dead_gpus=tuple(dead.tolist()),
        load=load,
        previous=previous,
        phy2log=_answer(values, previous),
    )


def _load(values: dict[str, Any]) -> IntTable:
    load = _table(values, "load")
    if not load.size:
        raise LoadError("load has no cells")
    if load.min() < 0:
        layer, expert = np.argwhere(load < 0)[0]
        raise LoadError(f"load[{layer}][{expert}] is {load[layer, expert]}; expected at least 0")
    return load


def _table(values: dict[str, Any], name: str) -> IntTable:
    rows = values[name]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise LoadError(f"{name} is {short(rows)}; expected a table")
    if not rows:
        return np.zeros((0, 0), dtype=np.int64)
    return integers_of(values, name, (len(rows), len(rows[0])), np.int64)


def _answer(values: dict[str, Any], previous: IntTable | None) -> IntTable:
    answer = values["answer"]
    if isinstance(answer, list):
        return _table(values, "answer")
    if previous is None:
        raise LoadError(
            f"answer is {short(answer)}, but there is no map in force; expected a table"
        )
    if answer is None:
        return previous
    check_keys("answer", answer, {"layers", "slots", "experts"})
    number = len(answer["layers"]) if isinstance(answer["layers"], list) else 0
    layers, slots, experts = (
        integers_of(answer, name, (number,), np.int64) for name in ("layers", "slots", "experts")
    )
    for name, indices, size in zip(
        ("layers", "slots"), (layers, slots), previous.shape, strict=True
    ):
        wrong = indices[(indices < 0) | (indices >= size)]
        if len(wrong):
            raise LoadError(f"answer has {name[:-1]} {wrong[0]}; expected 0 to {size - 1}")
    phy2log = previous.copy()
    phy2log[layers, slots] = experts
    return phy2log


def _text(values: dict[str, Any], name: str) -> str:
    text = values[name]
    if not isinstance(text, str):
        raise LoadError(f"{name} is {short(text)}; expected a text")
    return text


def _whole(values: dict[str, Any], name: str) -> int:
    number = values[name]
    if type(number) is not int or not 0 <= number < 2**63:
        raise LoadError(f"{name} is {short(number)}; expected a whole number of at least 0")
    return number


def _figure(values: dict[str, Any], name: str, below: float) -> float:
    figure = values[name]
    if type(figure) not in (int, float) or not 0 <= figure < below:
        raise LoadError(f"{name} is {short(figure)}; expected a number from 0 to below {below}")
    return float(figure)


def _balancedness(values: dict[str, Any], name: str) -> float | None:
    # Sums of floats may round to a little more than 1.
    return None if values[name] is None else _figure(values, name, 1.001)
