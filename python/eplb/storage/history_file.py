"""The file of a load history: a dict of plain values, as JSON.

Keys: ``format``, ``version``, ``rows``, ``decay`` (in 65536ths), ``windows`` (how many were observed),
``num_experts``, and ``layers``, a list of dicts:

- ``rows [rows, experts]``: shares of 2**30, oldest first; ``weights [rows]``: 65536 is one window,
- ``nearest``: distances of the last windows to the nearest row; ``usual``: the usual distance,
- ``shifted``: whether the newest window was a shift,
- ``newest [experts]``, ``exponent``: the newest window; load = newest / 2**exponent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core, limits
from eplb.errors import EplbError, PlanFileError
from eplb.storage.checked import check_format, check_keys, integers_of, size_of
from eplb.storage.json_text import parse_json
from eplb.text import short

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "eplb history"
VERSION = 1

_KEYS = {"format", "version", "rows", "decay", "windows", "num_experts", "layers"}
_LAYER_KEYS = {"rows", "weights", "nearest", "usual", "shifted", "newest", "exponent"}


@dataclass(frozen=True)
class HistoryContent:
    """What the file of a history contains."""

    rows: int
    #: In 65536ths.
    decay: int
    #: None if no window has been observed.
    history: _core.LoadHistory | None
    windows: int


def to_dict(content: HistoryContent) -> dict[str, Any]:
    """The content as plain Python values, for JSON."""
    experts, layers = 0, []
    if content.history is not None:
        _, _, experts, states, newest, exponents = content.history.state()
        names = ("rows", "weights", "nearest", "usual", "shifted")
        for state, loads, exponent in zip(states, newest, exponents, strict=True):
            values = dict(zip(names, state, strict=True))
            layers.append({**values, "newest": loads, "exponent": exponent})
    return {
        "format": FORMAT,
        "version": VERSION,
        "rows": content.rows,
        "decay": content.decay,
        "windows": content.windows,
        "num_experts": experts,
        "layers": layers,
    }


def from_dict(values: Any) -> HistoryContent:
    """The content of a dict as :func:`to_dict` makes it.

    Raises:
        PlanFileError: a key is missing, unknown, or of the wrong type, shape or range.
        LoadError: the values are not those of a history. EplbError: an option is out of range.
    """
    if isinstance(values, dict) and "phy2log" in values:
        raise PlanFileError("this is a plan, not a history; are the arguments swapped?")
    check_keys("the history", values, _KEYS)
    check_format(values, FORMAT, (VERSION,))
    rows, decay = _number(values, "rows"), _number(values, "decay")
    layers = values["layers"]
    if not isinstance(layers, list):
        raise PlanFileError(f"layers must be a list, got {type(layers).__name__}")
    if not layers:
        if (values["num_experts"], values["windows"]) != (0, 0):
            raise PlanFileError("it has no layers; expected windows and num_experts to be 0")
        return HistoryContent(rows, decay, None, 0)
    experts, windows = size_of(values, "num_experts"), size_of(values, "windows")
    states, newest, exponents = [], [], []
    for index, layer in enumerate(layers):
        try:
            state, loads, exponent = _layer(layer, experts)
        except EplbError as error:
            raise error.within(f"layer {index}") from error
        states.append(state)
        newest.append(loads)
        exponents.append(exponent)
    history = _core.LoadHistory.from_state((rows, decay, experts, states, newest, exponents))
    return HistoryContent(rows, decay, history, windows)


def _layer(layer: Any, experts: int) -> tuple[Any, list[int], int]:
    check_keys("it", layer, _LAYER_KEYS)
    rows = layer["rows"]
    count = len(rows) if isinstance(rows, list) else 0
    shares = [] if rows == [] else integers_of(layer, "rows", (count, experts), np.uint32).tolist()
    nearest = layer["nearest"]
    windows = len(nearest) if isinstance(nearest, list) else 0
    shifted = layer["shifted"]
    if not isinstance(shifted, bool):
        raise PlanFileError(f"shifted is {short(shifted)}; expected true or false")
    state = (
        shares,
        integers_of(layer, "weights", (count,), np.uint64).tolist(),
        integers_of(layer, "nearest", (windows,), np.uint32).tolist(),
        _number(layer, "usual"),
        shifted,
    )
    newest = integers_of(layer, "newest", (experts,), np.uint64).tolist()
    [exponent] = integers_of({"exponent": [layer["exponent"]]}, "exponent", (1,), np.int32).tolist()
    return state, newest, exponent


def _number(values: dict[str, Any], name: str) -> int:
    number = values[name]
    if type(number) is not int or not 0 <= number < 2**32:
        raise PlanFileError(f"{name} is {short(number)}; expected a whole number below 2**32")
    return number


def encode(content: HistoryContent) -> bytes:
    """The bytes of the file.

    Raises:
        EplbError: the file would be too large to be read again.
    """
    text = json.dumps(to_dict(content), separators=(",", ":")) + "\n"
    if len(text) > limits.MAX_TEXT_BYTES or text.count(",") > limits.MAX_JSON_VALUES:
        raise EplbError(
            f"the history is too large for a file: at most {limits.MAX_TEXT_BYTES} bytes and "
            f"{limits.MAX_JSON_VALUES} values are read again",
            hint=["pickle it instead"],
        )
    return text.encode()


def read(path: Path) -> HistoryContent:
    """The content of the file of a history.

    Raises:
        PlanFileError, LoadError, EplbError: as :func:`from_dict`, with the path.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(limits.MAX_TEXT_BYTES + 1)
    try:
        if len(content) > limits.MAX_TEXT_BYTES:
            raise PlanFileError(f"it holds more than {limits.MAX_TEXT_BYTES} bytes")
        return from_dict(parse_json(content))
    except EplbError as error:
        raise error.within(str(path)) from error
