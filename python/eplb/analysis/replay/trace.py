"""A trace of loads: windows, oldest first, each checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import LoadError
from eplb.inputs.guards import check_loads
from eplb.inputs.loads import as_array
from eplb.inputs.windows import Windows, checked_windows, has_windows, plain_floats, windows_of
from eplb.load_files import FileLoads
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.plan_tables import FloatTable

#: Windows before the first plan, if there are enough.
WARMUP = 8


@dataclass(frozen=True)
class Trace:
    """Windows ``[layers, experts]`` of one shape, oldest first, as they were given."""

    windows: Sequence[Any]
    num_layers: int
    num_experts: int

    def __len__(self) -> int:
        return len(self.windows)

    def loads(self, window: int) -> FloatTable:
        """The loads of a window as floats, ``[layers, experts]``."""
        table: FloatTable = plain_floats(*as_array(self.windows[window])).astype(np.float64)
        return table

    def digest(self) -> str:
        """SHA-256 of sizes and values, whatever the types of integers or of floats. O(cells)."""
        found = hashlib.sha256(f"{len(self)} {self.num_layers} {self.num_experts}".encode())
        for window in self.windows:
            table = plain_floats(*as_array(window))
            kind = "<u8" if table.dtype.kind in "iu" else "<f8"
            found.update(kind.encode() + np.ascontiguousarray(table.astype(kind)).tobytes())
        return found.hexdigest()

    def usual_warmup(self) -> int:
        """Windows before the first plan: eight, or a quarter of a short trace."""
        return min(WARMUP, max(1, len(self) // 4))


def trace_of(windows: Any) -> Trace:
    """A trace of loads ``[windows, layers, experts]``, a list of tables, or a file that was read.

    One window at a time is looked at, so a trace may be larger than memory: an array that numpy maps
    (``np.load(path, mmap_mode="r")``), or what :func:`eplb.load_files.read_trace` returns.

    Raises:
        LoadError, LoadTypeError: a window is invalid, or has another shape than the first.
    """
    if isinstance(windows, FileLoads):
        windows = windows.windows if isinstance(windows.windows, Windows) else [*windows.windows]
    if not has_windows(windows):
        raise LoadError(
            "a replay needs several windows; expected loads [windows, layers, experts], oldest first"
        )
    tables = windows_of(windows)
    shape = None
    for loads in checked_windows(tables):
        if shape is None:
            check_loads(windows, loads)
            shape = loads.layers, loads.experts
    if shape is None or len(tables) < 3:
        raise LoadError(
            f"the trace has {count(len(tables), 'window')}; expected at least 3: one for the first plan, "
            "one for the first update, and one to judge it"
        )
    return Trace(tables, *shape)
