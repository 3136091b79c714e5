"""Windows of a trace in one file, which any process of this machine can open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.inputs.loads import as_array
from eplb.inputs.windows import Windows, plain_floats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

# Tables begin where the largest of their types may.
_ALIGNED = 8


class StoredWindows(Windows):
    """Windows ``[layers, experts]``, mapped into memory: processes share what they read.

    Sent to another process, it is the path of the file and where each window begins.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], places: Sequence[tuple[str, int]]
    ) -> None:
        self._path, self._shape, self._places = path, shape, places
        self._bytes: npt.NDArray[np.uint8] | None = None

    @classmethod
    def write(cls, path: Path, windows: Sequence[Any]) -> StoredWindows:
        """Writes windows of one shape, one at a time, with their values as they are."""
        places, shape = [], (0, 0)
        with path.open("wb") as file:
            for window in windows:
                table = np.ascontiguousarray(plain_floats(*as_array(window)))
                shape = table.shape
                places.append((table.dtype.str, file.tell()))
                file.write(table.data)
                file.write(b"\0" * (-file.tell() % _ALIGNED))
        return cls(path, shape, places)

    def __len__(self) -> int:
        return len(self._places)

    def window(self, at: int) -> npt.NDArray[Any]:
        """The window with this number, ``[layers, experts]``, read-only."""
        if self._bytes is None:
            self._bytes = np.memmap(self._path, dtype=np.uint8, mode="r")
        kind, first = self._places[at]
        cells = self._shape[0] * self._shape[1]
        table = np.frombuffer(self._bytes, np.dtype(kind), cells, first)
        return table.reshape(self._shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path, self._shape, self._places)
