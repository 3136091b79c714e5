"""What a file or directory holds, before it is looked at as loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eplb.npy_files import MAX_BYTES

#: Files hold at most so many bytes.
MAX_FILE_BYTES = MAX_BYTES
#: Files of text hold at most so many bytes: as Python numbers they take many times as much.
MAX_TEXT_BYTES = 2**27
#: A file holds at most so many loads.
MAX_CELLS = MAX_BYTES // 8
#: Lists hold at most so many loads: as Python numbers they take many times as much.
MAX_LIST_CELLS = 2**24


@dataclass(frozen=True)
class Found:
    """Loads as they were written."""

    #: ``[layers, experts]`` or ``[windows, layers, experts]``: an array, a tensor or lists.
    values: Any
    #: Hidden layer of each layer, ascending; None where the file does not say.
    layers: tuple[int, ...] | None = None
    #: What was done to them on the way, a line each.
    notes: tuple[str, ...] = ()
